import { spawnSync } from 'node:child_process';
import type { EspSuite } from '../../src/crypto/types.js';
import { concat, toHex, writeU32 } from '../../src/util/bytes.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';

/** For tap's `skip` option: why tshark cannot be asked, or false. */
export function skipWithoutTshark(): string | false {
  return spawnSync('tshark', ['--version']).status === 0 ? false : 'tshark is not installed';
}

/** Arguments that let it decrypt ESP and verify the ICV. */
export const DECRYPT: readonly string[] = [
  ...['-o', 'esp.enable_encryption_decode:TRUE'],
  ...['-o', 'esp.enable_authentication_check:TRUE'],
];

/** Wireshark's names in the table "esp_sa". It does not know ChaCha20-Poly1305 there. */
const CIPHER_NAMES = new Map<number, string>([
  [Encr.TRIPLE_DES, 'TripleDES-CBC [RFC2451]'],
  [Encr.AES_CBC, 'AES-CBC [RFC3602]'],
  [Encr.AES_GCM_16, 'AES-GCM with 16 octet ICV [RFC4106]'],
]);
const MAC_NAMES = new Map<number, string>([
  [Integ.NONE, 'NULL'],
  [Integ.HMAC_MD5_96, 'HMAC-MD5-96 [RFC2403]'],
  [Integ.HMAC_SHA1_96, 'HMAC-SHA-1-96 [RFC2404]'],
  [Integ.HMAC_SHA2_256_128, 'HMAC-SHA-256-128 [RFC4868]'],
  [Integ.HMAC_SHA2_384_192, 'HMAC-SHA-384-192 [RFC4868]'],
  [Integ.HMAC_SHA2_512_256, 'HMAC-SHA-512-256 [RFC4868]'],
]);

export function tsharkKnows(suite: EspSuite): boolean {
  return CIPHER_NAMES.has(suite.encryption.id);
}

export interface TsharkSa {
  /** Of the outer addresses. */
  readonly family: 4 | 6;
  readonly suite: EspSuite;
  readonly spi: number;
  /** With the salt behind it, where the suite has one. */
  readonly encryption: Uint8Array;
  /** Empty where the cipher authenticates by itself. */
  readonly integrity: Uint8Array;
}

/** Arguments that give it the keys of one SA. */
export function espSa({ family, suite, spi, encryption, integrity }: TsharkSa): string[] {
  const fields = [
    ...[`IPv${family}`, '*', '*', `0x${spi.toString(16)}`],
    ...[CIPHER_NAMES.get(suite.encryption.id)!, `0x${toHex(encryption)}`],
    ...[MAC_NAMES.get(suite.integrity)!, integrity.length === 0 ? '' : `0x${toHex(integrity)}`],
  ];
  return ['-o', `uat:esp_sa:${fields.map((field) => `"${field}"`).join(',')}`];
}

/** A capture file of raw IP packets, a second apart (libpcap 2.4, link type 101). */
export function pcap(packets: readonly Uint8Array[]): Uint8Array {
  const header = new Uint8Array(24);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0xa1b2c3d4);
  view.setUint16(4, 2);
  view.setUint16(6, 4);
  view.setUint32(16, 65535);
  view.setUint32(20, 101);
  const records = packets.map((packet, i) => {
    const record = new Uint8Array(16);
    writeU32(record, 0, 1_700_000_000 + i);
    writeU32(record, 8, packet.length);
    writeU32(record, 12, packet.length);
    return concat(record, packet);
  });
  return concat(header, ...records);
}
