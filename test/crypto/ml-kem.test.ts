import { createHash } from 'node:crypto';
import t from 'tap';
import { portableMlKem } from '../../src/crypto/backends/portable/ml-kem.js';
import { ML_KEM_SETS, type MlKemSet } from '../../src/crypto/kem/ml-kem-sets.js';
import { fromHex, toHex } from '../../src/util/bytes.js';
import { Dh, nameOf } from '../../src/wire/ike/registry.js';
import { backends, seededRandom } from '../helpers/crypto.js';
import { must } from '../helpers/results.js';
import { readFixture } from '../helpers/vectors.js';

interface Accumulated {
  readonly rounds: number;
  readonly digests: Readonly<Record<string, string>>;
}

const ACCUMULATED = readFixture<Accumulated>('crypto/ml-kem-accumulated.json');

/** One case of NIST's; octets in hexadecimal. */
interface AcvpCase {
  readonly set: string;
  readonly ek: string;
  /** The decapsulation key is `secret | ek | tail`. */
  readonly secret: string;
  readonly tail: string;
  readonly m: string;
  readonly c: string;
  readonly k: string;
}

const ACVP = readFixture<{ readonly cases: readonly AcvpCase[] }>('crypto/ml-kem-acvp.json');

for (const { set: name, ek, secret, tail, m, c, k } of ACVP.cases) {
  t.test(`${name}: a case of NIST's`, async (t) => {
    const kem = portableMlKem(ML_KEM_SETS.find(({ id }) => nameOf('dh', id) === name)!);
    const { ciphertext, shared } = kem.encapsulate(fromHex(ek), fromHex(m));
    t.equal(toHex(ciphertext), c.toLowerCase());
    t.equal(toHex(shared), k.toLowerCase());
    t.equal(toHex(kem.decapsulate(fromHex(c), fromHex(secret + ek + tail))), k.toLowerCase());
  });
}

/** SHAKE128 of nothing is the source of all that a case needs; SHAKE128 of all that comes of it is the result. */
function accumulated(set: MlKemSet, rounds: number): string {
  const kem = portableMlKem(set);
  const length = 64 + 32 + set.ciphertextLength;
  const stream = createHash('shake128', { outputLength: rounds * length }).digest();
  const out = createHash('shake128', { outputLength: 32 });
  for (let round = 0; round < rounds; round++) {
    const octets = Uint8Array.from(stream.subarray(round * length, (round + 1) * length));
    const { encapsulationKey, decapsulationKey } = kem.keyPair(octets.slice(0, 64));
    const { ciphertext, shared } = kem.encapsulate(encapsulationKey, octets.slice(64, 96));
    t.same(kem.decapsulate(ciphertext, decapsulationKey), shared);
    for (const part of [
      encapsulationKey,
      ciphertext,
      shared,
      kem.decapsulate(octets.slice(96), decapsulationKey),
    ]) {
      out.update(part);
    }
  }
  return out.digest('hex');
}

for (const set of ML_KEM_SETS) {
  const name = nameOf('dh', set.id);
  t.test(`${name}: keys, ciphertexts, secrets and rejections of a hundred cases`, async (t) => {
    t.equal(accumulated(set, ACCUMULATED.rounds), ACCUMULATED.digests[name]);
  });
  for (const backend of backends) {
    t.test(`${name} as a key exchange, by ${backend.name}`, async (t) => {
      const method = backend.keyExchange(set.id);
      t.ok(backend.supports({ kind: 'key_exchange', id: set.id }));
      t.notOk(backend.supports({ kind: 'dh', id: set.id }), 'it is no group of IKE_SA_INIT');
      const random = seededRandom(set.id);
      const begun = method.begin(random);
      t.equal(begun.publicValue.length, method.requestLength);
      const { publicValue, shared } = must(method.answer(random, begun.publicValue));
      t.equal(publicValue.length, method.answerLength);
      t.equal(shared.length, method.sharedLength);
      const seed = begun.exportPrivate();
      const restored = method.restore(seed).agree(publicValue);
      t.same(restored.ok && toHex(restored.value.expose()), toHex(shared.expose()), 'anywhere else too');
      const changed = publicValue.map((octet, at) => (at === 7 ? octet ^ 1 : octet));
      const other = begun.tryAgree(changed);
      t.ok(other.ok, 'what was changed is not refused');
      t.not(other.ok && toHex(other.value.expose()), toHex(shared.expose()), 'but gives another secret');
      const agreed = begun.agree(publicValue);
      t.same(agreed.ok && toHex(agreed.value.expose()), toHex(shared.expose()));
      t.throws(() => begun.agree(publicValue), /over/);
    });
    t.test(`${name}: what is refused, by ${backend.name}`, async (t) => {
      const method = backend.keyExchange(set.id);
      const random = seededRandom(set.id);
      const begun = method.begin(random);
      for (const length of [0, method.requestLength - 1, method.requestLength + 1]) {
        const refused = method.answer(random, new Uint8Array(length));
        t.match(refused, {
          ok: false,
          error: { code: 'bad_length', message: new RegExp(`${length} octets`) },
        });
      }
      for (const length of [0, method.answerLength - 1, method.answerLength + 1])
        t.match(begun.tryAgree(new Uint8Array(length)), { ok: false, error: { code: 'bad_length' } });
      // 3329, the modulus itself, as the first coefficient and as the last one (FIPS 203 §7.2).
      const first = begun.publicValue.slice();
      first[0] = 0x01;
      first[1] = (first[1]! & 0xf0) | 0x0d;
      const last = begun.publicValue.slice();
      const at = last.length - 32 - 2;
      last[at] = (last[at]! & 0x0f) | 0x10;
      last[at + 1] = 0xd0;
      for (const key of [first, last])
        t.match(method.answer(random, key), { ok: false, error: { code: 'out_of_modulus' } });
      // One less is in range.
      first[0] = 0x00;
      t.ok(method.answer(random, first).ok);
    });
  }
}

t.test('a group is a key exchange method, too', async (t) => {
  for (const backend of backends) {
    for (const id of [Dh.CURVE25519, Dh.ECP_384]) {
      const method = backend.keyExchange(id);
      const begun = method.begin(seededRandom(3));
      const { publicValue, shared } = must(method.answer(seededRandom(4), begun.publicValue));
      const agreed = begun.agree(publicValue);
      t.same(agreed.ok && toHex(agreed.value.expose()), toHex(shared.expose()));
      t.match(method.answer(seededRandom(4), new Uint8Array(5)), {
        ok: false,
        error: { code: 'bad_length' },
      });
    }
    t.throws(() => backend.keyExchange(12_345), RangeError);
  }
});
