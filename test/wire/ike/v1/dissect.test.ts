import t from 'tap';
import { fromHex, utf8 } from '../../../../src/util/bytes.js';
import { dissect } from '../../../../src/wire/ike/dissect.js';
import {
  describeV1Identity,
  describeV1Transform,
  dissectV1,
  summarizeV1,
} from '../../../../src/wire/ike/v1/dissect.js';
import { encodeV1Message, encodeV1Sealed } from '../../../../src/wire/ike/v1/message.js';
import type { V1Payload } from '../../../../src/wire/ike/v1/payloads.js';
import { FIRST_V1_HEADER } from '../../../helpers/ike-headers.js';

const PHASE1 = [
  { type: 1, value: 7 },
  { type: 14, value: 256 },
  { type: 2, value: 4 },
  { type: 3, value: 1 },
  { type: 4, value: 14 },
  { type: 11, value: 1 },
  { type: 12, value: fromHex('00015180') },
];

t.test('main mode in the clear', async (t) => {
  const bytes = encodeV1Message(FIRST_V1_HEADER, [
    {
      kind: 'sa',
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            { number: 1, id: 1, attributes: PHASE1 },
            { number: 2, id: 1, attributes: [{ type: 1, value: 5 }] },
          ],
        },
      ],
    },
    { kind: 'vendor', data: fromHex('afcad71368a1f1c96b8696fc77570100') },
    { kind: 'ke', data: fromHex('aabbccddee') },
    { kind: 'nat-d', data: fromHex('00'.repeat(20)), draft: true },
    { kind: 'fragment', id: 1, number: 2, last: true, data: fromHex('0102') },
  ]);
  t.equal(
    dissect(bytes),
    `MAIN_MODE [ SA V KE NAT-D FRAGMENT(2, last) ]
  cookies i=0102030405060708 r=0000000000000000, version 1.0, ${bytes.length} octets
  SA
    ISAKMP #1.1: AES_CBC-256 SHA2_256 PSK MODP_2048 86400 s
    ISAKMP #1.2: TRIPLE_DES_CBC
  V 0xafcad71368a1f1c96b8696fc77570100
  KE 5 octets (aabbccdd…)
  NAT-D 20 octets (0000000000000000…), draft
  FRAGMENT(2, last) of message 1, 2 octets`,
  );
});

t.test('quick mode and informational, decrypted', async (t) => {
  const payloads: V1Payload[] = [
    { kind: 'hash', data: fromHex('ab'.repeat(20)) },
    {
      kind: 'sa',
      proposals: [
        {
          number: 0,
          protocol: 3,
          spi: fromHex('c1a2b3c4'),
          transforms: [
            {
              number: 1,
              id: 12,
              attributes: [
                { type: 1, value: 1 },
                { type: 2, value: 3600 },
                { type: 4, value: 61443 },
                { type: 5, value: 2 },
                { type: 6, value: 128 },
                { type: 3, value: 2 },
                { type: 99, value: fromHex('') },
              ],
            },
          ],
        },
      ],
    },
    { kind: 'id', idType: 4, protocol: 0, port: 0, data: fromHex('0a010000ffffff00') },
    { kind: 'id', idType: 2, protocol: 17, port: 500, data: utf8('b.example') },
    { kind: 'nat-oa', idType: 1, address: fromHex('c0000201') },
    { kind: 'notify', doi: 1, protocol: 1, spi: fromHex('0102'), type: 36136, data: fromHex('00000007') },
    { kind: 'notify', doi: 1, protocol: 1, spi: new Uint8Array(0), type: 14, data: new Uint8Array(0) },
    { kind: 'delete', doi: 1, protocol: 3, spis: [fromHex('c1a2b3c4')] },
    { kind: 'unknown', type: 14, body: fromHex('01') },
  ];
  const header = { ...FIRST_V1_HEADER, exchangeType: 32, messageId: 0xdeadbeef };
  t.equal(summarizeV1(header, payloads.slice(0, 3)), 'QUICK_MODE deadbeef [ HASH SA ID ]');
  t.equal(
    dissectV1({ header, payloads }),
    `QUICK_MODE deadbeef [ HASH SA ID ID NAT-OA N(R_U_THERE) N(NO_PROPOSAL_CHOSEN) D ATTRIBUTES ]
  cookies i=0102030405060708 r=0000000000000000, version 1.0
  HASH 20 octets
  SA
    ESP #0 spi c1a2b3c4.1: AES_CBC-128 3600 s UDP_TUNNEL_DRAFT HMAC_SHA1 MODP_1024 99=0x
  ID 10.1.0.0/24
  ID FQDN b.example[17/500]
  NAT-OA 192.0.2.1
  N(R_U_THERE) ISAKMP spi 0102, sequence 7
  N(NO_PROPOSAL_CHOSEN) ISAKMP
  D ESP c1a2b3c4
  ATTRIBUTES 1 octet (01)`,
  );
});

t.test('sealed and broken messages', async (t) => {
  const sealed = encodeV1Sealed(FIRST_V1_HEADER, 5, new Uint8Array(32));
  t.equal(
    dissect(sealed),
    `MAIN_MODE [ encrypted ]
  cookies i=0102030405060708 r=0000000000000000, version 1.0, encrypted, 60 octets
  encrypted, first inside ID, body of 32 octets`,
  );
  t.match(dissect(sealed.subarray(0, 40)), /^not an IKE message, 40 octets\n {2}truncated at octet 24/);
});

t.test('identities and transforms', async (t) => {
  const id = (idType: number, hex: string) =>
    describeV1Identity({ idType, protocol: 0, port: 0, data: fromHex(hex) });
  t.equal(id(1, 'c0000201'), '192.0.2.1');
  t.equal(id(4, '0a000000ff00ff00'), '10.0.0.0/255.0.255.0');
  t.equal(id(7, '0a0000010a000009'), '10.0.0.1-10.0.0.9');
  t.equal(id(6, `20010db8${'00'.repeat(12)}ffffffff${'00'.repeat(12)}`), '2001:db8::/32');
  t.equal(id(11, '00ff'), 'KEY_ID 0x00ff');
  t.equal(id(1, '00'), 'IPV4_ADDR 0x00');
  t.equal(id(77, ''), 'idType(77)');
  t.equal(describeV1Transform(1, { number: 1, id: 1, attributes: [] }), 'no attributes');
  t.equal(describeV1Transform(2, { number: 1, id: 3, attributes: [] }), 'transform(3)');
  const odd = [
    { type: 11, value: 9 },
    { type: 12, value: 5 },
    { type: 12, value: new Uint8Array(9) },
  ];
  t.equal(
    describeV1Transform(1, { number: 1, id: 1, attributes: odd }),
    '5 lifeType(9) 12=0x000000000000000000',
  );
});
