import t from 'tap';
import { DEFAULT_OFFLOAD, NO_OFFLOAD, needsVirtioHeader, parseOffload } from '../../src/dataplane/offload.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { err, ok } from '../../src/util/result.js';

t.test('offloads by list', async (t) => {
  t.same(parseOffload('all'), ok(DEFAULT_OFFLOAD));
  t.same(parseOffload('none'), ok(NO_OFFLOAD));
  t.same(parseOffload('tso, gro'), ok({ ...NO_OFFLOAD, tso: true, gro: true }));
  t.same(parseOffload('tso,lro'), err('lro'));
  t.same(parseOffload(''), err(''));
  t.same(parseOffload('constructor'), err('constructor'));
});

t.test('what brings the virtio-net header', async (t) => {
  t.equal(needsVirtioHeader(NO_OFFLOAD), false);
  for (const name of ['tso', 'uso', 'coalesce'] as const) {
    t.equal(needsVirtioHeader({ ...NO_OFFLOAD, [name]: true }), true, name);
  }
  t.equal(needsVirtioHeader({ ...NO_OFFLOAD, segment: true, gro: true }), false);
});

t.test('offloads and MSS in the configuration file', async (t) => {
  const file = (gateway: string) =>
    readGatewayFile(`gateway: { name: a, address: 192.0.2.1${gateway} }\nconnections: []\n`, 'test.yaml');
  const plain = file('');
  t.ok(plain.ok && plain.value.gateway.offload === undefined && plain.value.gateway.mss === undefined);
  const set = file(', offload: { tso: false, uso: true }, mss: 1200');
  t.same(set.ok && set.value.gateway.offload, { tso: false, uso: true });
  t.equal(set.ok && set.value.gateway.mss, 1200);
  const wrong = file(', offload: { tsso: true }, mss: 100');
  t.notOk(wrong.ok);
  t.match(wrong.ok ? [] : wrong.error.map(({ path }) => path), [/offload/, /mss/]);
});
