import fc from 'fast-check';
import t from 'tap';
import { dhFromName, encryptionFromName, integrityFromName, prfFromName } from '../../../src/crypto/names.js';
import type { CipherId } from '../../../src/crypto/types.js';
import type { EspProposalSpec, IkeProposalSpec } from '../../../src/ike/config.js';
import type { Failure } from '../../../src/ike/events.js';
import {
  autoEspProposals,
  autoIkeProposals,
  autoVersions,
  PROFILES,
  plainProposals,
} from '../../../src/ike/policy/matrix.js';
import {
  acceptEspAnswer,
  acceptIkeAnswer,
  describeEspSpecs,
  describeIkeSpecs,
  espOffer,
  ikeOffer,
  selectEsp,
  selectIke,
  supportedEspSpecs,
  supportedIkeSpecs,
} from '../../../src/ike/policy/proposals.js';
import type { Result } from '../../../src/util/result.js';
import type { Proposal, Transform } from '../../../src/wire/ike/payloads.js';
import { Dh, Encr, Integ, Prf, ProtocolId, TransformType } from '../../../src/wire/ike/registry.js';
import { must, mustFail } from '../../helpers/results.js';

const SPI = new Uint8Array([0xc0, 1, 2, 3]);
const CIPHERS = ['aes256', 'aes128', '3des'] as const;
const HASHES = ['sha256', 'sha1', 'md5'] as const;
const GROUPS = [14, 5, 2] as const;

/** `aes256-sha256-14`, or with an AEAD cipher the hash of the PRF. */
function ike(...suites: readonly string[]): IkeProposalSpec[] {
  return suites.map((suite) => {
    const [cipher, hash, group] = suite.split('-') as [string, string, string];
    const aead = /gcm|chacha/.test(cipher);
    return {
      encryption: [encryptionFromName(cipher)!],
      integrity: aead ? [] : [integrityFromName(hash)!],
      prf: [prfFromName(hash)!],
      dh: [dhFromName(group)!],
    };
  });
}

/** `aes256-sha256`, `aes256gcm16`, each with `-14` for PFS. */
function esp(...suites: readonly string[]): EspProposalSpec[] {
  return suites.map((suite) => {
    const [cipher, ...rest] = suite.split('-') as [string, ...string[]];
    const hashes = rest.filter((word) => integrityFromName(word) !== undefined);
    const groups = rest.filter((word) => /^[0-9]+$/.test(word));
    return {
      encryption: [encryptionFromName(cipher)!],
      integrity: hashes.map((hash) => integrityFromName(hash)!),
      dh: groups.map(Number),
    };
  });
}

const proposal = (protocol: number, transforms: readonly Transform[], number = 1): Proposal => ({
  number,
  protocol,
  spi: protocol === ProtocolId.ESP ? SPI : new Uint8Array(0),
  transforms,
});
const encr = (id: number, keyBits?: number): Transform =>
  keyBits === undefined ? { type: TransformType.ENCR, id } : { type: TransformType.ENCR, id, keyBits };
const integ = (id: number): Transform => ({ type: TransformType.INTEG, id });
const prf = (id: number): Transform => ({ type: TransformType.PRF, id });
const dh = (id: number): Transform => ({ type: TransformType.DH, id });
const esn = (id: number): Transform => ({ type: TransformType.ESN, id });
const REST = [integ(Integ.HMAC_SHA2_256_128), prf(Prf.HMAC_SHA2_256), dh(Dh.MODP_2048)];

t.test('every IKE combination of the matrix between auto and an exact policy, both ways', async (t) => {
  const auto = autoIkeProposals('compatible');
  let combinations = 0;
  for (const cipher of CIPHERS) {
    for (const hash of HASHES) {
      for (const group of GROUPS) {
        const exact = ike(`${cipher}-${hash}-${group}`);
        const suite = {
          encryption: encryptionFromName(cipher),
          integrity: integrityFromName(hash),
          prf: prfFromName(hash),
          dh: group,
        };
        for (const [a, b] of [
          [auto, exact],
          [exact, auto],
        ] as const) {
          const chosen = must(selectIke(b, ikeOffer(a)));
          t.same(chosen.suite, suite, `${cipher}-${hash}-${group}`);
          t.same(must(acceptIkeAnswer(a, [chosen.answer])), suite);
        }
        combinations++;
      }
    }
  }
  t.equal(combinations, 27);
});

