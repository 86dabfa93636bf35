import type { FailureCause, FailureDetails, Role } from '../ike/events.js';
import type { StatusReason, StatusReasonCode } from './status.js';

/** Where the public codes are explained: document and anchor, relative to the documentation's root. */
export const MORE_INFO = 'vpc-vpn-health#vpn-connection-health';

/**
 * Causes that only this room knows: they come from comparing the state with what is wanted, not from one
 * negotiation.
 */
export type StatusCause =
  | FailureCause
  | 'clock_or_lifetime'
  | 'ts_narrowed'
  | 'waiting_for_peer'
  | 'local_route_conflict'
  | 'peer_address_in_networks'
  | 'tun_error';

/** Evidence that no single negotiation has. Times are RFC 3339 in UTC. */
export interface StatusEvidence extends FailureDetails {
  /** How far the evidence goes: other explanations are left unless it is `certain`. */
  readonly confidence?: 'possible' | 'likely' | 'certain';
  readonly sentTo?: readonly string[];
  /** Requests sent since the peer was last heard, first and last time. */
  readonly sent?: number;
  readonly firstSent?: string;
  readonly lastSent?: string;
  readonly lastHeard?: string;
  /** When it is tried again by itself. */
  readonly nextAttemptAt?: string;
  /** What this host's kernel said when it was to send. */
  readonly sendError?: string;
  /** Ages at which the SAs of a connection ended, and the age at which we would have rekeyed them, in seconds. */
  readonly endedAfter?: readonly number[];
  readonly rekeyAfter?: number;
  /** How long this machine was paused, in seconds, and when it went on. */
  readonly stoodStill?: number;
  readonly wentOn?: string;
}

/** A failure as the status knows it. */
export interface StatusFailure {
  readonly cause: StatusCause;
  /** One sentence that names what differs. */
  readonly message: string;
  readonly details?: StatusEvidence;
}

/** When something failed, how often in a row, and in which role; times in RFC 3339. */
export interface Occurrence {
  readonly role?: Role;
  readonly version?: 1 | 2;
  readonly firstAt?: string;
  readonly lastAt?: string;
  readonly count?: number;
  /** The peer as the operator wrote it. */
  readonly peer?: string;
}

interface CauseInfo {
  readonly code: StatusReasonCode;
  /** How much the cause says: of two failures with one public code the more telling one is shown. */
  readonly rank: number;
  /** What to do, in one sentence. */
  readonly advice: string;
}

const CHECK_PSK =
  'Enter the same pre-shared key at both ends; look for a leading or trailing space or a wrong character.';

/** What to do about a cause, in a sentence or two. */
export function adviceFor(cause: string): string | undefined {
  return Object.hasOwn(CAUSES, cause) ? CAUSES[cause as StatusCause].advice : undefined;
}

