/**
 * Why a packet did not pass, one counter each. The order is the index in counter arrays, so names are only
 * ever appended.
 */
export const DROP_REASONS = [
  /** Outbound: no selector of any child SA covers the packet (RFC 4301 §5.1). */
  'no_policy',
  /** Outbound: a policy covers it, but no SA may send yet. */
  'no_sa',
  /** Inbound: no SA has this SPI. */
  'unknown_spi',
  /** Inbound: sequence number seen before, or left of the window (RFC 4303 §3.4.3). */
  'replay',
  /** Inbound: the ICV does not verify. */
  'auth_failed',
  /** Inbound: padding octets are not 1, 2, 3… or their length is impossible (RFC 4303 §2.4). */
  'bad_padding',
  /** Inbound: next header is neither IPv4 nor IPv6. */
  'bad_next_header',
  /** Inbound: a dummy packet, next header 59 (RFC 4303 §2.6). Not an error. */
  'dummy',
  /** Inbound: the inner packet is outside the SA's selectors (RFC 4301 §5.2). */
  'selector_mismatch',
  /** Not a well-formed IP or ESP packet. */
  'malformed',
  /** Outbound: the sequence number is used up; the SA must be rekeyed (RFC 4303 §3.3.3). */
  'sequence_exhausted',
  /** Too big for the path and not to be fragmented. */
  'too_big',
  /** The kernel refused the write to the TUN device. */
  'tun_write',
  /** The kernel refused the datagram. */
  'send_error',
  /** A queue between threads was full. */
  'queue_full',
  /** Inbound: marked by a congested router outside, and the inner transport does not support ECN (RFC 6040 §4.2). */
  'congestion',
  /** Inbound: came before its SA was agreed on, and the SA did not follow in time (RFC 7296 §2.8). */
  'early',
  /** Outbound: no standby knows yet of the sequence number whose turn it is, so it must not be used. */
  'not_reserved',
] as const;

/** One of the reasons for which a packet is dropped. */
export type DropReason = (typeof DROP_REASONS)[number];

/** Counts by reason; all reasons are present. */
export type DropCounts = Readonly<Record<DropReason, number>>;
