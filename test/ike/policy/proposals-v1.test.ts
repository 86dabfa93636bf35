import t from 'tap';
import { networkPairs } from '../../../src/ike/policy/carried-pairs.js';
import { autoEspProposals, autoIkeProposals } from '../../../src/ike/policy/matrix.js';
import {
  acceptEspAnswerV1,
  acceptIkeAnswerV1,
  espOfferV1,
  ikeOfferV1,
  selectEspV1,
  selectIkeV1,
} from '../../../src/ike/policy/proposals-v1.js';
import { quickIdentity, selectorOfIdentity } from '../../../src/ike/policy/quick-identities-v1.js';
import { sameSelectors } from '../../../src/ike/policy/selectors.js';
import { lacksKeyLength, lifetimesOf } from '../../../src/ike/policy/transforms-v1.js';
import { fromHex } from '../../../src/util/bytes.js';
import { describeSelector } from '../../../src/wire/ike/describe.js';
import { Encr, Integ, Prf } from '../../../src/wire/ike/registry.js';
import { decodeV1Message } from '../../../src/wire/ike/v1/message.js';
import type { V1Proposal } from '../../../src/wire/ike/v1/payloads.js';
import {
  V1AuthMethod,
  V1IkeAttribute,
  V1IpsecAttribute,
  V1Mode,
  V1Protocol,
} from '../../../src/wire/ike/v1/registry.js';
import { connection, selectors } from '../../helpers/engine-pair.js';
import { readVectorLines, skipWithoutVectors } from '../../helpers/vectors.js';

const SPI = fromHex('c0ffee01');
const MATRIX = autoIkeProposals('compatible');
const ESP = autoEspProposals('compatible').slice(-1);

/** All that can be said in version 1. */
const WIDE = [
  {
    encryption: [
      { id: Encr.AES_CBC, keyBits: 256 },
      { id: Encr.AES_CBC, keyBits: 192 },
      { id: Encr.AES_CBC, keyBits: 128 },
      { id: Encr.TRIPLE_DES, keyBits: 0 },
    ],
    integrity: [14, 13, 12, 2, 1],
    prf: [7, 6, 5, 2, 1],
    dh: [14, 15, 16, 19, 20, 21, 5, 2],
  },
];

t.test('the offer of the whole matrix: one transform a combination, strongest first', async (t) => {
  const [proposal] = ikeOfferV1(MATRIX, 28_800);
  t.equal(proposal!.transforms.length, 27);
  t.strictSame(
    proposal!.transforms.map(({ number }) => number),
    Array.from({ length: 27 }, (_, n) => n + 1),
  );
  t.strictSame(proposal!.transforms[0]!.attributes, [
    { type: 1, value: 7 },
    { type: 14, value: 256 },
    { type: 2, value: 4 },
    { type: 4, value: 14 },
    { type: 3, value: 1 },
    { type: 11, value: 1 },
    { type: 12, value: 28_800 },
  ]);
  t.strictSame(proposal!.transforms.at(-1)!.attributes[0], { type: 1, value: 5 });
  t.same(ikeOfferV1(MATRIX, 86_400)[0]!.transforms[0]!.attributes.at(-1), {
    type: 12,
    value: fromHex('00015180'),
  });
  const [esp] = espOfferV1(ESP, { spi: SPI, group: 0, mode: V1Mode.TUNNEL, seconds: 3600 });
  t.equal(esp!.transforms.length, 9);
  const terms = { spi: SPI, group: 0, mode: V1Mode.TUNNEL, seconds: 3600 };
  const [all] = espOfferV1(autoEspProposals('compatible'), terms);
  t.equal(all!.transforms.length, 11, 'AES-GCM before them (RFC 4106 section 8)');
});

