import t from 'tap';
import { LocalSeats, type SeatOrder } from '../../../src/daemon/warden/local-seats.js';
import { type Deciding, SeatsWorld, SlowSeats } from '../../helpers/seats-world.js';
import { SeededRandom } from '../../helpers/seeded-random.js';

/** A world at rest: one seat speaks, the other is ready. */
function steady(deciding: Deciding = new LocalSeats()): SeatsWorld {
  const world = new SeatsWorld(deciding);
  if (!world.settle()) throw new Error(`not at rest: ${world.states}`);
  return world;
}

function run(world: SeatsWorld, ...names: readonly string[]): void {
  for (const name of names) {
    const step = world.steps().find((one) => one.name === name);
    if (step === undefined) {
      throw new Error(`no step "${name}" among ${world.steps().map((one) => one.name)}`);
    }
    step.run();
  }
}

t.test('the first place begins, the second is ready', async (t) => {
  const world = new SeatsWorld();
  t.same(world.states, ['syncing', 'syncing']);
  run(world, 'ready 1', 'hear ready of 1');
  t.same(world.states, ['syncing', 'standby'], 'the second waits for the first');
  run(world, 'ready 0', 'hear ready of 0', 'read take 0');
  t.same(world.states, ['taking', 'standby']);
  run(world, 'live 0', 'hear live of 0');
  t.same(world.states, ['active-pair', 'standby']);
  t.same(world.reasons, ['start']);
});

t.test('where the first does not come the second begins after a while', async (t) => {
  const world = new SeatsWorld();
  run(world, 'freeze 0', 'ready 1', 'hear ready of 1', 'timer', 'read take 1', 'live 1', 'hear live of 1');
  t.same(world.states, ['syncing', 'active-solo']);
  world.heal();
  t.ok(world.settle());
  t.same(world.speakers, [1], 'and the first does not take it back');
});

t.test('when the one that speaks dies the other takes over at once', async (t) => {
  const world = steady();
  run(world, 'crash 0', 'hear ended of 0');
  t.same(world.states, ['syncing', 'taking']);
  run(world, 'read take 1', 'live 1', 'hear live of 1');
  t.same(world.states, ['syncing', 'active-solo']);
  run(world, 'ready 0', 'hear ready of 0');
  t.same(world.states, ['standby', 'active-pair'], 'and it does not give it back');
  t.same(world.reasons, ['start', 'ended']);
});

t.test('one that hangs is killed, and known dead before the other speaks', async (t) => {
  const world = steady();
  run(world, 'freeze 0', 'silent 0', 'hear silent of 0');
  t.same(world.states, ['active-pair', 'standby'], 'nobody takes over from one that lives');
  run(world, 'die 0');
  t.same(world.states, ['active-pair', 'standby'], 'nor from one that is not known dead');
  run(world, 'hear ended of 0', 'read take 1', 'live 1', 'hear live of 1');
  t.same(world.states, ['syncing', 'active-solo']);
  t.same(world.reasons, ['start', 'silent']);
});

t.test('a hung one without a standby is given time until there is one', async (t) => {
  const world = steady();
  run(world, 'crash 1', 'hear ended of 1', 'freeze 0', 'silent 0', 'hear silent of 0');
  t.same(world.states, ['active-solo', 'syncing']);
  t.notOk(world.steps().some(({ name }) => name === 'die 0'));
  run(world, 'ready 1', 'hear ready of 1');
  t.ok(world.steps().some(({ name }) => name === 'die 0'));
});

t.test('a planned switch: the old one ends first', async (t) => {
  const world = steady();
  run(world, 'switch');
  t.same(world.states, ['draining', 'standby']);
  run(world, 'read release 0', 'dead 0', 'hear ended of 0', 'read take 1', 'live 1', 'hear live of 1');
  t.same(world.reasons, ['start', 'switch']);
  t.ok(world.settle());
  run(world, 'switch', 'read release 1', 'dead 1', 'hear ended of 1', 'read take 0');
  t.ok(world.settle());
  t.same(world.speakers, [0]);
});

t.test('one that does not end when it is released is killed', async (t) => {
  const world = steady();
  run(world, 'freeze 0', 'switch', 'timer');
  t.same(world.states, ['fenced', 'standby']);
  run(world, 'die 0', 'hear ended of 0');
  t.same(world.states, ['syncing', 'taking']);
});

