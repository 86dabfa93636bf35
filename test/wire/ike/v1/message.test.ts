import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { concat, fromHex, toHex, writeU32 } from '../../../../src/util/bytes.js';
import type { Result } from '../../../../src/util/result.js';
import type { WireError } from '../../../../src/wire/error.js';
import {
  decodeV1Message,
  decodeV1Payloads,
  encodeV1Body,
  encodeV1Message,
  encodeV1Payloads,
  encodeV1Sealed,
} from '../../../../src/wire/ike/v1/message.js';
import type { V1Header, V1Payload } from '../../../../src/wire/ike/v1/payloads.js';
import { V1PayloadType } from '../../../../src/wire/ike/v1/registry.js';
import { attributeNumber } from '../../../../src/wire/ike/v1/sa.js';
import { anyV1Header, anyV1Payload } from '../../../helpers/arbitrary-v1-payloads.js';
import { FIRST_V1_HEADER } from '../../../helpers/ike-headers.js';
import { must, mustFail } from '../../../helpers/results.js';

const COOKIES = '0102030405060708 1112131415161718';
const HEADER: V1Header = { ...FIRST_V1_HEADER, responderCookie: fromHex('1112131415161718') };

/** Decodes one payload of type `type` whose body is `hex`. */
function one(type: number, hex: string): Result<readonly V1Payload[], WireError> {
  const body = fromHex(hex);
  const head = Uint8Array.of(0, 0, (body.length + 4) >>> 8, body.length + 4);
  const chain = decodeV1Payloads(type, concat(head, body), 0);
  return chain.ok ? { ok: true, value: chain.value.payloads } : chain;
}

/** The decoder's `body` of SA payloads is a view, not part of what is encoded. */
function withoutBody(payloads: readonly V1Payload[]): V1Payload[] {
  return payloads.map((payload) => {
    if (payload.kind !== 'sa') return payload;
    return { kind: 'sa', proposals: payload.proposals };
  });
}

t.test('main mode message 1, octet by octet', async (t) => {
  const sa = [
    '00000001 00000001', // IPsec DOI, identity only
    '00 00 0038', // the only proposal, length 56
    '00 01 00 01', // number 0, ISAKMP, no SPI, one transform
    '00 00 0030 01 01 0000', // transform 1, KEY_IKE, length 48
    '8001 0007 800e 0100', // AES-CBC, 256 bits
    '8002 0004 8003 0001 8004 000e', // SHA2-256, PSK, group 14
    '800b 0001 000c 0004 00015180', // 86,400 seconds in the variable form
    '0063 0000 8064 ffff', // an empty one and an unknown one
  ].join('');
  const bytes = fromHex(
    [
      COOKIES,
      '01 10 02 00', // SA, version 1.0, main mode, no flags
      '00000000 00000074', // message id 0, length 116
      '0d 00 0044', // SA: next vendor id, length 68
      sa,
      '00 00 0014 afcad71368a1f1c96b8696fc77570100', // dead peer detection
    ].join(''),
  );
  const payloads: V1Payload[] = [
    {
      kind: 'sa',
      proposals: [
        {
          number: 0,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            {
              number: 1,
              id: 1,
              attributes: [
                { type: 1, value: 7 },
                { type: 14, value: 256 },
                { type: 2, value: 4 },
                { type: 3, value: 1 },
                { type: 4, value: 14 },
                { type: 11, value: 1 },
                { type: 12, value: fromHex('00015180') },
                { type: 99, value: new Uint8Array(0) },
                { type: 100, value: 65535 },
              ],
            },
          ],
        },
      ],
      body: fromHex(sa),
    },
    { kind: 'vendor', data: fromHex('afcad71368a1f1c96b8696fc77570100') },
  ];
  t.same(must(decodeV1Message(bytes)), { header: HEADER, payloads });
  t.equal(toHex(encodeV1Message(HEADER, payloads)), toHex(bytes));
  t.equal(toHex(encodeV1Body(payloads[0]!)), toHex(fromHex(sa)), 'SAi_b');
  t.equal(attributeNumber({ type: 12, value: fromHex('00015180') }), 86400);
  t.equal(attributeNumber({ type: 12, value: 28800 }), 28800);
  t.equal(attributeNumber({ type: 12, value: fromHex('00'.repeat(7)) }), undefined);
  t.equal(attributeNumber({ type: 12, value: new Uint8Array(0) }), undefined);
});

