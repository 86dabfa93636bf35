import t from 'tap';
import type { DatagramInput } from '../../../src/ike/inputs.js';
import type { IkeSa } from '../../../src/ike/v2/ike-sa.js';
import { IKE_SA_STATES, type IkeSaState } from '../../../src/ike/v2/phases.js';
import { rekeyIkeTask } from '../../../src/ike/v2/tasks.js';
import { MESSAGE_KINDS, type MessageKind, TRANSITIONS } from '../../../src/ike/v2/transitions.js';
import { decodeMessage, encodeMessage } from '../../../src/wire/ike/message.js';
import type { IkeHeader, Payload } from '../../../src/wire/ike/payloads.js';
import { Dh, ExchangeType, NotifyType } from '../../../src/wire/ike/registry.js';
import { EAST, WEST } from '../../helpers/engine-pair.js';
import { hybridIke } from '../../helpers/hybrid.js';
import { FIRST_HEADER } from '../../helpers/ike-headers.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { End } from '../../helpers/v2-end.js';

/** An additional key exchange in IKE SAs. */
const HYBRID = { ikeProposals: [hybridIke(Dh.ML_KEM_768)] };

/** An SA in the wanted state at `end`, and the SA of the other end, which can seal messages for it. */
interface Scene {
  readonly end: End;
  readonly sa: IkeSa;
  readonly peer: IkeSa | undefined;
}

const SCENES: Readonly<Record<IkeSaState, () => Scene>> = {
  'init-sent': () => {
    const end = new End('east');
    end.initiate();
    return { end, sa: end.sa(), peer: undefined };
  },
  'init-answered': () => {
    const [east, west] = [new End('east'), new End('west')];
    east.receive(west.receive(east.initiate()));
    return { end: west, sa: west.sa(), peer: east.sa() };
  },
  'intermediate-sent': () => {
    const [east, west] = [new End('east', undefined, HYBRID), new End('west', undefined, HYBRID)];
    const [request] = east.receive(west.receive(east.initiate()));
    // One that is not authentic has the other end make the keys that the answer will come under.
    west.receive([{ ...request!, bytes: request!.bytes.map((octet, at) => (at > 40 ? octet ^ 1 : octet)) }]);
    return { end: east, sa: east.sa(), peer: west.sa() };
  },
  'auth-sent': () => {
    const [east, west] = [new End('east'), new End('west')];
    west.receive(east.receive(west.receive(east.initiate())));
    return { end: east, sa: east.sa(), peer: west.sa() };
  },
  established: () => {
    const { east, west } = established();
    return { end: west, sa: west.sa(), peer: east.sa() };
  },
  rekeyed: () => {
    const { east, west } = established();
    east.sa().tasks.push(rekeyIkeTask());
    east.v2.tick();
    west.receive(east.drain());
    return { end: west, sa: west.sa(), peer: east.sa() };
  },
  deleting: () => {
    const { east, west } = established();
    west.v2.terminate('site', 'terminated');
    west.drain();
    return { end: west, sa: west.sa(), peer: east.sa() };
  },
  gone: () => {
    const [east, west] = [new End('east'), new End('west', 'another-key')];
    const refusal = west.receive(east.receive(west.receive(east.initiate())));
    t.equal(refusal.length, 1);
    return { end: west, sa: west.sa(), peer: east.sa() };
  },
};

function established(): { east: End; west: End } {
  const [east, west] = [new End('east'), new End('west')];
  east.receive(west.receive(east.receive(west.receive(east.initiate()))));
  return { east, west };
}

const EXCHANGES: readonly (readonly [string, number])[] = [
  ['IKE_SA_INIT', ExchangeType.IKE_SA_INIT],
  ['IKE_INTERMEDIATE', ExchangeType.IKE_INTERMEDIATE],
  ['IKE_AUTH', ExchangeType.IKE_AUTH],
  ['CREATE_CHILD_SA', ExchangeType.CREATE_CHILD_SA],
  ['IKE_FOLLOWUP_KE', ExchangeType.IKE_FOLLOWUP_KE],
  ['INFORMATIONAL', ExchangeType.INFORMATIONAL],
  ['other', 240],
];

