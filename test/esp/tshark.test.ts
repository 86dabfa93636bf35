import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { ESP_SUITES, espKeys, innerPacket, ip, rawKeys, seededRandom, suiteName } from '../helpers/esp.js';
import { must } from '../helpers/results.js';
import { DECRYPT, espSa, pcap, skipWithoutTshark, tsharkKnows } from '../helpers/tshark.js';
import { buildUdpPacket } from '../helpers/whole-packets.js';

const skip = skipWithoutTshark();
const crypto = createOpensslBackend();

const TERMS = [0, 7, 0xfffffffe];

const SUITES = ESP_SUITES.filter((suite) => tsharkKnows(suite));

t.test('tshark verifies the ICV and decrypts what its suites seal', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-esp-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const outer = { source: ip('192.0.2.1'), destination: ip('192.0.2.2') };
  const packets: Uint8Array[] = [];
  const arguments_ = [...DECRYPT];
  for (const [i, suite] of SUITES.entries()) {
    const spi = 0x1000_0000 + i;
    const seed = `tshark ${i}`;
    const outbound = new OutboundSa({
      spi,
      suite,
      keys: espKeys(suite, seed),
      crypto,
      random: seededRandom(`IV of ${seed}`),
      // The receiver takes any IV (RFC 4106 §3.1).
      term: TERMS[i % TERMS.length]!,
    });
    const inner = innerPacket(`10.1.0.${i + 1}`, '10.2.0.1', 101 + i);
    packets.push(buildUdpPacket(outer, 4500, 4500, must(outbound.seal(inner))));
    arguments_.push(...espSa({ family: 4, suite, spi, ...rawKeys(suite, seed) }));
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
