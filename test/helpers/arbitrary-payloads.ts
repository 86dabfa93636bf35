import fc from 'fast-check';
import type {
  IkeHeader,
  Payload,
  Proposal,
  TrafficSelector,
  Transform,
} from '../../src/wire/ike/payloads.js';
import { PayloadType } from '../../src/wire/ike/registry.js';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const octets = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const data = octets(0, 40);
/** On types of RFC 7296 the bit has no meaning, but is carried (§2.5). */
const critical = fc.constant(true);

/** A record like the decoder's: deep equality tells objects without prototype from others. */
function plain<T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const transform: fc.Arbitrary<Transform> = fc.record(
  {
    type: u8,
    id: u16,
    keyBits: u16,
    attributes: fc.array(
      plain({
        type: fc.integer({ min: 0, max: 0x7fff }).filter((type) => type !== 14),
        value: fc.oneof(u16, octets(0, 9)),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  },
  { requiredKeys: ['type', 'id'], noNullPrototype: true },
);

const proposal: fc.Arbitrary<Proposal> = plain({
  number: u8,
  protocol: u8,
  spi: octets(0, 20),
  transforms: fc.array(transform, { maxLength: 8 }),
});

function range(tsType: number, size: number): fc.Arbitrary<TrafficSelector> {
  return plain({
    tsType: fc.constant(tsType),
    protocol: u8,
    startPort: u16,
    endPort: u16,
    startAddress: octets(size, size),
    endAddress: octets(size, size),
  });
}

const otherSelector: fc.Arbitrary<TrafficSelector> = plain({
  tsType: u8.filter((type) => type !== 7 && type !== 8),
  protocol: u8,
  startPort: fc.constant(0),
  endPort: fc.constant(0),
  startAddress: fc.constant(new Uint8Array(0)),
  endAddress: fc.constant(new Uint8Array(0)),
  other: octets(0, 30),
});

const selectors = fc.array(fc.oneof(range(7, 4), range(8, 16), otherSelector), { maxLength: 8 });

const identity = fc.oneof(
  plain({ idType: fc.constant(1), data: octets(4, 4) }),
  plain({ idType: fc.constant(5), data: octets(16, 16) }),
  plain({ idType: u8.filter((type) => type !== 1 && type !== 5), data }),
);

const eap = fc
  .tuple(u8, u8, octets(0, 30))
  .map(([code, id, rest]) => Uint8Array.from([code, id, 0, rest.length + 4, ...rest]));

const deleted = fc.oneof(
  plain({ protocol: fc.constant(1), spis: fc.constant([]) }),
  plain({ protocol: fc.constantFrom(2, 3), spis: fc.array(octets(4, 4), { maxLength: 9 }) }),
);

const KNOWN: readonly number[] = [33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 53];

function record<T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) {
  return fc
    .tuple(plain(fields), fc.option(critical, { nil: undefined }))
    .map(([value, bit]) => (bit === undefined ? value : { ...value, critical: bit }));
}

function kind<K extends string>(name: K) {
  return fc.constant(name);
}

/** Any payload that may stand inside an encrypted payload, in the form that the decoder gives it. */
export const anyPayload: fc.Arbitrary<Payload> = fc.oneof(
  record({ kind: kind('sa'), proposals: fc.array(proposal, { minLength: 1, maxLength: 5 }) }),
  record({ kind: kind('ke'), group: u16, data }),
  fc.tuple(fc.constantFrom('idi', 'idr'), identity).map(([k, id]) => ({ kind: k, ...id }) as Payload),
  fc
    .tuple(identity, fc.integer({ min: 1, max: 0xffffff }))
    .map(([id, reserved]) => ({ kind: 'idi', ...id, reserved }) as Payload),
  record({ kind: kind('cert'), encoding: u8, data }),
  record({ kind: kind('certreq'), encoding: u8, authorities: data }),
  record({ kind: kind('auth'), method: u8, data }),
  record({ kind: kind('nonce'), data: octets(16, 256) }),
  record({ kind: kind('notify'), protocol: u8, spi: octets(0, 8), type: u16, data }),
  deleted.map((fields) => ({ kind: 'delete', ...fields }) as Payload),
  record({ kind: kind('vendor'), data }),
  record({ kind: kind('tsi'), selectors }),
  record({ kind: kind('tsr'), selectors }),
  record({
    kind: kind('cp'),
    cfgType: u8,
    attributes: fc.array(plain({ type: fc.integer({ min: 0, max: 0x7fff }), value: octets(0, 20) }), {
      maxLength: 6,
    }),
  }),
  record({ kind: kind('eap'), data: eap }),
  plain({
    kind: kind('unknown'),
    type: u8.filter((type) => type !== PayloadType.NONE && !KNOWN.includes(type)),
    body: data,
  }),
);

export const anyHeader: fc.Arbitrary<IkeHeader> = plain({
  initiatorSpi: octets(8, 8),
  responderSpi: octets(8, 8),
  majorVersion: fc.constant(2),
  minorVersion: fc.integer({ min: 0, max: 15 }),
  exchangeType: u8,
  fromInitiator: fc.boolean(),
  higherVersion: fc.boolean(),
  response: fc.boolean(),
  messageId: fc.integer({ min: 0, max: 0xffffffff }),
});
