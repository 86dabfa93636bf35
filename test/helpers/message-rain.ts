import { equalBytes } from '../../src/util/bytes.js';
import { EAST, type Pair, type SimNode } from './engine-pair.js';
import { asInput, mutate } from './mutated-datagram.js';
import type { SeededRandom } from './seeded-random.js';
import type { Packet } from './virtual-net.js';

/** Short lives in seconds, so that `messagesOfLife` sees rekeys. */
export const SHORT_LIVES = { childLifetime: 40, ikeLifetime: 100 };

/** Every message of a pair's whole life: what set it up, probes, rekeys, DELETE. */
export function messagesOfLife({ sim, east }: Pair): Packet[] {
  sim.run(95_000);
  sim.input(east, { kind: 'terminate', connection: 'site' });
  sim.run(100_000);
  return sim.net.sent;
}

const receiver = ({ east, west }: Pair, packet: Packet): SimNode =>
  packet.to.address === EAST ? east : west;

/** Each message four times mutated, and whole too when the pair has sent it: its next one would be no forgery. */
export function rainOn(made: Pair, messages: readonly Packet[], random: SeededRandom): void {
  const { sim } = made;
  for (const packet of messages) {
    const node = receiver(made, packet);
    const past = sim.net.sent.some((one) => equalBytes(one.bytes, packet.bytes));
    for (let i = 0; i < 4; i++) sim.input(node, asInput(packet, mutate(packet.bytes, random)));
    if (past) sim.input(node, asInput(packet));
  }
}

/** The conditions of a negotiation in the rain. */
export const RAINY = { latency: [5, 80], loss: 0.1, duplicate: 0.1 } as const;

/** One end initiates, while the messages sent so far come again, two of three of them mutated. */
export function negotiateInRain(made: Pair, random: SeededRandom): void {
  const { sim, east } = made;
  east.reconnect = 'site';
  sim.initiate(east);
  for (let i = 0; i < 120; i++) {
    sim.run(sim.now + random.below(40));
    const { sent } = sim.net;
    const packet = sent[random.below(sent.length)]!;
    const bytes = random.below(3) === 0 ? packet.bytes : mutate(packet.bytes, random);
    sim.input(receiver(made, packet), asInput(packet, bytes));
  }
}
