import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import {
  modpArithmetic,
  modpObject,
  modpObjectHalf,
  usesKeyObjects,
} from '../../src/crypto/backends/openssl/dh-modp.js';
import { modpKeyHalf } from '../../src/crypto/backends/openssl/dh-modp-key.js';
import { ECP_GROUPS } from '../../src/crypto/dh/ecp-groups.js';
import { type DhArithmetic, startExchange } from '../../src/crypto/dh/exchange.js';
import { MODP_GROUPS } from '../../src/crypto/dh/modp-groups.js';
import { drawEcpPrivate, drawModpPrivate } from '../../src/crypto/dh/private-value.js';
import { SUBGROUP_GROUPS } from '../../src/crypto/dh/subgroup-groups.js';
import { DH_TRANSFORMS } from '../../src/crypto/transforms.js';
import type { DhError } from '../../src/crypto/types.js';
import { concat, fromHex, toHex } from '../../src/util/bytes.js';
import type { Result } from '../../src/util/result.js';
import { Dh } from '../../src/wire/ike/registry.js';
import {
  backends,
  exchangeWith,
  openssl,
  portable,
  scriptedRandom,
  seededRandom,
} from '../helpers/crypto.js';
import { readFixture } from '../helpers/vectors.js';

const codeOf = (outcome: Result<unknown, DhError>): string => (outcome.ok ? 'ok' : outcome.error.code);
const modp = (id: number) => MODP_GROUPS.find((group) => group.id === id)!;

/** Groups in which bn.js is quick enough for a test of many exchanges. */
const quickFor = (name: string): number[] =>
  name === 'openssl'
    ? DH_TRANSFORMS.map((x) => x.id)
    : [
        ...[Dh.MODP_1024, Dh.MODP_1536, Dh.MODP_2048, ...SUBGROUP_GROUPS.map(({ id }) => id)],
        ...[Dh.ECP_256, Dh.ECP_384, Dh.ECP_521, Dh.CURVE25519],
      ];

t.test('trap 1: at most one OpenSSL object per MODP group, made at first use and never again', async (t) => {
  const original = crypto.createDiffieHellman;
  let made = 0;
  const counting = (...args: Parameters<typeof original>) => {
    made++;
    return original(...args);
  };
  crypto.createDiffieHellman = counting as typeof original;
  syncBuiltinESMExports();
  t.teardown(() => {
    crypto.createDiffieHellman = original;
    syncBuiltinESMExports();
  });

  // Making one tests the prime in newer versions of Node: 54 s for group 18.
  const one = usesKeyObjects() ? 0 : 1;
  const random = seededRandom(1);
  createOpensslBackend();
  t.equal(made, 0, 'a backend alone makes none');
  for (let i = 0; i < 20; i++) {
    const group = createOpensslBackend().dh(Dh.MODP_1024);
    t.equal(codeOf(group.generate(random).agree(group.generate(random).publicValue)), 'ok');
    t.equal(made, one, 'whatever the number of exchanges and backends');
  }
  openssl.dh(Dh.MODP_1536).generate(random).wipe();
  openssl.dh(Dh.MODP_1536).generate(random).wipe();
  t.equal(made, 2 * one, 'one for each group');
});

t.test(
  'trap 2: every exchange has a private value of its own, and leaves none in the shared object',
  async (t) => {
    for (const backend of backends) {
      for (const id of quickFor(backend.name).filter((id) => id !== Dh.MODP_8192)) {
        const random = seededRandom(id);
        const a = backend.dh(id).generate(random);
        const b = backend.dh(id).generate(random);
        t.not(toHex(a.publicValue), toHex(b.publicValue), `${backend.name} group ${id}: two public values`);
        const again = backend.dh(id).generate(seededRandom(id));
        t.equal(toHex(again.publicValue), toHex(a.publicValue), 'the same octets give the same value');
      }
    }
    const value = fromHex('17'.repeat(30));
    const shared = modpArithmetic(modp(Dh.MODP_1024), modpObjectHalf);
    const exchange = startExchange(shared, value);
    const object = modpObject(modp(Dh.MODP_1024));
    t.equal(object.getPrivateKey('hex'), '02', 'only a placeholder stays behind after the public value');
    t.equal(
      codeOf(exchange.agree(exchangeWith(openssl, Dh.MODP_1024, fromHex('18'.repeat(30))).publicValue)),
      'ok',
    );
    t.equal(object.getPrivateKey('hex'), '02', 'and after the agreement');
  },
);

