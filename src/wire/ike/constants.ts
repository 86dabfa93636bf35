/** The UDP ports of IKE, without and with NAT traversal (RFC 7296 §2, §2.23; RFC 3947 §4). */
export const IKE_PORT = 500;
export const NAT_TRAVERSAL_PORT = 4500;

/** Octets that a nonce may have: RFC 7296 §3.9, and RFC 2409 §5 for version 1. */
export const NONCE_LENGTHS = { min: 16, max: 256 } as const;
export const V1_NONCE_LENGTHS = { min: 8, max: 256 } as const;
/** Octets of the nonces that are made here: at least half the key size of any PRF there is (RFC 7296 §2.10). */
export const NONCE_LENGTH = 32;
