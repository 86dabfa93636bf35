import t from 'tap';
import {
  deriveChildKeys,
  deriveIkeKeys,
  deriveRekeySkeyseed,
  deriveSkeyseed,
} from '../../src/crypto/keymat.js';
import { encryptionFromName, integrityFromName, prfFromName } from '../../src/crypto/names.js';
import { prfPlus } from '../../src/crypto/prf-plus.js';
import type { AeadCipher, CbcCipher, Cipher, CryptoBackend } from '../../src/crypto/types.js';
import { concat, fromHex, toHex } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { Encr } from '../../src/wire/ike/registry.js';
import { backends, exchangeWith } from '../helpers/crypto.js';
import { readFixture } from '../helpers/vectors.js';

interface KnownAnswers {
  hmac: { source: string; hash: string; key: string; data: string; digest: string }[];
  icv: { source: string; hash: string; key: string; data: string; icv: string }[];
  cbc: { source: string; cipher: string; key: string; iv: string; plaintext: string; ciphertext: string }[];
  aead: {
    source: string;
    cipher: string;
    key: string;
    nonce: string;
    aad: string;
    plaintext: string;
    sealed: string;
  }[];
  dh: {
    source: string;
    group: number;
    privateI: string;
    publicI: string;
    privateR: string;
    publicR: string;
    shared: string;
  }[];
  kdf: Record<'source' | 'hash' | 'Ni' | 'Nr' | 'g_ir' | 'g_ir_new' | 'SPIi' | 'SPIr' | KdfOutput, string>[];
}
type KdfOutput = 'SKEYSEED' | 'DKM' | 'DKM_Child_SA' | 'DKM_Child_SA_DH' | 'SKEYSEED_Rekey';

const answers = readFixture<KnownAnswers>('crypto/known-answers.json');

function cipherOf(backend: CryptoBackend, name: string): Cipher | undefined {
  const { id, keyBits } = encryptionFromName(name)!;
  return backend.supports({ kind: 'encryption', id, keyBits }) ? backend.cipher(id, keyBits) : undefined;
}

