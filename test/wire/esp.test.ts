import t from 'tap';
import { concat, fromHex } from '../../src/util/bytes.js';
import {
  classifyPort4500,
  NON_ESP_MARKER,
  natKeepalive,
  readEspHeader,
  withNonEspMarker,
} from '../../src/wire/esp.js';
import { readVectorLines, skipWithoutVectors } from '../helpers/vectors.js';

t.test('what a datagram on port 4500 is (RFC 3948 §2)', async (t) => {
  const cases: [string, ReturnType<typeof classifyPort4500>][] = [
    ['', 'runt'],
    ['ff', 'keepalive'],
    ['00', 'runt'],
    ['fe', 'runt'],
    ['ffff', 'runt'],
    ['000000', 'runt'],
    ['00000000', 'ike'],
    ['0000000001', 'ike'],
    ['00000001', 'runt'],
    ['c1a2b3c4000000', 'runt'],
    ['c1a2b3c400000001', 'esp'],
    ['0000000100000001', 'esp'],
    ['ffffffffffffffff', 'esp'],
  ];
  for (const [hex, kind] of cases) t.equal(classifyPort4500(fromHex(hex)), kind, hex || 'empty');
  const arena = fromHex('aaaa ff 00000000 11');
  t.equal(classifyPort4500(arena, 2, 1), 'keepalive', 'inside a larger buffer');
  t.equal(classifyPort4500(arena, 3, 5), 'ike');
  t.equal(classifyPort4500(arena, 3, 3), 'runt');
  t.equal(classifyPort4500(natKeepalive()), 'keepalive');
  t.equal(classifyPort4500(withNonEspMarker(fromHex('01'))), 'ike');
  t.same(withNonEspMarker(fromHex('01')), concat(NON_ESP_MARKER, fromHex('01')));
});

t.test('the ESP header', async (t) => {
  t.same(readEspHeader(fromHex('c1a2b3c4fffffffe00')), { spi: 0xc1a2b3c4, sequence: 0xfffffffe });
  t.same(readEspHeader(fromHex('00c1a2b3c400000001'), 1), { spi: 0xc1a2b3c4, sequence: 1 });
  t.equal(readEspHeader(fromHex('c1a2b3c4000000')), undefined);
  t.equal(readEspHeader(fromHex('c1a2b3c400000001'), 0, 9), undefined, 'beyond the buffer');
});

t.test('recorded NAT traversal traffic', { skip: skipWithoutVectors }, async (t) => {
  const seen = new Map<string, number>();
  for (const file of ['openswan-natt-4500', 'ncp-ikev2-natt', 'vowifi-epdg-ikev2', 'strongswan-ikev1-natt']) {
    const lines = readVectorLines<{ kind: string; hex: string; sport?: number; dport?: number }>(
      `vendors/${file}.jsonl`,
    );
    for (const { kind, hex, sport, dport } of lines) {
      if (sport !== 4500 && dport !== 4500) continue;
      const found = classifyPort4500(fromHex(hex));
      seen.set(`${kind} ${found}`, (seen.get(`${kind} ${found}`) ?? 0) + 1);
    }
  }
  t.same(Object.fromEntries(seen), { 'ike-natt ike': 186, 'esp-in-udp esp': 40, 'keepalive keepalive': 1 });
});
