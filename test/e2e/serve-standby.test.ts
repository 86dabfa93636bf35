import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, TWO_GATEWAYS, until, VPCS } from '../helpers/serve-lab.js';
import { atRest, lifeWithStandby, membersOf } from '../helpers/standby-life.js';

const skip = skipWithoutTun() || skipWithoutProgram('tcpdump');
/** Planned switches. The test beside strongSwan takes more and has the machine to itself, for its bounds are closer. */
const SWITCHES = Number(process.env.CULVERT_SWITCHES ?? 2);
const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

t.test('a policy mode gateway with a standby on one host', { skip, timeout: 300_000 }, async (t) => {
  const lab = await ServeLab.open({ auth: 'none', api_keys: [], standby: true });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-12_000)));
  const before = await lab.stateOf(vpc1.node);
  await lab.start();
  const file = join(lab.folder, 'vpn.yaml');
  writeFileSync(file, stringify(TWO_GATEWAYS), { mode: 0o600 });
  const applied = await lab.culvert('apply', '-f', file);
  t.equal(applied.code, 0, applied.err);
  const { vpn_gateways: list } = (await lab.call('GET', '/vpn_gateways')).body;
  const id: string = list.find((one: { name: string }) => one.name === 'gateway-1').id;

  await atRest(lab, id, 0);
  t.match(await membersOf(lab, id), [
    { role: 'active', public_ip: { address: vpc1.gatewayAddress } },
    { role: 'standby', public_ip: { address: '0.0.0.0' } },
  ]);
  await until('the first ping', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);

  const { code, out } = await lab.culvert(
    'status',
    '--run-folder',
    join(lab.folder, 'run'),
    '--output',
    'json',
  );
  t.equal(code, 0);
  t.equal(JSON.parse(out).length, 2, 'a process that is only ready has no status of its own');

  await lifeWithStandby(t, lab, id, { switches: SWITCHES, away: 2, awayBySwitch: 2 });

  // "If you do not specify a value, then the local IKE identity is the public IP address of the VPN gateway." (Adding
  // connections to a VPN gateway, line 86.)
  const peer = await lab.culvert(
    ...['status', 'gateway-2', '--run-folder', join(lab.folder, 'run'), '--output', 'json'],
  );
  const [seen] = [JSON.parse(peer.out)].flat();
  t.match(
    seen.connections[0].ike.peer_identity,
    new RegExp(`${vpc1.gatewayAddress}$`),
    'whichever member is active',
  );

  t.equal((await lab.call('DELETE', `/vpn_gateways/${id}`)).status, 202);
  await until('it is gone', async () => (await lab.call('GET', `/vpn_gateways/${id}`)).status === 404);
  t.equal(await lab.stateOf(vpc1.node), before, 'and nothing is left of either process');
  t.same(lab.gateways(id), []);
});