t.test('trap 2: exchanges that overlap do not disturb each other', async (t) => {
  for (const id of [Dh.MODP_1024, Dh.MODP_2048]) {
    const group = openssl.dh(id);
    const random = seededRandom(7);
    const pairs = Array.from({ length: 5 }, () => [group.generate(random), group.generate(random)] as const);
    const left = pairs.map(([a, b]) => a.agree(b.publicValue));
    const right = pairs.map(([a, b]) => b.agree(a.publicValue)).reverse();
    for (const [i, one] of left.entries()) {
      const other = right[pairs.length - 1 - i]!;
      t.equal(one.ok && toHex(one.value.expose()), other.ok && toHex(other.value.expose()));
    }
  }
});

t.test('trap 3: public values and shared secrets keep their leading zeros', async (t) => {
  type Short = Record<'private' | 'public' | 'peerPublic' | 'sharedWithLeadingZero', string> & {
    group: number;
  };
  for (const x of readFixture<Short[]>('crypto/short-modp-values.json')) {
    t.match(x.public, /^00/, 'the fixture is a short value');
    t.match(x.sharedWithLeadingZero, /^00/);
    const ways = [modpObjectHalf, modpKeyHalf].map((half) =>
      startExchange(modpArithmetic(modp(x.group), half), fromHex(x.private)),
    );
    for (const exchange of [...ways, exchangeWith(portable, x.group, fromHex(x.private))]) {
      t.equal(toHex(exchange.publicValue), x.public, `group ${x.group}`);
      const outcome = exchange.agree(fromHex(x.peerPublic));
      t.equal(outcome.ok && toHex(outcome.value.expose()), x.sharedWithLeadingZero);
    }
    // What would go over the wire without the padding:
    const object = modpObject(modp(x.group));
    object.setPrivateKey(fromHex(x.private));
    const dropped = object.generateKeys().length < x.public.length / 2;
    object.setPrivateKey(Uint8Array.of(2));
    t.ok(dropped, 'node:crypto by itself drops the zeros');
  }
  for (const backend of backends) {
    for (const id of quickFor(backend.name)) {
      const group = backend.dh(id);
      const exchange = group.generate(seededRandom(3));
      t.equal(exchange.publicValue.length, group.publicLength, `${backend.name} group ${id}`);
      const outcome = exchange.agree(exchange.publicValue);
      t.equal(outcome.ok && outcome.value.length, group.sharedLength);
    }
  }
});

