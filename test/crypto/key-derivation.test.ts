import fc from 'fast-check';
import t from 'tap';
import { equalConstantTime, isZeroConstantTime } from '../../src/crypto/compare.js';
import {
  deriveChildKeys,
  deriveIkeKeys,
  deriveRekeySkeyseed,
  deriveSkeyseed,
} from '../../src/crypto/keymat.js';
import { MAX_PRF_PLUS_BLOCKS, prfPlus } from '../../src/crypto/prf-plus.js';
import { computePskAuth, signedOctets, verifyPskAuth } from '../../src/crypto/psk-auth.js';
import { ENCRYPTION_TRANSFORMS, INTEGRITY_TRANSFORMS, PRF_TRANSFORMS } from '../../src/crypto/transforms.js';
import type { EspSuite, PrfFunction } from '../../src/crypto/types.js';
import { concat, equalBytes, fromHex, toHex, utf8 } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { backends, openssl } from '../helpers/crypto.js';
import { readVectors, skipWithoutVectors } from '../helpers/vectors.js';

const secret = (bytes: Uint8Array): SecretKey => new SecretKey(Uint8Array.from(bytes));
const octets = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });

const HASH_OF: Readonly<Record<string, number>> = {
  'SHA-1': Prf.HMAC_SHA1,
  'SHA-256': Prf.HMAC_SHA2_256,
  'SHA-384': Prf.HMAC_SHA2_384,
  'SHA-512': Prf.HMAC_SHA2_512,
  PRF_HMAC_MD5: Prf.HMAC_MD5,
  PRF_HMAC_SHA1: Prf.HMAC_SHA1,
  PRF_HMAC_SHA2_256: Prf.HMAC_SHA2_256,
  PRF_HMAC_SHA2_384: Prf.HMAC_SHA2_384,
  PRF_HMAC_SHA2_512: Prf.HMAC_SHA2_512,
};

t.test('all CAVS cases of SP 800-135 for IKEv2', { skip: skipWithoutVectors }, async (t) => {
  type Test = Record<'Ni' | 'Nr' | 'g_ir' | 'g_ir_new' | 'SPIi' | 'SPIr', string> &
    Record<'SKEYSEED' | 'DKM' | 'DKM_Child_SA' | 'DKM_Child_SA_DH' | 'SKEYSEED_Rekey', string>;
  type File = { groups: { params_bits: { hash: string }; tests: Test[] }[] };
  for (const backend of backends) {
    let ran = 0;
    for (const name of ['kdf/nist-cavs-ikev2.json', 'more/kdf/nist-cavs-ikev2.json']) {
      for (const group of readVectors<File>(name).groups) {
        const prf = backend.prf(HASH_OF[group.params_bits.hash]!);
        for (const x of group.tests) {
          ran++;
          const nonces = { initiator: fromHex(x.Ni), responder: fromHex(x.Nr) };
          const seed = [nonces.initiator, nonces.responder];
          const spis = [fromHex(x.SPIi), fromHex(x.SPIr)];
          const skeyseed = deriveSkeyseed(prf, nonces, secret(fromHex(x.g_ir)));
          const dkm = prfPlus(prf, skeyseed.expose(), [...seed, ...spis], x.DKM.length / 2);
          const skD = secret(dkm.subarray(0, prf.keyLength));
          const fresh = fromHex(x.g_ir_new);
          const got = {
            SKEYSEED: skeyseed.expose(),
            DKM: dkm,
            DKM_Child_SA: prfPlus(prf, skD.expose(), seed, x.DKM_Child_SA.length / 2),
            DKM_Child_SA_DH: prfPlus(prf, skD.expose(), [fresh, ...seed], x.DKM_Child_SA_DH.length / 2),
            SKEYSEED_Rekey: deriveRekeySkeyseed(prf, skD, secret(fresh), nonces).expose(),
          };
          for (const [what, bytes] of Object.entries(got)) {
            if (toHex(bytes) !== x[what as keyof typeof got]) t.fail(`${backend.name} ${what}, case ${ran}`);
          }
        }
      }
    }
    t.ok(ran > 200, `${ran} cases, ${backend.name}`);
  }
});

