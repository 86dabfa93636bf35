import t from 'tap';
import { ClearGuard, guardTable } from '../../src/daemon/host/clear-guard.js';
import type { ConnectionDevices } from '../../src/daemon/host/devices.js';
import { HostSide } from '../../src/daemon/host/host-side.js';
import { protectedPairs } from '../../src/daemon/host/protected-pairs.js';
import { STANDARD_PORTS } from '../../src/daemon/system/ports.js';
import type { GuardPlan } from '../../src/linux/nft-guard.js';
import { createLogger } from '../../src/telemetry/log.js';
import { formatIp, parseIp } from '../../src/util/ip.js';
import { FakeFilter, FakeHost } from '../helpers/fake-host.js';
import { GatewayBench } from '../helpers/gateway-pair.js';

const TABLE = guardTable('culvert0');
const plan: GuardPlan = {
  devices: ['culvert0'],
  pairs: [],
  gateway: parseIp('192.0.2.1')!,
  ports: [500, 4500],
  peers: [],
};

function guard(filter: FakeFilter) {
  const lines: string[] = [];
  const logger = createLogger({ destination: { write: (line) => lines.push(line) } });
  return { made: new ClearGuard(filter, 'culvert0', logger), lines };
}

t.test('rules are put in force once for a plan, and go at an end that was asked for', async (t) => {
  const filter = new FakeFilter();
  const { made } = guard(filter);
  made.update(plan);
  made.update({ ...plan });
  t.equal(filter.installs, 1);
  t.match(made.status(), { inbound: 'discarded', table: TABLE, discarded: 0 });
  made.update({ ...plan, devices: ['culvert0', 'culvert1'] });
  t.equal(filter.installs, 2);
  made.remove();
  t.equal(filter.tables.size, 0);
});

t.test('a kernel that lacks a part of it', async (t) => {
  const filter = new FakeFilter();
  filter.refusals = ['ENOENT'];
  const { made } = guard(filter);
  made.update(plan);
  t.match(filter.tables.get(TABLE), { reversePath: false }, 'without the look-up of the reverse path');
  made.remove();

  filter.refusals = ['EPERM'];
  const refused = guard(filter);
  refused.made.update(plan);
  t.match(refused.made.status(), { inbound: 'not_filtered', reason: /EPERM/ });
  t.match(
    refused.lines.join(''),
    /clear packets .* are not discarded: .*rp_filter=1 on every device but the TUN/,
  );
  refused.made.remove();
});

t.test('a start that fails leaves what it found, and nothing else', async (t) => {
  const filter = new FakeFilter();
  const first = guard(filter).made;
  first.update(plan);
  first.undoStart();
  t.notOk(filter.standing(TABLE));
  filter.install(TABLE, plan, true);
  const next = guard(filter).made;
  next.update(plan);
  next.undoStart();
  t.ok(filter.standing(TABLE), 'a process before it had closed the networks');
});

t.test('from where to where nothing may come in the clear', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const pairs = (mode: 'policy' | 'route', connection: object) =>
    protectedPairs(mode, bench.file('a', { gateway: { mode }, connection }).connections).map(
      ({ source, destination }) =>
        [source.start, source.end, destination.start, destination.end].map(formatIp).join(' '),
    );
  t.same(pairs('policy', {}), ['10.2.0.0 10.2.0.255 10.1.0.0 10.1.0.255']);
  t.same(pairs('policy', { admin_state_up: false }), []);
  t.same(
    pairs('policy', { peer: { address: '192.0.2.2', cidrs: ['0.0.0.0/0'] } }).map((pair) =>
      pair.split(' ', 2).join(' '),
    ),
    ['1.0.0.0 10.0.255.255', '10.1.1.0 126.255.255.255', '128.0.0.0 223.255.255.255'],
    'our own networks are no source; loopback, multicast and broadcast are no traffic between networks',
  );
  const routed = { local: undefined, peer: { address: '192.0.2.2' } };
  t.same(pairs('route', routed), [], 'in route mode the selectors are everything and say nothing');
  t.same(
    pairs('route', { ...routed, routes: ['10.2.0.0/24', '2001:db8:2::/64'] }).map(
      (pair) => pair.split(' ')[0],
    ),
    ['10.2.0.0', '10.2.0.0', '2001:db8:2::'],
    'what is routed into the device must come from it',
  );
});

t.test(
  'addresses to which routes lead around the tunnels are in the plan, written or resolved',
  async (t) => {
    const bench = new GatewayBench();
    t.teardown(() => bench.dispose());
    const planned = (gateway: object) => {
      const host = new FakeHost();
      const file = bench.file('a', {
        gateway,
        connection: { peer: { address: '192.0.2.2', cidrs: ['192.0.2.0/24', '198.51.100.0/24'] } },
      });
      const logger = createLogger({ destination: { write: () => true } });
      const devices = { open: () => new Map(), nameOf: () => 'culvert0' } as unknown as ConnectionDevices;
      const parts = { host, gateway: file.gateway, ports: STANDARD_PORTS, devices, logger };
      const side = new HostSide({ ...parts, now: () => 0 });
      side.start(file);
      const peers = () => host.filter.tables.get(TABLE)?.peers.map(formatIp);
      const before = peers();
      side.pinBypass(['198.51.100.9']);
      side.pinBypass(['198.51.100.9']);
      const out = { before, after: peers(), installs: host.filter.installs };
      side.removeRoutes();
      return out;
    };
    t.same(planned({}), { before: ['192.0.2.2'], after: ['192.0.2.2', '198.51.100.9'], installs: 2 });
    t.same(
      planned({ fail_closed: false }),
      { before: [], after: [], installs: 1 },
      'an operator left it open',
    );
  },
);
