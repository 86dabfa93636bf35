import t from 'tap';
import { tunnelsOf, wayTo } from '../../src/api/routing/next-hop.js';
import type { GatewayObservation } from '../../src/api/runner.js';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';

type Seen = Partial<ConnectionStatusDocument> | undefined;

/** A connection of a gateway whose second member has the smaller address, as its members are seen. */
function way(distributeTraffic: boolean, members: readonly Seen[], more: Partial<GatewayObservation> = {}) {
  const connection = { id: 'c', value: { distributeTraffic, adminStateUp: true } };
  const addresses = ['192.0.2.100', '192.0.2.20'];
  const gateway = {
    members: addresses.map((publicAddress) => ({
      publicAddress,
      privateIp: { id: '', name: '', address: '' },
    })),
  } as unknown as Parameters<typeof tunnelsOf>[1];
  const documents = members.map((one) => one && { connections: [{ id: 'c', status: 'up', ...one }] });
  const observation = { state: 'running', members: documents, ...more } as unknown as GatewayObservation;
  return {
    way: wayTo(connection, gateway, observation),
    order: tunnelsOf(connection, gateway, observation).map(({ member, address }) => [member, address]),
  };
}

const a = { interface: 'cva' };
const b = { interface: 'cvb' };
const down = { status: 'down' as const };

t.test('one tunnel at a time: the smaller public address first, as a number', async (t) => {
  t.same(way(false, [a, b]).order, [
    [1, '192.0.2.20'],
    [0, '192.0.2.100'],
  ]);
  t.same(way(false, [a, b]).way, { device: 'cvb', standby: 'cva' });
  t.same(way(false, [a, { ...b, ...down }]).way, { device: 'cva' }, 'the other one while it is down');
  t.same(way(false, [a, { ...b, status: 'degraded' }]).way, { device: 'cvb', standby: 'cva' });
  t.same(
    way(false, [
      { ...a, ...down },
      { ...b, ...down },
    ]).way,
    undefined,
    'skipped',
  );
});

t.test('distributed: all that are up, each always at the same place', async (t) => {
  const spread = (...devices: (string | null)[]) => ({ spread: { connection: 'c', devices } });
  t.same(way(true, [a, b]).way, spread('cvb', 'cva'));
  t.same(way(true, [{ ...a, ...down }, b]).way, spread('cvb', null));
  t.same(way(true, [a, undefined]).way, spread(null, 'cva'), 'a member that has ended');
  t.same(way(true, [down, down]).way, undefined);
});

t.test('a member that stalls carries nothing as long as another one can', async (t) => {
  t.same(way(false, [a, b], { stalled: [false, true] }).way, { device: 'cva' });
  t.same(way(true, [a, b], { stalled: [true, false] }).way, {
    spread: { connection: 'c', devices: ['cvb', null] },
  });
  t.same(way(false, [a, { ...b, ...down }], { stalled: [true, false] }).way, { device: 'cva' });
  t.same(way(false, [a, b], { stalled: [true, true] }).way, { device: 'cvb', standby: 'cva' });
});

t.test('what a server before this one has laid stays until every member was seen', async (t) => {
  const starting = { state: 'starting', faults: [undefined, { kind: 'starting' }] } as const;
  t.same(way(false, [a, undefined], starting).way, { device: 'cva', sought: true });
  t.same(way(true, [a, undefined], starting).way, {
    spread: { connection: 'c', devices: [null, 'cva'], sought: true },
  });
  t.same(way(true, [undefined, undefined], { state: 'starting' }).way, { unknown: true });
  const dead = { state: 'degraded', faults: [undefined, { kind: 'ended' }] } as const;
  t.same(way(false, [a, undefined], dead).way, { device: 'cva' }, 'one that has ended is not waited for');
});