t.test(
  'trap 4: peer values 0, 1, p-1, p and beyond are refused with a DhError (RFC 6989 section 2.1)',
  async (t) => {
    for (const backend of backends) {
      for (const group of MODP_GROUPS) {
        if (!quickFor(backend.name).includes(group.id)) continue;
        const length = group.prime.length;
        const small = (n: number): Uint8Array => {
          const out = new Uint8Array(length);
          out[length - 1] = n;
          return out;
        };
        const nearPrime = (difference: number): Uint8Array => {
          const out = Uint8Array.from(group.prime);
          out[length - 1]! += difference;
          return out;
        };
        const value = (): Uint8Array => new Uint8Array(group.privateLength).fill(3);
        const bad = [small(0), small(1), nearPrime(-1), group.prime, new Uint8Array(length).fill(0xff)];
        // The primes end in 64 one-bits: p + 1 needs its carries done by hand.
        const above = Uint8Array.from(group.prime);
        above.fill(0, length - 8);
        above[length - 9]! += 1;
        for (const peer of [...bad, above]) {
          const outcome = exchangeWith(backend, group.id, value()).agree(peer);
          t.equal(
            codeOf(outcome),
            'out_of_range',
            `${backend.name} group ${group.id}: ${toHex(peer).slice(-8)}`,
          );
          t.match(outcome, { error: { message: /group \d+/ } });
        }
        t.equal(codeOf(exchangeWith(backend, group.id, value()).agree(small(2))), 'ok', 'the lowest value');
        // Outside the subgroup of order q, since p = 7 mod 8: some versions of OpenSSL refuse it.
        const highest = codeOf(exchangeWith(backend, group.id, value()).agree(nearPrime(-2)));
        t.ok(['ok', 'refused_by_library'].includes(highest), `the highest value: ${highest}`);
        for (const wrong of [new Uint8Array(0), small(2).subarray(1), concat(Uint8Array.of(0), small(2))]) {
          t.equal(
            codeOf(exchangeWith(backend, group.id, value()).agree(wrong)),
            'bad_length',
            `${wrong.length}`,
          );
        }
      }
    }
  },
);

t.test('MODP values outside of the subgroup of order q are refused (RFC 6989 section 2.2)', async (t) => {
  for (const group of SUBGROUP_GROUPS) {
    const length = group.prime.length;
    const [p, q, g] = [group.prime, group.order!, group.generator].map(bigOf) as [bigint, bigint, bigint];
    t.equal(powMod(3n, p - 1n, p), 1n, `group ${group.id}: p is prime, as far as Fermat sees`);
    t.equal(powMod(3n, q - 1n, q), 1n, 'and so is q');
    t.equal(powMod(g, q, p), 1n, 'the order of the generator');
    // A small subgroup: what was raised to (p - 1) / r has order r, and gives a secret of r values only.
    const cofactor = (p - 1n) / q;
    const factor = [3n, 5n, 7n, 11n, 13n, 17n, 19n, 23n].find((r) => cofactor % r === 0n)!;
    const small = [2n, 3n, 5n].map((x) => powMod(x, (p - 1n) / factor, p)).find((x) => x !== 1n)!;
    t.equal(powMod(small, factor, p), 1n, `a value of order ${factor}`);
    const outside = [small, (small * g) % p, p - g, 2n, p - 2n].filter((x) => powMod(x, q, p) !== 1n);
    t.ok(outside.length >= 3);
    const openssls = [modpObjectHalf, modpKeyHalf].map((way) => modpArithmetic(group, way));
    const ways = [
      ...openssls.map((way) => () => startExchange(way, new Uint8Array(group.privateLength).fill(3))),
      ...backends.map((backend) => () => backend.dh(group.id).generate(seededRandom(group.id))),
    ];
    for (const start of ways) {
      for (const value of outside) {
        t.equal(codeOf(start().agree(octetsOf(value, length))), 'out_of_subgroup', `group ${group.id}`);
      }
      for (const value of [0n, 1n, p - 1n, p, p + 1n]) {
        t.equal(codeOf(start().agree(octetsOf(value, length))), 'out_of_range');
      }
      for (const value of [g, powMod(g, q - 1n, p)]) {
        t.equal(codeOf(start().agree(octetsOf(value, length))), 'ok');
      }
      t.equal(codeOf(start().agree(octetsOf(g, length + 1))), 'bad_length');
    }
  }
});

