import type { IkeSuite } from '../crypto/types.js';
import type { ChildId, ConnectionId, IkeId } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import type { NatReport } from './path/nat-detection.js';
import type { QuirkCode } from './quirks.js';
import type { NegotiatedChild } from './sa/child.js';

/**
 * All that the engine reports, as a closed union. Log lines, metrics, status and the API are made of these
 * and of nothing else. Events contain no secrets. Points in time are on the engine's clock.
 */
export type IkeEvent =
  | {
      readonly kind: 'ike-initiating';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly version: 1 | 2;
      readonly peer: Endpoint;
    }
  | {
      readonly kind: 'ike-responding';
      readonly ikeId: IkeId;
      readonly version: 1 | 2;
      readonly peer: Endpoint;
    }
  /** `adopted`: it was negotiated by another engine, and is carried on here from a record (`Engine.adopt`). */
  | {
      readonly kind: 'ike-established';
      readonly connection: ConnectionId;
      readonly ike: IkeSaInfo;
      readonly adopted?: true;
    }
  /** An established IKE SA is gone. `failure` says why when it was not asked for. */
  | {
      readonly kind: 'ike-closed';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly reason: CloseReason;
      readonly failure?: Failure;
    }
  /** An IKE SA did not come to be. `connection` is absent when the peer could not be matched to one. */
  | {
      readonly kind: 'ike-failed';
      readonly connection?: ConnectionId;
      readonly ikeId?: IkeId;
      readonly role: Role;
      readonly peer: Endpoint;
      readonly failure: Failure;
    }
  | {
      readonly kind: 'child-established';
      readonly connection: ConnectionId;
      readonly child: ChildSaInfo;
      readonly adopted?: true;
    }
  | {
      readonly kind: 'child-closed';
      readonly connection: ConnectionId;
      readonly childId: ChildId;
      readonly reason: CloseReason;
    }
  | {
      readonly kind: 'child-failed';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly role: Role;
      readonly failure: Failure;
      /** The pair of networks that was asked for alone, since no child SA carries it. */
      readonly pair?: { readonly local: TrafficSelector; readonly peer: TrafficSelector };
      /** When the same pair is asked for again. */
      readonly retryAt?: Millis;
      /** The child SA that was to be rekeyed. It works until its lifetime is over. */
      readonly rekeys?: number;
    }
  | {
      readonly kind: 'peer-moved';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly from: Endpoint;
      readonly to: Endpoint;
    }
  /**
   * Another lifetime was configured, or told by the peer: the IKE SA, or the child SA when one is named, is rekeyed at
   * `rekeyAt`.
   */
  | {
      readonly kind: 'rescheduled';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly childId?: ChildId;
      readonly rekeyAt: Millis;
    }
  /**
   * The peer is a cluster, of which another member has taken over: both ends go on with these message ids, and this one
   * has left out as many sequence numbers on each child SA (RFC 6311).
   */
  | {
      readonly kind: 'peer-took-over';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly nextReceived: number;
      readonly nextSent: number;
      readonly skipped: number;
    }
  | {
      readonly kind: 'liveness-probe';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly idle: Millis;
    }
  /**
   * The peer has answered a request that asks it for nothing but the answer and was sent once: of a repeated one it is
   * not known which sending was answered.
   */
  | {
      readonly kind: 'round-trip';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly exchange: string;
      /** From the first sending to the answer: twice the way, and what both ends took to see and open the messages. */
      readonly time: Millis;
    }
  | {
      readonly kind: 'retransmit';
      readonly connection?: ConnectionId;
      readonly ikeId: IkeId;
      readonly exchange: string;
      readonly attempt: number;
      readonly peer: Endpoint;
    }
  | { readonly kind: 'cookie-demanded'; readonly peer: Endpoint; readonly halfOpen: number }
  | {
      readonly kind: 'cookie-answered';
      readonly connection: ConnectionId;
      readonly ikeId: IkeId;
      readonly peer: Endpoint;
    }
  /** A request of the other group was asked for and sent again (RFC 7296 §1.2). */
  | {
      readonly kind: 'ke-group-changed';
      readonly connection?: ConnectionId;
      readonly ikeId: IkeId;
      readonly from: number;
      readonly to: number;
    }
  /** A legal but weak choice, or something an operator should know while the connection works. */
  | {
      readonly kind: 'advisory';
      readonly connection: ConnectionId;
      readonly code: AdvisoryCode;
      readonly message: string;
    }
  /** What the advisories of this code said of the connection no longer applies. */
  | { readonly kind: 'advisory-withdrawn'; readonly connection: ConnectionId; readonly code: AdvisoryCode }
  /** The peer deviates from the RFCs in a way that is forgiven. Once per IKE SA and code. */
  | { readonly kind: 'quirk'; readonly connection: ConnectionId; readonly code: QuirkCode }
  /** A datagram that changed nothing. */
  | {
      readonly kind: 'datagram-dropped';
      readonly reason: DatagramDropReason;
      readonly peer: Endpoint;
      readonly detail: string;
    }
  /** One IKE message in readable form, for the debug log. */
  | {
      readonly kind: 'message';
      readonly direction: 'in' | 'out';
      readonly peer: Endpoint;
      readonly connection?: ConnectionId;
      readonly ikeId?: IkeId;
      readonly summary: string;
    };

