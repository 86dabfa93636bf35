import { compareBytes } from '../../util/bytes.js';
import type { DhError } from '../types.js';
import type { EcpGroup } from './ecp-groups.js';
import type { ModpGroup } from './modp-groups.js';
import { leftPad } from './pad.js';

/** base^exponent mod the prime of a group, any length. May throw for a base that the library refuses. */
export type ModpPower = (base: Uint8Array, exponent: Uint8Array) => Uint8Array;

/**
 * Whether a peer's MODP value may be used: full length (RFC 7296 §3.4) and 1 < y < p - 1 (RFC 6989 §2.1).
 * That range leaves out the subgroups of order 1 and 2, and p = 2q + 1 has no other small ones. Where the prime is
 * another one, the value has to lie in the subgroup of order q, too (RFC 6989 §2.2): `power` finds that out.
 */
export function checkModpPublic(group: ModpGroup, value: Uint8Array, power: ModpPower): DhError | undefined {
  return checkModpRange(group, value) ?? checkSubgroup(group, value, power);
}

/**
 * y^q = 1, asked as y^(q + 1) = y: OpenSSL gives no result of 1, since a shared secret may not be that
 * (SP 800-56A §5.7.1.1).
 */
function checkSubgroup({ id, order }: ModpGroup, value: Uint8Array, power: ModpPower): DhError | undefined {
  if (order === undefined) return undefined;
  try {
    if (compareBytes(leftPad(power(value, plusOne(order)), value.length), value) === 0) return undefined;
  } catch {
    // The library has found the same and refuses the value.
  }
  return {
    code: 'out_of_subgroup',
    message: `the peer's public value for DH group ${id} is not in the subgroup of order q (RFC 6989 section 2.2)`,
  };
}

/** A big-endian number and one; of the same length, since it is not all ones. */
function plusOne(number: Uint8Array): Uint8Array {
  const out = Uint8Array.from(number);
  let at = out.length - 1;
  while (out[at] === 0xff) out[at--] = 0;
  out[at]! += 1;
  return out;
}

function checkModpRange(group: ModpGroup, value: Uint8Array): DhError | undefined {
  const length = checkLength(group.id, value, group.prime.length);
  if (length !== undefined) return length;
  const last = value.length - 1;
  const aboveOne = value[last]! > 1 || value.some((octet, i) => octet !== 0 && i < last);
  // p is odd, so p - 1 differs from it in the last octet only.
  const pMinusOne = Uint8Array.from(group.prime);
  pMinusOne[last] = pMinusOne[last]! - 1;
  if (aboveOne && compareBytes(value, pMinusOne) < 0) return undefined;
  return {
    code: 'out_of_range',
    message: `the peer's public value for DH group ${group.id} is not between 2 and p - 2 (RFC 6989 section 2.1)`,
  };
}

/**
 * Length and range of a peer's point, x | y with both below the field prime (RFC 6989 §2.3). Whether it
 * lies on the curve is for the backend to find out; the point at infinity has no form of this length.
 */
export function checkEcpPublic(group: EcpGroup, value: Uint8Array): DhError | undefined {
  const length = checkLength(group.id, value, 2 * group.fieldLength);
  if (length !== undefined) return length;
  const x = value.subarray(0, group.fieldLength);
  const y = value.subarray(group.fieldLength);
  if (compareBytes(x, group.fieldPrime) < 0 && compareBytes(y, group.fieldPrime) < 0) return undefined;
  return {
    code: 'out_of_range',
    message: `a coordinate of the peer's public value for DH group ${group.id} is not below the field prime`,
  };
}

/** Refusal of a value that is not `length` octets long; undefined when it is. */
export function checkLength(group: number, value: Uint8Array, length: number): DhError | undefined {
  if (value.length === length) return undefined;
  return {
    code: 'bad_length',
    message: `the peer's public value for DH group ${group} has ${value.length} octets, not ${length}`,
  };
}

/** The refusal of a point that does not satisfy the curve's equation (RFC 6989 §2.3). */
export function notOnCurve(group: number): DhError {
  return {
    code: 'not_on_curve',
    message: `the peer's public value for DH group ${group} is not a point of the curve (RFC 6989 section 2.3)`,
  };
}

/** The refusal of a shared secret of zeros: the peer sent a point of small order (RFC 7748 §6.1). */
export function weakResult(group: number): DhError {
  return {
    code: 'weak_result',
    message: `the shared secret of DH group ${group} is all zeros: the peer's value has small order (RFC 7748 section 6.1)`,
  };
}

/**
 * The refusal of a value for which the cryptographic library throws. Only the code of its exception is named:
 * what else a library puts into a message is not known to be free of keys.
 */
export function refusedByLibrary(group: number, error: unknown): DhError {
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  return {
    code: 'refused_by_library',
    message: `the cryptographic library refuses the peer's public value for DH group ${group}${code}`,
  };
}
