import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import {
  connection,
  EAST,
  establishedPair,
  faults,
  type Pair,
  pair,
  Simulation,
  WEST,
} from '../helpers/engine-pair.js';
import { messagesOfLife, negotiateInRain, RAINY, rainOn, SHORT_LIVES } from '../helpers/message-rain.js';
import { asInput } from '../helpers/mutated-datagram.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import type { Packet } from '../helpers/virtual-net.js';

/** Every message of a whole life: negotiation, probes, rekeys, DELETE. */
const lifeOf = (seed: number): Packet[] => messagesOfLife(establishedPair({ seed, east: SHORT_LIVES }));

/** Stages of a pair at which anything may arrive. */
const STAGES: readonly ((seed: number) => Pair)[] = [
  (seed) => pair({ seed }),
  (seed) => {
    const made = pair({ seed });
    made.sim.initiate(made.east);
    made.sim.run(7);
    return made;
  },
  (seed) => {
    const made = pair({ seed });
    made.sim.initiate(made.east);
    made.sim.run(12);
    return made;
  },
  (seed) => establishedPair({ seed }),
];

t.test(
  'any message, whole or mutated, in any state: nothing throws and no established SA dies',
  async (t) => {
    const random = new SeededRandom(77);
    let dropped = 0;
    for (let seed = 1; seed <= 40; seed++) {
      // The same seed gives the same octets, so these are repetitions and forgeries of the pair's own messages,
      // past and future ones.
      const life = lifeOf(seed);
      for (const stage of STAGES) {
        const made = stage(seed);
        const standing = made.east.ikes.size;
        rainOn(made, life, random);
        dropped += made.west.eventsOf('datagram-dropped').length;
        if (standing === 1 && faults(made) !== undefined) t.fail(`seed ${seed}: ${faults(made)}`);
      }
    }
    t.ok(dropped > 1000, `${dropped} datagrams were dropped`);
  },
);

t.test('negotiations go through while garbage and old messages rain on them', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 60; seed++) {
    const made = pair({ seed, conditions: RAINY });
    negotiateInRain(made, new SeededRandom(seed));
    made.sim.run(made.sim.now + 60_000);
    if (faults(made) !== undefined) failed.push(`seed ${seed}: ${faults(made)}`);
  }
  t.strictSame(failed, []);
});

t.test(
  'garbage under the SPIs of a half-open SA neither kills it nor repeats its Diffie-Hellman',
  async (t) => {
    const toy = createToyBackend();
    let agreements = 0;
    const counting = {
      ...toy,
      name: 'counting',
      supports: toy.supports.bind(toy),
      hash: toy.hash.bind(toy),
      prf: toy.prf.bind(toy),
      integrity: toy.integrity.bind(toy),
      cipher: toy.cipher.bind(toy),
      dh: (id: number) => {
        const group = toy.dh(id);
        return {
          ...group,
          generate: (random: Parameters<typeof group.generate>[0]) => {
            const exchange = group.generate(random);
            const agree = exchange.tryAgree.bind(exchange);
            exchange.tryAgree = (peerPublic) => {
              agreements++;
              return agree(peerPublic);
            };
            return exchange;
          },
        };
      },
    };
    const made = pair({ crypto: counting });
    const { sim, east, west } = made;
    sim.net.impair('IKE_AUTH request', { kind: 'delay', by: 400 });
    sim.initiate(east);
    sim.run(50);
    const auth = sim.net.sent.find((packet) => packet.name === 'IKE_AUTH request')!;
    t.equal(agreements, 1, 'the initiator has agreed, the responder waits');
    const random = new SeededRandom(3);
    for (let i = 0; i < 50; i++) {
      const bytes = Uint8Array.from(auth.bytes);
      bytes[40 + random.below(bytes.length - 40)]! ^= 1 + random.below(255);
      sim.input(west, asInput(auth, bytes));
    }
    t.equal(
      west.eventsOf('datagram-dropped').filter((event) => event.reason === 'decryption_failed').length,
      50,
    );
    t.equal(agreements, 2);
    sim.run(2000);
    t.equal(faults(made), undefined);
  },
);

