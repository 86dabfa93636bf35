/**
 * A source of random octets. The daemon injects the kernel's generator, a simulation injects a seeded one:
 * the protocol rooms have no other randomness.
 */
export interface Random {
  /** `length` fresh octets, unpredictable in production. The caller owns the array. */
  bytes(length: number): Uint8Array;
}
