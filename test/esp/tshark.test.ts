import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspSuite } from '../../src/crypto/types.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { concat, toHex, writeU32 } from '../../src/util/bytes.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { buildUdpPacket } from '../../src/wire/udp.js';
import {
  ESP_SUITES,
  espKeys,
  innerPacket,
  ip,
  must,
  rawKeys,
  seededRandom,
  suiteName,
} from '../helpers/esp.js';

const present = spawnSync('tshark', ['--version']).status === 0;
const skip = present ? false : 'tshark is not installed';
const crypto = createOpensslBackend();

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

const SUITES = ESP_SUITES.filter((suite) => CIPHER_NAMES.has(suite.encryption.id));

/** One SA as a line of Wireshark's table. */
function espSaLine(suite: EspSuite, spi: number, seed: string): string {
  const keys = rawKeys(suite, seed);
  const fields = [
    'IPv4',
    '*',
    '*',
    `0x${spi.toString(16)}`,
    CIPHER_NAMES.get(suite.encryption.id)!,
    `0x${toHex(keys.encryption)}`,
    MAC_NAMES.get(suite.integrity)!,
    keys.integrity.length === 0 ? '' : `0x${toHex(keys.integrity)}`,
  ];
  return fields.map((field) => `"${field}"`).join(',');
}

/** A capture file of raw IPv4 packets (libpcap 2.4, link type 101). */
function pcap(packets: readonly Uint8Array[]): Uint8Array {
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

t.test('tshark verifies the ICV and decrypts what its suites seal', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-esp-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const outer = { source: ip('192.0.2.1'), destination: ip('192.0.2.2') };
  const packets: Uint8Array[] = [];
  const arguments_ = [
    '-o',
    'esp.enable_encryption_decode:TRUE',
    '-o',
    'esp.enable_authentication_check:TRUE',
  ];
  for (const [i, suite] of SUITES.entries()) {
    const spi = 0x1000_0000 + i;
    const seed = `tshark ${i}`;
    const outbound = new OutboundSa({
      spi,
      suite,
      keys: espKeys(suite, seed),
      crypto,
      random: seededRandom(`IV of ${seed}`),
    });
    const inner = innerPacket(`10.1.0.${i + 1}`, '10.2.0.1', 101 + i);
    packets.push(buildUdpPacket(outer, 4500, 4500, must(outbound.seal(inner))));
    arguments_.push('-o', `uat:esp_sa:${espSaLine(suite, spi, seed)}`);
  }
  const file = join(folder, 'esp.pcap');
  writeFileSync(file, pcap(packets));
  const columns = [
    'esp.spi',
    'esp.sequence',
    'esp.icv_good',
    'ip.src',
    'udp.srcport',
    'ip.len',
    'udp.checksum.status',
  ];
  const output = execFileSync(
    'tshark',
    [
      '-r',
      file,
      '-o',
      'udp.check_checksum:TRUE',
      ...arguments_,
      '-T',
      'fields',
      '-E',
      'separator=;',
      ...columns.flatMap((c) => ['-e', c]),
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const lines = output.trimEnd().split('\n');
  t.equal(lines.length, SUITES.length);
  for (const [i, suite] of SUITES.entries()) {
    const [spi, sequence, good, sources, ports, lengths, checksums] = lines[i]!.split(';');
    t.equal(Number(spi), 0x1000_0000 + i);
    t.equal(sequence, '1');
    t.equal(good, '1', `${suiteName(suite)}: ICV`);
    t.equal(sources, `192.0.2.1,10.1.0.${i + 1}`, `${suiteName(suite)}: inner source`);
    t.equal(ports, '4500,4660');
    t.equal(lengths, `${packets[i]!.length},${101 + i}`);
    t.equal(checksums, '1,1', 'both UDP checksums hold');
  }
});