/** Which end of an exchange or an SA we are; for an IKE SA, the end of the exchange that made it. */
export type Role = 'initiator' | 'responder';

/** An established IKE SA. SPIs in hexadecimal. */
export interface IkeSaInfo {
  readonly ikeId: IkeId;
  readonly version: 1 | 2;
  readonly role: Role;
  readonly initiatorSpi: string;
  readonly responderSpi: string;
  readonly suite: IkeSuite;
  /** Which side the NAT detection found to be behind a NAT (RFC 7296 §2.23). */
  readonly nat: NatReport;
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly peerIdentity: string;
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
  /** Names of vendors the peer's vendor ids announce, or their octets in hexadecimal. */
  readonly peerVendors: readonly string[];
  /** The IKE SA this one takes over from, with all its child SAs (RFC 7296 §2.18). */
  readonly replaces?: number;
}

/** An established child SA. */
export interface ChildSaInfo extends NegotiatedChild {
  readonly childId: ChildId;
  readonly ikeId: IkeId;
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
  /** True when the peer accepted less than the configured selectors. */
  readonly narrowed: boolean;
  /** The child SA this one takes over from. */
  readonly replaces?: number;
}

/** Why an SA ended. */
export type CloseReason =
  /** A command of ours. */
  | 'terminated'
  | 'shutdown'
  /** The peer sent DELETE. */
  | 'peer-deleted'
  /** No sign of life within the dead peer detection timeout, or retransmissions ran out. */
  | 'peer-dead'
  | 'rekeyed'
  | 'expired'
  /** A newer SA of the same connection took its place (INITIAL_CONTACT or an authenticated duplicate). */
  | 'replaced'
  | 'configuration-changed'
  | 'failed';

/**
 * Finer causes than the seven public codes, from the experience of operators. The public code, the
 * wording for people and the advice are derived in connection/.
 */
export type FailureCause =
  | 'dns_failed'
  | 'peer_silent'
  | 'port_500_blocked'
  | 'port_4500_blocked'
  | 'psk_mismatch'
  | 'psk_mismatch_likely'
  | 'identity_mismatch'
  /** The peer answered AUTHENTICATION_FAILED: it knows whether PSK or identity, we do not. */
  | 'authentication_refused'
  | 'ike_version_mismatch'
  | 'ike_proposal_mismatch'
  | 'child_proposal_mismatch'
  | 'ts_mismatch'
  | 'pfs_mismatch'
  | 'invalid_syntax'
  | 'cookie_loop'
  | 'half_open_limit'
  /** The peer accepts no further child SA on an IKE SA (NO_ADDITIONAL_SAS, RFC 7296 §1.3). */
  | 'no_additional_sas'
  /** The peer has answered TEMPORARY_FAILURE for a while (RFC 7296 §2.25). */
  | 'peer_busy'
  /** The connection has as many child SAs as it may. */
  | 'child_sa_limit'
  | 'peer_deleted'
  | 'dpd_timeout'
  | 'rekey_failed'
  | 'admin_down'
  | 'no_matching_connection'
  | 'terminated'
  | 'unsupported'
  /** The peer takes no ESP in UDP, and this end sends no other. */
  | 'nat_traversal_unsupported'
  | 'internal_error';

/** Why something did not work, with the evidence. `details` is plain JSON: what was sent, what came back. */
export interface Failure {
  readonly cause: FailureCause;
  /** One sentence that names what differs. */
  readonly message: string;
  readonly details?: FailureDetails;
}

/** Evidence of a failure, for people: both sides of what did not match. Never key material. */
export interface FailureDetails {
  /** Proposals in readable form, one string per proposal: `AES_CBC-256 HMAC_SHA2_256_128 PRF… MODP_2048`. */
  readonly ours?: readonly string[];
  readonly theirs?: readonly string[];
  /** The offer that came closest and the transform types in which it differs. */
  readonly nearest?: {
    readonly proposal: number;
    readonly differs: readonly string[];
    readonly advice: string;
  };
  /** Identities in readable form, `type:value`. */
  readonly expectedIdentity?: string;
  readonly receivedIdentity?: string;
  readonly localSelectors?: readonly string[];
  readonly peerSelectors?: readonly string[];
  readonly receivedLocalSelectors?: readonly string[];
  readonly receivedPeerSelectors?: readonly string[];
  /** Name of the notify the peer sent. */
  readonly notify?: string;
  readonly exchange?: string;
  readonly tries?: number;
  /** `message 1`: nothing at all came back in this attempt. */
  readonly unanswered?: 'message 1';
}

/** What an operator should know about an SA that works all the same. */
export type AdvisoryCode =
  | 'weak_algorithm'
  | 'ts_narrowed'
  | 'identity_of_private_address'
  | 'pfs_unverified'
  | 'pfs_mismatch'
  | 'rekey_refused'
  | 'plain_proposals';

/** Why a datagram was discarded. */
export type DatagramDropReason =
  | 'malformed'
  | 'unknown_spi'
  | 'bad_version'
  | 'decryption_failed'
  | 'outside_window'
  | 'unexpected'
  | 'half_open_limit'
  | 'rate_limited'
  | 'too_large';
