import '../helpers/work-counter.js';
import t from 'tap';
import {
  aggressive,
  rubbishBehind,
  strangeInit,
  strangeMain,
  unaskedAnswer,
  unknownSpi,
} from '../../bench/hostile-datagrams.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import {
  type ConnectionPatch,
  connection,
  EAST,
  type Pair,
  Simulation,
  WEST,
} from '../helpers/engine-pair.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import { type CryptoWork, countingBackend, stepsOf } from '../helpers/work-counter.js';

/** Connections that anybody may be meant by: `peer_only`, with names as identities and keys of their own. */
function fromAnywhere(count: number): ConnectionConfig[] {
  return Array.from({ length: count }, (_, n) => ({
    ...connection('west', {
      acceptVersions: [1, 2],
      establishMode: 'peer_only',
      psk: `key number ${n}`,
      peer: { addresses: [`198.51.${n >> 8}.${n & 0xff}`], identity: `site-${n}.example` },
    }),
    name: `site-${n}`,
  }));
}

interface World extends Pair {
  readonly crypto: ReturnType<typeof countingBackend>;
}

function world(count: number, east: ConnectionPatch): World {
  const crypto = countingBackend(createToyBackend());
  const sim = new Simulation({ crypto });
  const made = { sim, crypto, east: sim.addNode('east', EAST, { connections: [connection('east', east)] }) };
  return { ...made, west: sim.addNode('west', WEST, { connections: fromAnywhere(count) }) };
}

interface Cost {
  readonly steps: number;
  readonly work: CryptoWork;
}

/** What the gateway does for one datagram, from the input to the next deadline. */
function cost({ sim, west, crypto }: World, bytes: Uint8Array, remote = '203.0.113.77'): Cost {
  const local = { address: WEST, port: 500 };
  const input = {
    kind: 'datagram',
    local,
    remote: { address: remote, port: 500 },
    natTraversalPort: false,
    bytes,
  } as const;
  crypto.reset();
  const { total } = stepsOf(() => {
    west.engine.handle(input, sim.now);
    west.engine.nextDeadline();
  });
  return { steps: total, work: { ...crypto.work } };
}

/** The cost of the second one: what is made once a configuration is made for the first. */
function second(made: World, datagram: (number: number) => Uint8Array): Cost {
  cost(made, datagram(1));
  return cost(made, datagram(2));
}

/** Runs a negotiation of the east up to the datagram that it sends as the `n`th, which does not arrive. */
function upTo({ sim, east }: World, n: number): Uint8Array {
  sim.initiate(east);
  const sent = () => sim.net.sent.filter(({ from }) => from.address === EAST);
  sim.run(sim.now + 1000, () => sent().length >= n);
  return sent()[n - 1]!.bytes;
}

const V1: ConnectionPatch = { initiateVersion: 1, acceptVersions: [1, 2] };

/** Each exchange of which a stranger can send a message. */
const EXCHANGES: readonly (readonly [string, ConnectionPatch, (made: World) => Cost])[] = [
  ['IKE_SA_INIT, 256 strange transforms', {}, (made) => second(made, strangeInit)],
  [
    'IKE_SA_INIT in a flood',
    {},
    (made) => {
      for (let n = 0; n < 300; n++) cost(made, strangeInit(n), `203.0.${n % 100}.9`);
      return second(made, (n) => strangeInit(1000 + n));
    },
  ],
  [
    'IKE_SA_INIT that is answered',
    {},
    (made) => {
      const request = Uint8Array.from(upTo(made, 1));
      cost(made, request);
      request[0]! ^= 1;
      return cost(made, request);
    },
  ],
  ['IKE_SA_INIT answer that nobody asked for', {}, (made) => second(made, unaskedAnswer)],
  ['a message of an unknown IKE SA', {}, (made) => second(made, unknownSpi)],
  [
    'IKE_AUTH, rubbish',
    {},
    (made) => {
      const auth = upTo(made, 2);
      const rubbish = Uint8Array.from(auth);
      rubbish[rubbish.length - 1]! ^= 1;
      return cost(made, rubbish, EAST);
    },
  ],
  ['IKE_AUTH with a key of its own', { psk: 'some other key' }, (made) => cost(made, upTo(made, 2), EAST)],
  ['main mode 1, 256 strange transforms', V1, (made) => second(made, strangeMain)],
  [
    'main mode 1 in a flood',
    V1,
    (made) => {
      for (let n = 0; n < 300; n++) cost(made, strangeMain(n), `203.0.${n % 100}.9`);
      return second(made, (n) => strangeMain(1000 + n));
    },
  ],
  ['main mode 3', V1, (made) => cost(made, upTo(made, 2), EAST)],
  [
    'main mode 5, rubbish',
    V1,
    (made) => {
      const five = upTo(made, 3);
      cost(made, rubbishBehind(five, 1968), EAST);
      // All keys were tried by then: the next message is looked at.
      const { sim, west } = made;
      for (let turn = 0; turn < 1500; turn++) {
        sim.now += 2;
        west.engine.handle({ kind: 'timer' }, sim.now);
        west.engine.nextDeadline();
      }
      return cost(made, rubbishBehind(five, 1984), EAST);
    },
  ],
  ['aggressive mode', V1, (made) => second(made, aggressive)],
];

for (const [name, east, run] of EXCHANGES) {
  t.test(`${name}: costs the same at 1, 100 and 1,000 connections`, async (t) => {
    const costs = [1, 100, 1000].map((count) => run(world(count, east)));
    const within = (figures: readonly number[], what: string): void => {
      const [least, most] = [Math.min(...figures), Math.max(...figures)];
      t.ok(most <= 2 * least, `${what}: ${figures.join(', ')}`);
    };
    t.ok(costs[0]!.steps > 20, 'it was looked at');
    within(
      costs.map(({ steps }) => steps),
      'steps',
    );
    for (const kind of Object.keys(costs[0]!.work) as (keyof CryptoWork)[]) {
      within(
        costs.map(({ work }) => work[kind]),
        kind,
      );
    }
  });
}
