import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { connection, EAST, establishedPair, faults, pair, Simulation, WEST } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import type { Packet } from '../helpers/virtual-net.js';

/** A first request as a real peer would send it. */
function template(): Packet {
  const donor = pair({ seed: 9 });
  donor.sim.initiate(donor.east);
  return donor.sim.net.sent[0]!;
}

function forged(packet: Packet, random: SeededRandom, address: string): DatagramInput {
  const bytes = Uint8Array.from(packet.bytes);
  bytes.set(random.bytes(8), 0);
  const { to, natTraversalPort } = packet;
  return { kind: 'datagram', local: to, remote: { address, port: 500 }, natTraversalPort, bytes };
}

const anywhere = (random: SeededRandom): string =>
  `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`;

t.test(
  'a flood from everywhere: established SAs live on, are rekeyed and probed; memory is bounded',
  async (t) => {
    const short = {
      childLifetime: 20,
      ikeLifetime: 45,
      dpd: { action: 'restart', interval: 2, timeout: 10 },
    } as const;
    const limits = { halfOpenTotal: 60, cookieThreshold: 30 };
    const made = establishedPair({ limits, east: short, west: { ...short, establishMode: 'peer_only' } });
    const { sim, east, west } = made;
    west.record = false;
    const packet = template();
    const random = new SeededRandom(4);
    let most = 0;
    for (let i = 0; i < 20_000; i++) {
      sim.input(west, forged(packet, random, anywhere(random)));
      if (i % 20 === 0) sim.run(sim.now + 100);
      most = Math.max(most, west.engine.sizes.ikeSas);
    }
    t.ok(sim.now > 90_000, 'long enough for rekeys of both kinds');
    t.ok(most <= limits.halfOpenTotal + 4, `${most} SAs at most`);
    t.ok(west.engine.sizes.sources <= limits.halfOpenTotal);
    t.equal(faults(made), undefined);
    t.strictSame(
      east.eventsOf('ike-closed').filter((event) => event.reason !== 'rekeyed'),
      [],
      'it was never lost',
    );
    t.ok(east.eventsOf('child-established').length > 4);
    t.ok(east.eventsOf('ike-established').length > 1);
  },
);

t.test('a real peer gets in during the flood, by cookie', async (t) => {
  const made = pair({ west: { establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  const packet = template();
  const random = new SeededRandom(7);
  let upAt: number | undefined;
  for (let i = 0; i < 3000; i++) {
    sim.input(west, forged(packet, random, anywhere(random)));
    if (i === 1000) sim.initiate(east);
    if (i % 10 === 0) sim.run(sim.now + 10);
    if (east.childInfo.size === 1) upAt ??= i;
  }
  t.ok(upAt !== undefined, `up after ${upAt! - 1000} forged requests`);
  t.equal(east.eventsOf('cookie-answered').length, 1);
});

t.test("a flood under the peer's own address does not keep the peer out", async (t) => {
  const made = pair({ limits: { requestsPerSecond: 10 } });
  const { sim, east, west } = made;
  const packet = template();
  const random = new SeededRandom(8);
  let out = 0;
  for (let i = 0; i < 2000; i++) {
    const outputs = sim.input(west, forged(packet, random, EAST));
    for (const one of outputs) if (i >= 500 && one.kind === 'send') out += one.bytes.length;
    if (i === 500) sim.initiate(east);
    if (i % 2 === 0) sim.run(sim.now + 5);
  }
  t.equal(east.childInfo.size, 1, 'its cookie tells it apart');
  t.ok(out < (1500 * packet.bytes.length) / 3, `${out} octets in answer to ${1500 * packet.bytes.length}`);
  t.ok(west.engine.sizes.halfOpen <= 30);
});

t.test('a loud source is held down, others are not', async (t) => {
  const sim = new Simulation({ limits: { requestsPerSecond: 5 } });
  const west = sim.addNode('west', WEST, {
    connections: [connection('west', { establishMode: 'peer_only' })],
  });
  const packet = template();
  const random = new SeededRandom(3);
  for (let i = 0; i < 2000; i++) {
    sim.input(west, forged(packet, random, '198.51.100.66'));
    if (i % 10 === 0) sim.run(sim.now + 10);
  }
  const answered = west.eventsOf('ike-responding').length;
  t.ok(answered <= 20, `${answered} negotiations of 2000`);
  t.ok(west.eventsOf('cookie-demanded').length > 1000);
  sim.input(west, forged(packet, random, '198.51.100.67'));
  t.ok(
    west.eventsOf('ike-responding').length + west.eventsOf('cookie-demanded').length > answered,
    'another source is served',
  );
});
