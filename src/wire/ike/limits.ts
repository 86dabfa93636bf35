/**
 * The most items of each kind that one message may have. Real peers stay far below; beyond them a decoder
 * answers `too_many`, so that the records made from one datagram are bounded by more than its length.
 */
export const LIMITS = {
  /** Payloads in one chain. A client with many notifies and certificates sends some thirty. */
  payloads: 256,
  /** Proposals in one SA payload. The whole auto-negotiation matrix offered one by one has 27. */
  proposals: 32,
  /** Transforms in one proposal. */
  transforms: 128,
  /** Transforms in all proposals of one SA payload. Peers send some thirty, and 120 at most. */
  transformsInAll: 256,
  /** Attributes of one transform. RFC 7296 defines one; IKEv1 uses about ten. */
  attributes: 32,
  /** Selectors in one TS payload: the count is one octet (RFC 7296 §3.13). */
  selectors: 255,
  /** SPIs in one DELETE payload. */
  spis: 1024,
  /** Attributes in one configuration payload. */
  configAttributes: 256,
} as const;
