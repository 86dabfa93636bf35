import type { ByteCount, Millis } from '../util/units.js';

/** Bounds on what peers, known or not, can make the engine keep or do. */
export interface EngineLimits {
  /** Half-open IKE SAs as responder, in all: further requests are dropped. */
  readonly halfOpenTotal: number;
  /** The same from one source address. */
  readonly halfOpenPerSource: number;
  /** Half-open SAs in all from which a COOKIE is demanded (RFC 7296 §2.6). */
  readonly cookieThreshold: number;
  /** Age at which a half-open SA is forgotten. */
  readonly halfOpenTimeout: Millis;
  /** Established IKE SAs in all. */
  readonly ikeSas: number;
  /** IKE SAs with one peer address, in any state: further requests from there are dropped. */
  readonly ikeSasPerPeer: number;
  /** Octets that half-open SAs occupy, in all. */
  readonly halfOpenBytes: ByteCount;
  /**
   * Requests for new IKE SAs per second from all sources together, refused ones too, in the long run. Of those beyond,
   * a cookie is demanded before anything else is done.
   */
  readonly requestsPerSecondInAll: number;
  /** Requests for new IKE SAs per second from one source address, in the long run. */
  readonly requestsPerSecond: number;
  /**
   * Child SAs in all, shared out among the connections by their pairs of networks. The packet path has places for a
   * thousand more, for those that still receive after a rekey.
   */
  readonly childSas: number;
  /** Requests a second that the authenticated peer of one connection may make, in the long run. */
  readonly requestsPerConnection: number;
  /**
   * Messages in one direction after which an IKE SA of version 2 is rekeyed. Message ids must not wrap (RFC 7296
   * §2.2), and of some hundred octets each they are about as much as a cipher with blocks of 64 bits should encrypt.
   */
  readonly messagesPerIkeSa: number;
  /** Longest IKE message that is read. */
  readonly messageBytes: ByteCount;
  /** The same of a message that asks for a new IKE SA: anyone can send one. */
  readonly firstMessageBytes: ByteCount;
  /**
   * Longest IPv4 packet, 576 to 1500, that carries a part of a protected message when the peer takes fragments
   * (RFC 7383 §2.5.1). Over IPv6 it is 1280 at least.
   */
  readonly fragmentPacket: ByteCount;
  /** Time a cookie secret signs new cookies; the one before stays valid as long again. */
  readonly cookieSecretLife: Millis;
  readonly retransmit: RetransmitPolicy;
}

/** Wait before retry n (from 0): `initial * factor^n`, at most `ceiling`; given up after `tries` sendings. */
export interface RetransmitPolicy {
  readonly initial: Millis;
  readonly factor: number;
  readonly ceiling: Millis;
  readonly tries: number;
}

/** What a gateway of some thousand peers can afford. The configuration may set each. */
export const DEFAULT_LIMITS: EngineLimits = {
  halfOpenTotal: 500,
  halfOpenPerSource: 20,
  cookieThreshold: 30,
  halfOpenTimeout: 30_000,
  ikeSas: 1000,
  ikeSasPerPeer: 100,
  halfOpenBytes: 2 ** 21,
  requestsPerSecondInAll: 100,
  requestsPerSecond: 100,
  childSas: 15_360,
  requestsPerConnection: 50,
  messagesPerIkeSa: 2 ** 20,
  messageBytes: 65_507,
  firstMessageBytes: 8192,
  fragmentPacket: 1280,
  cookieSecretLife: 60_000,
  // 0.5, 0.9, 1.6, 2.9, 5.2, 9.4, 10, 10: dead after about 40 s.
  retransmit: { initial: 500, factor: 1.8, ceiling: 10_000, tries: 8 },
};
