import { compareBytes } from '../../util/bytes.js';
import type { Random } from '../../util/random.js';
import type { EcpGroup } from './ecp-groups.js';
import type { ModpGroup } from './modp-groups.js';

/**
 * Draws that may be refused before the source of randomness is held to be broken. A good source is refused
 * once in 2^32 draws for P-256, up to every second time in the MODP groups of RFC 5114, far less often elsewhere.
 */
const MAX_DRAWS = 64;

/**
 * A private exponent for a MODP group: `privateLength` random octets, neither 0 nor 1, and below the order of the
 * subgroup where there is one (RFC 5114 §2). The caller wipes it.
 */
export function drawModpPrivate(group: ModpGroup, random: Random): Uint8Array {
  return draw(random, group.privateLength, (value) => {
    return !isBelowTwo(value) && (group.order === undefined || compareBytes(value, group.order) < 0);
  });
}

/**
 * A private scalar for an ECP group, uniform in 1 to n - 1 by rejection (RFC 5903 §7): reducing a random
 * number modulo n instead would favour small scalars. The caller wipes it.
 */
export function drawEcpPrivate(group: EcpGroup, random: Random): Uint8Array {
  const topMask = 0xff >>> Math.clz32(group.order[0]! << 24);
  return draw(random, group.fieldLength, (value) => {
    value[0] = value[0]! & topMask;
    return !value.every((octet) => octet === 0) && compareBytes(value, group.order) < 0;
  });
}

/** A private scalar for Curve25519: any 32 octets, the function clamps them (RFC 7748 §5). The caller wipes it. */
export function drawX25519Private(random: Random): Uint8Array {
  return take(random, 32);
}

function draw(random: Random, length: number, accepts: (value: Uint8Array) => boolean): Uint8Array {
  for (let tries = 0; tries < MAX_DRAWS; tries++) {
    const value = take(random, length);
    if (accepts(value)) return value;
    value.fill(0);
  }
  throw new Error('the source of randomness gives no usable private value: it repeats itself');
}

/** Octets of the source of randomness. @throws RangeError when it gives another number of them */
export function take(random: Random, length: number): Uint8Array {
  const value = random.bytes(length);
  if (value.length !== length) {
    throw new RangeError(
      `the source of randomness gave ${value.length} octets where ${length} were asked for`,
    );
  }
  return value;
}

function isBelowTwo(value: Uint8Array): boolean {
  let high = 0;
  for (let i = 0; i < value.length - 1; i++) high |= value[i]!;
  return high === 0 && value[value.length - 1]! < 2;
}
