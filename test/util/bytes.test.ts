import { inspect } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  compareBytes,
  concat,
  copyOf,
  equalBytes,
  fromHex,
  fromUtf8,
  readU16,
  readU32,
  toHex,
  utf8,
  writeU16,
  writeU32,
} from '../../src/util/bytes.js';
import { SecretKey, secretsIn, wipeSecrets } from '../../src/util/secret.js';

const octets = fc.uint8Array({ maxLength: 40 });

t.test('hexadecimal', async (t) => {
  fc.assert(fc.property(octets, (bytes) => equalBytes(fromHex(toHex(bytes)), bytes)));
  t.same(fromHex('c0 00\n02 01'), Uint8Array.of(192, 0, 2, 1));
  t.throws(() => fromHex('abc'), RangeError);
  t.throws(() => fromHex('zz'), RangeError);
});

t.test('numbers in network order', async (t) => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat({ max: 0xffffffff }), (word, long) => {
      const bytes = new Uint8Array(6);
      writeU16(bytes, 0, word);
      writeU32(bytes, 2, long);
      return readU16(bytes, 0) === word && readU32(bytes, 2) === long;
    }),
  );
  t.equal(readU32(fromHex('ffffffff'), 0), 4294967295, 'unsigned');
});

t.test('order and equality', async (t) => {
  t.equal(compareBytes(fromHex('01'), fromHex('0100')), -1, 'a prefix comes first');
  t.equal(compareBytes(fromHex('80'), fromHex('7f')), 1, 'octets are unsigned');
  fc.assert(fc.property(octets, octets, (a, b) => (compareBytes(a, b) === 0) === equalBytes(a, b)));
  fc.assert(fc.property(octets, octets, (a, b) => toHex(concat(a, b)) === toHex(a) + toHex(b)));
  const original = fromHex('0102');
  const copy = copyOf(original.subarray(1));
  original[1] = 9;
  t.same(copy, fromHex('02'), 'a copy does not follow its source');
  t.equal(fromUtf8(utf8('gärtner')), 'gärtner');
});

t.test('a secret shows nothing of itself', async (t) => {
  const secret = new SecretKey(utf8('correct-horse-battery'));
  const faces = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ a: { secret } }),
  ];
  for (const face of faces) {
    t.notMatch(face, /correct|horse|99, ?111/, 'no octet is visible');
    t.match(face, /\[secret, 21 bytes\]/);
  }
  t.same(Object.keys(secret), [], 'nor in enumerable fields');
});

t.test('secrets are found and wiped wherever a plain value has them', async (t) => {
  const [a, b, c, d] = [1, 2, 3, 4].map((octet) => new SecretKey(Uint8Array.of(octet))) as [
    SecretKey,
    SecretKey,
    SecretKey,
    SecretKey,
  ];
  const value = {
    a,
    list: [{ b }, undefined, 'text', 7, Uint8Array.of(9)],
    map: new Map([['c', c]]),
    none: null,
  };
  t.strictSame(secretsIn(value), [a, b, c]);
  wipeSecrets(value);
  wipeSecrets(value);
  t.strictSame(
    [a, b, c, d].map(({ wiped }) => wiped),
    [true, true, true, false],
  );
  t.strictSame(value.list[4], Uint8Array.of(9), 'octets that are no key stay');
});

t.test('a wiped secret is gone', async (t) => {
  const bytes = utf8('abcdef');
  const secret = new SecretKey(bytes);
  const twin = secret.clone();
  secret.wipe();
  secret.wipe();
  t.same(bytes, new Uint8Array(6), 'the octets themselves are overwritten');
  t.throws(() => secret.expose(), /wiped/);
  t.equal(secret.wiped, true);
  t.equal(secret.length, 6);
  t.same(twin.expose(), utf8('abcdef'), 'a clone has a life of its own');
});