t.test('a flood of first requests is bounded, and honest peers still get in by cookie', async (t) => {
  const limits = { halfOpenTotal: 100, halfOpenPerSource: 5, cookieThreshold: 30 };
  const made = pair({ limits, west: { establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  const donor = pair({ seed: 9 });
  donor.sim.initiate(donor.east);
  const template = donor.sim.net.sent[0]!;
  const random = new SeededRandom(4);
  let bytesOut = 0;
  for (let i = 0; i < 5000; i++) {
    const bytes = Uint8Array.from(template.bytes);
    bytes.set(random.bytes(8), 0);
    // A connection that takes its peer from anywhere: forged sources get as far as they can.
    const remote = {
      address: `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`,
      port: 500,
    };
    const outputs = sim.input(west, { ...asInput(template, bytes), remote });
    bytesOut += outputs.reduce((sum, one) => sum + (one.kind === 'send' ? one.bytes.length : 0), 0);
    if (i % 50 === 0) sim.run(sim.now + 10);
  }
  t.ok(west.engine.sizes.halfOpen <= limits.cookieThreshold, `${west.engine.sizes.halfOpen} half-open SAs`);
  t.ok(west.engine.sizes.ikeSas <= limits.cookieThreshold);
  t.ok(bytesOut < 5000 * template.bytes.length, 'less goes out than came in');
  t.ok(west.eventsOf('cookie-demanded').length > 4000);

  sim.initiate(east);
  sim.run(sim.now + 5000);
  t.equal(east.ikes.size, 1, 'an honest peer answers the cookie');
  sim.run(sim.now + 60_000);
  t.equal(west.engine.sizes.halfOpen, 0, 'what was half-open is forgotten');
  t.equal(west.engine.sizes.sources, 0);
  t.equal(west.engine.sizes.ikeSas, 1);
});

t.test('one real source cannot take more than its share, cookie or not', async (t) => {
  const limits = { halfOpenTotal: 100, halfOpenPerSource: 5, cookieThreshold: 0 };
  const { sim, east, west } = pair({ limits });
  for (let i = 0; i < 20; i++) {
    sim.net.impair('IKE_AUTH request', { kind: 'drop' }, 99);
    sim.initiate(east);
    // The cookie waits for an answer that it may have overtaken.
    sim.run(sim.now + 300);
    sim.input(east, { kind: 'terminate', connection: 'site' });
  }
  t.equal(west.engine.sizes.halfOpen, limits.halfOpenPerSource);
  t.equal(
    west.eventsOf('datagram-dropped').filter((event) => event.reason === 'half_open_limit').length > 5,
    true,
  );
});

t.test(
  'other versions: 3 is answered, and not too often; 0 is dropped, and so is an odd exchange of 1',
  async (t) => {
    const { sim, west } = pair();
    const bytes = new Uint8Array(28);
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
    bytes.set([0, 0x30, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 28], 16);
    const from = { address: EAST, port: 500 };
    const input: DatagramInput = {
      kind: 'datagram',
      local: { address: WEST, port: 500 },
      remote: from,
      natTraversalPort: false,
      bytes,
    };
    const answers = Array.from({ length: 100 }, () => sim.input(west, input)).flat();
    const sent = answers.filter((output) => output.kind === 'send');
    t.ok(sent.length > 0 && sent.length <= 10);
    t.match(west.eventsOf('message')[0]!.summary, /INVALID_MAJOR_VERSION/);
    for (const version of [0x10, 0x00]) {
      const other = Uint8Array.from(bytes);
      other[17] = version;
      t.equal(
        sim.input(west, { ...input, bytes: other }).filter((output) => output.kind === 'send').length,
        0,
      );
    }
    t.ok(west.eventsOf('datagram-dropped').filter((event) => event.reason === 'bad_version').length > 100);
    sim.input(west, { ...input, bytes: new Uint8Array(70_000) });
    t.equal(west.eventsOf('datagram-dropped').at(-1)!.reason, 'too_large');
  },
);

t.test('established SAs are limited too', async (t) => {
  const sim = new Simulation({ limits: { ikeSas: 2 } });
  const spec = {
    encryption: [{ id: Encr.AES_CBC, keyBits: 128 }],
    integrity: [Integ.HMAC_SHA1_96],
    prf: [Prf.HMAC_SHA1],
    dh: [Dh.CURVE25519],
  };
  const names = ['a', 'b', 'c'];
  const east = names.map((name) =>
    connection('east', { id: name, ikeProposals: [spec], local: { identity: `${name}.east.example` } }),
  );
  const west = names.map((name) =>
    connection('west', { id: name, ikeProposals: [spec], peer: { identity: `${name}.east.example` } }),
  );
  const a = sim.addNode('east', EAST, { connections: east });
  const b = sim.addNode('west', WEST, { connections: west });
  for (const name of names) {
    sim.initiate(a, name);
    sim.run(sim.now + 1000);
  }
  t.equal(b.ikes.size, 2);
});