const CAUSES: Readonly<Record<StatusCause, CauseInfo>> = {
  dns_failed: {
    code: 'peer_not_responding',
    rank: 3,
    advice:
      "Check the peer's host name and this machine's DNS resolver; it is looked up again at every attempt.",
  },
  peer_silent: {
    code: 'peer_not_responding',
    rank: 1,
    advice:
      'Check the peer address, that the peer is running, and that UDP 500 and 4500 are open in both directions.',
  },
  port_500_blocked: {
    code: 'peer_not_responding',
    rank: 2,
    advice:
      'Check in this order: the peer address; that the peer runs IKE (`ss -lun` there shows port 500); that UDP 500 and 4500 are open in both directions on every firewall and security group in between (`tcpdump udp port 500` at both ends shows where it stops).',
  },
  port_4500_blocked: {
    code: 'peer_not_responding',
    rank: 4,
    advice:
      'Open UDP 4500 in both directions on every firewall and security group in between (`tcpdump udp port 4500` at both ends shows where it stops); where nothing at all comes back, check the peer address too, and that the peer runs IKE (`ss -lun` there shows port 4500).',
  },
  psk_mismatch: { code: 'cannot_authenticate_connection', rank: 4, advice: CHECK_PSK },
  psk_mismatch_likely: { code: 'cannot_authenticate_connection', rank: 2, advice: CHECK_PSK },
  identity_mismatch: {
    code: 'cannot_authenticate_connection',
    rank: 4,
    advice:
      "Set peer.ike_identity to the identity that was received, or change the peer's local identity to the expected one.",
  },
  authentication_refused: {
    code: 'cannot_authenticate_connection',
    rank: 1,
    advice:
      'The peer knows whether the pre-shared key or an identity is wrong: read its log, or let the peer initiate once to see it here.',
  },
  ike_version_mismatch: {
    code: 'ike_policy_mismatch',
    rank: 3,
    advice: 'Set the same IKE version at both ends.',
  },
  ike_proposal_mismatch: {
    code: 'ike_policy_mismatch',
    rank: 2,
    advice:
      'Make one IKE proposal the same at both ends: encryption, integrity, PRF and Diffie-Hellman group.',
  },
  child_proposal_mismatch: {
    code: 'ipsec_policy_mismatch',
    rank: 2,
    advice: 'Make one IPsec proposal the same at both ends: encryption, integrity and PFS group.',
  },
  pfs_mismatch: {
    code: 'ipsec_policy_mismatch',
    rank: 3,
    advice: 'Set the same PFS group at both ends, or disable PFS at both.',
  },
  ts_mismatch: {
    code: 'ike_v2_local_remote_cidr_mismatch',
    rank: 3,
    advice: "Our local CIDRs must be the peer's remote ones, and vice versa.",
  },
  ts_narrowed: {
    code: 'ike_v2_local_remote_cidr_mismatch',
    rank: 2,
    advice: 'Add the missing networks at the peer, or take them out here.',
  },
  invalid_syntax: {
    code: 'internal_error',
    rank: 2,
    advice: 'One end could not read a message of the other: the debug log shows the message.',
  },
  cookie_loop: {
    code: 'peer_not_responding',
    rank: 2,
    advice:
      'The peer keeps asking for a cookie: it may be under load, or something in between changes our address.',
  },
  half_open_limit: {
    code: 'peer_not_responding',
    rank: 2,
    advice: 'Too many unfinished negotiations at once: wait, or find out who is flooding UDP 500.',
  },
  no_additional_sas: {
    code: 'internal_error',
    rank: 2,
    advice: 'Allow more child SAs per IKE SA at the peer, or look there for ones that were never deleted.',
  },
  peer_busy: {
    code: 'internal_error',
    rank: 1,
    advice: "The peer's log says what it is busy with; after three minutes a new IKE SA is negotiated.",
  },
  child_sa_limit: {
    code: 'internal_error',
    rank: 2,
    advice:
      'The peer asks for more and more child SAs and deletes none: look there for what makes it ask, or raise child_sas of limits.',
  },
  peer_deleted: {
    code: 'internal_error',
    rank: 2,
    advice: 'The peer ended the connection on purpose: its log says why.',
  },
  dpd_timeout: {
    code: 'peer_not_responding',
    rank: 2,
    advice:
      'Check the path to the peer and that the peer is running; if it comes and goes, raise the timeout.',
  },
  clock_or_lifetime: {
    code: 'internal_error',
    rank: 4,
    advice:
      'Set the same key lifetimes at both ends, and rekey at both; keep the machine from being suspended.',
  },
  rekey_failed: {
    code: 'internal_error',
    rank: 2,
    advice: 'Compare lifetimes and PFS at both ends.',
  },
  admin_down: {
    code: 'internal_error',
    rank: 3,
    advice: 'Bring the connection up at the end where it is down (admin_state_up, or `culvert up`).',
  },
  no_matching_connection: {
    code: 'internal_error',
    rank: 1,
    advice:
      "No connection here has this peer: compare the peer's address and identity with the configuration.",
  },
  terminated: { code: 'internal_error', rank: 0, advice: 'Bring it up again with `culvert up`.' },
  unsupported: {
    code: 'internal_error',
    rank: 2,
    advice: 'Turn the feature off at the peer.',
  },
  nat_traversal_unsupported: {
    code: 'ipsec_policy_mismatch',
    rank: 4,
    advice:
      'Turn NAT traversal on at the peer, or set `encapsulation: auto` here, which sends ESP as IP protocol 50 to such a peer.',
  },
  internal_error: { code: 'internal_error', rank: 1, advice: 'See the log for details.' },
  local_route_conflict: {
    code: 'internal_error',
    rank: 3,
    advice:
      'Another route to the same network is in the way: `ip route show` names it; remove it if this host does not need it, which is noticed within a minute; otherwise take the network out of the configuration and reload.',
  },
  peer_address_in_networks: {
    code: 'internal_error',
    rank: 3,
    advice:
      "Take the peer's own address out of `peer.cidrs`, or give the peer another address for what is to be protected.",
  },
  tun_error: {
    code: 'internal_error',
    rank: 3,
    advice: 'The TUN device of the connection could not be created: choose another `interface` and reload.',
  },
  waiting_for_peer: {
    code: 'peer_not_responding',
    rank: 0,
    advice: 'Nothing to do here if that is intended; otherwise set establish_mode to bidirectional.',
  },
};

/** Every cause there is. */
export const STATUS_CAUSES = Object.keys(CAUSES) as readonly StatusCause[];

/** The public code of a cause. IKEv1 has a code of its own for networks that differ. */
export function codeOf(cause: StatusCause, version: 1 | 2 = 2): StatusReasonCode {
  const { code } = CAUSES[cause];
  return version === 1 && code === 'ike_v2_local_remote_cidr_mismatch'
    ? 'ike_v1_id_local_remote_cidr_mismatch'
    : code;
}

/** How much a cause says; see `CauseInfo.rank`. Evidence from the peer's own offer counts on top. */
export function rankOf(failure: StatusFailure): number {
  const { rank } = CAUSES[failure.cause];
  return failure.details?.theirs !== undefined || failure.details?.nearest !== undefined ? rank + 10 : rank;
}

/** The status reason of a failure: public code, one or two sentences with advice, and the evidence. */
export function statusReason(failure: StatusFailure, seen: Occurrence = {}): StatusReason {
  const nearest = failure.details?.nearest?.advice;
  // A message that names the nearest miss already only lacks what to do.
  const advice =
    nearest === undefined || failure.message.includes(nearest) ? CAUSES[failure.cause].advice : nearest;
  return {
    code: codeOf(failure.cause, seen.version),
    message: `${sentence(failure.message)} ${sentence(advice)}`,
    more_info: MORE_INFO,
    details: {
      cause: failure.cause,
      advice: sentence(advice),
      ...(seen.role === undefined ? {} : { role: seen.role }),
      ...(seen.peer === undefined ? {} : { peer: seen.peer }),
      ...(seen.count === undefined ? {} : { count: seen.count }),
      ...(seen.firstAt === undefined ? {} : { first_at: seen.firstAt }),
      ...(seen.lastAt === undefined ? {} : { last_at: seen.lastAt }),
      ...evidence(failure.details ?? {}),
    },
  };
}

/** The engine's details under the names of the status document. */
export function evidence(details: StatusEvidence): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(details)) {
    if (value === undefined) continue;
    out[key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = value;
  }
  return out;
}

/** The text as a sentence: capital first, full stop last. */
function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
