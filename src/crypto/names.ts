import { Dh, Encr, Integ, nameOf, Prf } from '../wire/ike/registry.js';
import type { CipherId, HashName } from './types.js';

/**
 * The names operators use, as in the configuration file and the API, to transform numbers and back. The
 * first name of a number is the one shown; the others are understood as well.
 */
interface Named<T> {
  readonly names: readonly string[];
  readonly value: T;
}

const CIPHERS: readonly Named<CipherId>[] = [
  { names: ['aes256'], value: { id: Encr.AES_CBC, keyBits: 256 } },
  { names: ['aes192'], value: { id: Encr.AES_CBC, keyBits: 192 } },
  { names: ['aes128', 'aes'], value: { id: Encr.AES_CBC, keyBits: 128 } },
  { names: ['3des', 'triple_des'], value: { id: Encr.TRIPLE_DES, keyBits: 0 } },
  { names: ['aes256gcm16', 'aes256gcm'], value: { id: Encr.AES_GCM_16, keyBits: 256 } },
  { names: ['aes192gcm16', 'aes192gcm'], value: { id: Encr.AES_GCM_16, keyBits: 192 } },
  { names: ['aes128gcm16', 'aes128gcm'], value: { id: Encr.AES_GCM_16, keyBits: 128 } },
  { names: ['chacha20poly1305'], value: { id: Encr.CHACHA20_POLY1305, keyBits: 0 } },
];

const HASHES: readonly { readonly hash: HashName; readonly integrity: number; readonly prf: number }[] = [
  { hash: 'md5', integrity: Integ.HMAC_MD5_96, prf: Prf.HMAC_MD5 },
  { hash: 'sha1', integrity: Integ.HMAC_SHA1_96, prf: Prf.HMAC_SHA1 },
  { hash: 'sha256', integrity: Integ.HMAC_SHA2_256_128, prf: Prf.HMAC_SHA2_256 },
  { hash: 'sha384', integrity: Integ.HMAC_SHA2_384_192, prf: Prf.HMAC_SHA2_384 },
  { hash: 'sha512', integrity: Integ.HMAC_SHA2_512_256, prf: Prf.HMAC_SHA2_512 },
];

const GROUPS: readonly Named<number>[] = [
  { names: ['modp1024'], value: Dh.MODP_1024 },
  { names: ['modp1536'], value: Dh.MODP_1536 },
  { names: ['modp2048'], value: Dh.MODP_2048 },
  { names: ['modp3072'], value: Dh.MODP_3072 },
  { names: ['modp4096'], value: Dh.MODP_4096 },
  { names: ['modp6144'], value: Dh.MODP_6144 },
  { names: ['modp8192'], value: Dh.MODP_8192 },
  { names: ['modp1024s160'], value: Dh.MODP_1024_160 },
  { names: ['modp2048s224'], value: Dh.MODP_2048_224 },
  { names: ['modp2048s256'], value: Dh.MODP_2048_256 },
  { names: ['ecp256'], value: Dh.ECP_256 },
  { names: ['ecp384'], value: Dh.ECP_384 },
  { names: ['ecp521'], value: Dh.ECP_521 },
  { names: ['curve25519', 'x25519'], value: Dh.CURVE25519 },
];

const KEMS: readonly Named<number>[] = [
  { names: ['ml_kem_512', 'mlkem512'], value: Dh.ML_KEM_512 },
  { names: ['ml_kem_768', 'mlkem768'], value: Dh.ML_KEM_768 },
  { names: ['ml_kem_1024', 'mlkem1024'], value: Dh.ML_KEM_1024 },
];

const cipherByName = byName(CIPHERS);
const kemByName = byName(KEMS);
const groupByName = byName(GROUPS);

/** The cipher an operator means, for example `aes128`, `3des`, `aes256gcm16`; undefined for other words. */
export function encryptionFromName(name: string): CipherId | undefined {
  return cipherByName.get(name.toLowerCase());
}

/** `aes128`, `3des` and so on; the registry's name for a cipher that has none here. */
export function encryptionName(cipher: CipherId): string {
  const found = CIPHERS.find((x) => x.value.id === cipher.id && x.value.keyBits === cipher.keyBits);
  if (found !== undefined) return found.names[0]!;
  return cipher.keyBits === 0 ? nameOf('encr', cipher.id) : `${nameOf('encr', cipher.id)}/${cipher.keyBits}`;
}

/** The transform number of the MAC over this hash (`md5`, `sha1`, `sha256`, `sha384`, `sha512`). */
export function integrityFromName(name: string): number | undefined {
  return HASHES.find((x) => x.hash === name.toLowerCase())?.integrity;
}

/** The hash of a MAC, `none` for 0 (AEAD), else the registry's name. */
export function integrityName(id: number): string {
  if (id === Integ.NONE) return 'none';
  return HASHES.find((x) => x.integrity === id)?.hash ?? nameOf('integ', id);
}

/** The transform number of the PRF over this hash; `prfsha256` and `sha256` are the same. */
export function prfFromName(name: string): number | undefined {
  const hash = name.toLowerCase().replace(/^prf/, '');
  return HASHES.find((x) => x.hash === hash)?.prf;
}

/** The hash of a PRF, else the registry's name. */
export function prfName(id: number): string {
  return HASHES.find((x) => x.prf === id)?.hash ?? nameOf('prf', id);
}

/** The group an operator means: `14`, `group_14`, `modp2048`, `ecp256`, `x25519`. Not `disabled`: see the policy. */
export function dhFromName(name: string): number | undefined {
  const word = name.toLowerCase();
  const digits = /^(?:group[_-]?)?([1-9][0-9]?)$/.exec(word)?.[1];
  if (digits === undefined) return groupByName.get(word);
  return GROUPS.find((x) => x.value === Number(digits))?.value;
}

/** The method of an additional key exchange that an operator means: `ml_kem_768`, or a group by `dhFromName`. */
export function keyExchangeFromName(name: string): number | undefined {
  return kemByName.get(name.toLowerCase()) ?? dhFromName(name);
}

/** `ml_kem_768`; a group as `dhName` has it. */
export function keyExchangeName(id: number): string {
  return KEMS.find((x) => x.value === id)?.names[0] ?? dhName(id);
}

/** `modp2048`, `ecp256`, `curve25519`; `none` for 0, else the registry's name. */
export function dhName(id: number): string {
  if (id === Dh.NONE) return 'none';
  return GROUPS.find((x) => x.value === id)?.names[0] ?? nameOf('dh', id);
}

function byName<T>(table: readonly Named<T>[]): ReadonlyMap<string, T> {
  return new Map(table.flatMap((x) => x.names.map((name) => [name, x.value] as const)));
}