t.test('the other payloads, octet by octet', async (t) => {
  const bytes = fromHex(
    [
      '05 00 000c 01020304 05060708', // HASH
      '15 00 0010 04 00 0000 0a010000 ffffff00', // ID: subnet
      '83 00 000c 01 000000 c0000201', // NAT-OA
      '14 00 000c 01 000000 c0000202', // NAT-OA of the drafts
      '82 00 0008 aabbccdd', // NAT-D
      '0b 00 0008 aabbccdd', // NAT-D of the drafts
      '0c 00 0020 00000001 01 10 8d28 0102030405060708 1112131415161718 00000005', // R-U-THERE
      '84 00 0014 00000001 03 04 0002 c1a2b3c4 c1a2b3c5', // DELETE
      '06 00 000c 0001 02 01 aabbccdd', // the last fragment, number 2
      '0e 00 0006 04 30', // CERT
      '00 00 0008 01000000', // mode configuration, carried
    ].join(''),
  );
  const { payloads, length } = must(decodeV1Payloads(V1PayloadType.HASH, bytes, 0));
  t.equal(length, bytes.length);
  t.same(payloads, [
    { kind: 'hash', data: fromHex('0102030405060708') },
    { kind: 'id', idType: 4, protocol: 0, port: 0, data: fromHex('0a010000ffffff00') },
    { kind: 'nat-oa', idType: 1, address: fromHex('c0000201') },
    { kind: 'nat-oa', idType: 1, address: fromHex('c0000202'), draft: true },
    { kind: 'nat-d', data: fromHex('aabbccdd') },
    { kind: 'nat-d', data: fromHex('aabbccdd'), draft: true },
    {
      kind: 'notify',
      doi: 1,
      protocol: 1,
      spi: fromHex('01020304050607081112131415161718'),
      type: 36136,
      data: fromHex('00000005'),
    },
    { kind: 'delete', doi: 1, protocol: 3, spis: [fromHex('c1a2b3c4'), fromHex('c1a2b3c5')] },
    { kind: 'fragment', id: 1, number: 2, last: true, data: fromHex('aabbccdd') },
    { kind: 'cert', encoding: 4, data: fromHex('30') },
    { kind: 'unknown', type: 14, body: fromHex('01000000') },
  ]);
  t.same(encodeV1Payloads(payloads), { first: V1PayloadType.HASH, bytes });
});

t.test('encrypted messages stay sealed; padding is tolerated once decrypted', async (t) => {
  const body = fromHex('00'.repeat(16));
  const bytes = encodeV1Sealed({ ...HEADER, exchangeType: 32, messageId: 0xdeadbeef }, 8, body);
  t.equal(toHex(bytes.subarray(16, 28)), '08102001deadbeef0000002c');
  t.match(must(decodeV1Message(bytes)), {
    header: { encrypted: true, messageId: 0xdeadbeef },
    payloads: [],
    sealed: { first: 8, body, offset: 28 },
  });
  const { bytes: chain } = encodeV1Payloads([{ kind: 'hash', data: fromHex('0102') }]);
  for (const padding of ['', '00', '00000000000000', 'ffffffffffffffff', '0102030405']) {
    const { payloads, length } = must(decodeV1Payloads(8, concat(chain, fromHex(padding)), 28));
    t.same(payloads, [{ kind: 'hash', data: fromHex('0102') }]);
    t.equal(length, chain.length);
  }
});