for (const backend of backends) {
  t.test(`HMAC of RFC 2202 and RFC 4231 as PRF, ${backend.name}`, async (t) => {
    for (const x of answers.hmac) {
      const prf = backend.prf(prfFromName(x.hash)!);
      const data = fromHex(x.data);
      const whole = toHex(prf.compute(fromHex(x.key), data)).slice(0, x.digest.length);
      t.equal(whole, x.digest, `${x.source} ${x.hash}`);
      const cut = data.length >> 1;
      const chunks = [data.subarray(0, cut), new Uint8Array(0), data.subarray(cut)];
      t.equal(toHex(prf.compute(fromHex(x.key), ...chunks)).slice(0, x.digest.length), x.digest, 'in chunks');
    }
  });

  t.test(`truncated HMAC of RFC 2403, 2404 and 4868, ${backend.name}`, async (t) => {
    for (const x of answers.icv) {
      const mac = backend.integrity(integrityFromName(x.hash)!);
      const [key, data, icv] = [fromHex(x.key), fromHex(x.data), fromHex(x.icv)];
      t.equal(toHex(mac.compute(key, data)), x.icv, `${x.source} ${x.hash}`);
      t.ok(mac.verify(key, icv, data.subarray(0, 1), data.subarray(1)));
      t.notOk(mac.verify(key, icv.subarray(1), data), 'a shorter ICV does not hold');
      t.notOk(mac.verify(key, concat(icv, Uint8Array.of(0)), data), 'nor a longer one');
      t.notOk(mac.verify(key, new Uint8Array(0), data), 'nor an empty one');
      for (let bit = 0; bit < icv.length * 8; bit++) {
        const forged = Uint8Array.from(icv);
        forged[bit >> 3]! ^= 1 << (bit & 7);
        if (mac.verify(key, forged, data)) t.fail(`bit ${bit} of the ICV is not looked at`);
      }
    }
  });

  t.test(`CBC of RFC 3602, SP 800-38A and recorded messages, ${backend.name}`, async (t) => {
    let ran = 0;
    for (const x of answers.cbc) {
      const cipher = cipherOf(backend, x.cipher) as CbcCipher | undefined;
      if (cipher === undefined) continue;
      ran++;
      const [key, iv] = [fromHex(x.key), fromHex(x.iv)];
      t.equal(toHex(cipher.encrypt(key, iv, fromHex(x.plaintext))), x.ciphertext, x.source);
      t.equal(toHex(cipher.decrypt(key, iv, fromHex(x.ciphertext))), x.plaintext, x.source);
    }
    t.equal(ran, answers.cbc.filter((x) => backend.name === 'openssl' || x.cipher !== '3des').length);
  });

  t.test(`AEAD of RFC 4106 and RFC 7634, ${backend.name}`, async (t) => {
    for (const x of answers.aead) {
      const cipher = cipherOf(backend, x.cipher) as AeadCipher;
      const [key, nonce, aad, sealed] = [fromHex(x.key), fromHex(x.nonce), fromHex(x.aad), fromHex(x.sealed)];
      t.equal(toHex(cipher.seal(key, nonce, aad, fromHex(x.plaintext))), x.sealed, `${x.source} ${x.cipher}`);
      t.equal(toHex(cipher.open(key, nonce, aad, sealed)!), x.plaintext, x.source);
      for (let at = 0; at < sealed.length; at++) {
        const forged = Uint8Array.from(sealed);
        forged[at]! ^= 0x80;
        if (cipher.open(key, nonce, aad, forged) !== undefined) t.fail(`octet ${at} is not authenticated`);
      }
      const otherAad = Uint8Array.from(aad);
      otherAad[0]! ^= 1;
      t.equal(cipher.open(key, nonce, otherAad, sealed), undefined, 'additional data is authenticated');
      for (const length of [0, 1, cipher.icvLength - 1]) {
        t.equal(cipher.open(key, nonce, aad, sealed.subarray(0, length)), undefined, `${length} octets`);
      }
    }
  });

  t.test(`DH of RFC 5903, 5114, 7748 and 8031, ${backend.name}`, async (t) => {
    for (const x of answers.dh) {
      const initiator = exchangeWith(backend, x.group, fromHex(x.privateI));
      const responder = exchangeWith(backend, x.group, fromHex(x.privateR));
      t.equal(toHex(initiator.publicValue), x.publicI, `${x.source} initiator`);
      t.equal(toHex(responder.publicValue), x.publicR, `${x.source} responder`);
      const left = initiator.agree(fromHex(x.publicR));
      const right = responder.agree(fromHex(x.publicI));
      t.equal(left.ok && toHex(left.value.expose()), x.shared);
      t.equal(right.ok && toHex(right.value.expose()), x.shared);
    }
  });

  t.test(`key derivation of SP 800-135, ${backend.name}`, async (t) => {
    for (const x of answers.kdf) {
      const prf = backend.prf(prfFromName(x.hash)!);
      const nonces = { initiator: fromHex(x.Ni), responder: fromHex(x.Nr) };
      const spis = { initiator: fromHex(x.SPIi), responder: fromHex(x.SPIr) };
      const skeyseed = deriveSkeyseed(prf, nonces, new SecretKey(fromHex(x.g_ir)));
      t.equal(toHex(skeyseed.expose()), x.SKEYSEED, `${x.hash} SKEYSEED`);
      const seed = [nonces.initiator, nonces.responder, spis.initiator, spis.responder];
      t.equal(toHex(prfPlus(prf, skeyseed.expose(), seed, x.DKM.length / 2)), x.DKM, `${x.hash} DKM`);

      const cipher = { id: Encr.AES_GCM_16, keyBits: 128 };
      const suite = { encryption: cipher, integrity: 0, prf: prf.id, dh: 14 };
      const keys = deriveIkeKeys(prf, suite, skeyseed, nonces, spis);
      t.notOk('skAi' in keys || 'skAr' in keys, 'an AEAD suite has no integrity keys');
      const order = [keys.skD, keys.skEi, keys.skEr, keys.skPi, keys.skPr]
        .map((k) => toHex(k.expose()))
        .join('');
      const both = Math.min(order.length, x.DKM.length);
      t.equal(order.slice(0, both), x.DKM.slice(0, both), 'the keys are the front of DKM in order');
      t.equal(keys.skEi.length, 20, 'key and salt');

      const shared = new SecretKey(fromHex(x.g_ir_new));
      const rekeyed = deriveRekeySkeyseed(prf, keys.skD, shared, nonces);
      t.equal(toHex(rekeyed.expose()), x.SKEYSEED_Rekey, `${x.hash} rekey`);
      const espSuite = { encryption: cipher, integrity: 0, dh: 0, esn: false };
      for (const [material, secret] of [
        [x.DKM_Child_SA, undefined],
        [x.DKM_Child_SA_DH, shared],
      ] as const) {
        const child = deriveChildKeys(prf, keys.skD, espSuite, nonces, { shared: secret });
        t.equal(toHex(child.initiatorToResponder.encryption.expose()), material.slice(0, 40));
        t.equal(toHex(child.responderToInitiator.encryption.expose()), material.slice(40, 80));
        t.notOk('integrity' in child.initiatorToResponder);
      }
      t.notOk(shared.wiped || skeyseed.wiped, 'the inputs stay the caller’s');
    }
  });
}
