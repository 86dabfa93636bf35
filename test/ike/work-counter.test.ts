import '../helpers/work-counter.js';
import t from 'tap';
import { equalBytes } from '../../src/util/bytes.js';
import { Prf } from '../../src/wire/ike/registry.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import { countingBackend, stepsOf } from '../helpers/work-counter.js';

t.test('steps are those of loops too, and the same for the same work', async (t) => {
  const compare = (length: number) => () => void equalBytes(new Uint8Array(length), new Uint8Array(length));
  const short = stepsOf(compare(100));
  const long = stepsOf(compare(10_000));
  t.ok(short.total >= 100 && short.total < 300, `${short.total} steps for 100 octets`);
  t.ok(long.total >= 10_000 && long.total < 30_000, `${long.total} steps for 10,000 octets`);
  t.equal(stepsOf(compare(100)).total, short.total);
  t.match(long.places[0]?.[0], 'src/util/bytes.ts equalBytes');
  t.equal(stepsOf(() => {}).total, 0);
});

t.test('a counting backend counts calls and octets', async (t) => {
  const crypto = countingBackend(createToyBackend());
  crypto.prf(Prf.HMAC_SHA2_256).compute(new Uint8Array(32), new Uint8Array(10), new Uint8Array(20));
  const random = new SeededRandom(1);
  const [a, b] = [crypto.dh(14).generate(random), crypto.dh(14).generate(random)];
  t.equal(a.agree(b.publicValue).ok, true);
  t.match(crypto.work, { prf: 1, octets: 30, dhGenerate: 2, dhAgree: 1, cipher: 0, integrity: 0 });
  crypto.reset();
  t.match(crypto.work, { prf: 0, octets: 0, dhGenerate: 0 });
});
