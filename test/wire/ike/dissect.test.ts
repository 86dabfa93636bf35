import t from 'tap';
import { fromHex, utf8 } from '../../../src/util/bytes.js';
import { parseIp } from '../../../src/util/ip.js';
import {
  describeIdentity,
  describeProposal,
  describeSelector,
  describeTransform,
  describeWireError,
  dissect,
  summarize,
} from '../../../src/wire/ike/dissect.js';
import { encodeMessage } from '../../../src/wire/ike/message.js';
import type { IkeHeader, Payload, TrafficSelector } from '../../../src/wire/ike/payloads.js';
import { ExchangeType, NotifyType } from '../../../src/wire/ike/registry.js';
import { FIRST_HEADER } from '../../helpers/ike-headers.js';

const NO_SPI = new Uint8Array(0);

const AUTH_ANSWER: IkeHeader = {
  ...FIRST_HEADER,
  responderSpi: fromHex('1112131415161718'),
  exchangeType: ExchangeType.IKE_AUTH,
  fromInitiator: false,
  response: true,
  messageId: 1,
};

function notify(type: number, data = '', protocol = 0, spi = ''): Payload {
  return { kind: 'notify', protocol, spi: fromHex(spi), type, data: fromHex(data) };
}

function selector(start: string, end: string, protocol = 0, ports: [number, number] = [0, 65535]) {
  const startAddress = parseIp(start)!;
  const tsType = startAddress.length === 4 ? 7 : 8;
  const [startPort, endPort] = ports;
  return { tsType, protocol, startPort, endPort, startAddress, endAddress: parseIp(end)! };
}

t.test('a request in the clear', async (t) => {
  const bytes = encodeMessage(FIRST_HEADER, [
    {
      kind: 'sa',
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: NO_SPI,
          transforms: [
            { type: 1, id: 12, keyBits: 256 },
            { type: 3, id: 12 },
            { type: 2, id: 5 },
            { type: 4, id: 14 },
          ],
        },
        {
          number: 2,
          protocol: 1,
          spi: NO_SPI,
          transforms: [
            { type: 1, id: 3 },
            { type: 3, id: 2 },
            { type: 2, id: 2 },
            { type: 4, id: 2 },
          ],
        },
      ],
    },
    { kind: 'ke', group: 14, data: new Uint8Array(256).fill(0xab) },
    { kind: 'nonce', data: fromHex('000102030405060708090a0b0c0d0e0f') },
    notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, '00020005ffff'),
    notify(NotifyType.COOKIE, '000102030405060708090a0b'),
    { kind: 'vendor', data: utf8('strongSwan') },
    { kind: 'vendor', data: fromHex('0a0d00') },
  ]);
  t.equal(
    dissect(bytes),
    `IKE_SA_INIT request 0 [ SA KE Nonce N(SIGNATURE_HASH_ALGORITHMS) N(COOKIE) V V ]
  SPIs i=0102030405060708 r=0000000000000000, from the IKE SA's initiator, version 2.0, ${bytes.length} octets
  SA
    IKE #1: AES_CBC-256 HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048
    IKE #2: 3DES HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1024
  KE MODP_2048, 256 octets (abababab…)
  Nonce 16 octets (00010203…)
  N(SIGNATURE_HASH_ALGORITHMS) SHA2_256 IDENTITY signatureHash(65535)
  N(COOKIE) 12 octets (0001020304050607…)
  V strongSwan
  V 0x0a0d00`,
  );
});