/** An authentic message of the kind, with the message id that this state waits for. */
function craft(scene: Scene, kind: MessageKind, payloads: readonly Payload[]): DatagramInput {
  const { sa, peer } = scene;
  const response = kind.endsWith('response');
  const [, exchangeType] = EXCHANGES.find(([name]) => kind.startsWith(`${name} `))!;
  const header: IkeHeader = {
    initiatorSpi: sa.initiatorSpi,
    responderSpi: sa.responderSpi,
    majorVersion: 2,
    minorVersion: 0,
    exchangeType,
    fromInitiator: sa.role === 'responder',
    higherVersion: false,
    response,
    messageId: response ? (sa.active?.messageId ?? 0) : sa.inbound.next,
  };
  const plain = exchangeType === ExchangeType.IKE_SA_INIT || peer?.protection === undefined;
  const bytes = plain ? encodeMessage(header, payloads) : peer.protection!.seal(header, payloads);
  const [local, remote] = [sa.local, sa.remote];
  return { kind: 'datagram', local, remote, natTraversalPort: sa.natTraversalPort, bytes };
}

/** What becomes of the SA when the message has no payloads at all; `=` is no change. */
const AFTER_EMPTY: Readonly<Record<IkeSaState, Partial<Record<MessageKind, IkeSaState>>>> = {
  'init-sent': {},
  'init-answered': { 'IKE_AUTH request': 'gone' },
  'intermediate-sent': { 'IKE_INTERMEDIATE response': 'init-sent' },
  // Anyone can have answered IKE_SA_INIT: it waits for other answers before it believes this one.
  'auth-sent': { 'IKE_AUTH response': 'init-sent' },
  established: {},
  rekeyed: {},
  deleting: { 'INFORMATIONAL response': 'gone' },
  gone: {},
};

/** Requests on an SA that is in service, or was, and those that never come there: each is answered by something. */
const ALL_REQUESTS = MESSAGE_KINDS.filter(
  (kind) => kind.endsWith('request') && !kind.startsWith('IKE_SA_INIT'),
);

/** Kinds of requests that get an answer, authentic and without payloads. */
const ANSWERED: Readonly<Record<IkeSaState, readonly MessageKind[]>> = {
  'init-sent': [],
  'init-answered': ['IKE_AUTH request'],
  'intermediate-sent': [],
  'auth-sent': [],
  established: ALL_REQUESTS,
  rekeyed: ALL_REQUESTS,
  deleting: ALL_REQUESTS,
  // INVALID_IKE_SPI, without protection.
  gone: ALL_REQUESTS,
};

t.test('every state with every kind of message', async (t) => {
  for (const state of IKE_SA_STATES) {
    for (const kind of MESSAGE_KINDS) {
      t.type(TRANSITIONS[state][kind], 'function');
      const scene = SCENES[state]();
      t.equal(scene.sa.state, state);
      const answers = scene.end.receive([craft(scene, kind, [])]);
      t.equal(scene.sa.state, AFTER_EMPTY[state][kind] ?? state, `${state}, ${kind}`);
      const toRequest = answers.filter((one) => ((one.bytes[19] ?? 0) & 0x20) !== 0);
      t.equal(toRequest.length, ANSWERED[state].includes(kind) ? 1 : 0, `${state}, ${kind}: answered`);
    }
  }
});

