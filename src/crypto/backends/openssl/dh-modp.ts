import { createDiffieHellman, type DiffieHellman } from 'node:crypto';
import { checkModpPublic } from '../../dh/checks.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import type { ModpGroup } from '../../dh/modp-groups.js';
import { drawModpPrivate } from '../../dh/private-value.js';
import { plain } from './plain.js';

const GENERATOR = Uint8Array.of(2);

/**
 * One OpenSSL object per group, made when the group is first used and kept for the life of the process.
 * Making the object of group 2 takes 25-38 ms, since its prime is not one OpenSSL knows and is tested for
 * primality: made per exchange, 40 packets a second would keep a responder from all other work.
 */
const objects = new Map<number, DiffieHellman>();

/** The shared object of a group. */
export function modpObject(group: ModpGroup): DiffieHellman {
  let object = objects.get(group.id);
  if (object === undefined) {
    object = createDiffieHellman(group.prime, GENERATOR);
    objects.set(group.id, object);
  }
  return object;
}

/**
 * Runs `work` with the private value in the shared object, then puts a value of no worth in its place. Every
 * use sets the value anew: a second `generateKeys()` by itself would keep the first private key.
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
    object.setPrivateKey(GENERATOR);
  }
}

/** A MODP group by OpenSSL. */
export function opensslModp(group: ModpGroup): DhArithmetic {
  return {
    id: group.id,
    publicLength: group.prime.length,
    sharedLength: group.prime.length,
    draw: (random) => drawModpPrivate(group, random),
    check: (peer) => checkModpPublic(group, peer),
    begin: (value) => ({
      publicValue: withPrivate(group, value, (object) => object.generateKeys()),
      combine: (peer) => withPrivate(group, value, (object) => object.computeSecret(peer)),
    }),
  };
}
