import t from 'tap';
import { ConfigInForce, type CoreConfig } from '../../src/daemon/core/config-in-force.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import { readPsks } from '../../src/store/psk.js';
import { connections, GATEWAY, connection as line } from '../helpers/config-snippets.js';

const [ADDRESSED, NAMED, IDLE] = ['addressed', 'named', 'idle'].map(connectionIdOf) as [
  string,
  string,
  string,
];
const peer = (host: string, n: number): string => `{ ${host}, cidrs: [10.${n}.0.0/24] }`;
const LINES = {
  addressed: line({ name: 'addressed', peer: peer('address: 192.0.2.2', 2) }),
  named: line({ name: 'named', peer: peer('fqdn: hub.example', 3) }),
  idle: line({ name: 'idle', peer: peer('fqdn: spare.example', 4), admin_state_up: 'false' }),
};

function configOf(...names: readonly (keyof typeof LINES)[]): CoreConfig {
  const file = readGatewayFile(GATEWAY + connections(...names.map((name) => LINES[name])), 'gateway.yaml');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  const psks = readPsks(file.value);
  if (!psks.ok) throw new Error(JSON.stringify(psks.error));
  return { file: file.value, psks: psks.value };
}

/** In force, with the addresses that the test puts into `known`. */
function inForce(config: CoreConfig) {
  const known = new Map<string, readonly string[]>();
  return { known, config: new ConfigInForce(config, () => known) };
}

t.test('the engine gets the addresses that host names have now', async (t) => {
  const { known, config } = inForce(configOf('addressed', 'named'));
  const addresses = () => config.views().wanted.connections.map((one) => one.peer.addresses);
  t.same(addresses(), [['192.0.2.2'], []], 'a name that is not resolved has none');
  known.set(NAMED, ['198.51.100.7']);
  known.set(ADDRESSED, ['203.0.113.9']);
  t.same(addresses(), [['192.0.2.2'], ['198.51.100.7']], 'a configured address needs no looking up');
  t.same(
    config.views().tracked.map(({ peer }) => peer),
    ['192.0.2.2', 'hub.example'],
    'people read what is configured',
  );
});

t.test('only the names of connections that are administratively up are looked up', async (t) => {
  const { config } = inForce(configOf('addressed', 'named', 'idle'));
  t.same([...config.hostNames()], [[NAMED, 'hub.example']]);
});

t.test('what an operator holds down is down for the engine, and wanted all the same', async (t) => {
  const { config } = inForce(configOf('addressed', 'named', 'idle'));
  const up = (view: 'wanted' | 'effective') => config.views()[view].connections.map(({ adminUp }) => adminUp);
  t.same(up('effective'), [true, true, false]);
  config.setStopped(NAMED, true);
  t.ok(config.isStopped(NAMED));
  t.same(up('effective'), [true, false, false]);
  t.same(up('wanted'), [true, true, false]);
  config.setStopped(NAMED, false);
  t.same(up('effective'), [true, true, false]);
  config.setStopped(IDLE, true);
  config.setStopped(IDLE, false);
  t.same(up('effective'), [true, true, false], 'letting go does not overrule the configuration');
});

t.test('what was held down stays so under another configuration, until it is removed', async (t) => {
  const { config } = inForce(configOf('addressed', 'named'));
  config.setStopped(ADDRESSED, true);
  config.setStopped(NAMED, true);
  config.replace(configOf('addressed'));
  t.same(
    config.connections.map(({ id }) => id),
    [ADDRESSED],
  );
  t.equal(config.find(NAMED), undefined);
  t.ok(config.isStopped(ADDRESSED));
  config.replace(configOf('addressed', 'named'));
  t.notOk(config.isStopped(NAMED), 'a connection that comes back is a new one');
  t.equal(config.find(NAMED)?.name, 'named');
});