t.test('prf and prf+ cases of two other implementations', { skip: skipWithoutVectors }, async (t) => {
  type Nss = Record<'id' | 'prf' | 'op' | 'result', string> & Record<string, string> & { size: number };
  type Swan = Record<'id' | 'op' | 'prf' | 'key' | 'salt' | 'out', string>;
  for (const backend of backends) {
    let ran = 0;
    for (const folder of ['kdf', 'more/kdf']) {
      for (const x of readVectors<{ tests: Nss[] }>(`${folder}/nss-ike-prf.json`).tests) {
        const id = HASH_OF[x.prf];
        if (id === undefined) continue;
        const prf = backend.prf(id);
        let got: Uint8Array;
        if (x.op === 'prf+') got = prfPlus(prf, fromHex(x.key!), [fromHex(x.seed!)], x.result.length / 2);
        else if (x.op === 'SKEYSEED_rekey') {
          const nonces = { initiator: fromHex(x.Ni!), responder: fromHex(x.Nr!) };
          got = deriveRekeySkeyseed(
            prf,
            secret(fromHex(x.SK_d!)),
            secret(fromHex(x.g_ir_new!)),
            nonces,
          ).expose();
        } else if (x.op === 'SKEYID_sig_or_SKEYSEED') {
          const nonces = { initiator: fromHex(x.Ni!), responder: fromHex(x.Nr!) };
          got = deriveSkeyseed(prf, nonces, secret(fromHex(x.g_xy!))).expose();
        } else continue;
        ran++;
        t.equal(toHex(got), x.result, `${backend.name} ${x.id}`);
      }
      for (const x of readVectors<{ tests: Swan[] }>(`${folder}/strongswan-kdf.json`).tests) {
        const id = HASH_OF[x.prf];
        if (id === undefined) continue;
        const prf = backend.prf(id);
        const [key, salt] = [fromHex(x.key), fromHex(x.salt)];
        const got = x.op === 'prf' ? prf.compute(salt, key) : prfPlus(prf, key, [salt], x.out.length / 2);
        ran++;
        t.equal(toHex(got), x.out, `${backend.name} ${x.id}`);
      }
    }
    t.ok(ran >= 20, `${ran} cases`);
  }
});

t.test('prf+ stops at 255 blocks (RFC 7296 section 2.13)', async (t) => {
  const key = new Uint8Array(20).fill(1);
  for (const { id, outputLength } of PRF_TRANSFORMS) {
    const prf = openssl.prf(id);
    const most = MAX_PRF_PLUS_BLOCKS * outputLength;
    const all = prfPlus(prf, key, [utf8('seed')], most);
    t.equal(all.length, most);
    const last = all.subarray(most - outputLength);
    const before = all.subarray(most - 2 * outputLength, most - outputLength);
    t.same(last, prf.compute(key, before, utf8('seed'), Uint8Array.of(255)), 'the last counter is 255');
    for (const length of [most + 1, -1, 1.5, Number.NaN]) {
      t.throws(() => prfPlus(prf, key, [], length), { name: 'RangeError', message: /RFC 7296/ });
    }
    t.equal(prfPlus(prf, key, [], 0).length, 0);
  }
});

t.test('prf+ of any length is the front of a longer one', async (t) => {
  fc.assert(
    fc.property(octets(0, 70), octets(0, 70), fc.nat(400), fc.nat(400), (key, seed, a, b) => {
      const prf = openssl.prf(Prf.HMAC_SHA2_256);
      const [short, long] = [Math.min(a, b), Math.max(a, b)].map((n) => prfPlus(prf, key, [seed], n));
      return equalBytes(short!, long!.subarray(0, short!.length));
    }),
    { numRuns: 100 },
  );
  t.pass();
});

/** Keeps every array the function gives, to see whether the caller wipes them. */
function recording(prf: PrfFunction): PrfFunction & { readonly given: Uint8Array[] } {
  const given: Uint8Array[] = [];
  return {
    id: prf.id,
    keyLength: prf.keyLength,
    outputLength: prf.outputLength,
    given,
    compute: (key, ...chunks) => {
      const out = prf.compute(key, ...chunks);
      given.push(out);
      return out;
    },
  };
}

t.test('no intermediate key stays in memory', async (t) => {
  const isZero = (bytes: Uint8Array): boolean => bytes.every((octet) => octet === 0);
  const stream = recording(openssl.prf(Prf.HMAC_SHA1));
  prfPlus(stream, utf8('key'), [utf8('seed')], 100);
  t.equal(stream.given.length, 5);
  t.ok(stream.given.every(isZero), 'the blocks of prf+');

  const auth = recording(openssl.prf(Prf.HMAC_SHA1));
  const input = {
    realMessage: utf8('message'),
    peerNonce: utf8('nonce'),
    skP: secret(utf8('sk_p')),
    idBody: utf8('id'),
  };
  const mac = computePskAuth(auth, secret(utf8('psk')), input);
  t.ok(isZero(auth.given[0]!), 'the padded PSK');
  t.notOk(isZero(mac));
  t.notOk(input.skP.wiped);
});

