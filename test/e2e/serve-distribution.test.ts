import t from 'tap';
import { DistributionLab, LOST } from '../helpers/distribution-lab.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { MEMBER_ADDRESSES, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();
const [vpc1] = [VPCS[0]!];

t.test('four flows through a gateway with two members', { skip, timeout: 300_000 }, async (t) => {
  const it = await DistributionLab.open(t);
  const [one, two] = [await it.gateway(0), await it.gateway(1)];
  // Each connection has a tunnel from each member of the first gateway to one member of the second.
  const connection = await it.connect(one, MEMBER_ADDRESSES[1][0], { distribute_traffic: true });
  const spare = await it.connect(one, MEMBER_ADDRESSES[1][1], { distribute_traffic: true });
  await it.route(0, 'by-2', connection, 2);
  await it.route(0, 'by-4', spare, 4);
  for (const [n, address] of MEMBER_ADDRESSES[0].entries()) {
    await it.route(1, `by-${n}`, await it.connect(two, address), n);
  }
  const path = `/vpn_gateways/${one}/connections/${connection.id}`;
  await it.carriedBy('by-2', 1, 2);
  await it.carriedBy('by-4', 1, 2);
  t.same((await it.state('by-2')).notes, []);
  const ports = await it.startFlows('by-2');
  const all = ports.flat();
  const before = await it.membersOf('by-2', all);
  const kill = (member: number) => process.kill(it.pidOf(one, member), 'SIGKILL');
  let frozen = 0;
  const freeze = (member: number) => {
    frozen = it.pidOf(one, member);
    process.kill(frozen, 'SIGSTOP');
  };
  const thaw = () => process.kill(frozen, 'SIGCONT');
  /** Taken down by the API the connection has no tunnel: the flows take the next route that matches, and come back. */
  const byApi = (carriers: number[]) =>
    it.breaks({
      ...{ what: 'down by the API', moving: all, most: LOST.host },
      act: () => it.patch(path, { admin_state_up: false }),
      moved: () => it.carriedBy('by-2'),
      mend: () => it.patch(path, { admin_state_up: true }),
      back: () => it.carriedBy('by-2', ...carriers),
    });

  await t.test('distributed: a tunnel that is lost moves its own flows', async (t) => {
    const member = (n: 1 | 2) => ({
      moving: ports[n - 1]!,
      staying: ports[2 - n]!,
      moved: () => it.carriedBy('by-2', 3 - n),
      back: () => it.carriedBy('by-2', 1, 2),
    });
    for (const n of [1, 2] as const) {
      const what = `member ${n} killed`;
      await it.breaks({ ...member(n), what, most: LOST.host, act: () => kill(n) });
    }
    await it.breaks({
      ...{ ...member(1), what: 'member 1 frozen', most: LOST.host },
      act: () => freeze(1),
      mend: thaw,
    });
    await it.breaks({
      ...{ ...member(2), what: 'path of member 2 cut', most: LOST.path },
      act: () => it.cutPath(2),
      mend: () => it.mendPath(),
    });
    await byApi([1, 2]);
    t.same(await it.membersOf('by-2', all), before, 'each flow is where it was');
  });

  await t.test('one at a time: the smaller public address first', async (t) => {
    await it.patch(path, { distribute_traffic: false });
    await it.carriedBy('by-2', 1);
    t.same(new Set(await it.membersOf('by-2', all)), new Set([1]));
    t.equal(await it.lost(all), 0, 'no flow has lost anything by the change');
    const first = {
      moving: all,
      moved: () => it.carriedBy('by-2', 2),
      back: () => it.carriedBy('by-2', 1),
    };
    await it.breaks({ ...first, what: 'killed', most: LOST.host, act: () => kill(1) });
    await it.breaks({ ...first, what: 'frozen', most: LOST.host, act: () => freeze(1), mend: thaw });
    await it.breaks({
      ...{ ...first, what: 'path cut', most: LOST.path },
      act: () => it.cutPath(1),
      mend: () => it.mendPath(),
    });
    await byApi([1]);
  });

  const { moves, moved_at } = await it.state('by-2');
  t.ok(moves >= 18, `${moves} moves`);
  t.match(moved_at, /^\d{4}-.*Z$/);
  t.match(it.lab.log, /route by-2 of table [a-z-]+ leads through the tunnel of member 2 now/);
  const shown = await it.lab.culvert('vpc-route-states', vpc1.node);
  t.match(shown.out, /by-2 .*10\.2\.0\.0\/24 +stable.* member 1 \(member 2 up\)/);
  t.match(shown.out, /by-4 .*10\.2\.0\.0\/24 +stable/);
  const told = await it.lab.culvert('vpn-gateway-connection-explain', one, connection.id);
  t.match(told.out, /10\.2\.0\.0\/24 \(by-2 of [a-z-]+\) through tunnel 1, since \d{4}-/);
  t.equal(await it.lab.end('SIGTERM'), 0);
});
