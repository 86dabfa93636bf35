import { ENCRYPTION_TRANSFORMS, HASH_LENGTHS, INTEGRITY_TRANSFORMS } from '../../../crypto/transforms.js';
import type { EspKeys, EspSuite, HashName } from '../../../crypto/types.js';
import { equalBytes, fromHex } from '../../../util/bytes.js';
import { SecretKey } from '../../../util/secret.js';
import { Encr, Integ } from '../../../wire/ike/registry.js';
import { type Arena, type Region, rxPacket, txPacket, Vaulted } from '../memory/arena.js';
import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG } from './aead-calls.js';
import { CallList } from './call-list.js';
import { cipherContext, evpCipherName } from './evp.js';
import type { Openssl } from './openssl.js';
import type { PacketCrypto } from './packet-crypto.js';
import type { MacMaker } from './packet-mac.js';

/**
 * Known answers for every algorithm, checked at start through the very calls that packets take. Key octets
 * are 01 02 03…, IV or nonce 40 41…, AAD 20…27, plaintext and message 80…9f; AEAD answers end in the tag.
 */
const CIPHER_ANSWERS: Readonly<Record<string, string>> = {
  'AES-128-CBC': '44aacab8e214c38c5038d7811b6acbfed06b08dc742abc5209133cb35112ebf9',
  'AES-192-CBC': '073c54f591a30dd8c5a44569982105e73a6516ef06ef2513bb6d27ef58713bcd',
  'AES-256-CBC': 'ceaec9278863920d1cbd6539d032b10e6b223de082e6e99114cb53109677084c',
  'DES-EDE3-CBC': 'd0225282d7b007cb314b0982037d8acbdcb1b6178d563d75562456d9246da8ea',
  'id-aes128-GCM':
    '756dd86ca011d61beb93edf1c1a782fcd8a40c5a07b40358123392eae2e2042e53aa5e5b849c20031bae8da1617e1b9e',
  'id-aes192-GCM':
    'd824ce9e322200886b3f884760f8e941b07267e811ef25a1547d972dfc48365b18ab3ea12f26e19578b9c2c5fc14b6ce',
  'id-aes256-GCM':
    '5a155ef2ebca8a193414e82e98fb968c28e8a3c3a0a72e0fb967eb665348110db2afd49ba11dc52d214a6dc79462b7a5',
  'ChaCha20-Poly1305':
    '475ce731ecdc950d4f0b26e14c48709587e0531066f4a0c41c6ea76f6956995b9699286dd7348a1a815139a59d39dd6d',
};

const HMAC_ANSWERS: Readonly<Record<HashName, string>> = {
  md5: '7d0390c463fb69ee5b0ee825bc090fba',
  sha1: '661ece93beb4024ab94d9c53721459f3cfbc227e',
  sha256: 'fd76210454674869e4fc3d636d1e16e5a42386f706bb8b4fbcb6437d53acb4f8',
  sha384: 'b5950ce1738f6f2cfe5fa7c52cf46aa84039dc73eb4b4080f629fbf290d539f496ed33a6fc28270a41b97ce91a898f60',
  sha512:
    '80c261d81f8fe8df39c171a7fa65b717b1786e1e4677fc51132997483208b3147919adff3c1ba4df8a3fdf5ebf438a93dc2dec81ea9bd9bfeed447ebdc00b674',
};

const TEXT = 32;
const TAG = 16;
const AAD = 8;

/** What passed. */
export interface SelfTestResult {
  readonly failed: readonly string[];
  /** Whether cipher and MAC of the suite passed. */
  holds(suite: EspSuite): boolean;
}

/** Runs all known answers. The arena must not be in use. */
export function runSelfTest(openssl: Openssl, arena: Arena, macs: MacMaker): SelfTestResult {
  const passed = new Set<string>();
  const failed: string[] = [];
  const note = (name: string, test: () => boolean): void => {
    let good = false;
    try {
      good = test();
    } catch {
      // OpenSSL lacks or refuses it: the fallback may have it.
    }
    openssl.ERR_clear_error();
    if (good) passed.add(name);
    else failed.push(name);
  };
  for (const { id, keyBits, keyLength, aead } of ENCRYPTION_TRANSFORMS) {
    const name = evpCipherName(id, keyBits) ?? `cipher ${id}`;
    note(name, () => testCipher(openssl, arena, name, keyLength, aead));
  }
  for (const { hash } of INTEGRITY_TRANSFORMS) note(hash, () => macHolds(arena, macs, hash));
  arena.vault.bytes.fill(0, Vaulted.keys, Vaulted.keys + 128);
  return {
    failed,
    holds(suite) {
      const name = evpCipherName(suite.encryption.id, suite.encryption.keyBits);
      const mac = INTEGRITY_TRANSFORMS.find((transform) => transform.id === suite.integrity);
      return (
        name !== undefined &&
        passed.has(name) &&
        (suite.integrity === 0 || (mac !== undefined && passed.has(mac.hash)))
      );
    },
  };
}