t.test('every ESP combination of the matrix between auto and an exact policy, both ways', async (t) => {
  const auto = autoEspProposals('compatible');
  let combinations = 0;
  for (const cipher of CIPHERS) {
    for (const hash of HASHES) {
      const exact = esp(`${cipher}-${hash}`);
      const suite = {
        encryption: encryptionFromName(cipher),
        integrity: integrityFromName(hash),
        dh: 0,
        esn: false,
      };
      for (const [a, b] of [
        [auto, exact],
        [exact, auto],
      ] as const) {
        for (const withDh of [false, true]) {
          const chosen = must(selectEsp(b, espOffer(a, SPI, withDh), withDh));
          t.same(chosen.suite, suite, `${cipher}-${hash}`);
          t.same(chosen.peerSpi, SPI);
          const answer = { ...chosen.answer, spi: SPI };
          t.same(must(acceptEspAnswer(a, [answer], withDh)), { suite, peerSpi: SPI });
        }
      }
      combinations++;
    }
  }
  t.equal(combinations, 9);
});

const GCM_256 = { id: Encr.AES_GCM_16, keyBits: 256 };

t.test('the profiles, the best first', async (t) => {
  const aead = 'AES_GCM_16-256/AES_GCM_16-128/CHACHA20_POLY1305';
  const prfs = 'PRF_HMAC_SHA2_256/PRF_HMAC_SHA2_384/PRF_HMAC_SHA2_512';
  const best = `${aead} ${prfs} CURVE25519/ECP_256/ECP_384`;
  t.same(describeIkeSpecs(autoIkeProposals('compatible')), [
    `${best}/MODP_2048/MODP_3072/MODP_4096/ECP_521 ML_KEM_768/ML_KEM_1024`,
    `${best}/MODP_2048/MODP_3072/MODP_4096/ECP_521`,
    'AES_CBC-256/AES_CBC-128/TRIPLE_DES HMAC_SHA2_256_128/HMAC_SHA1_96/HMAC_MD5_96 ' +
      'PRF_HMAC_SHA2_256/PRF_HMAC_SHA1/PRF_HMAC_MD5 MODP_2048/MODP_1536/MODP_1024',
  ]);
  t.same(describeEspSpecs(autoEspProposals('compatible')), [
    `${aead} NO_ESN`,
    'AES_CBC-256/AES_CBC-128/TRIPLE_DES HMAC_SHA2_256_128/HMAC_SHA1_96/HMAC_MD5_96 NO_ESN',
  ]);
  t.same(describeIkeSpecs(autoIkeProposals('current')), [
    `AES_CBC-256/AES_CBC-192/AES_CBC-128 HMAC_SHA2_256_128/HMAC_SHA2_384_192/HMAC_SHA2_512_256 ${prfs} ` +
      'CURVE25519/ECP_256/ECP_384/ECP_521/MODP_2048/MODP_3072/MODP_4096/MODP_6144/MODP_8192/MODP_2048_256/MODP_2048_224/MODP_1024_160',
  ]);
  t.same(describeEspSpecs(autoEspProposals('current')), [
    'AES_GCM_16-256/AES_GCM_16-192/AES_GCM_16-128 NO_ESN',
    'AES_CBC-256/AES_CBC-192/AES_CBC-128 HMAC_SHA2_256_128/HMAC_SHA2_384_192/HMAC_SHA2_512_256 NO_ESN',
  ]);
  t.same(describeIkeSpecs(autoIkeProposals('modern')), [
    `${best}/MODP_3072/MODP_4096 ML_KEM_768/ML_KEM_1024`,
    `${best}/MODP_3072/MODP_4096`,
  ]);
  t.same(describeEspSpecs(autoEspProposals('modern')), [`${aead} NO_ESN`]);
  t.same(describeIkeSpecs(autoIkeProposals('cnsa2')), [
    'AES_GCM_16-256 PRF_HMAC_SHA2_384/PRF_HMAC_SHA2_512 ECP_384 ML_KEM_1024',
  ]);
  t.same(describeEspSpecs(autoEspProposals('cnsa2')), ['AES_GCM_16-256 NO_ESN']);
  t.same(
    PROFILES.filter((profile) => autoVersions(profile).includes(1)),
    ['compatible'],
  );
});

