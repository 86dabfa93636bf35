/**
 * Whether two byte strings are the same, in a time that depends on their lengths only: for MACs, AUTH data
 * and cookies, where an early exit would show a forger how far the guess was right.
 */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Whether all octets are zero, in a time that depends on the length only. */
export function isZeroConstantTime(bytes: Uint8Array): boolean {
  let seen = 0;
  for (let i = 0; i < bytes.length; i++) seen |= bytes[i]!;
  return seen === 0;
}