t.test('every offer of one end is taken by the other, in the order of the one that answers', async (t) => {
  const offer = ikeOfferV1(MATRIX, 100);
  const weak = [
    {
      encryption: [{ id: Encr.TRIPLE_DES, keyBits: 0 }],
      integrity: [Integ.HMAC_MD5_96],
      prf: [Prf.HMAC_MD5],
      dh: [5, 2],
    },
  ];
  const taken = selectIkeV1(weak, offer);
  if (!taken.ok) throw new Error(taken.error.message);
  t.match(taken.value.suite, { encryption: { id: Encr.TRIPLE_DES }, integrity: Integ.HMAC_MD5_96, dh: 5 });
  t.equal(taken.value.answer.transforms.length, 1);
  t.equal(taken.value.lifetimes.seconds, 100);
  t.ok(acceptIkeAnswerV1(MATRIX, [taken.value.answer]).ok);
  const two = {
    ...taken.value.answer,
    transforms: [...taken.value.answer.transforms, offer[0]!.transforms[0]!],
  };
  const both = acceptIkeAnswerV1(MATRIX, [two]);
  t.notOk(both.ok, 'an answer holds one transform');
});

function changed(proposal: V1Proposal, type: number, value: number | Uint8Array | undefined): V1Proposal {
  return {
    ...proposal,
    transforms: proposal.transforms.map((transform) => ({
      ...transform,
      attributes:
        value === undefined
          ? transform.attributes.filter((one) => one.type !== type)
          : transform.attributes.map((one) => (one.type === type ? { type, value } : one)),
    })),
  };
}

t.test('phase 1 offers that must not match', async (t) => {
  const [offer] = ikeOfferV1(MATRIX, 100);
  for (const [what, bad] of [
    ['another cipher', changed(offer!, V1IkeAttribute.ENCRYPTION, 3)],
    [
      'CAST without a key length',
      changed(changed(offer!, V1IkeAttribute.KEY_LENGTH, undefined), V1IkeAttribute.ENCRYPTION, 6),
    ],
    ['a group we lack', changed(offer!, V1IkeAttribute.GROUP, 1)],
    [
      'a prf of its own',
      {
        ...offer!,
        transforms: offer!.transforms.map((one) => ({
          ...one,
          attributes: [...one.attributes, { type: V1IkeAttribute.PRF, value: 1 }],
        })),
      },
    ],
    [
      'a doubled attribute',
      {
        ...offer!,
        transforms: offer!.transforms.map((one) => ({
          ...one,
          attributes: [...one.attributes, { type: V1IkeAttribute.HASH, value: 2 }],
        })),
      },
    ],
    ['another protocol', { ...offer!, protocol: 3 }],
  ] as const) {
    const result = selectIkeV1(MATRIX, [bad]);
    t.notOk(result.ok, what);
    if (!result.ok) t.equal(result.error.cause, 'ike_proposal_mismatch', what);
  }
  const signatures = selectIkeV1(MATRIX, [
    changed(offer!, V1IkeAttribute.AUTH_METHOD, V1AuthMethod.RSA_SIGNATURE),
  ]);
  t.match(signatures, { ok: false, error: { cause: 'unsupported', message: /RSA_SIGNATURE/ } });
  const xauth = selectIkeV1(MATRIX, [changed(offer!, V1IkeAttribute.AUTH_METHOD, 65_001)]);
  t.match(xauth, { ok: false, error: { cause: 'unsupported', message: /XAUTH/ } });
});

t.test('lifetimes of any form never fail a match', async (t) => {
  const [offer] = ikeOfferV1(MATRIX, 100);
  for (const [value, seconds] of [
    [0, undefined],
    [300, 300],
    [fromHex('00015180'), 86_400],
    [fromHex('000000015180'), 86_400],
    [fromHex('ffffffffffffffffff'), undefined],
  ] as const) {
    const taken = selectIkeV1(MATRIX, [changed(offer!, V1IkeAttribute.LIFE_DURATION, value)]);
    t.ok(taken.ok);
    if (taken.ok) t.equal(taken.value.lifetimes.seconds, seconds);
  }
  t.strictSame(
    lifetimesOf(
      [
        { type: 1, value: 1 },
        { type: 2, value: 3600 },
        { type: 1, value: 2 },
        { type: 2, value: fromHex('00465000') },
      ],
      V1IpsecAttribute.LIFE_TYPE,
      V1IpsecAttribute.LIFE_DURATION,
    ),
    { seconds: 3600, kilobytes: 4_608_000 },
  );
});