t.test('a repeated request that was encrypted anew gets the same answer, another one none', async (t) => {
  const scene = SCENES.established();
  const crafted = [[], [], [{ kind: 'nonce', data: new Uint8Array(16) } as const]].map((payloads) =>
    craft(scene, 'INFORMATIONAL request', payloads),
  );
  const [first, again, other] = crafted;
  t.notSame(again!.bytes, first!.bytes, 'another IV');
  const [answer] = scene.end.receive([first!]);
  const [repeated] = scene.end.receive([again!]);
  t.same(repeated?.bytes, answer!.bytes, 'from the cache');
  t.same(scene.end.receive([other!]), []);
  const forged = {
    ...again!,
    bytes: again!.bytes.map((octet, at) => (at === again!.bytes.length - 1 ? octet ^ 1 : octet)),
  };
  t.same(scene.end.receive([forged]), []);
  const quirks = scene.end.log.filter((one) => one.kind === 'event' && one.event.kind === 'quirk');
  t.match(quirks, [{ event: { code: 'reencrypted_request' } }]);
});

/** One of each payload that a message may hold, with contents that fit nowhere. */
const MESS: readonly Payload[] = [
  { kind: 'sa', proposals: [] },
  { kind: 'ke', group: 14, data: new Uint8Array(256).fill(7) },
  { kind: 'nonce', data: new Uint8Array(16) },
  { kind: 'idi', idType: 2, data: Uint8Array.of(120) },
  { kind: 'idr', idType: 2, data: Uint8Array.of(121) },
  { kind: 'auth', method: 2, data: new Uint8Array(32) },
  { kind: 'tsi', selectors: [] },
  { kind: 'tsr', selectors: [] },
  ...[...Object.values(NotifyType), 12_345, 50_000].map(
    (type): Payload => ({
      kind: 'notify',
      protocol: 3,
      spi: new Uint8Array(4),
      type,
      data: Uint8Array.of(0, 14),
    }),
  ),
  { kind: 'delete', protocol: 3, spis: [new Uint8Array(4)] },
  { kind: 'vendor', data: Uint8Array.of(1, 2, 3) },
  { kind: 'cp', cfgType: 1, attributes: [] },
  { kind: 'eap', data: Uint8Array.of(1, 0, 0, 4) },
];

t.test('no mixture of payloads throws, in any state', async (t) => {
  let handled = 0;
  const random = new SeededRandom(11);
  for (const state of IKE_SA_STATES) {
    for (const kind of MESSAGE_KINDS) {
      for (let i = 0; i < 12; i++) {
        const scene = SCENES[state]();
        const payloads = i === 0 ? MESS : MESS.filter(() => random.below(3) === 0);
        scene.end.receive([craft(scene, kind, payloads)]);
        scene.end.v2.tick();
        handled++;
      }
    }
  }
  t.equal(handled, IKE_SA_STATES.length * MESSAGE_KINDS.length * 12);
});

t.test('an unknown critical payload refuses the request, not the SA', async (t) => {
  const scene = SCENES.established();
  const unknown: Payload = { kind: 'unknown', type: 200, body: new Uint8Array(4), critical: true };
  const answers = scene.end.receive([craft(scene, 'INFORMATIONAL request', [unknown])]);
  t.equal(scene.sa.state, 'established');
  t.equal(answers.length, 1);
  const summaries = scene.end.log.flatMap((one) =>
    one.kind === 'event' && one.event.kind === 'message' ? [one.event.summary] : [],
  );
  t.match(summaries.at(-1), /UNSUPPORTED_CRITICAL_PAYLOAD/);
});

t.test('a first request with an unknown critical payload is told so, and leaves no state', async (t) => {
  const west = new End('west');
  const header = { ...FIRST_HEADER, initiatorSpi: new Uint8Array(8).fill(5) };
  const unknown: Payload = { kind: 'unknown', type: 201, body: new Uint8Array(4), critical: true };
  const datagram: DatagramInput = {
    kind: 'datagram',
    local: { address: WEST, port: 500 },
    remote: { address: EAST, port: 500 },
    natTraversalPort: false,
    bytes: encodeMessage(header, [unknown]),
  };
  const [answer] = west.receive([datagram]);
  const decoded = decodeMessage(answer!.bytes);
  t.match(decoded, {
    ok: true,
    value: {
      header: { response: true, fromInitiator: false },
      payloads: [{ kind: 'notify', type: NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, data: Uint8Array.of(201) }],
    },
  });
  t.equal(west.v2.world.table.size, 0);
});