t.test(
  'points off the curve, with large coordinates or of the wrong form are refused (RFC 6989 section 2.3)',
  async (t) => {
    for (const backend of backends) {
      for (const group of ECP_GROUPS) {
        const name = `${backend.name} ${group.curve}`;
        const exchange = () => backend.dh(group.id).generate(seededRandom(group.id));
        const good = exchange().publicValue;
        const offCurve = Uint8Array.from(good);
        offCurve[good.length - 1]! ^= 1;
        t.equal(codeOf(exchange().agree(offCurve)), 'not_on_curve', name);
        t.equal(codeOf(exchange().agree(new Uint8Array(good.length))), 'not_on_curve', `${name} (0, 0)`);
        const x = good.subarray(0, group.fieldLength);
        const y = good.subarray(group.fieldLength);
        t.equal(codeOf(exchange().agree(concat(group.fieldPrime, y))), 'out_of_range', `${name} x = p`);
        t.equal(codeOf(exchange().agree(concat(x, group.fieldPrime))), 'out_of_range', `${name} y = p`);
        t.equal(
          codeOf(exchange().agree(concat(Uint8Array.of(4), good))),
          'bad_length',
          `${name} with the 04 octet`,
        );
        t.equal(codeOf(exchange().agree(concat(Uint8Array.of(2), x))), 'bad_length', `${name} compressed`);
        t.equal(codeOf(exchange().agree(Uint8Array.of(0))), 'bad_length', `${name} infinity`);
        t.equal(codeOf(exchange().agree(good)), 'ok', name);
      }
    }
  },
);

t.test('what a library throws for a value of the peer is a refusal of that value', async (t) => {
  const privateValue = Uint8Array.of(1, 2, 3, 4);
  const arithmetic = (thrown: unknown): DhArithmetic => ({
    id: Dh.MODP_2048,
    publicLength: 4,
    sharedLength: 4,
    draw: () => privateValue,
    check: () => undefined,
    begin: () => ({
      publicValue: Uint8Array.of(9, 9, 9, 9),
      combine: () => {
        throw thrown;
      },
    }),
  });
  const coded = Object.assign(new RangeError('with a secret in it'), { code: 'ERR_CRYPTO_INVALID_KEYTYPE' });
  for (const [thrown, said] of [
    [coded, / 14 \(ERR_CRYPTO_INVALID_KEYTYPE\)$/],
    [new Error('with a secret in it'), / 14$/],
    ['with a secret in it', / 14$/],
  ] as const) {
    privateValue.fill(7);
    const outcome = startExchange(arithmetic(thrown), privateValue).agree(Uint8Array.of(1, 1, 1, 1));
    t.equal(codeOf(outcome), 'refused_by_library');
    t.match(outcome, { error: { message: said } }, 'by its code only');
    t.same(privateValue, new Uint8Array(4), 'and the private value is wiped');
  }
});

t.test('Curve25519 values of small order are refused (RFC 7748 section 6.1)', async (t) => {
  const smallOrder = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    // The highest bit is to be ignored, so this is 0 again.
    '0000000000000000000000000000000000000000000000000000000000000080',
  ];
  for (const backend of backends) {
    const exchange = () => backend.dh(Dh.CURVE25519).generate(seededRandom(5));
    for (const hex of smallOrder) t.equal(codeOf(exchange().agree(fromHex(hex))), 'weak_result', hex);
    t.equal(codeOf(exchange().agree(new Uint8Array(31).fill(9))), 'bad_length');
    t.equal(codeOf(exchange().agree(new Uint8Array(33).fill(9))), 'bad_length');
  }
});

t.test('an exchange agrees once, and its private value is wiped at the end', async (t) => {
  for (const backend of backends) {
    for (const id of [Dh.MODP_1024, Dh.ECP_256, Dh.CURVE25519]) {
      const drawn: Uint8Array[] = [];
      const source = seededRandom(11);
      const keeping = {
        bytes: (length: number) => {
          const octets = source.bytes(length);
          drawn.push(octets);
          return octets;
        },
      };
      const group = backend.dh(id);
      const used = group.generate(keeping);
      t.notOk(drawn.at(-1)!.every((octet) => octet === 0));
      t.equal(codeOf(used.agree(used.publicValue)), 'ok');
      t.ok(
        drawn.at(-1)!.every((octet) => octet === 0),
        `${backend.name} group ${id}: wiped after use`,
      );
      t.throws(() => used.agree(used.publicValue), /is over/);

      const refused = group.generate(keeping);
      refused.agree(new Uint8Array(3));
      t.ok(
        drawn.at(-1)!.every((octet) => octet === 0),
        'wiped after a refused value',
      );
      t.throws(() => refused.agree(refused.publicValue), /is over/);

      const dropped = group.generate(keeping);
      dropped.wipe();
      dropped.wipe();
      t.ok(
        drawn.at(-1)!.every((octet) => octet === 0),
        'wiped on demand',
      );
      t.throws(() => dropped.agree(used.publicValue), /is over/);
    }
  }
});