/** Of the matrix that every old peer has something of. */
const OLD = {
  encryption: { id: Encr.AES_CBC, keyBits: 256 },
  integrity: Integ.HMAC_SHA2_256_128,
  prf: Prf.HMAC_SHA2_256,
  dh: Dh.MODP_2048,
};

t.test('what two profiles have in common', async (t) => {
  const hybrid = { encryption: GCM_256, integrity: 0, prf: Prf.HMAC_SHA2_256, dh: Dh.CURVE25519 };
  const best = { ...hybrid, additional: [Dh.ML_KEM_768] };
  for (const [a, b, suite] of [
    ['compatible', 'compatible', best],
    ['compatible', 'modern', best],
    ['modern', 'modern', best],
    ['cnsa2', 'cnsa2', { ...hybrid, prf: Prf.HMAC_SHA2_384, dh: Dh.ECP_384, additional: [Dh.ML_KEM_1024] }],
    ['compatible', 'current', OLD],
  ] as const) {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const chosen = must(selectIke(autoIkeProposals(other), ikeOffer(autoIkeProposals(one))));
      t.same(chosen.suite, suite, `${one} to ${other}`);
      t.same(must(acceptIkeAnswer(autoIkeProposals(one), [chosen.answer])), suite);
    }
  }
  mustFail(selectIke(autoIkeProposals('current'), ikeOffer(autoIkeProposals('modern'))));
});

t.test('a list that any peer can read', async (t) => {
  const auto = autoIkeProposals('compatible');
  t.same(plainProposals(auto), auto.slice(-1));
  for (const profile of ['current', 'modern', 'cnsa2'] as const)
    t.equal(plainProposals(autoIkeProposals(profile)), undefined, `${profile} has no other`);
  // A peer that knows no additional key exchanges takes no proposal with a transform type that it does not know.
  const known = ikeOffer(auto).filter(({ transforms }) =>
    transforms.every(({ type }) => type <= TransformType.ESN),
  );
  t.same(
    known.map(({ number }) => number),
    [2, 3],
  );
});

t.test('the responder follows its own order, encryption first', async (t) => {
  const weakFirst = ikeOffer(ike('3des-md5-2', 'aes128-md5-14', 'aes256-md5-2', 'aes256-sha1-2'));
  const chosen = must(selectIke(autoIkeProposals('compatible'), weakFirst));
  t.equal(chosen.answer.number, 4, 'AES-256 before the stronger group, SHA-1 before MD5');
  t.same(chosen.suite.encryption, { id: Encr.AES_CBC, keyBits: 256 });
  const ordered = must(selectIke(ike('3des-md5-2', 'aes256-sha1-2'), weakFirst));
  t.equal(ordered.answer.number, 1, 'the order of our proposals goes before all else');
  const tie = must(selectIke(ike('aes256-sha256-14'), ikeOffer(ike('aes256-sha256-14', 'aes256-sha256-14'))));
  t.equal(tie.answer.number, 1, 'the first of two equal offers');
});

