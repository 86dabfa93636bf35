import fc from 'fast-check';
import type { V1Header, V1Payload } from '../../src/wire/ike/v1/payloads.js';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const octets = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const data = octets(0, 40);

/** A record like the decoder's: deep equality tells objects without prototype from others. */
function plain<T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

function kind<K extends string>(...names: K[]): fc.Arbitrary<K> {
  return fc.constantFrom(...names);
}

const attribute = plain({ type: fc.nat(0x7fff), value: fc.oneof(u16, octets(0, 9)) });
const transform = plain({ number: u8, id: u8, attributes: fc.array(attribute, { maxLength: 10 }) });
const proposal = plain({
  number: u8,
  protocol: u8,
  spi: octets(0, 16),
  transforms: fc.array(transform, { maxLength: 6 }),
});

const ID_SIZES = [
  [1, 4],
  [4, 8],
  [5, 16],
  [6, 32],
  [7, 8],
  [8, 32],
] as const;
const identity = fc.oneof(
  ...ID_SIZES.map(([type, size]) => plain({ idType: fc.constant<number>(type), data: octets(size, size) })),
  plain({ idType: fc.constantFrom<number>(0, 2, 3, 9, 10, 11, 12, 255), data }),
);
const address = fc.oneof(
  plain({ idType: fc.constant<number>(1), address: octets(4, 4) }),
  plain({ idType: fc.constant<number>(5), address: octets(16, 16) }),
);
const spis = fc.oneof(
  fc.array(octets(4, 4), { maxLength: 5 }),
  fc.array(octets(16, 16), { minLength: 1, maxLength: 2 }),
);
const KNOWN: readonly number[] = [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 21, 130, 131, 132];

/** Any payload, in the form that the decoder gives it but for the `body` of SA. */
export const anyV1Payload: fc.Arbitrary<V1Payload> = fc.oneof(
  plain({ kind: kind('sa'), proposals: fc.array(proposal, { minLength: 1, maxLength: 4 }) }),
  fc
    .tuple(identity, u8, u16)
    .map(([id, protocol, port]): V1Payload => ({ kind: 'id', ...id, protocol, port })),
  plain({ kind: kind('cert', 'certreq'), encoding: u8, data }),
  plain({ kind: kind('ke', 'hash', 'sig', 'vendor'), data }),
  plain({ kind: kind('nonce'), data: octets(8, 256) }),
  plain({ kind: kind('nat-d'), data }),
  plain({ kind: kind('nat-d'), data, draft: fc.constant(true) }),
  address.map((fields): V1Payload => ({ kind: 'nat-oa', ...fields })),
  address.map((fields): V1Payload => ({ kind: 'nat-oa', ...fields, draft: true })),
  plain({ kind: kind('notify'), doi: u32, protocol: u8, spi: octets(0, 16), type: u16, data }),
  plain({ kind: kind('delete'), doi: u32, protocol: u8, spis }),
  plain({
    kind: kind('fragment'),
    id: u16,
    number: fc.integer({ min: 1, max: 255 }),
    last: fc.boolean(),
    data,
  }),
  plain({ kind: kind('unknown'), type: u8.filter((type) => !KNOWN.includes(type)), body: data }),
);

/** A header of a message in the clear. */
export const anyV1Header: fc.Arbitrary<V1Header> = plain({
  initiatorCookie: octets(8, 8),
  responderCookie: octets(8, 8),
  minorVersion: fc.nat(15),
  exchangeType: u8,
  encrypted: fc.constant(false),
  commit: fc.boolean(),
  authenticationOnly: fc.boolean(),
  messageId: u32,
});