function count({ bytes }: Region, at: number, length: number, from: number): void {
  for (let i = 0; i < length; i++) bytes[at + i] = from + i;
}

function answerIs(arena: Arena, at: number, hex: string): boolean {
  const wanted = fromHex(hex);
  return equalBytes(arena.bytes.slice(at, at + wanted.length), wanted);
}

/** Both directions, twice on the same contexts, and a changed tag that must be refused. */
function testCipher(openssl: Openssl, arena: Arena, name: string, keyLength: number, aead: boolean): boolean {
  const wanted = CIPHER_ANSWERS[name];
  if (wanted === undefined) return false;
  count(arena.vault, Vaulted.keys, keyLength, 1);
  const encrypt = cipherContext(openssl, arena, name, Vaulted.keys, 1);
  const decrypt = cipherContext(openssl, arena, name, Vaulted.keys, 0);
  const plain = rxPacket(0);
  const sealed = txPacket(0);
  const opened = rxPacket(1);
  const sealing = { from: plain, to: sealed, tag: aead ? 'get' : undefined } as const;
  const opening = { from: sealed, to: opened, tag: aead ? 'set' : undefined } as const;
  try {
    for (let round = 0; round < 2; round++) {
      count(arena, plain, TEXT, 0x80);
      arena.bytes.fill(0, sealed, sealed + TEXT + TAG);
      if (!crypt(openssl, arena, encrypt, sealing)) return false;
      if (!answerIs(arena, sealed, wanted)) return false;
      if (!crypt(openssl, arena, decrypt, opening)) return false;
      for (let i = 0; i < TEXT; i++) if (arena.bytes[opened + i] !== 0x80 + i) return false;
      if (!aead) continue;
      arena.bytes[sealed + TEXT] = arena.bytes[sealed + TEXT]! ^ 1;
      if (crypt(openssl, arena, decrypt, opening)) return false;
    }
    return true;
  } finally {
    openssl.EVP_CIPHER_CTX_free(encrypt);
    openssl.EVP_CIPHER_CTX_free(decrypt);
  }
}

/** One message through `context`; `tag`: what an AEAD cipher does with the tag after the text. */
function crypt(
  openssl: Openssl,
  arena: Arena,
  context: number,
  { from, to, tag }: { readonly from: number; readonly to: number; readonly tag: 'get' | 'set' | undefined },
): boolean {
  const { base } = arena;
  const outLength = arena.vault.base + Vaulted.outLength;
  const aadAt = rxPacket(2);
  count(arena.vault, Vaulted.nonce, 16, 0x40);
  count(arena, aadAt, AAD, 0x20);
  if (openssl.EVP_CipherInit_ex(context, 0, 0, 0, arena.vault.base + Vaulted.nonce, -1) !== 1) return false;
  if (
    tag === 'set' &&
    openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG, base + from + TEXT) !== 1
  )
    return false;
  if (tag !== undefined && openssl.EVP_CipherUpdate(context, 0, outLength, base + aadAt, AAD) !== 1)
    return false;
  if (openssl.EVP_CipherUpdate(context, base + to, outLength, base + from, TEXT) !== 1) return false;
  if (openssl.EVP_CipherFinal_ex(context, base + to + TEXT, outLength) !== 1) return false;
  return (
    tag !== 'get' || openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG, base + to + TEXT) === 1
  );
}

