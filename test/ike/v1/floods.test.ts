import t from 'tap';
import type { DatagramInput } from '../../../src/ike/inputs.js';
import { OfferMemory } from '../../../src/ike/v1/offers.js';
import type { SimNode, Simulation } from '../../helpers/engine-pair.js';
import { EAST, WEST } from '../../helpers/engine-pair.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { createToyBackend } from '../../helpers/toy-crypto.js';
import { establishedV1, v1Faults, v1Pair } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

/** Message 1 as a real peer would send it. */
function messageOne(): Packet {
  const donor = v1Pair({ seed: 9 });
  donor.sim.initiate(donor.east);
  return donor.sim.net.sent[0]!;
}

/** With a fresh cookie, and with `varied` also an offer that never came before: another lifetime in it. */
function forged(packet: Packet, random: SeededRandom, address: string, varied = false): DatagramInput {
  const bytes = Uint8Array.from(packet.bytes);
  bytes.set(random.bytes(8), 0);
  // Behind the vendor ids, which nobody checks.
  if (varied) bytes.set(random.bytes(4), bytes.length - 4);
  const { to, natTraversalPort } = packet;
  return { kind: 'datagram', local: to, remote: { address, port: 500 }, natTraversalPort, bytes };
}

const anywhere = (random: SeededRandom): string =>
  `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`;

const short = {
  childLifetime: 20,
  ikeLifetime: 60,
  dpd: { action: 'restart', interval: 2, timeout: 10 },
} as const;

/** One forged message a millisecond; at most `half` half-open SAs meanwhile. */
function flood(
  sim: Simulation,
  west: SimNode,
  count: number,
  forge: (n: number) => DatagramInput,
  each?: (n: number) => void,
): { half: number; offers: number; out: number } {
  const most = { half: 0, offers: 0, out: 0 };
  for (let n = 0; n < count; n++) {
    for (const output of sim.input(west, forge(n)))
      if (output.kind === 'send') most.out += output.bytes.length;
    sim.run(sim.now + 1);
    most.half = Math.max(most.half, west.engine.sizes.halfOpen);
    most.offers = Math.max(most.offers, west.engine.sizes.offers);
    each?.(n);
  }
  return most;
}

t.test('a flood of message 1 from everywhere: what stands lives on and is rekeyed', async (t) => {
  const made = establishedV1({ east: short, west: { ...short, establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  west.record = false;
  const packet = messageOne();
  const random = new SeededRandom(4);
  // Sources that no connection names are refused before anything is kept.
  const most = flood(sim, west, 3000, () => forged(packet, random, anywhere(random)));
  sim.run(sim.now + 90_000);
  flood(sim, west, 3000, () => forged(packet, random, EAST));
  t.ok(most.half <= 30, `${most.half} half-open SAs`);
  t.equal(v1Faults(made), undefined);
  const lost = east.eventsOf('ike-closed').filter(({ reason }) => reason !== 'rekeyed');
  t.strictSame(lost, [], 'it was never lost');
  t.ok(east.eventsOf('child-established').length > 3);
  t.ok(east.eventsOf('ike-established').length > 1);
});

for (const [name, varied] of [
  ['the same offer', false],
  ['ever other offers', true],
] as const) {
  t.test(`message 1 under the peer's own address, ${name}: the peer gets in`, async (t) => {
    const made = v1Pair({ west: { establishMode: 'peer_only' } });
    const { sim, east, west } = made;
    west.record = false;
    const packet = messageOne();
    const random = new SeededRandom(8);
    let upAt: number | undefined;
    const most = flood(
      sim,
      west,
      3000,
      () => forged(packet, random, EAST, varied),
      (n) => {
        if (n === 500) sim.initiate(east);
        if (east.childInfo.size === 1) upAt ??= n;
      },
    );
    t.ok(upAt !== undefined, `up ${upAt! - 500} forged messages after it began`);
    t.ok(most.half <= 31, `${most.half} half-open SAs`);
    t.ok(most.offers <= 512, `${most.offers} offers are remembered`);
    t.ok(most.out <= 3000 * packet.bytes.length, 'no more octets go out than come in');
    sim.run(sim.now + 60_000);
    t.equal(v1Faults(made), undefined);
    t.equal(west.engine.sizes.halfOpen, 0);
  });
}

t.test('a flood does not keep us from initiating', async (t) => {
  const { sim, west, ...made } = v1Pair();
  const packet = messageOne();
  const random = new SeededRandom(5);
  let upAt: number | undefined;
  flood(
    sim,
    west,
    4000,
    () => forged(packet, random, EAST),
    (n) => {
      if (n === 100) sim.initiate(west);
      if (west.childInfo.size === 1) upAt ??= n;
    },
  );
  t.ok(upAt !== undefined && made.east.childInfo.size === 1, `up after ${upAt} forged messages`);
});

t.test('a peer that has been here is known by its offer, whatever a flood offers since', async (t) => {
  const memory = new OfferMemory(createToyBackend(), new SeededRandom(1), 60_000);
  const { to, bytes, natTraversalPort } = messageOne();
  const first: DatagramInput = {
    kind: 'datagram',
    local: to,
    remote: { address: EAST, port: 500 },
    natTraversalPort,
    bytes,
  };
  memory.keep('site', bytes);
  const random = new SeededRandom(2);
  const cookie = memory.answer(first, 0)!;
  const forgedCookies: Uint8Array[] = [];
  for (let n = 0; n < 2000; n++) {
    const other = Uint8Array.from(bytes);
    other.set(random.bytes(8), bytes.length - 8);
    forgedCookies.push(memory.answer({ ...first, bytes: other }, n)!);
  }
  t.equal(memory.size, 512);
  const offer = Uint8Array.from(bytes).fill(0, 0, 16);
  t.strictSame(memory.recall(first, cookie, 2000), offer);
  t.equal(memory.recall(first, forgedCookies[0]!, 2000), undefined, 'what was forgotten is not recognized');
  const elsewhere = { ...first, remote: { address: WEST, port: 500 } };
  t.equal(memory.recall(elsewhere, cookie, 2000), undefined, 'the cookie holds for its address');
  const wrong = Uint8Array.from(cookie);
  wrong[7]! ^= 1;
  t.equal(memory.recall(first, wrong, 2000), undefined);
  t.equal(memory.recall(first, cookie, 200_000), undefined, 'and for a while');
  t.equal(
    memory.answer({ ...first, bytes: new Uint8Array(3000) }, 0),
    undefined,
    'what is too long is not kept',
  );
});
