import t from 'tap';
import { establishedPair, pair, type SimNode } from '../helpers/engine-pair.js';
import { establishedV1, v1Pair } from '../helpers/v1-pair.js';

/** Outputs about ESP and messages, in order. */
function story({ outputs }: SimNode): string[] {
  return outputs.flatMap((one) => {
    if (one.kind === 'expect-esp' || one.kind === 'forget-esp') return [`${one.kind} ${one.spi}`];
    if (one.kind === 'install-child') return [`install-child ${one.child.spiIn}`];
    return one.kind === 'send' ? ['send'] : [];
  });
}

for (const [version, made] of [
  ['IKEv2', () => establishedPair()],
  ['IKEv1', () => establishedV1()],
] as const) {
  t.test(
    `${version}: an SPI is expected before the request that gives it leaves, until its SA is there`,
    async (t) => {
      const { sim, east, west } = made();
      const [first] = east.children.values();
      const told = story(east);
      const expected = told.indexOf(`expect-esp ${first!.spiIn}`);
      t.ok(expected >= 0);
      t.equal(told[expected + 1], 'send');
      t.ok(told.indexOf(`install-child ${first!.spiIn}`) > expected);
      t.notOk(
        story(west).some((one) => one.startsWith('expect')),
        'a responder installs at once',
      );
      sim.run(sim.now + 2 * 3600_000);
      t.ok(story(east).filter((one) => one.startsWith('expect')).length + story(west).length > 2);
      t.same([...east.expected, ...west.expected], [], 'nothing is expected for ever');
    },
  );
}

t.test('an SPI whose request fails is expected no more', async (t) => {
  const none = { espProposals: [] };
  for (const made of [pair({ west: none }), v1Pair({ west: none })]) {
    made.sim.initiate(made.east);
    made.sim.run(600_000);
    const told = story(made.east);
    t.ok(told.some((one) => one.startsWith('expect-esp')));
    t.ok(told.some((one) => one.startsWith('forget-esp')));
    t.equal(made.east.children.size, 0);
    made.sim.input(made.east, { kind: 'terminate', connection: 'site' });
    made.sim.run(made.sim.now + 600_000);
    t.same([...made.east.expected], []);
  }
});