t.test('errors', async (t) => {
  const message = encodeV1Message(HEADER, [{ kind: 'vendor', data: fromHex('01') }]);
  t.match(mustFail(decodeV1Message(message.subarray(0, 20))), { code: 'truncated' });
  const v2 = Uint8Array.from(message);
  v2[17] = 0x20;
  t.match(mustFail(decodeV1Message(v2)), { code: 'bad_version', offset: 17 });
  const padded = concat(message, fromHex('000000'));
  writeU32(padded, 24, padded.length);
  t.match(must(decodeV1Message(padded)), { padded: true }, 'to a multiple of four octets');
  const longer = concat(message, fromHex('01'));
  writeU32(longer, 24, longer.length);
  t.match(mustFail(decodeV1Message(longer)), { code: 'trailing_octets', offset: message.length });
  t.throws(() => encodeV1Message({ ...HEADER, minorVersion: 16 }, []), RangeError);
  t.throws(() => encodeV1Message({ ...HEADER, initiatorCookie: new Uint8Array(4) }, []), RangeError);

  const chain = (type: number, hex: string) => mustFail(decodeV1Payloads(type, fromHex(hex), 0));
  t.match(chain(13, '00 01 0004'), { code: 'bad_value', offset: 1 }, 'reserved octet (RFC 2408 §5.3)');
  t.match(chain(13, '00 00 0003'), { code: 'bad_length', offset: 2 });
  t.match(chain(13, '00 00 0005'), { code: 'truncated', offset: 2 });
  t.match(chain(13, '0d 00 0004'), { code: 'truncated', offset: 4 });

  const sa = '00000001 00000001';
  t.match(mustFail(one(1, '00000000 00000001')), { code: 'bad_value', offset: 4, context: 'SA payload' });
  t.match(mustFail(one(1, '00000001 00000002')), { code: 'bad_value', offset: 8 });
  t.match(mustFail(one(1, sa)), { code: 'truncated' });
  t.match(mustFail(one(1, `${sa} 01 00 0008 01 01 00 00`)), { code: 'bad_value', offset: 12 });
  t.match(mustFail(one(1, `${sa} 00 00 0007 01 01 00 00`)), { code: 'bad_length', offset: 14 });
  t.match(mustFail(one(1, `${sa} 00 00 0008 01 01 00 01`)), { code: 'truncated' });
  t.match(mustFail(one(1, `${sa} 00 00 0008 01 01 00 00 00`)), { code: 'trailing_octets' });
  t.match(mustFail(one(1, `${sa} 02 00 0008 01 01 00 00`)), { code: 'truncated' });
  t.match(mustFail(one(1, `${sa} 00 00 0010 01 01 00 01 03 00 0008 01 01 0000`)), { code: 'bad_value' });
  t.match(mustFail(one(1, `${sa} 00 00 0010 01 01 00 02 00 00 0008 01 01 0000`)), { code: 'bad_value' });
  t.match(mustFail(one(1, `${sa} 00 00 0014 01 01 00 01 00 00 000c 01 01 0000 000c 0004`)), {
    code: 'truncated',
    context: 'SA payload > proposal 1 > transform 1',
  });
  t.equal(mustFail(one(5, '01000000 0a0100')).code, 'bad_length');
  t.equal(mustFail(one(5, '04000000 0a010000')).code, 'bad_length');
  t.equal(mustFail(one(5, '010000')).code, 'truncated');
  t.equal(mustFail(one(10, '00'.repeat(7))).code, 'bad_value');
  t.equal(mustFail(one(11, '00000001 01 10 6002 01')).code, 'truncated');
  t.equal(mustFail(one(12, '00000001 03 00 0001')).code, 'bad_length');
  t.equal(mustFail(one(12, '00000001 03 04 0001 010203')).code, 'truncated');
  t.equal(mustFail(one(12, '00000001 03 04 0001 0102030405')).code, 'trailing_octets');
  t.equal(mustFail(one(12, '00000001 03 04 ffff')).code, 'too_many');
  t.equal(mustFail(one(21, '02000000 00000000')).code, 'bad_value');
  t.equal(mustFail(one(21, '05000000 00000000')).code, 'bad_length');
  t.equal(mustFail(one(132, '0001 00 00')).code, 'bad_value');
  t.equal(mustFail(one(132, '000101')).code, 'truncated');
});

t.test('decoding is the inverse of encoding', async () => {
  fc.assert(
    fc.property(anyV1Header, fc.array(anyV1Payload, { maxLength: 10 }), fc.nat(), (header, payloads, n) => {
      const bytes = encodeV1Message(header, payloads);
      const decoded = must(decodeV1Message(bytes));
      deepStrictEqual(decoded.header, header);
      deepStrictEqual(withoutBody(decoded.payloads), payloads);
      for (const payload of decoded.payloads) {
        if (payload.kind === 'sa') deepStrictEqual(toHex(encodeV1Body(payload)), toHex(payload.body!));
      }
      const cut = Uint8Array.from(bytes.subarray(0, 28 + (n % (bytes.length - 27))));
      if (cut.length === bytes.length) return;
      writeU32(cut, 24, cut.length);
      deepStrictEqual(decodeV1Message(cut).ok, false);
    }),
    { numRuns: 800, seed: 5 },
  );
});

t.test('random octets behind a header never throw', async () => {
  fc.assert(
    fc.property(fc.nat(255), fc.uint8Array({ maxLength: 300 }), (first, bytes) => {
      const decoded = decodeV1Payloads(first, bytes, 0);
      if (decoded.ok ? decoded.value.length > bytes.length : decoded.error.offset > bytes.length) {
        throw new Error('outside');
      }
    }),
    { numRuns: 3000, seed: 6 },
  );
});