t.test('a switch without a standby is none', async (t) => {
  const world = steady();
  run(world, 'crash 1', 'hear ended of 1');
  const before = world.states;
  run(world, 'switch');
  t.same(world.states, before);
  const pair = new LocalSeats();
  pair.place({ first: 0 }, 0);
  t.notOk(pair.canSwitch());
});

t.test('a standby that dies while it takes over is replaced by whoever is ready first', async (t) => {
  const world = steady();
  run(world, 'crash 0', 'hear ended of 0', 'read take 1', 'crash 1', 'hear ended of 1');
  t.same(world.states, ['syncing', 'syncing']);
  t.ok(world.settle());
  t.same(world.faults, []);
});

t.test('a process that speaks since before goes on, in its term', async (t) => {
  const pair = new LocalSeats();
  const kinds = (orders: readonly SeatOrder[]) => orders.map(({ seat, kind }) => `${kind} ${seat}`);
  t.same(kinds(pair.place({ first: 0, speaks: { seat: 1, term: 7 } }, 0)), ['prepare 0']);
  t.equal(pair.active, 1);
  t.same([pair.stateOf(0), pair.stateOf(1)], ['syncing', 'active-solo']);
  t.same(pair.news(0, 'ready', 1), []);
  t.equal(pair.stateOf(1), 'active-pair');
  t.ok(pair.canSwitch());
  t.match(pair.news(1, 'ended', 2), [
    { seat: 1, kind: 'prepare' },
    { seat: 0, kind: 'take', term: 8, reason: 'ended' },
  ]);
  t.same(kinds(pair.remove(3)), ['kill 0', 'kill 1']);
  t.same([pair.stateOf(0), pair.stateOf(1)], ['idle', 'idle']);
});

t.test('in every order of steps after one or two faults one speaks at a time', async (t) => {
  const DEPTH = 6;
  let paths = 0;
  /** Runs the steps with these numbers. Answers with how many there were to choose from, or undefined at the end. */
  const play = (choices: readonly number[]): number => {
    const world = steady();
    let faults = 2;
    for (const choice of choices) {
      const steps = world.steps().filter(({ isFault }) => !isFault || faults > 0);
      const step = steps[choice]!;
      if (step.isFault) faults--;
      step.run();
    }
    if (world.faults.length > 0) throw new Error(`${world.faults}: ${world.log.join(', ')}`);
    return world.steps().filter(({ isFault }) => !isFault || faults > 0).length;
  };
  const queue: number[][] = [[]];
  for (; paths < queue.length; paths++) {
    const choices = queue[paths]!;
    const open = play(choices);
    if (choices.length === DEPTH) continue;
    for (let next = 0; next < open; next++) queue.push([...choices, next]);
  }
  t.ok(paths > 1000, `${paths} orders`);
});

for (const [what, make] of [
  ['on one host', () => new LocalSeats()],
  [
    'with a store that is slow and loses answers',
    (random: SeededRandom) => new SlowSeats(() => random.below(4) === 0),
  ],
] as const) {
  t.test(`${what}: thousands of lives with crashes, hangs and switches`, async (t) => {
    const reasons = new Map<string, number>();
    let takes = 0;
    for (let seed = 1; seed <= 800; seed++) {
      const random = new SeededRandom(seed);
      const world = new SeatsWorld(make(random));
      for (let n = 0; n < 150; n++) {
        const steps = world.steps();
        const calm = steps.filter(({ isFault }) => !isFault);
        // Now and then a fault, else what is under way goes on.
        const from = calm.length > 0 && random.below(6) > 0 ? calm : steps;
        world.now += random.below(40);
        from[random.below(from.length)]!.run();
      }
      world.heal();
      const isSettled = world.settle(400);
      if (world.faults.length > 0 || !isSettled) {
        t.fail(`seed ${seed}: ${world.faults} ${world.states}: ${world.log.slice(-60).join(', ')}`);
        return;
      }
      takes += world.takes;
      for (const reason of world.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    t.ok(takes > 2000, `${takes} takes`);
    t.ok(
      ['start', 'ended', 'switch'].every((one) => (reasons.get(one) ?? 0) > 10),
      JSON.stringify([...reasons]),
    );
  });
}