t.test('AUTH by PSK for keys of any length (RFC 7296 section 2.15)', async (t) => {
  for (const backend of backends) {
    for (const { id } of PRF_TRANSFORMS) {
      const prf = backend.prf(id);
      const input = {
        realMessage: utf8('the IKE_SA_INIT message'),
        peerNonce: new Uint8Array(32).fill(4),
        skP: secret(new Uint8Array(prf.keyLength).fill(5)),
        idBody: fromHex('02000000612e6578616d706c65'),
      };
      const seen = new Set<string>();
      for (const length of [0, 1, 63, 64, 65, 127, 128, 129, 1000]) {
        const psk = new Uint8Array(length).fill(0x61);
        const auth = computePskAuth(prf, secret(psk), input);
        // The formula once more, in one line of its own.
        const padded = prf.compute(psk, utf8('Key Pad for IKEv2'));
        const idHash = prf.compute(input.skP.expose(), input.idBody);
        t.same(
          auth,
          prf.compute(padded, concat(input.realMessage, input.peerNonce, idHash)),
          `${length} octets`,
        );
        t.ok(verifyPskAuth(prf, secret(psk), input, auth));
        seen.add(toHex(auth));
      }
      t.equal(seen.size, 9, 'each length gives another AUTH');
      t.equal(concat(...signedOctets(prf, input)).length, 23 + 32 + prf.outputLength);
    }
  }
});

t.test('keys have the lengths of the suite and follow each other without gap or overlap', async (t) => {
  const nonces = { initiator: new Uint8Array(32).fill(1), responder: new Uint8Array(16).fill(2) };
  const spis = { initiator: new Uint8Array(8).fill(3), responder: new Uint8Array(8).fill(4) };
  const shared = secret(new Uint8Array(256).fill(5));
  for (const encryption of ENCRYPTION_TRANSFORMS) {
    for (const { id: prfId } of PRF_TRANSFORMS) {
      const prf = openssl.prf(prfId);
      for (const integrity of encryption.aead ? [0] : INTEGRITY_TRANSFORMS.map((x) => x.id)) {
        const cipher = { id: encryption.id, keyBits: encryption.keyBits };
        const skeyseed = deriveSkeyseed(prf, nonces, shared);
        const keys = deriveIkeKeys(
          prf,
          { encryption: cipher, integrity, prf: prfId, dh: 14 },
          skeyseed,
          nonces,
          spis,
        );
        const order = [keys.skD, keys.skAi, keys.skAr, keys.skEi, keys.skEr, keys.skPi, keys.skPr];
        const all = concat(...order.filter((key) => key !== undefined).map((key) => key.expose()));
        const seed = [nonces.initiator, nonces.responder, spis.initiator, spis.responder];
        if (!equalBytes(all, prfPlus(prf, skeyseed.expose(), seed, all.length))) t.fail('IKE keys');
        const total = encryption.keyLength + encryption.saltLength;
        t.match(keys, { skEi: { length: total }, skEr: { length: total }, skD: { length: prf.keyLength } });

        const esp: EspSuite = { encryption: cipher, integrity, dh: 0, esn: false };
        for (const fresh of [undefined, shared]) {
          const child = deriveChildKeys(prf, keys.skD, esp, nonces, { shared: fresh });
          const parts = [child.initiatorToResponder, child.responderToInitiator]
            .flatMap((d) => [d.encryption, d.integrity])
            .filter((key) => key !== undefined);
          const material = concat(...parts.map((key) => key.expose()));
          const front = fresh === undefined ? [] : [fresh.expose()];
          const want = prfPlus(
            prf,
            keys.skD.expose(),
            [...front, nonces.initiator, nonces.responder],
            material.length,
          );
          if (!equalBytes(material, want)) t.fail('KEYMAT');
        }
      }
    }
  }
  const skeyseed = secret(new Uint8Array(32).fill(1));
  const prf = openssl.prf(Prf.HMAC_SHA2_256);
  const gcm = { id: Encr.AES_GCM_16, keyBits: 128 };
  const cbc = { id: Encr.AES_CBC, keyBits: 128 };
  for (const bad of [
    { encryption: gcm, integrity: Integ.HMAC_SHA2_256_128 },
    { encryption: cbc, integrity: Integ.NONE },
    { encryption: { id: Encr.AES_CBC, keyBits: 0 }, integrity: Integ.HMAC_SHA1_96 },
    { encryption: cbc, integrity: Integ.AES_XCBC_96 },
  ]) {
    t.throws(() => deriveIkeKeys(prf, { ...bad, prf: prf.id, dh: 14 }, skeyseed, nonces, spis), RangeError);
    t.throws(() => deriveChildKeys(prf, skeyseed, { ...bad, dh: 0, esn: false }, nonces), RangeError);
  }
});

t.test('constant-time comparison gives what plain comparison gives', async (t) => {
  fc.assert(
    fc.property(octets(0, 40), octets(0, 40), (a, b) => equalConstantTime(a, b) === equalBytes(a, b)),
  );
  fc.assert(
    fc.property(octets(1, 40), fc.nat(), fc.integer({ min: 1, max: 255 }), (a, at, flip) => {
      const b = Uint8Array.from(a);
      if (!equalConstantTime(a, b)) return false;
      b[at % b.length]! ^= flip;
      return !equalConstantTime(a, b);
    }),
  );
  t.ok(isZeroConstantTime(new Uint8Array(9)) && isZeroConstantTime(new Uint8Array(0)));
  for (let i = 0; i < 9; i++) t.notOk(isZeroConstantTime(new Uint8Array(9).fill(0x80, i, i + 1)));
});