t.test('private values: rejection instead of reduction, and no trust in a broken source', async (t) => {
  for (const group of ECP_GROUPS) {
    const one = new Uint8Array(group.fieldLength);
    one[one.length - 1] = 1;
    const greatest = Uint8Array.from(group.order);
    greatest[greatest.length - 1]! -= 1;
    const zero = new Uint8Array(group.fieldLength);
    const random = scriptedRandom(zero, group.order, one, greatest);
    t.same(drawEcpPrivate(group, random), one, `${group.curve}: 0 and n are passed over`);
    t.same(drawEcpPrivate(group, random), greatest, 'n - 1 is the greatest');
    t.throws(() => drawEcpPrivate(group, { bytes: (n) => new Uint8Array(n) }), /source of randomness/);
    t.throws(() => drawEcpPrivate(group, { bytes: () => new Uint8Array(5) }), RangeError);
  }
  const p521 = ECP_GROUPS.find((group) => group.id === Dh.ECP_521)!;
  t.equal(
    drawEcpPrivate(p521, { bytes: (n) => new Uint8Array(n).fill(0xa5) })[0],
    1,
    'only 521 bits are kept',
  );
  for (const group of SUBGROUP_GROUPS) {
    const greatest = Uint8Array.from(group.order!);
    greatest[greatest.length - 1]! -= 1;
    const random = scriptedRandom(group.order!, new Uint8Array(greatest.length).fill(255), greatest);
    t.same(drawModpPrivate(group, random), greatest, `group ${group.id}: q and above are passed over`);
  }
  for (const group of MODP_GROUPS) {
    const one = new Uint8Array(group.privateLength);
    one[one.length - 1] = 1;
    const good = new Uint8Array(group.privateLength).fill(9);
    t.same(drawModpPrivate(group, scriptedRandom(new Uint8Array(one.length), one, good)), good, 'not 0 or 1');
    const strength = DH_TRANSFORMS.find((x) => x.id === group.id)!.strength;
    t.ok(group.privateLength * 8 >= 2 * strength, `group ${group.id}: twice the strength`);
  }
});

t.test('the primes are those of the formula and of the right size', async (t) => {
  for (const group of MODP_GROUPS) {
    const bits = BigInt(group.bits);
    const p = BigInt(`0x${toHex(group.prime)}`);
    t.equal(group.prime.length * 8, group.bits);
    t.equal(p >> (bits - 64n), (1n << 64n) - 1n, '64 ones in front');
    t.equal(p & ((1n << 64n) - 1n), (1n << 64n) - 1n, 'and behind');
    t.equal(
      (p >> (bits - 64n - 128n)) & ((1n << 128n) - 1n),
      0xc90fdaa22168c234c4c6628b80dc1cd1n,
      'pi between',
    );
  }
  // Fermat to the base 3 on p and (p - 1) / 2: a mistyped digit would not pass.
  for (const id of [Dh.MODP_1024, Dh.MODP_1536, Dh.MODP_2048, Dh.MODP_3072]) {
    const p = BigInt(`0x${toHex(modp(id).prime)}`);
    for (const n of [p, (p - 1n) >> 1n]) t.equal(powMod(3n, n - 1n, n), 1n, `group ${id}`);
  }
  t.ok(portable.supports({ kind: 'dh', id: Dh.MODP_8192 }));
});

function bigOf(octets: Uint8Array): bigint {
  return BigInt(`0x${toHex(octets)}`);
}

function octetsOf(value: bigint, length: number): Uint8Array {
  return fromHex(value.toString(16).padStart(2 * length, '0'));
}

function powMod(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}
