import t from 'tap';
import { connection, type Pair, type SimNode } from '../../helpers/engine-pair.js';
import { establishedV1, v1, v1Faults } from '../../helpers/v1-pair.js';

/** When an SA is rekeyed as far as the events say it: what was reported with it, and put elsewhere since. */
function rekeyTimes(node: SimNode): { ike: number; child: number } {
  const [ike] = node.ikes.values();
  const [child] = node.childInfo.values();
  const told = { ike: ike!.rekeyAt, child: child!.rekeyAt };
  for (const { ikeId, childId, rekeyAt } of node.eventsOf('rescheduled')) {
    if (childId === undefined && ikeId === ike!.ikeId) told.ike = rekeyAt;
    if (childId === child!.childId) told.child = rekeyAt;
  }
  return told;
}

function shorten({ sim, east }: Pair, lives: { ikeLifetime?: number; childLifetime?: number }): void {
  sim.input(east, { kind: 'configure', config: { connections: [connection('east', v1(lives))] } });
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'lifetimes' });
}

t.test('another lifetime is configured: what is reported is when the SAs are rekeyed', async (t) => {
  const made = establishedV1({ east: { ikeLifetime: 28_800, childLifetime: 3600 } });
  const { sim, east } = made;
  sim.run(100_000);
  shorten(made, { ikeLifetime: 1200, childLifetime: 400 });
  const told = rekeyTimes(east);
  t.equal(east.eventsOf('rescheduled').length, 2);
  t.ok(told.ike > 100_000 && told.ike <= 1_200_000, `the ISAKMP SA at ${told.ike}`);
  t.ok(told.child > 100_000 && told.child <= 400_000, `the ESP SA at ${told.child}`);
  const [ikeId] = east.ikes.keys();
  const [childId] = east.childInfo.keys();
  sim.run(told.child - 1);
  t.ok(east.childInfo.has(childId!));
  sim.run(told.child + 20_000);
  t.notOk(east.childInfo.has(childId!), 'it was rekeyed when it was said to be');
  sim.run(told.ike - 1);
  t.ok(east.ikes.has(ikeId!));
  sim.run(told.ike + 40_000);
  t.notOk(east.ikes.has(ikeId!));
  t.equal(v1Faults(made), undefined);
});

t.test('a lifetime that is over already leaves the time to rekey', async (t) => {
  const made = establishedV1({ east: { ikeLifetime: 28_800, childLifetime: 3600 } });
  const { sim, east, west } = made;
  sim.run(1_000_000);
  let gap = false;
  shorten(made, { ikeLifetime: 600, childLifetime: 300 });
  sim.run(sim.now + 40_000, () => {
    gap ||= east.children.size === 0 || west.children.size === 0;
    return false;
  });
  t.notOk(gap, 'one pair of SAs is there at any time');
  t.equal(v1Faults(made), undefined);
  for (const node of [east, west])
    t.notOk(node.eventsOf('child-closed').some(({ reason }) => reason === 'expired'));
});

t.test(
  'a responder that keeps the ISAKMP SA for less time says so in message 6, and the initiator rekeys in time',
  async (t) => {
    const made = establishedV1({ east: { ikeLifetime: 28_800 }, west: { ikeLifetime: 600 } });
    const { sim, east, west } = made;
    const [first] = east.ikes.values();
    t.ok(first!.rekeyAt < 600_000, `reported to be rekeyed at ${first!.rekeyAt}`);
    sim.run(first!.rekeyAt - 1);
    t.ok(east.ikes.has(first!.ikeId));
    sim.run(600_000);
    const initiated = east.eventsOf('ike-initiating').filter(({ connection }) => connection === 'site');
    t.equal(initiated.length, 2, 'by main modes of its own');
    t.equal(west.eventsOf('ike-initiating').length, 0);
    t.notOk(east.eventsOf('ike-closed').some(({ reason }) => reason === 'expired'));
    t.equal(v1Faults(made), undefined);

    const [again] = east.ikes.values();
    shorten(made, { ikeLifetime: 20_000 });
    const told = east.eventsOf('rescheduled').find(({ childId }) => childId === undefined);
    t.ok(
      told!.rekeyAt <= again!.establishedAt + 600_000,
      'another lifetime here does not outlast the responder',
    );
  },
);

t.test('a lifetime in message 6 that is no shorter changes nothing', async (t) => {
  const { east } = establishedV1({ east: { ikeLifetime: 600 }, west: { ikeLifetime: 28_800 } });
  const [ike] = east.ikes.values();
  t.ok(ike!.rekeyAt > 300_000 && ike!.rekeyAt < 600_000);
});
