import t from 'tap';
import { MODP_GROUPS } from '../../src/crypto/dh/modp-groups.js';
import { SUBGROUP_GROUPS } from '../../src/crypto/dh/subgroup-groups.js';
import {
  dhFromName,
  dhName,
  encryptionFromName,
  encryptionName,
  integrityFromName,
  integrityName,
  prfFromName,
  prfName,
} from '../../src/crypto/names.js';
import { isWeak, weakTransforms } from '../../src/crypto/strength.js';
import {
  DH_TRANSFORMS,
  ENCRYPTION_TRANSFORMS,
  encryptionTransform,
  espKeyLengths,
  findDh,
  INTEGRITY_TRANSFORMS,
  ikeKeyLengths,
  integrityTransform,
  PRF_TRANSFORMS,
  prfTransform,
} from '../../src/crypto/transforms.js';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';

t.test('the transforms are those Culvert promises, with the lengths of their RFCs', async (t) => {
  const ciphers = ENCRYPTION_TRANSFORMS.map((x) => [
    encryptionName(x),
    x.keyLength,
    x.saltLength,
    x.ivLength,
    x.blockLength,
    x.icvLength,
  ]);
  t.same(ciphers, [
    ['aes256gcm16', 32, 4, 8, 1, 16],
    ['chacha20poly1305', 32, 4, 8, 1, 16],
    ['aes192gcm16', 24, 4, 8, 1, 16],
    ['aes128gcm16', 16, 4, 8, 1, 16],
    ['aes256', 32, 0, 16, 16, 0],
    ['aes192', 24, 0, 16, 16, 0],
    ['aes128', 16, 0, 16, 16, 0],
    ['3des', 24, 0, 8, 8, 0],
  ]);
  t.same(
    INTEGRITY_TRANSFORMS.map((x) => [x.id, x.keyLength, x.icvLength]),
    [
      [14, 64, 32],
      [13, 48, 24],
      [12, 32, 16],
      [2, 20, 12],
      [1, 16, 12],
    ],
  );
  t.same(
    PRF_TRANSFORMS.map((x) => [x.id, x.keyLength, x.outputLength]),
    [
      [7, 64, 64],
      [6, 48, 48],
      [5, 32, 32],
      [2, 20, 20],
      [1, 16, 16],
    ],
  );
  t.same(
    DH_TRANSFORMS.map((x) => x.id).sort((a, b) => a - b),
    [2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31],
  );
  for (const group of [...MODP_GROUPS, ...SUBGROUP_GROUPS])
    t.equal(findDh(group.id)!.publicLength * 8, group.bits);
});

t.test('names and numbers map both ways', async (t) => {
  for (const x of ENCRYPTION_TRANSFORMS) {
    t.same(encryptionFromName(encryptionName(x)), { id: x.id, keyBits: x.keyBits });
  }
  for (const { id, hash } of INTEGRITY_TRANSFORMS) {
    t.equal(integrityName(id), hash);
    t.equal(integrityFromName(hash), id);
  }
  for (const { id, hash } of PRF_TRANSFORMS) {
    t.equal(prfName(id), hash);
    t.equal(prfFromName(hash), id);
    t.equal(prfFromName(`prf${hash}`), id);
  }
  for (const { id } of DH_TRANSFORMS) {
    t.equal(dhFromName(dhName(id)), id);
    t.equal(dhFromName(String(id)), id);
    t.equal(dhFromName(`group_${id}`), id);
  }
  t.same(encryptionFromName('triple_des'), encryptionFromName('3des'));
  t.same(encryptionFromName('AES128'), { id: Encr.AES_CBC, keyBits: 128 });
  t.equal(dhFromName('x25519'), Dh.CURVE25519);
  for (const word of ['', 'none', 'disabled', '0', '1', '26', '014', 'group14x', 'constructor', 'modp768']) {
    t.equal(dhFromName(word), undefined, word);
  }
  for (const word of ['', 'des', 'aes512', '__proto__', 'null']) t.equal(encryptionFromName(word), undefined);
  for (const word of ['', 'sha', 'sha2', 'toString']) {
    t.equal(integrityFromName(word), undefined);
    t.equal(prfFromName(word), undefined);
  }
  t.equal(dhName(0), 'none');
  t.equal(integrityName(0), 'none');
  t.equal(encryptionName({ id: Encr.AES_CTR, keyBits: 256 }), 'AES_CTR/256');
  t.equal(encryptionName({ id: 99, keyBits: 0 }), 'encr(99)');
  t.equal(prfName(Prf.AES128_XCBC), 'AES128_XCBC');
  t.equal(dhName(Dh.ML_KEM_768), 'ML_KEM_768');
});

t.test('key lengths of suites', async (t) => {
  const aes128 = { id: Encr.AES_CBC, keyBits: 128 };
  const gcm256 = { id: Encr.AES_GCM_16, keyBits: 256 };
  t.same(ikeKeyLengths({ encryption: aes128, integrity: Integ.HMAC_SHA1_96, prf: Prf.HMAC_SHA1, dh: 2 }), {
    prf: 20,
    integrity: 20,
    encryption: 16,
    salt: 0,
  });
  t.same(ikeKeyLengths({ encryption: gcm256, integrity: 0, prf: Prf.HMAC_SHA2_384, dh: 20 }), {
    prf: 48,
    integrity: 0,
    encryption: 36,
    salt: 4,
  });
  t.same(espKeyLengths({ encryption: aes128, integrity: Integ.HMAC_SHA2_512_256, dh: 0, esn: false }), {
    integrity: 64,
    encryption: 16,
    salt: 0,
  });
});

t.test('unknown numbers are RangeErrors that name them', async (t) => {
  t.throws(() => encryptionTransform({ id: Encr.AES_CTR, keyBits: 128 }), /AES_CTR.*13.*128 key bits/);
  t.throws(() => integrityTransform(Integ.AES_XCBC_96), { name: 'RangeError', message: /AES_XCBC_96/ });
  t.throws(() => prfTransform(99), { name: 'RangeError', message: /99/ });
});

t.test('the weak ones are md5, sha1, 3des and DH 2, 5 and 22 to 24', async (t) => {
  const weak = (names: readonly (string | false)[]) => names.filter((name) => name !== false);
  t.same(weak(ENCRYPTION_TRANSFORMS.map((x) => isWeak({ kind: 'encryption', ...x }) && encryptionName(x))), [
    '3des',
  ]);
  t.same(weak(INTEGRITY_TRANSFORMS.map((x) => isWeak({ kind: 'integrity', id: x.id }) && x.hash)), [
    'sha1',
    'md5',
  ]);
  t.same(weak(PRF_TRANSFORMS.map((x) => isWeak({ kind: 'prf', id: x.id }) && x.hash)), ['sha1', 'md5']);
  t.same(weak(DH_TRANSFORMS.map((x) => isWeak({ kind: 'dh', id: x.id }) && dhName(x.id))), [
    'modp2048s256',
    'modp2048s224',
    'modp1536',
    'modp1024',
    'modp1024s160',
  ]);

  const tripleDes = { id: Encr.TRIPLE_DES, keyBits: 0 };
  const found = weakTransforms({
    encryption: tripleDes,
    integrity: Integ.HMAC_MD5_96,
    prf: Prf.HMAC_SHA1,
    dh: 2,
  });
  t.same(
    found.map((x) => x.kind),
    ['encryption', 'integrity', 'prf', 'dh'],
  );
  t.same(weakTransforms({ encryption: { id: Encr.AES_GCM_16, keyBits: 128 }, integrity: 0, dh: 0 }), []);
});
