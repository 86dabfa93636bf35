import t from 'tap';
import {
  deriveSkeyidFromPsk,
  deriveSkeyids,
  deriveV1EspKeys,
  deriveV1Keys,
  expandCipherKey,
  hash1,
  hash2,
  hash3,
  hashI,
  hashR,
  quickModeKeymat,
} from '../../src/crypto/keymat-v1.js';
import type { PrfFunction } from '../../src/crypto/types.js';
import { fromHex, toHex } from '../../src/util/bytes.js';
import { SecretKey, wipeSecrets } from '../../src/util/secret.js';
import { Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { backends } from '../helpers/crypto.js';
import { readFixture, readVectors, skipWithoutVectors, vectorsPresent } from '../helpers/vectors.js';

const secret = (hex: string): SecretKey => new SecretKey(fromHex(hex));

const PRFS: Readonly<Record<string, number>> = {
  'SHA-1': Prf.HMAC_SHA1,
  SHA1: Prf.HMAC_SHA1,
  'SHA-256': Prf.HMAC_SHA2_256,
  'SHA-384': Prf.HMAC_SHA2_384,
  'SHA-512': Prf.HMAC_SHA2_512,
  'HMAC-MD5': Prf.HMAC_MD5,
  'HMAC-SHA1': Prf.HMAC_SHA1,
  PRF_HMAC_SHA1: Prf.HMAC_SHA1,
  PRF_HMAC_SHA2_256: Prf.HMAC_SHA2_256,
};

type Case = Readonly<Record<string, string>>;

function skeyidsOf(prf: PrfFunction, skeyid: SecretKey, one: Case) {
  const cookies = { initiator: fromHex(one.CKY_I!), responder: fromHex(one.CKY_R!) };
  const { d, a, e } = deriveSkeyids(prf, skeyid, secret(one.g_xy!), cookies);
  return { SKEYID_d: toHex(d.expose()), SKEYID_a: toHex(a.expose()), SKEYID_e: toHex(e.expose()) };
}

function noncesOf(one: Case) {
  return { initiator: fromHex(one.Ni ?? one.Ni_b!), responder: fromHex(one.Nr ?? one.Nr_b!) };
}

function checkPsk(one: Case, hash: string, at: string, test: Pick<typeof t, 'match'>): void {
  for (const backend of backends) {
    const prf = backend.prf(PRFS[hash]!);
    const skeyid = deriveSkeyidFromPsk(prf, secret(one.pre_shared_key!), noncesOf(one));
    const got = { SKEYID: toHex(skeyid.expose()), ...skeyidsOf(prf, skeyid, one) };
    const { SKEYID, SKEYID_d, SKEYID_a, SKEYID_e } = one;
    test.match(got, { SKEYID, SKEYID_d, SKEYID_a, SKEYID_e }, `${backend.name} ${at}`);
  }
}

t.test('SKEYID and its children from NIST, one case a hash', async (t) => {
  const { cases } = readFixture<{ cases: readonly Case[] }>('crypto/ikev1-psk-keys.json');
  t.equal(cases.length, 4);
  for (const one of cases) checkPsk(one, one.hash!, one.hash!, t);
});

interface CavsFile {
  readonly groups: readonly {
    readonly params_bits: Record<string, string>;
    readonly tests: readonly Case[];
  }[];
}

t.test('NIST CAVS, pre-shared key', { skip: skipWithoutVectors }, async (t) => {
  const { groups } = readVectors<CavsFile>('kdf/nist-cavs-ikev1-psk.json');
  for (const { params_bits, tests } of [...groups, ...second('nist-cavs-ikev1-psk.json')]) {
    for (const one of tests) {
      checkPsk(
        one,
        params_bits.hash!,
        `${params_bits.hash} g^xy ${params_bits['g^xy length']} ${one.COUNT}`,
        t,
      );
    }
  }
});

t.test('NIST CAVS, signatures: the keys made from SKEYID', { skip: skipWithoutVectors }, async (t) => {
  const { groups } = readVectors<CavsFile>('kdf/nist-cavs-ikev1-dsa.json');
  for (const { params_bits, tests } of [...groups, ...second('nist-cavs-ikev1-dsa.json')]) {
    for (const one of tests) {
      for (const backend of backends) {
        const prf = backend.prf(PRFS[params_bits.hash!]!);
        const { SKEYID_d, SKEYID_a, SKEYID_e } = one;
        t.match(skeyidsOf(prf, secret(one.SKEYID!), one), { SKEYID_d, SKEYID_a, SKEYID_e }, backend.name);
      }
    }
  }
});

/** The second half of the same file. */
function second(name: string): CavsFile['groups'] {
  return vectorsPresent ? readVectors<CavsFile>(`more/kdf/${name}`).groups : [];
}

t.test('NSS: SKEYID, appendix B and KEYMAT', { skip: skipWithoutVectors }, async (t) => {
  const files = ['kdf/nss-ike-prf.json', 'more/kdf/nss-ike-prf.json'];
  const tests = files.flatMap((name) => readVectors<{ tests: readonly Case[] }>(name).tests);
  let seen = 0;
  for (const one of tests) {
    const id = PRFS[one.prf!];
    if (id === undefined) continue;
    for (const backend of backends) {
      const prf = backend.prf(id);
      const got = nss(prf, one);
      if (got === undefined) continue;
      t.equal(got, one.result, `${backend.name} ${one.id}`);
      seen++;
    }
  }
  t.ok(seen >= 2 * 20, 'there are cases of every kind');
});

function nss(prf: PrfFunction, one: Case): string | undefined {
  switch (one.op) {
    case 'SKEYID_psk':
      return toHex(deriveSkeyidFromPsk(prf, secret(one.psk!), noncesOf(one)).expose());
    case 'SKEYID_d':
    case 'SKEYID_a':
    case 'SKEYID_e':
      return skeyidsOf(prf, secret(one.SKEYID!), one)[one.op];
    case 'ikev1_cipher_key_expansion':
      return toHex(expandCipherKey(prf, secret(one.SKEYID_e!), Number(one.size)).expose());
    case 'ikev1_quick_mode_keymat': {
      // The seed of these cases is not made like KEYMAT's: its octets are spread over protocol and SPI.
      const seed = fromHex(one.seed!);
      const nonces = { initiator: new Uint8Array(0), responder: new Uint8Array(0) };
      const sa = { protocol: seed[0]!, spi: seed.subarray(1) };
      return toHex(quickModeKeymat(prf, secret(one.SKEYID_d!), sa, nonces, Number(one.size)));
    }
    default:
      return undefined;
  }
}

t.test(
  'recorded sessions: SKEYID, IV-free values, HASH_R, KEYMAT',
  { skip: skipWithoutVectors },
  async (t) => {
    const { cases } = readVectors<{ cases: readonly Case[] }>('transcripts/rub-ikev1-session-secrets.json');
    for (const one of cases) {
      for (const backend of backends) {
        const prf = backend.prf(Prf.HMAC_SHA1);
        const cookies = { initiator: fromHex(one.CKY_I!), responder: fromHex(one.CKY_R!) };
        const keys = deriveV1Keys(prf, secret(one.psk!), secret(one.g_xy!), noncesOf(one), cookies, 16);
        t.equal(toHex(keys.skeyid.expose()), one.SKEYID);
        t.equal(toHex(keys.skeyidD.expose()), one.SKEYID_d);
        t.equal(toHex(keys.skeyidA.expose()), one.SKEYID_a);
        t.equal(toHex(keys.encryption.expose()), one.cipher_key);
        const transcript = {
          initiatorPublic: fromHex(one.KE_i!),
          responderPublic: fromHex(one.KE_r!),
          cookies,
          saBody: fromHex(one.SAi_b!),
        };
        t.equal(toHex(hashR(prf, keys.skeyid, transcript, fromHex(one.IDir_b!))), one.HASH_R);
        if (one.KEYMAT_in === undefined) continue;
        const nonces = { initiator: fromHex(one.qm_Ni_b!), responder: fromHex(one.qm_Nr_b!) };
        const suite = {
          encryption: { id: Encr.AES_CBC, keyBits: 128 },
          integrity: Integ.HMAC_SHA1_96,
          dh: 0,
          esn: false,
        };
        for (const [spi, keymat] of [
          [one.SPI_in, one.KEYMAT_in],
          [one.SPI_out, one.KEYMAT_out],
        ]) {
          const { encryption, integrity } = deriveV1EspKeys(prf, keys.skeyidD, suite, fromHex(spi!), nonces);
          t.equal(toHex(encryption.expose()) + toHex(integrity!.expose()), keymat);
        }
        wipeSecrets(keys);
        t.throws(() => keys.encryption.expose(), /wiped/);
      }
    }
  },
);

t.test(
  'HASH_R of aggressive mode peers, which is made like that of main mode',
  { skip: skipWithoutVectors },
  async (t) => {
    const files = ['kdf/ikev1-aggressive-hash-r.json', 'more/kdf/ikev1-aggressive-hash-r.json'];
    for (const one of files.flatMap((name) => readVectors<{ cases: readonly Case[] }>(name).cases)) {
      for (const backend of backends) {
        const prf = backend.prf(PRFS[one.prf!]!);
        const skeyid = deriveSkeyidFromPsk(prf, secret(one.psk!), noncesOf(one));
        t.equal(toHex(skeyid.expose()), one.SKEYID);
        const transcript = {
          initiatorPublic: fromHex(one.KE_i!),
          responderPublic: fromHex(one.KE_r!),
          cookies: { initiator: fromHex(one.CKY_I!), responder: fromHex(one.CKY_R!) },
          saBody: fromHex(one.SAi_b!),
        };
        t.equal(toHex(hashR(prf, skeyid, transcript, fromHex(one.IDir_b!))), one.HASH_R, one.peer ?? '');
      }
    }
  },
);

t.test('what the hashes and key material depend on', async (t) => {
  const [openssl, portable] = backends;
  const values = backends.map((backend) => {
    const prf = backend.prf(Prf.HMAC_SHA2_256);
    const key = secret('00112233445566778899aabbccddeeff');
    const nonces = { initiator: fromHex('a0a1a2a3a4a5a6a7'), responder: fromHex('b0b1b2b3b4b5b6b7') };
    const payloads = fromHex('0a000008deadbeef');
    const sa = { protocol: 3, spi: fromHex('11223344') };
    const transcript = {
      initiatorPublic: fromHex('01'),
      responderPublic: fromHex('02'),
      cookies: { initiator: fromHex('0000000000000001'), responder: fromHex('0000000000000002') },
      saBody: fromHex('03'),
    };
    return [
      hash1(prf, key, 7, payloads),
      hash1(prf, key, 0x80000007, payloads),
      hash2(prf, key, 7, nonces.initiator, payloads),
      hash3(prf, key, 7, nonces),
      hashI(prf, key, transcript, fromHex('04')),
      hashR(prf, key, transcript, fromHex('04')),
      quickModeKeymat(prf, key, sa, nonces, 100),
      quickModeKeymat(prf, key, { ...sa, protocol: 2 }, nonces, 100),
      quickModeKeymat(prf, key, sa, nonces, 100, secret('99')),
    ].map(toHex);
  });
  t.same(values[0], values[1], `${openssl!.name} and ${portable!.name} agree`);
  t.equal(new Set(values[0]).size, values[0]!.length, 'no two are the same');
  t.equal(values[0]!.at(-1)!.length, 200);
});

t.test('a key of every length is a prefix of a longer one', async (t) => {
  const prf = backends[0]!.prf(Prf.HMAC_MD5);
  const skeyidE = secret('00112233445566778899aabbccddeeff');
  t.equal(toHex(expandCipherKey(prf, skeyidE, 16).expose()), '00112233445566778899aabbccddeeff');
  const long = toHex(expandCipherKey(prf, skeyidE, 48).expose());
  for (const length of [17, 24, 32]) {
    t.equal(toHex(expandCipherKey(prf, skeyidE, length).expose()), long.slice(0, 2 * length));
  }
});