t.test('phase 2: modes, groups, SPIs, combined protocols', async (t) => {
  const [offer] = espOfferV1(ESP, { spi: SPI, group: 0, mode: V1Mode.UDP_TUNNEL_DRAFT, seconds: 3600 });
  const taken = selectEspV1(ESP, [offer!]);
  if (!taken.ok) throw new Error(taken.error.message);
  t.equal(taken.value.mode, V1Mode.UDP_TUNNEL_DRAFT);
  t.same(taken.value.peerSpi, SPI);
  t.ok(acceptEspAnswerV1(ESP, [{ ...taken.value.answer, spi: SPI }]).ok);
  t.match(selectEspV1(ESP, [changed(offer!, V1IpsecAttribute.MODE, V1Mode.TRANSPORT)]), {
    ok: false,
    error: { cause: 'unsupported', message: /TRANSPORT/ },
  });
  t.notOk(selectEspV1(ESP, [{ ...offer!, spi: fromHex('000000ff') }]).ok, 'a reserved SPI');
  t.notOk(selectEspV1(ESP, [offer!, { ...offer!, protocol: 4 }]).ok, 'ESP with IPCOMP');
  t.ok(selectEspV1(ESP, [{ ...offer!, number: 2, protocol: 4 }, offer!]).ok, 'ESP or IPCOMP');
  const [pfs] = espOfferV1([{ ...ESP[0]!, dh: [14] }], { spi: SPI, group: 14, mode: 1, seconds: 3600 });
  t.match(selectEspV1(ESP, [pfs!]), { ok: false, error: { cause: 'pfs_mismatch' } });
});

t.test('phase 2: what is wanted beside ESP is named, and no algorithm is blamed for it', async (t) => {
  const terms = { spi: SPI, group: 0, mode: V1Mode.TUNNEL, seconds: 3600 };
  const [esp] = espOfferV1(ESP, terms);
  // As libreswan offers with compress=yes: IPCOMP has a CPI of two octets (RFC 2407 §4.6.1.6).
  const deflate = { number: 1, protocol: V1Protocol.IPCOMP, spi: Uint8Array.of(0, 2) };
  const bundle = [esp!, { ...deflate, transforms: [{ number: 1, id: 2, attributes: [] }] }];
  t.match(selectEspV1(ESP, bundle), {
    ok: false,
    error: {
      cause: 'unsupported',
      message: /the peer wants ESP and IPCOMP together; .*turn IP compression \(IPComp\) off at the peer/,
      details: { ours: [String], theirs: [/^ESP AES_CBC-\d+ .* with IPCOMP$/] },
    },
  });
  const withAh = [esp!, { ...deflate, protocol: V1Protocol.AH, spi: SPI, transforms: [] }];
  t.match(selectEspV1(ESP, withAh), {
    error: {
      cause: 'unsupported',
      message: /the peer wants ESP and AH together; .*let the peer offer ESP alone/,
    },
  });
  t.match(selectEspV1(ESP, [withAh[1]!]), {
    error: { cause: 'unsupported', message: /the peer offers AH, and no ESP/ },
  });
  t.match(selectEspV1(ESP, []), { error: { message: /offers nothing/ } });

  const [other] = espOfferV1([{ ...ESP[0]!, dh: [14] }], { ...terms, group: 14 });
  const mixed = selectEspV1(ESP, [...bundle, { ...other!, number: 2 }]);
  t.match(mixed, { error: { cause: 'pfs_mismatch' } }, 'ESP alone is there, and is what differs');
  t.match(mixed, { error: { details: { theirs: /with IPCOMP/ } } });
});