t.test('a decrypted answer', async (t) => {
  const payloads: Payload[] = [
    { kind: 'idr', idType: 2, data: utf8('b.example') },
    { kind: 'auth', method: 2, data: fromHex('de'.repeat(32)) },
    {
      kind: 'sa',
      proposals: [
        {
          number: 1,
          protocol: 3,
          spi: fromHex('c1a2b3c4'),
          transforms: [
            { type: 1, id: 20, keyBits: 128 },
            { type: 5, id: 0 },
          ],
        },
      ],
    },
    { kind: 'tsi', selectors: [selector('10.1.0.0', '10.1.0.255')] },
    { kind: 'tsr', selectors: [selector('10.2.0.5', '10.2.0.9', 6, [443, 443])] },
    notify(NotifyType.TEMPORARY_FAILURE),
    notify(NotifyType.INVALID_KE_PAYLOAD, '001f'),
    notify(NotifyType.REKEY_SA, '', 3, 'c1a2b3c4'),
    notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, 'c8'),
    notify(60000, '01'),
    { kind: 'delete', protocol: 3, spis: [fromHex('01020304'), fromHex('05060708')] },
    { kind: 'delete', protocol: 1, spis: [] },
    { kind: 'cp', cfgType: 2, attributes: [{ type: 1, value: fromHex('0a000001') }] },
    { kind: 'cert', encoding: 4, data: fromHex('3082') },
    { kind: 'certreq', encoding: 4, authorities: NO_SPI },
    { kind: 'eap', data: fromHex('0107000a06736563726574') },
    { kind: 'unknown', type: 200, body: fromHex('00'), critical: true },
    { kind: 'skf', first: 0, fragment: 2, total: 5, body: fromHex('0011'), offset: 36 },
  ];
  t.equal(
    summarize(AUTH_ANSWER, payloads.slice(0, 6)),
    'IKE_AUTH response 1 [ IDr AUTH SA TSi TSr N(TEMPORARY_FAILURE) ]',
  );
  t.equal(summarize({ header: FIRST_HEADER, payloads: [] }), 'IKE_SA_INIT request 0 [ ]');
  t.equal(
    dissect({ header: AUTH_ANSWER, payloads }),
    `IKE_AUTH response 1 [ IDr AUTH SA TSi TSr N(TEMPORARY_FAILURE) N(INVALID_KE_PAYLOAD) N(REKEY_SA) N(UNSUPPORTED_CRITICAL_PAYLOAD) N(notify(60000)) D D CP(CFG_REPLY) CERT CERTREQ EAP payload(200) SKF(2/5) ]
  SPIs i=0102030405060708 r=1112131415161718, from the IKE SA's responder, version 2.0
  IDr FQDN b.example
  AUTH SHARED_KEY_MIC, 32 octets
  SA
    ESP #1 spi c1a2b3c4: AES_GCM_16-128 NO_ESN
  TSi
    10.1.0.0/24
  TSr
    10.2.0.5-10.2.0.9[tcp/443]
  N(TEMPORARY_FAILURE) error
  N(INVALID_KE_PAYLOAD) error, wants CURVE25519
  N(REKEY_SA) ESP spi c1a2b3c4
  N(UNSUPPORTED_CRITICAL_PAYLOAD) error, payload(200)
  N(notify(60000)) 1 octet (01)
  D ESP 01020304 05060708
  D IKE
  CP(CFG_REPLY)
    INTERNAL_IP4_ADDRESS 0x0a000001
  CERT X509_SIGNATURE, 2 octets
  CERTREQ X509_SIGNATURE, 0 octets
  EAP code 1, 11 octets
  payload(200) (critical) 1 octet (00)
  SKF(2/5) first inside NONE, body of 2 octets`,
  );
});

t.test('what is no message gives a text as well', async (t) => {
  t.equal(
    dissect(fromHex('00112233')),
    `not an IKE message, 4 octets
  truncated at octet 0 (IKE message): the header needs 28 octets, the datagram has 4
  begins 00112233`,
  );
  const long = dissect(new Uint8Array(70000).fill(0xff));
  t.ok(long.length < 300, 'however long it is');
  t.match(dissect(new Uint8Array(0)), /^not an IKE message, 0 octets/);
  t.equal(
    describeWireError({ code: 'bad_value', offset: 9, context: 'SA payload', message: 'no' }),
    'bad_value at octet 9 (SA payload): no',
  );
});

