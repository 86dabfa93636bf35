// What the built crypto rooms make of public values of a peer, under whichever Node runs this. Prints one JSON
// object: the version of Node, and for every backend, group and value the outcome's code, or what was thrown.
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { createOpensslBackend, createPortableBackend } from '../../dist/crypto/backend.js';
import { ECP_GROUPS } from '../../dist/crypto/dh/ecp-groups.js';
import { MODP_GROUPS } from '../../dist/crypto/dh/modp-groups.js';
import { SUBGROUP_GROUPS } from '../../dist/crypto/dh/subgroup-groups.js';

/** Random octets (mulberry32): the same seed gives the same ones. */
function seeded(seed) {
  let state = seed >>> 0;
  return {
    bytes: (length) =>
      Uint8Array.from({ length }, () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let x = Math.imul(state ^ (state >>> 15), state | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return (x ^ (x >>> 14)) >>> 24;
      }),
  };
}

/** Groups in which bn.js takes seconds for an exchange are left to OpenSSL. */
const QUICK_MODP = 1024;

/** Big-endian, `length` octets. */
function octets(value, length) {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'));
}

function modpValues({ prime }) {
  const length = prime.length;
  const p = BigInt(`0x${Buffer.from(prime).toString('hex')}`);
  const random = seeded(length);
  const drawn = Array.from({ length: 2 }, () => {
    const value = random.bytes(length);
    value[0] &= 0x7f;
    return value;
  });
  return {
    // p = 7 mod 8, so 2 and its powers are squares, and the negative of a square is none.
    inside: [2n, 1n << 100n].map((x) => octets(x, length)),
    outside: [p - 2n, p - (1n << 100n)].map((x) => octets(x, length)),
    either: drawn,
    bad: [...[0n, 1n, p - 1n, p, p + 1n].map((x) => octets(x, length)), new Uint8Array(length).fill(255)],
    length: [new Uint8Array(0), new Uint8Array(length - 1).fill(2), new Uint8Array(length + 1).fill(2)],
  };
}

/** Of groups in which the values that may be used are a small part of those in range. */
function subgroupValues({ prime, generator, order }, good) {
  const length = prime.length;
  const [p, g, q] = [prime, generator, order].map((x) => BigInt(`0x${Buffer.from(x).toString('hex')}`));
  return {
    inside: [good, generator, octets((g * g) % p, length)],
    subgroup: [2n, p - 2n, p - g, q].map((x) => octets(x, length)),
    bad: [0n, 1n, p - 1n, p, p + 1n].map((x) => octets(x, length)),
    length: [new Uint8Array(0), good.subarray(1)],
  };
}

function ecpValues({ fieldLength, fieldPrime }, good) {
  const offCurve = Uint8Array.from(good);
  offCurve[good.length - 1] ^= 1;
  const random = seeded(fieldLength);
  const drawn = Array.from({ length: 4 }, () => random.bytes(2 * fieldLength));
  return {
    inside: [good],
    bad: [
      offCurve,
      new Uint8Array(good.length),
      new Uint8Array(good.length).fill(255),
      Uint8Array.from([...fieldPrime, ...good.subarray(fieldLength)]),
      ...drawn,
    ],
    length: [new Uint8Array(0), good.subarray(1), Uint8Array.from([4, ...good])],
  };
}

function x25519Values(good) {
  const hex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));
  return {
    inside: [good, hex(`09${'00'.repeat(31)}`)],
    // Not reduced, or on the twist: defined for all 32 octets (RFC 7748 section 5).
    either: [hex('ff'.repeat(32)), hex(`02${'00'.repeat(31)}`), seeded(31).bytes(32)],
    bad: [
      hex('00'.repeat(32)),
      hex(`01${'00'.repeat(31)}`),
      hex(`ec${'ff'.repeat(30)}7f`),
      hex(`ed${'ff'.repeat(30)}7f`),
      hex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
      hex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
    ],
    length: [new Uint8Array(31).fill(9), new Uint8Array(33).fill(9)],
  };
}

/** Objects that OpenSSL is asked to make from a prime, whose test takes up to a minute in some versions. */
let objects = 0;
const create = crypto.createDiffieHellman;
crypto.createDiffieHellman = (...args) => {
  objects++;
  return create(...args);
};
syncBuiltinESMExports();

const outcomes = [];
let honest = 0;
for (const backend of [createOpensslBackend(), createPortableBackend()]) {
  const modp = MODP_GROUPS.filter((x) => backend.name === 'openssl' || x.bits <= QUICK_MODP);
  const valuesOf = new Map([
    ...modp.map((group) => [group.id, () => modpValues(group)]),
    ...SUBGROUP_GROUPS.map((group) => [group.id, (good) => subgroupValues(group, good)]),
    ...ECP_GROUPS.map((group) => [group.id, (good) => ecpValues(group, good)]),
    [31, x25519Values],
  ]);
  for (const [id, values] of valuesOf) {
    const group = backend.dh(id);
    const good = group.generate(seeded(id)).publicValue;
    for (const [kind, list] of Object.entries(values(good))) {
      for (const value of list) {
        let code;
        try {
          const outcome = group.generate(seeded(id + 1)).agree(value);
          code = outcome.ok ? 'ok' : outcome.error.code;
        } catch (error) {
          code = `thrown: ${error}`;
        }
        outcomes.push({
          backend: backend.name,
          group: id,
          kind,
          tail: Buffer.from(value).toString('hex').slice(-8),
          code,
        });
      }
    }
    const [a, b] = [group.generate(seeded(id + 2)), group.generate(seeded(id + 3))];
    const [left, right] = [a.agree(b.publicValue), b.agree(a.publicValue)];
    if (left.ok && right.ok && Buffer.compare(left.value.expose(), right.value.expose()) === 0) honest++;
    else outcomes.push({ backend: backend.name, group: id, kind: 'honest', tail: '', code: 'disagree' });
  }
}
console.log(JSON.stringify({ node: process.versions.node, honest, objects, outcomes }));
