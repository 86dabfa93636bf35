import fc from 'fast-check';
import t from 'tap';
import { encodeV1Message } from '../../../src/wire/ike/v1/message.js';
import type { V1Header } from '../../../src/wire/ike/v1/payloads.js';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { anyV1Header, anyV1Payload } from '../../helpers/arbitrary-v1-payloads.js';
import { EAST, type Pair, WEST } from '../../helpers/engine-pair.js';
import { recordedMessages } from '../../helpers/ike-corpus.js';
import { messagesOfLife, negotiateInRain, RAINY, rainOn, SHORT_LIVES } from '../../helpers/message-rain.js';
import { asInput } from '../../helpers/mutated-datagram.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { establishedV1, v1Faults, v1Pair } from '../../helpers/v1-pair.js';
import { readVectorLines, skipWithoutVectors } from '../../helpers/vectors.js';
import type { Packet } from '../../helpers/virtual-net.js';

/** Every message of a whole life: negotiation, probes, rekeys, DELETE. */
const lifeOf = (seed: number): Packet[] => messagesOfLife(establishedV1({ seed, east: SHORT_LIVES }));

/** Stages of a pair at which anything may arrive: before, after each message of main mode, in quick mode, up. */
const STAGES: readonly ((seed: number) => Pair)[] = [
  (seed) => v1Pair({ seed }),
  ...[7, 12, 17, 22, 27, 32, 37, 42].map((at) => (seed: number) => {
    const made = v1Pair({ seed });
    made.sim.initiate(made.east);
    made.sim.run(at);
    return made;
  }),
  (seed) => establishedV1({ seed }),
];

t.test('any message, whole or mutated, in any state: nothing throws and no SA that is up dies', async (t) => {
  const random = new SeededRandom(77);
  let dropped = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const life = lifeOf(seed);
    for (const stage of STAGES) {
      const made = stage(seed);
      const standing = v1Faults(made) === undefined;
      rainOn(made, life, random);
      dropped += made.west.eventsOf('datagram-dropped').length;
      if (standing && v1Faults(made) !== undefined) t.fail(`seed ${seed}: ${v1Faults(made)}`);
    }
  }
  t.ok(dropped > 1000, `${dropped} datagrams were dropped`);
});

t.test('any well-formed message in any state: nothing throws and no SA that is up dies', async (t) => {
  let seed = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyV1Header, fc.array(anyV1Payload, { maxLength: 6 }), fc.nat(5)), { maxLength: 12 }),
      fc.nat(STAGES.length - 1),
      (messages, stage) => {
        const made = STAGES[stage]!(1 + (seed++ % 20));
        const standing = v1Faults(made) === undefined;
        const own = made.sim.net.sent[0]?.bytes;
        const answer = made.sim.net.sent[1]?.bytes;
        for (const [header, payloads, choice] of messages) {
          // Most of them with the cookies of the SA, so that they get past the table.
          const known: Partial<V1Header> =
            own === undefined || choice === 0
              ? {}
              : {
                  initiatorCookie: own.slice(0, 8),
                  responderCookie:
                    answer === undefined || choice === 1 ? new Uint8Array(8) : answer.slice(8, 16),
                  exchangeType: [V1Exchange.MAIN_MODE, V1Exchange.INFORMATIONAL, V1Exchange.QUICK_MODE][
                    choice % 3
                  ]!,
                };
          const bytes = encodeV1Message({ ...header, ...known }, payloads);
          if (header.encrypted) bytes[19] = bytes[19]! | 1;
          for (const node of [made.east, made.west]) {
            const remote = { address: node === made.east ? WEST : EAST, port: 500 };
            const local = { address: node.address, port: 500 };
            made.sim.input(node, { kind: 'datagram', local, remote, natTraversalPort: false, bytes });
          }
        }
        return !standing || v1Faults(made) === undefined;
      },
    ),
    { numRuns: 600, seed: 2026 },
  );
  t.pass();
});

t.test('negotiations go through while garbage and old messages rain on them', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 60; seed++) {
    const made = v1Pair({ seed, conditions: RAINY });
    negotiateInRain(made, new SeededRandom(seed));
    if (!made.sim.run(made.sim.now + 120_000, () => v1Faults(made) === undefined)) {
      failed.push(`seed ${seed}: ${v1Faults(made)}`);
    }
  }
  t.strictSame(failed, []);
});

t.test('recorded messages of other products, in any state', { skip: skipWithoutVectors }, async (t) => {
  const malformed = ['malformed/ike-malformed.jsonl', 'malformed/ike-from-test-suites.jsonl'].flatMap(
    (name) =>
      readVectorLines<{ hex: string }>(name).map(({ hex }) => Uint8Array.from(Buffer.from(hex, 'hex'))),
  );
  const recorded = recordedMessages().map((one) => one.bytes);
  for (const stage of STAGES) {
    const made = stage(5);
    const standing = v1Faults(made) === undefined;
    for (const bytes of [...malformed, ...recorded]) {
      const remote = { address: EAST, port: 500 };
      const local = { address: WEST, port: 500 };
      made.sim.input(made.west, { kind: 'datagram', local, remote, natTraversalPort: false, bytes });
    }
    if (standing) t.equal(v1Faults(made), undefined);
  }
  t.pass(`${malformed.length + recorded.length} messages`);
});

t.test('a flood of first messages is bounded, and an honest peer still gets in', async (t) => {
  const limits = { halfOpenTotal: 100, halfOpenPerSource: 5, requestsPerSecond: 10_000 };
  const made = v1Pair({ limits, west: { establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  const donor = v1Pair({ seed: 9 });
  donor.sim.initiate(donor.east);
  const template = donor.sim.net.sent[0]!;
  const random = new SeededRandom(4);
  for (let i = 0; i < 5000; i++) {
    const bytes = Uint8Array.from(template.bytes);
    bytes.set(random.bytes(8), 0);
    // A connection that takes its peer from anywhere, and now and then the honest peer's own address.
    const address = i % 10 === 0 ? EAST : `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`;
    sim.input(west, { ...asInput(template, bytes), remote: { address, port: 500 } });
    if (i % 50 === 0) sim.run(sim.now + 10);
  }
  t.ok(west.engine.sizes.halfOpen <= limits.halfOpenTotal, `${west.engine.sizes.halfOpen} half-open SAs`);
  sim.initiate(east);
  sim.run(sim.now + 1000);
  t.equal(v1Faults(made), undefined, 'message 3 shows that an address is real: the others go first');
});
