import fc from 'fast-check';
import t from 'tap';
import { pskWeakness, weakPskMessage } from '../../src/crypto/psk-strength.js';
import { newPsk, PSK_BYTES } from '../../src/store/new-psk.js';
import { pskProblem } from '../../src/store/psk-rule.js';
import { utf8 } from '../../src/util/bytes.js';
import { SeededRandom } from '../helpers/seeded-random.js';

const ALLOWED = '-+&!@#$%^*(),.:_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

t.test('what people make up is weak, and it is said why', async (t) => {
  for (const [key, why] of [
    ['secret', 'is made of words'],
    ['correct-horse-battery', 'is made of words'],
    ['Correct-Horse-Battery', 'is made of words'],
    ['another-good-key', 'is made of words'],
    ['Winter2026!', 'is made of words'],
    ['Summer2026!Summer2026!', 'repeats itself'],
    ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'repeats itself'],
    ['0123456789012345678901234567890123456789', 'repeats itself'],
    ['abcdefghijklmnopqrstuvwxyz', 'is short or follows a pattern'],
    ['1111111122222222333333334444444455555555', 'has few different characters'],
    ['xK9#mQ2', 'is short or follows a pattern'],
  ] as const) {
    t.equal(pskWeakness(utf8(key)), why, key);
    t.notMatch(weakPskMessage(utf8(key)), key, 'the key is not in the message');
  }
});

t.test('what was made at random is not', async (t) => {
  for (const key of [
    'lkj14b1oi0alcniejkso',
    'acorn-birch-canyon-drift-ember-fable-ginger-harbor',
    '3f7a9c1e5b8d2046a1c3e5f708192b4d',
  ]) {
    t.equal(pskWeakness(utf8(key)), undefined, key);
  }
  t.equal(
    pskWeakness(Uint8Array.from([0, 200, 17, 3, 90, 250, 33, 128, 64, 77, 5, 19])),
    undefined,
    'octets',
  );
  const random = new SeededRandom(26);
  let weak = 0;
  for (let n = 0; n < 2000; n++) {
    const key = Array.from({ length: 20 }, () => ALLOWED[random.below(ALLOWED.length)]).join('');
    if (pskWeakness(utf8(key)) !== undefined) weak++;
  }
  t.equal(weak, 0, '2,000 keys of 20 permitted characters');
});

t.test('no key makes it fail, and a longer repetition is no stronger', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 128 }), (key) => {
      const message = weakPskMessage(key);
      return message === undefined || /^The pre-shared key [a-z ]+: /.test(message);
    }),
    { numRuns: 500 },
  );
  t.equal(pskWeakness(utf8('xK9#mQ2'.repeat(10))), 'repeats itself');
});

t.test('new keys', async (t) => {
  for (const bytes of [PSK_BYTES.min, 32, PSK_BYTES.max]) {
    const keys = new Set(Array.from({ length: 20 }, () => newPsk(bytes)));
    t.equal(keys.size, 20);
    for (const key of keys) {
      t.equal(pskProblem(key), undefined);
      t.equal(pskWeakness(utf8(key)), undefined);
    }
  }
  // Octets that make -…, 0x… and 0s… in base64url, then good ones.
  const bad = [`-${'a'.repeat(15)}`, `0x${'a'.repeat(14)}`, `0s${'a'.repeat(14)}`, 'a'.repeat(16)];
  const good = 'kQ7vX2mJ9wRt4zHc';
  const queue = [...bad, good].map((text) => Buffer.from(text, 'base64url'));
  t.equal(
    newPsk(12, () => queue.shift()!),
    good,
    'what other gateways or a shell misread is drawn again',
  );
});