t.test('what other products offered in captures is understood', { skip: skipWithoutVectors }, async (t) => {
  const files = [
    'vendors/cisco-ios-main-mode-quick-networklessons.jsonl',
    'vendors/strongswan-ikev1-natt.jsonl',
    'vendors/openswan-natt-4500.jsonl',
    'more/vendors/webernetz-ikev1.jsonl',
  ];
  let seen = 0;
  for (const name of files) {
    for (const { hex } of readVectorLines<{ hex: string }>(name)) {
      const bytes = fromHex(hex);
      const message = decodeV1Message(
        bytes[0] === 0 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0 ? bytes.subarray(4) : bytes,
      );
      if (!message.ok) continue;
      const sa = message.value.payloads.find((one) => one.kind === 'sa');
      if (sa?.kind !== 'sa') continue;
      seen++;
      const result = selectIkeV1(WIDE, sa.proposals);
      t.ok(
        result.ok || result.error.cause === 'unsupported',
        `${name}: ${result.ok ? 'taken' : result.error.message}`,
      );
    }
  }
  t.ok(seen > 5, `${seen} SA payloads`);
});

t.test('identities of quick mode: address, subnet, range, both families', async (t) => {
  for (const [text, type] of [
    ['10.1.0.0/24', 4],
    ['10.1.0.7/32', 1],
    ['0.0.0.0/0', 4],
    ['2001:db8::/48', 6],
    ['2001:db8::1/128', 5],
  ] as const) {
    const [selector] = selectors([text]);
    const id = quickIdentity(selector!);
    t.equal(id.idType, type, text);
    const back = selectorOfIdentity(id);
    t.ok(back.ok && sameSelectors([back.value], [selector!]), text);
  }
  const range = { ...selectors(['10.1.0.0/24'])[0]!, endAddress: Uint8Array.of(10, 1, 0, 77) };
  t.equal(quickIdentity(range).idType, 7);
  const back = selectorOfIdentity(quickIdentity(range));
  t.ok(back.ok && sameSelectors([back.value], [range]));
  const id = (idType: number, hex: string) =>
    selectorOfIdentity({ idType, protocol: 6, port: 443, data: fromHex(hex) });
  const web = id(4, '0a010063ffffff00');
  t.ok(web.ok);
  if (web.ok) t.match(describeSelector(web.value), /10\.1\.0\.0\/24/, 'host bits do not count');
  t.match(id(4, '0a010000ff00ff00'), { ok: false, error: /holes/ });
  t.match(id(7, '0a0100020a010001'), { ok: false, error: /end before/ });
  t.match(id(2, '61'), { ok: false, error: /no network/ });
});

t.test('pairs of networks: each with each of the same family', async (t) => {
  const made = connection('east', {
    local: { cidrs: ['10.1.0.0/24', '2001:db8:1::/48'] },
    peer: { cidrs: ['10.2.0.0/24', '10.3.0.0/24', '2001:db8:2::/48'] },
  });
  t.equal(networkPairs(made).length, 3);
});

t.test('AES without a key length is taken as AES-128 (quirk aes_without_key_length)', async (t) => {
  const [offer] = ikeOfferV1(MATRIX, 100);
  const bare = changed(changed(offer!, V1IkeAttribute.KEY_LENGTH, undefined), V1IkeAttribute.ENCRYPTION, 7);
  const selected = selectIkeV1(MATRIX, [bare]);
  t.match(selected, { ok: true, value: { suite: { encryption: { id: Encr.AES_CBC, keyBits: 128 } } } });
  if (!selected.ok) return;
  t.ok(
    selected.value.answer.transforms.every((one) => lacksKeyLength(one, 1)),
    'answered as it was offered',
  );
  t.notOk(offer!.transforms.some((one) => lacksKeyLength(one, 1)));
});
