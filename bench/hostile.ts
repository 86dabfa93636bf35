import { cpuUsage } from 'node:process';
import type { BenchRow } from '#culvert/cli/bench-row.js';
import type { Engine } from '#culvert/ike/engine.js';
import {
  aggressive,
  rubbishBehind,
  strangeInit,
  strangeMain,
  unaskedAnswer,
  unknownSpi,
} from './hostile-datagrams.js';
import {
  arriving,
  connection,
  connections,
  engine,
  GATEWAY,
  NOW,
  peerConnection,
  STRANGER,
  sent,
} from './hostile-gateway.js';
import { HostilePeer } from './hostile-peer.js';

const COUNTS = [1, 100, 1000];
/** Datagrams of each kind whose CPU time is measured together, and how often. */
const BATCH = 100;
const ROUNDS = 5;
/** Rekeyings of young IKE SAs that a peer has at once. */
const REKEYS = 16;

/** What one datagram makes the gateway do, with all that went before it. */
interface Attack {
  readonly name: string;
  /** Whether one of the connections is with its sender. */
  readonly known: boolean;
  /** Datagrams whose time is measured together; what the gateway answered to them comes back. */
  batches(gateway: Engine): Generator<readonly Uint8Array[], void, readonly Uint8Array[]>;
}

/** A datagram of a sender who has proved nothing. */
interface Strange {
  readonly name: string;
  /** Version of the half-open SA that it is sent on, when it is sent on one. */
  readonly onHalfOpen?: 1 | 2;
  datagram(halfOpen: Uint8Array): Uint8Array;
}

const STRANGE: readonly Strange[] = [
  { name: 'IKE_SA_INIT, 256 strange transforms', datagram: once(() => strangeInit(0)) },
  { name: 'IKE_SA_INIT answer, unasked for', datagram: once(() => unaskedAnswer(0)) },
  { name: 'unknown IKE SA, 65,000 octets', datagram: once(() => unknownSpi(0)) },
  { name: 'IKE_AUTH, rubbish', onHalfOpen: 2, datagram: (last) => rubbishBehind(last, 1600) },
  { name: 'main mode 1, 256 strange transforms', datagram: once(() => strangeMain(0)) },
  { name: 'main mode 5, rubbish', onHalfOpen: 1, datagram: (last) => rubbishBehind(last, 1600) },
  { name: 'aggressive mode', datagram: once(() => aggressive(0)) },
];

const ATTACKS: readonly Attack[] = [
  ...STRANGE.map((one) => ({
    name: one.name,
    known: false,
    batches: (gateway: Engine) => strangeBatch(gateway, one),
  })),
  {
    name: 'CREATE_CHILD_SA, 254 selectors at each end',
    known: true,
    batches: ofPeer((peer) => peer.selectorBomb()),
  },
  { name: 'DELETE, 15,360 unknown SPIs', known: true, batches: ofPeer((peer) => peer.deleteOfMany()) },
  {
    name: 'CREATE_CHILD_SA, more child SAs than allowed',
    known: true,
    batches: ofPeer((peer) => peer.childTooMany()),
  },
  { name: 'rekeying of an IKE SA, in a chain', known: true, batches: rekeyChain },
];

function once(make: () => Uint8Array): () => Uint8Array {
  let made: Uint8Array | undefined;
  return () => (made ??= make());
}

function* strangeBatch(gateway: Engine, one: Strange): ReturnType<Attack['batches']> {
  const halfOpen = one.onHalfOpen === undefined ? NOTHING : begin(gateway, one.onHalfOpen);
  yield Array.from({ length: BATCH }, (_, n) => numbered(one, n, halfOpen));
}

/** The same request, sealed again each time, of a peer that has its key. */
function ofPeer(request: (peer: HostilePeer) => () => Uint8Array): Attack['batches'] {
  return function* (gateway) {
    const next = request(new HostilePeer(gateway).connect());
    yield Array.from({ length: BATCH }, next);
  };
}

/** Each of them has the keys that the one before it has made; those beyond the budget cost less. */
function* rekeyChain(gateway: Engine): ReturnType<Attack['batches']> {
  const peer = new HostilePeer(gateway).connect();
  for (let n = 0; n < REKEYS; n++) peer.rekeyed(yield [peer.rekey()]);
}

/**
 * CPU time a gateway spends on the worst datagram of each exchange, of strangers and of a peer that has its key,
 * beside 1, 100 and 1,000 connections that have keys of their own. Virtual time does not advance, so that the limits on
 * answers hold as in a flood.
 */
export function benchHostile(): BenchRow[] {
  return ATTACKS.flatMap((attack) => {
    const figures = COUNTS.map((count) => measure(attack, count));
    return COUNTS.map(
      (count, i): BenchRow => ({
        part: 'hostile',
        name: `${attack.name}, ${count} connections`,
        value: Math.round(figures[i]! * 10) / 10,
        unit: 'us',
        ...(i === 0 ? {} : { ratio: figures[i]! / figures[0]!, ratioOf: '1 connection' }),
      }),
    );
  });
}

function measure(attack: Attack, count: number): number {
  const figures: number[] = [];
  // One for the compiler and for what is made once a configuration.
  for (let round = -1; round < ROUNDS; round++) {
    const gateway = engine(
      attack.known ? [...connections(count - 1), peerConnection('gateway')] : connections(count),
    );
    const batches = attack.batches(gateway);
    let spent = 0;
    let datagrams = 0;
    for (let step = batches.next(); step.done !== true; ) {
      const answers: Uint8Array[] = [];
      const before = cpuUsage();
      for (const bytes of step.value) {
        answers.push(...sent(gateway.handle(arriving(bytes), NOW)));
        gateway.nextDeadline();
      }
      const { user, system } = cpuUsage(before);
      spent += user + system;
      datagrams += step.value.length;
      step = batches.next(answers);
    }
    if (round >= 0) figures.push(spent / datagrams);
  }
  // What else runs on the machine only adds to it.
  return Math.min(...figures);
}

/** The `n`th datagram: with another initiator's SPI, or with other rubbish where the SPIs are those of an SA. */
function numbered(attack: Strange, n: number, halfOpen: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(attack.datagram(halfOpen));
  new DataView(bytes.buffer).setUint32(attack.onHalfOpen === undefined ? 4 : bytes.length - 4, n);
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** An honest negotiation up to the message that would prove who the peer is, which is not delivered. */
function begin(gateway: Engine, version: 1 | 2): Uint8Array {
  const peer = engine([connection('peer', { local: STRANGER, peer: GATEWAY, version })]);
  const unprotected = version === 1 ? 2 : 1;
  let out = sent(peer.handle({ kind: 'initiate', connection: 'peer' }, NOW));
  for (let n = 0; n < unprotected; n++) {
    const answers = out.flatMap((bytes) => sent(gateway.handle(arriving(bytes), NOW)));
    out = answers.flatMap((bytes) => sent(peer.handle(arriving(bytes, GATEWAY, STRANGER), NOW)));
  }
  const [last] = out;
  if (last === undefined) throw new Error(`IKEv${version} did not come to its protected message`);
  return last;
}
