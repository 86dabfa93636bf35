import { spawnSync } from 'node:child_process';
import type { EspSuite } from '../../src/crypto/types.js';
import { espLine } from '../../src/telemetry/capture/wireshark-keys.js';
import { concat, writeU32 } from '../../src/util/bytes.js';

/** For tap's `skip` option: why tshark cannot be asked, or false. */
export function skipWithoutTshark(): string | false {
  return spawnSync('tshark', ['--version']).status === 0 ? false : 'tshark is not installed';
}

/** Arguments that let it decrypt ESP and verify the ICV. */
export const DECRYPT: readonly string[] = [
  ...['-o', 'esp.enable_encryption_decode:TRUE'],
  ...['-o', 'esp.enable_authentication_check:TRUE'],
];

/** ChaCha20-Poly1305 is none of those it decrypts. */
export function tsharkKnows(suite: EspSuite): boolean {
  const none = new Uint8Array(0);
  return espLine(suite, { family: 4, spi: 256, encryption: none, integrity: none }) !== undefined;
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
  const { line } = espLine(suite, { family, spi, encryption, integrity })!;
  return ['-o', `uat:esp_sa:${line}`];
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