/** Whether two messages in a row get the known code of this hash. */
export function macHolds(arena: Arena, macs: MacMaker, hash: HashName): boolean {
  const keyLength = HASH_LENGTHS[hash].digest;
  count(arena.vault, Vaulted.keys, keyLength, 1);
  count(arena, rxPacket(0), TEXT, 0x80);
  const mac = macs.make(hash, Vaulted.keys, keyLength);
  const list = new CallList(arena, Vaulted.sealCalls);
  mac.prepare(list, 0);
  mac.aim(list, 0, rxPacket(0), TEXT, rxPacket(1));
  try {
    for (let round = 0; round < 2; round++) {
      arena.bytes.fill(0, rxPacket(1), rxPacket(1) + 64);
      if (list.run(mac.calls) !== mac.calls) return false;
      if (!answerIs(arena, rxPacket(1), HMAC_ANSWERS[hash])) return false;
    }
    return true;
  } finally {
    mac.free();
  }
}

/** Sizes around the blocks of AES and around what fast code takes at once. */
const GCM_SIZES = [20, 28, 29, 30, 31, 127, 288, 1023, 1438, 9000];

/**
 * Whether `ours` makes the same packets of AES-GCM as `theirs`, reads them, and refuses them when a bit is
 * changed, with all key lengths. The arena must not be in use.
 */
export function sealAlike(arena: Arena, ours: PacketCrypto, theirs: PacketCrypto): boolean {
  const { bytes } = arena;
  const plain = rxPacket(0) + 64;
  const [a, b, opened] = [txPacket(0), txPacket(1), rxPacket(1)];
  for (const { id, keyBits, keyLength } of ENCRYPTION_TRANSFORMS) {
    if (id !== Encr.AES_GCM_16) continue;
    const suite = { encryption: { id, keyBits }, integrity: 0, dh: 0, esn: false };
    const keys = (): EspKeys => ({
      encryption: new SecretKey(Uint8Array.from({ length: keyLength + 4 }, (_, i) => i)),
    });
    const sealers = [ours.sealer(suite, 257, keys()), theirs.sealer(suite, 257, keys())] as const;
    const opener = ours.opener(suite, keys());
    try {
      for (const [i, size] of GCM_SIZES.entries()) {
        count(arena, plain, size, i);
        const length = sealers[0].seal(plain, size, 4, i + 1, a);
        if (sealers[1].seal(plain, size, 4, i + 1, b) !== length) return false;
        if (!equalBytes(bytes.slice(a, a + length), bytes.slice(b, b + length))) return false;
        if (opener.open(a, length, opened) < size) return false;
        if (!equalBytes(bytes.slice(opened, opened + size), bytes.slice(plain, plain + size))) return false;
        bytes[a + (i % length)] = bytes[a + (i % length)]! ^ 0x80;
        if (opener.open(a, length, opened) !== -1) return false;
      }
    } finally {
      for (const sealer of sealers) sealer.free();
      opener.free();
    }
  }
  return true;
}

/**
 * Whether AES-CBC packets of unequal sizes, sealed in batches of one to ten, are what `crypto` itself opens, one
 * by one and by other means. The arena must not be in use.
 */
export function sealsBatches(arena: Arena, crypto: PacketCrypto): boolean {
  const { bytes } = arena;
  const plain = rxPacket(0) + 64;
  const opened = rxPacket(1) + 64;
  const MAC_KEY = 20;
  for (const { id, keyBits, keyLength } of ENCRYPTION_TRANSFORMS) {
    if (id !== Encr.AES_CBC) continue;
    const suite = { encryption: { id, keyBits }, integrity: Integ.HMAC_SHA1_96, dh: 0, esn: false };
    const numbers = (length: number): SecretKey => new SecretKey(Uint8Array.from({ length }, (_, i) => i));
    const keys = (): EspKeys => ({ encryption: numbers(keyLength), integrity: numbers(MAC_KEY) });
    const sealer = crypto.sealer(suite, 257, keys());
    const opener = crypto.opener(suite, keys());
    try {
      for (let batch = 1; batch <= 10; batch++) {
        const size = (i: number): number => 20 + ((i * batch * 37) % 1500);
        const lengths: number[] = [];
        // One right after the other, as in a run.
        let at = txPacket(0);
        for (let i = 0; i < batch; i++) {
          count(arena, plain, size(i), i);
          lengths.push(sealer.seal(plain, size(i), 4, i + 1, at));
          at += lengths[i]!;
        }
        sealer.complete();
        at = txPacket(0);
        for (const [i, length] of lengths.entries()) {
          if (opener.open(at, length, opened) < size(i)) return false;
          for (let k = 0; k < size(i); k++) if (bytes[opened + k] !== ((i + k) & 0xff)) return false;
          at += length;
        }
      }
    } finally {
      sealer.free();
      opener.free();
    }
  }
  return true;
}