t.test('selectors', async (t) => {
  const cases: [TrafficSelector, string][] = [
    [selector('0.0.0.0', '255.255.255.255'), '0.0.0.0/0'],
    [selector('10.1.0.7', '10.1.0.7'), '10.1.0.7/32'],
    [selector('10.1.0.0', '10.1.1.255'), '10.1.0.0/23'],
    [selector('10.1.1.0', '10.1.2.255'), '10.1.1.0-10.1.2.255'],
    [selector('10.1.0.9', '10.1.0.5'), '10.1.0.9-10.1.0.5'],
    [selector('2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'), '2001:db8::/32'],
    [selector('10.0.0.0', '10.255.255.255', 17), '10.0.0.0/8[udp]'],
    [selector('10.0.0.0', '10.255.255.255', 17, [1024, 2048]), '10.0.0.0/8[udp/1024-2048]'],
    [selector('10.0.0.0', '10.255.255.255', 0, [53, 53]), '10.0.0.0/8[any/53]'],
    [selector('10.0.0.0', '10.255.255.255', 6, [65535, 0]), '10.0.0.0/8[tcp/opaque]'],
    [selector('10.0.0.0', '10.255.255.255', 1, [0x0800, 0x0800]), '10.0.0.0/8[icmp/8.0]'],
    [selector('10.0.0.0', '10.255.255.255', 1, [0x0800, 0x08ff]), '10.0.0.0/8[icmp/8]'],
    [selector('10.0.0.0', '10.255.255.255', 1, [0x0300, 0x0304]), '10.0.0.0/8[icmp/3.0-3.4]'],
    [selector('::', '::', 58, [0x8000, 0x8000]), '::/128[icmpv6/128.0]'],
    [selector('10.0.0.0', '10.255.255.255', 253, [1, 2]), '10.0.0.0/8[253/1-2]'],
    [
      {
        tsType: 9,
        protocol: 0,
        startPort: 0,
        endPort: 0,
        startAddress: NO_SPI,
        endAddress: NO_SPI,
        other: fromHex('0102'),
      },
      'FC_ADDR_RANGE 2 octets (0102)',
    ],
  ];
  for (const [value, text] of cases) t.equal(describeSelector(value), text);
});

t.test('identities show their type and nothing that could write into a terminal', async (t) => {
  t.equal(describeIdentity(1, fromHex('c0000201')), 'IPV4_ADDR 192.0.2.1');
  t.equal(describeIdentity(5, parseIp('2001:db8::1')!), 'IPV6_ADDR 2001:db8::1');
  t.equal(describeIdentity(2, utf8('a.example')), 'FQDN a.example');
  t.equal(describeIdentity(3, utf8('ops@a.example')), 'RFC822_ADDR ops@a.example');
  t.equal(describeIdentity(11, utf8('branch-7')), 'KEY_ID branch-7');
  t.equal(describeIdentity(11, fromHex('00ff')), 'KEY_ID 0x00ff');
  t.equal(describeIdentity(2, utf8('a\u001b[2J')), 'FQDN 0x611b5b324a');
  t.equal(describeIdentity(2, NO_SPI), 'FQDN');
  t.equal(describeIdentity(1, fromHex('c000')), 'IPV4_ADDR 0xc000');
  t.equal(describeIdentity(77, utf8('x')), 'idType(77) x');
  t.ok(describeIdentity(2, new Uint8Array(60000).fill(97)).length < 300, 'a long one is cut');
});

t.test('transforms and proposals', async (t) => {
  t.equal(describeTransform({ type: 1, id: 3 }), '3DES');
  t.equal(describeTransform({ type: 1, id: 28 }), 'CHACHA20_POLY1305');
  t.equal(describeTransform({ type: 1, id: 99, keyBits: 128 }), 'encr(99)-128');
  t.equal(describeTransform({ type: 3, id: 0 }), 'NO_INTEG');
  t.equal(describeTransform({ type: 4, id: 0 }), 'NO_DH');
  t.equal(describeTransform({ type: 5, id: 1 }), 'ESN');
  t.equal(describeTransform({ type: 9, id: 7 }), 'transform(9)=7');
  const attributes = [
    { type: 1, value: 5 },
    { type: 2, value: fromHex('ab') },
  ];
  t.equal(describeTransform({ type: 1, id: 12, attributes }), 'AES_CBC{1=5 2=0xab}');
  t.equal(describeProposal({ number: 3, protocol: 2, spi: NO_SPI, transforms: [] }), 'AH #3: no transforms');
});

t.test('secrets stay out: no whole AUTH, KE or nonce', async (t) => {
  const data = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i);
  const payloads: Payload[] = [
    { kind: 'auth', method: 2, data },
    { kind: 'ke', group: 19, data },
    { kind: 'nonce', data },
  ];
  const text = dissect({ header: AUTH_ANSWER, payloads });
  t.notMatch(text, /8081828384/);
  t.notMatch(text.split('\n')[2]!, /80/);
});
