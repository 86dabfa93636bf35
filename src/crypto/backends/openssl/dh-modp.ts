import { createDiffieHellman, type DiffieHellman } from 'node:crypto';
import { checkModpPublic } from '../../dh/checks.js';
import type { DhArithmetic, DhHalf } from '../../dh/exchange.js';
import type { ModpGroup } from '../../dh/modp-groups.js';
import { drawModpPrivate } from '../../dh/private-value.js';
import { modpKeyHalf } from './dh-modp-key.js';
import { plain } from './plain.js';

/** Put in the place of a private value that was used. */
const PLACEHOLDER = Uint8Array.of(2);

/**
 * One OpenSSL object per group, made when the group is first used and kept for the life of the process.
 * Making the object of group 2 takes 25-38 ms, since its prime is not one OpenSSL knows and is tested for
 * primality: made per exchange, 40 packets per second would keep a responder from all other work.
 */
const objects = new Map<number, DiffieHellman>();

/** The shared object of a group, for versions of Node before 22. */
export function modpObject(group: ModpGroup): DiffieHellman {
  let object = objects.get(group.id);
  if (object === undefined) {
    object = createDiffieHellman(group.prime, group.generator);
    objects.set(group.id, object);
  }
  return object;
}

/**
 * Runs `work` with the private value in the shared object, then puts a value of no worth in its place. Every
 * use sets the value again: a second `generateKeys()` by itself would keep the first private key.
 */
function withPrivate(
  group: ModpGroup,
  value: Uint8Array,
  work: (object: DiffieHellman) => Buffer,
): Uint8Array {
  const object = modpObject(group);
  object.setPrivateKey(value);
  try {
    return plain(work(object));
  } finally {
    object.setPrivateKey(PLACEHOLDER);
  }
}

/** An exchange in the shared object of the group. */
export function modpObjectHalf(group: ModpGroup, value: Uint8Array): DhHalf {
  return {
    publicValue: withPrivate(group, value, (object) => object.generateKeys()),
    combine: (peer) => withPrivate(group, value, (object) => object.computeSecret(peer)),
  };
}

/**
 * From this version of Node on, key objects do what the shared object does before it. For safe primes the
 * range of a peer's value says enough (RFC 6989 §2.1), but each way makes some version do far more, here in
 * CPU time for groups 14, 16 and 18 where a plain agreement takes 0.4, 2 and 10 ms:
 * Node 20 checks the subgroup of a key object's peer: 2.5, 17 and 124 ms;
 * Node 22 checks it for the shared object, as long, and throws;
 * Node 24 and 26 test the primes when the shared object is made: 0.2, 8 and 54 s, in which every other tunnel
 * of the gateway would stop meanwhile.
 */
const KEY_OBJECTS_SINCE = 22;

/** Whether this version of Node works with key objects. */
export function usesKeyObjects(): boolean {
  return Number.parseInt(process.versions.node, 10) >= KEY_OBJECTS_SINCE;
}

/** A MODP group by OpenSSL, in the way that suits this version of Node. */
export function opensslModp(group: ModpGroup): DhArithmetic {
  return modpArithmetic(group, usesKeyObjects() ? modpKeyHalf : modpObjectHalf);
}

/** The result for a half of an exchange as the base of a power; its own public value is not asked for. */
function power(half: DhHalf, base: Uint8Array): Uint8Array {
  const outcome = half.combine(base);
  if (outcome instanceof Uint8Array) return outcome;
  throw new Error(outcome.message);
}

/** A MODP group by OpenSSL in the given way. */
export function modpArithmetic(
  group: ModpGroup,
  begin: (group: ModpGroup, value: Uint8Array) => DhHalf,
): DhArithmetic {
  return {
    id: group.id,
    publicLength: group.prime.length,
    sharedLength: group.prime.length,
    draw: (random) => drawModpPrivate(group, random),
    check: (peer) => checkModpPublic(group, peer, (base, exponent) => power(begin(group, exponent), base)),
    begin: (value) => begin(group, value),
  };
}