t.test('what a responder answers', async (t) => {
  const plain = plainProposals(autoIkeProposals('compatible'))!;
  const { answer } = must(selectIke(plain, ikeOffer(plain)));
  t.same(answer, {
    number: 1,
    protocol: ProtocolId.IKE,
    spi: new Uint8Array(0),
    transforms: [
      encr(Encr.AES_CBC, 256),
      integ(Integ.HMAC_SHA2_256_128),
      prf(Prf.HMAC_SHA2_256),
      dh(Dh.MODP_2048),
    ],
  });
  const rekey = ikeOffer(ike('aes256-sha256-14'), new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
  const again = must(selectIke(ike('aes256-sha256-14'), rekey));
  t.same(again.peerSpi, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
  t.equal(again.answer.spi.length, 0);
});

t.test('transforms and proposals that are not acceptable (RFC 7296 §3.3.5, §3.3.6)', async (t) => {
  const specs = ike('aes256-sha256-14', '3des-sha256-14', 'chacha20poly1305-sha256-14');
  const good = [encr(Encr.AES_CBC, 256), ...REST];
  const cases: readonly [name: string, transforms: readonly Transform[], accepted: boolean][] = [
    ['plain', good, true],
    ['an unknown cipher beside a good one', [encr(999), ...good], true],
    ['AES without a key length', [encr(Encr.AES_CBC), ...REST], false],
    ['AES with an odd key length', [encr(Encr.AES_CBC, 255), ...REST], false],
    ['3DES without a key length', [encr(Encr.TRIPLE_DES), ...REST], true],
    ['3DES with a key length', [encr(Encr.TRIPLE_DES, 192), ...REST], false],
    ['3DES with key length 0', [encr(Encr.TRIPLE_DES, 0), ...REST], false],
    ['ChaCha20 with its key length', [encr(Encr.CHACHA20_POLY1305, 256), prf(5), dh(14)], true],
    ['ChaCha20 with another key length', [encr(Encr.CHACHA20_POLY1305, 128), prf(5), dh(14)], false],
    [
      'a hash with a key length',
      [encr(Encr.AES_CBC, 256), { ...integ(12), keyBits: 256 }, prf(5), dh(14)],
      false,
    ],
    [
      'an unknown attribute on the only cipher',
      [{ ...encr(Encr.AES_CBC, 256), attributes: [{ type: 99, value: 1 }] }, ...REST],
      false,
    ],
    [
      'an unknown attribute on one of two',
      [{ ...encr(Encr.AES_CBC, 256), attributes: [{ type: 99, value: 1 }] }, ...good],
      true,
    ],
    ['an unknown transform type', [...good, { type: 200, id: 0 }], false],
    ['an additional key exchange', [...good, { type: 6, id: 36 }], false],
    ['one that may be left out', [...good, { type: 6, id: 36 }, { type: 6, id: 0 }], true],
    ['a transform type of ESP', [...good, esn(0)], false],
    ['no PRF', [encr(Encr.AES_CBC, 256), integ(12), dh(14)], false],
    ['no DH', [encr(Encr.AES_CBC, 256), integ(12), prf(5)], false],
    ['DH NONE', [encr(Encr.AES_CBC, 256), integ(12), prf(5), dh(0)], false],
    ['no integrity', [encr(Encr.AES_CBC, 256), prf(5), dh(14)], false],
    ['INTEG NONE beside a cipher that needs one', [encr(Encr.AES_CBC, 256), integ(0), prf(5), dh(14)], false],
    ['AEAD without INTEG', [encr(Encr.CHACHA20_POLY1305), prf(5), dh(14)], true],
    ['AEAD with INTEG NONE', [encr(Encr.CHACHA20_POLY1305), integ(0), prf(5), dh(14)], true],
    ['AEAD with another INTEG only', [encr(Encr.CHACHA20_POLY1305), integ(12), prf(5), dh(14)], false],
  ];
  for (const [name, transforms, accepted] of cases) {
    const one = selectIke(specs, [proposal(ProtocolId.IKE, transforms)]);
    t.equal(one.ok, accepted, name);
    const behind = selectIke(specs, [
      proposal(ProtocolId.IKE, transforms),
      proposal(ProtocolId.IKE, good, 2),
    ]);
    t.ok(behind.ok, `${name}: a good proposal behind it is taken`);
  }
  const none = must(
    selectIke(specs, [proposal(ProtocolId.IKE, [encr(Encr.CHACHA20_POLY1305), integ(0), prf(5), dh(14)])]),
  );
  t.ok(
    none.answer.transforms.some(({ type, id }) => type === TransformType.INTEG && id === 0),
    'NONE is answered',
  );
});

t.test('child proposals: ESN, DH and SPI', async (t) => {
  const plain = esp('aes256-sha256');
  const pfs = esp('aes256-sha256-14');
  const either = [{ ...pfs[0]!, dh: [Dh.MODP_2048, Dh.NONE] }];
  const base = [encr(Encr.AES_CBC, 256), integ(12)];
  const cases: readonly [
    string,
    readonly EspProposalSpec[],
    boolean,
    readonly Transform[],
    number | undefined,
  ][] = [
    ['without ESN', plain, false, base, 0],
    ['ESN only', plain, false, [...base, esn(1)], undefined],
    ['ESN or not', plain, false, [...base, esn(1), esn(0)], 0],
    ['DH in IKE_AUTH is not looked at', plain, false, [...base, dh(14), esn(0)], 0],
    ['DH in IKE_AUTH with PFS', pfs, false, [...base, esn(0)], 0],
    ['no PFS on either side', plain, true, [...base, esn(0)], 0],
    ['DH NONE', plain, true, [...base, dh(0), esn(0)], 0],
    ['PFS that we do not allow', plain, true, [...base, dh(14), esn(0)], undefined],
    ['PFS that the peer may leave out', plain, true, [...base, dh(14), dh(0), esn(0)], 0],
    ['PFS that we demand', pfs, true, [...base, esn(0)], undefined],
    ['PFS on both sides', pfs, true, [...base, dh(2), dh(14), esn(0)], 14],
    ['PFS of our choice: with', either, true, [...base, dh(14), esn(0)], 14],
    ['PFS of our choice: without', either, true, [...base, esn(0)], 0],
    ['a PRF in ESP', plain, true, [...base, prf(5), esn(0)], undefined],
  ];
  for (const [name, specs, withDh, transforms, group] of cases) {
    const result = selectEsp(specs, [proposal(ProtocolId.ESP, transforms)], withDh);
    t.equal(result.ok ? result.value.suite.dh : undefined, group, name);
  }
  for (const spi of [[], [1, 2, 3], [0, 0, 0, 255], [1, 2, 3, 4, 5, 6, 7, 8]]) {
    const offer = { ...proposal(ProtocolId.ESP, [...base, esn(0)]), spi: Uint8Array.from(spi) };
    t.match(mustFail(selectEsp(plain, [offer], false)).details?.nearest?.differs, ['spi'], `SPI ${spi}`);
  }
  t.same(
    espOffer(either, SPI, true)[0]?.transforms.filter(({ type }) => type === TransformType.DH),
    [dh(14), dh(0)],
  );
  t.same(
    espOffer(pfs, SPI, false)[0]?.transforms.filter(({ type }) => type === TransformType.DH),
    [],
  );
});

t.test('an initiator takes nothing that it did not offer (RFC 7296 §2.7)', async (t) => {
  const specs = ike('aes256-sha256-14', 'aes128-sha1-5');
  const answer = ikeOffer(ike('aes128-sha1-5'));
  t.ok(acceptIkeAnswer(specs, answer).ok, 'the number is not held against the peer');
  t.equal(
    mustFail(acceptIkeAnswer(specs, [])).message,
    'the peer answered 0 IKE proposals where exactly one is due',
  );
  t.equal(
    mustFail(acceptIkeAnswer(specs, ikeOffer(specs))).message,
    'the peer answered 2 IKE proposals where exactly one is due',
  );
  const crossed = mustFail(acceptIkeAnswer(specs, ikeOffer(ike('aes256-sha1-5'))));
  t.equal(crossed.cause, 'ike_proposal_mismatch');
  t.equal(
    crossed.message,
    'the peer chose AES_CBC-256 HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1536, which was not offered',
  );
  const doubled = proposal(ProtocolId.IKE, [encr(Encr.AES_CBC, 256), ...REST, dh(Dh.MODP_1024)]);
  t.match(
    mustFail(acceptIkeAnswer(specs, [doubled])).message,
    /several transforms of type DH where it has to choose/,
  );
  const pfs = mustFail(
    acceptEspAnswer(esp('aes256-sha256-14'), espOffer(esp('aes256-sha256'), SPI, true), true),
  );
  t.equal(pfs.cause, 'pfs_mismatch');
});

t.test('the nearest miss, in words', async (t) => {
  const cases: readonly [
    name: string,
    result: Result<unknown, Failure>,
    cause: string,
    message: string,
    nearest: { proposal: number; differs: readonly string[] } | undefined,
  ][] = [
    [
      'one group',
      selectIke(ike('aes256-sha256-14'), ikeOffer(ike('aes256-sha256-2'))),
      'ike_proposal_mismatch',
      'no common IKE proposal: peer offers DH MODP_1024; this policy allows MODP_2048',
      { proposal: 1, differs: ['dh_group'] },
    ],
    [
      'the second of three offers is nearest',
      selectIke(ike('aes256-sha256-14'), ikeOffer(ike('3des-md5-2', 'aes128-sha256-14', 'aes256-sha1-5'))),
      'ike_proposal_mismatch',
      'no common IKE proposal: peer offers encryption AES_CBC-128; this policy allows AES_CBC-256',
      { proposal: 2, differs: ['encryption'] },
    ],
    [
      'a hash differs as integrity and as PRF',
      selectIke(ike('aes256-sha256-14'), ikeOffer(ike('aes256-sha1-14'))),
      'ike_proposal_mismatch',
      'no common IKE proposal: peer offers integrity HMAC_SHA1_96 (this policy allows HMAC_SHA2_256_128), ' +
        'PRF_HMAC_SHA1 (this policy allows PRF_HMAC_SHA2_256)',
      { proposal: 1, differs: ['integrity', 'prf'] },
    ],
    [
      'AEAD against CBC is one difference',
      selectIke(ike('aes256-sha256-14'), ikeOffer(ike('aes256gcm16-sha256-14'))),
      'ike_proposal_mismatch',
      'no common IKE proposal: peer offers encryption AES_GCM_16-256; this policy allows AES_CBC-256',
      { proposal: 1, differs: ['encryption'] },
    ],
    [
      'PFS: they demand it',
      selectEsp(esp('aes256-sha256'), espOffer(esp('aes256-sha256-14'), SPI, true), true),
      'pfs_mismatch',
      'no common ESP proposal: peer offers DH MODP_2048; this policy allows none (PFS is disabled)',
      { proposal: 1, differs: ['dh_group'] },
    ],
    [
      'PFS: we demand it',
      selectEsp(esp('aes256-sha256-14'), espOffer(esp('aes256-sha256'), SPI, true), true),
      'pfs_mismatch',
      'no common ESP proposal: peer offers no DH; this policy allows MODP_2048',
      { proposal: 1, differs: ['dh_group'] },
    ],
    [
      'a child cipher',
      selectEsp(autoEspProposals('modern'), espOffer(esp('3des-sha256'), SPI, false), false),
      'child_proposal_mismatch',
      'no common ESP proposal: peer offers encryption TRIPLE_DES; this policy allows AES_GCM_16-256/AES_GCM_16-128/CHACHA20_POLY1305',
      { proposal: 1, differs: ['encryption'] },
    ],
    [
      'AH',
      selectEsp(esp('aes256-sha256'), [proposal(ProtocolId.AH, [integ(12), esn(0)])], false),
      'child_proposal_mismatch',
      'no common ESP proposal: no offer is for ESP',
      undefined,
    ],
    [
      'nothing',
      selectIke(ike('aes256-sha256-14'), []),
      'ike_proposal_mismatch',
      'no common IKE proposal: the peer offers nothing',
      undefined,
    ],
  ];
  for (const [name, result, cause, message, nearest] of cases) {
    const { cause: gotCause, message: gotMessage, details } = mustFail(result);
    t.equal(gotCause, cause, name);
    t.equal(gotMessage, message, name);
    const got = details?.nearest;
    t.same(got && { proposal: got.proposal, differs: got.differs }, nearest, name);
  }
  const both = mustFail(selectIke(ike('aes256-sha256-14'), ikeOffer(ike('3des-md5-2', 'aes256-sha256-2'))));
  t.same(both.details, {
    ours: ['AES_CBC-256 HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048'],
    theirs: [
      'TRIPLE_DES HMAC_MD5_96 PRF_HMAC_MD5 MODP_1024',
      'AES_CBC-256 HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_1024',
    ],
    nearest: {
      proposal: 2,
      differs: ['dh_group'],
      advice: 'peer offers DH MODP_1024; this policy allows MODP_2048',
    },
  });
  t.same(
    mustFail(selectEsp(esp('aes256-sha256'), [proposal(ProtocolId.AH, [integ(12), esn(0)])], false)).details
      ?.theirs,
    ['AH HMAC_SHA2_256_128 NO_ESN'],
  );
});

t.test('a flood of offers makes a short explanation', async (t) => {
  const many = Array.from({ length: 120 }, (_, i) => encr(1000 + i, 128));
  const flood = Array.from({ length: 128 }, (_, i) => proposal(ProtocolId.IKE, many, (i % 255) + 1));
  const { details } = mustFail(selectIke(ike('aes256-sha256-14'), flood));
  t.equal(details?.theirs?.length, 17);
  t.equal(details?.theirs?.[16], 'and 112 more');
  t.ok(JSON.stringify(details).length < 20_000);
});

t.test('specifications that no wire proposal can carry are a bug', async (t) => {
  const cbc: CipherId = { id: Encr.AES_CBC, keyBits: 256 };
  const gcm: CipherId = { id: Encr.AES_GCM_16, keyBits: 256 };
  const bad: readonly IkeProposalSpec[] = [
    { encryption: [cbc, gcm], integrity: [12], prf: [5], dh: [14] },
    { encryption: [gcm], integrity: [12], prf: [5], dh: [14] },
    { encryption: [cbc], integrity: [], prf: [5], dh: [14] },
    { encryption: [], integrity: [12], prf: [5], dh: [14] },
    { encryption: [cbc], integrity: [12], prf: [], dh: [14] },
    { encryption: [cbc], integrity: [12], prf: [5], dh: [] },
  ];
  for (const spec of bad) t.throws(() => ikeOffer([spec]), RangeError);
});

t.test('what a backend lacks is not offered', async (t) => {
  const without3des = (need: { kind: string; id: number }) => !(need.kind === 'encryption' && need.id === 3);
  t.same(describeEspSpecs(supportedEspSpecs(autoEspProposals('compatible').slice(-1), without3des)), [
    'AES_CBC-256/AES_CBC-128 HMAC_SHA2_256_128/HMAC_SHA1_96/HMAC_MD5_96 NO_ESN',
  ]);
  t.same(
    supportedIkeSpecs(ike('3des-md5-2', 'aes256gcm16-sha256-19'), without3des),
    ike('aes256gcm16-sha256-19'),
  );
  t.same(
    supportedIkeSpecs(ike('aes256-md5-2'), ({ kind }) => kind !== 'integrity'),
    [],
  );
  t.same(
    supportedEspSpecs(esp('aes256-sha256-14', 'aes256gcm16'), ({ kind }) => kind !== 'dh'),
    esp('aes256gcm16'),
  );
});

const ids = (from: readonly number[]) => fc.uniqueArray(fc.constantFrom(...from), { minLength: 1 });
const cbcCiphers = fc.uniqueArray(
  fc.constantFrom(...['aes256', 'aes192', 'aes128', '3des'].map((name) => encryptionFromName(name)!)),
  { minLength: 1 },
);
const aeadCiphers = fc.uniqueArray(
  fc.constantFrom(
    ...['aes256gcm16', 'aes128gcm16', 'chacha20poly1305'].map((name) => encryptionFromName(name)!),
  ),
  { minLength: 1 },
);
const macs = ids([12, 13, 14, 2, 1]);
const prfs = ids([5, 6, 7, 2, 1]);
const groups = ids([14, 19, 31, 5, 2]);
const ikeSpec: fc.Arbitrary<IkeProposalSpec> = fc.oneof(
  fc.record({ encryption: cbcCiphers, integrity: macs, prf: prfs, dh: groups }),
  fc.record({ encryption: aeadCiphers, integrity: fc.constant([]), prf: prfs, dh: groups }),
);
const optionalGroups = fc.oneof(fc.constant([]), groups);
const espSpec: fc.Arbitrary<EspProposalSpec> = fc.oneof(
  fc.record({ encryption: cbcCiphers, integrity: macs, dh: optionalGroups }),
  fc.record({ encryption: aeadCiphers, integrity: fc.constant([]), dh: optionalGroups }),
);
const specLists = <T>(spec: fc.Arbitrary<T>) => fc.array(spec, { minLength: 1, maxLength: 4 });

/** Every suite of a list in its order of preference, by brute force. */
function ikeSuites(specs: readonly IkeProposalSpec[]): string[] {
  return specs.flatMap((spec) =>
    spec.encryption.flatMap((c) =>
      (spec.integrity.length === 0 ? [0] : spec.integrity).flatMap((i) =>
        spec.prf.flatMap((p) => spec.dh.map((d) => JSON.stringify([c.id, c.keyBits, i, p, d]))),
      ),
    ),
  );
}

t.test('selection is the first of our combinations that the peer has too', async () => {
  fc.assert(
    fc.property(specLists(ikeSpec), specLists(ikeSpec), (ours, theirs) => {
      const allowed = new Set(ikeSuites(theirs));
      const expected = ikeSuites(ours).find((suite) => allowed.has(suite));
      const result = selectIke(ours, ikeOffer(theirs));
      if (!result.ok) {
        const named = result.error.details?.nearest;
        return expected === undefined && named !== undefined && named.differs.length > 0;
      }
      const { encryption: c, integrity, prf: p, dh: d } = result.value.suite;
      const accepted = acceptIkeAnswer(theirs, [result.value.answer]);
      return (
        JSON.stringify([c.id, c.keyBits, integrity, p, d]) === expected &&
        accepted.ok &&
        JSON.stringify(accepted.value) === JSON.stringify(result.value.suite)
      );
    }),
    { numRuns: 500 },
  );
});

t.test('a child suite selected by one side is accepted by the other', async () => {
  fc.assert(
    fc.property(specLists(espSpec), specLists(espSpec), fc.boolean(), (ours, theirs, withDh) => {
      const result = selectEsp(ours, espOffer(theirs, SPI, withDh), withDh);
      if (!result.ok) return result.error.details?.nearest !== undefined;
      const { suite, answer } = result.value;
      const fits = (spec: EspProposalSpec) =>
        spec.encryption.some(
          ({ id, keyBits }) => id === suite.encryption.id && keyBits === suite.encryption.keyBits,
        ) &&
        (suite.integrity === 0 ? spec.integrity.length === 0 : spec.integrity.includes(suite.integrity)) &&
        (!withDh || (suite.dh === 0 ? spec.dh.length === 0 : spec.dh.includes(suite.dh)));
      const accepted = acceptEspAnswer(theirs, [{ ...answer, spi: SPI }], withDh);
      return (
        ours.some(fits) &&
        theirs.some(fits) &&
        (withDh || suite.dh === 0) &&
        accepted.ok &&
        JSON.stringify(accepted.value.suite) === JSON.stringify(suite)
      );
    }),
    { numRuns: 500 },
  );
});

t.test('a transform that is not ours is called by the name that the registry has for it', async (t) => {
  const extended = proposal(ProtocolId.ESP, [encr(Encr.AES_GCM_16, 256), esn(1)]);
  t.equal(
    mustFail(selectEsp(esp('aes256gcm16'), [extended], false)).message,
    'no common ESP proposal: peer offers ESN; this policy allows NO_ESN',
  );
  // ML-KEM-768 as the first additional key exchange (RFC 9370 section 4).
  const hybrid = proposal(ProtocolId.IKE, [encr(Encr.AES_CBC, 256), ...REST, { type: 6, id: 36 }]);
  const { message } = mustFail(selectIke(ike('aes256-sha256-14'), [hybrid]));
  t.match(message, /peer offers additional key exchange ML_KEM_768; this policy allows none/);
});
