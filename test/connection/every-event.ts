import type {
  CloseReason,
  DatagramDropReason,
  Failure,
  FailureCause,
  IkeEvent,
} from '../../src/ike/events.js';
import { QUIRKS, type QuirkCode } from '../../src/ike/quirks.js';
import { childInfo, ikeInfo, network } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };
const PEER6 = { address: '2001:db8::2', port: 4500 };
const connection = 'c';

export const CLOSE_REASONS: readonly CloseReason[] = [
  'terminated',
  'shutdown',
  'peer-deleted',
  'peer-dead',
  'rekeyed',
  'expired',
  'replaced',
  'configuration-changed',
  'failed',
];

const CAUSES: readonly FailureCause[] = [
  'peer_silent',
  'port_500_blocked',
  'port_4500_blocked',
  'psk_mismatch',
  'ike_proposal_mismatch',
  'terminated',
  'no_matching_connection',
];

const DROPS: readonly DatagramDropReason[] = [
  'malformed',
  'unknown_spi',
  'bad_version',
  'decryption_failed',
  'outside_window',
  'unexpected',
  'half_open_limit',
  'rate_limited',
  'too_large',
];

const EVIDENCE: Failure = {
  cause: 'ike_proposal_mismatch',
  message: 'no common proposal',
  details: { ours: ['AES_CBC-256'], theirs: ['3DES'], notify: 'NO_PROPOSAL_CHOSEN' },
};

function failure(cause: FailureCause): Failure {
  return { cause, message: `it was ${cause}` };
}

/** Every kind of event in every form in which its words differ. */
export const EVERY_EVENT: readonly IkeEvent[] = [
  { kind: 'ike-initiating', connection, ikeId: 1, version: 1, peer: PEER },
  { kind: 'ike-initiating', connection, ikeId: 1, version: 2, peer: PEER6 },
  { kind: 'ike-responding', ikeId: 1, version: 2, peer: PEER },
  { kind: 'ike-established', connection, ike: ikeInfo(1) },
  {
    kind: 'ike-established',
    connection,
    ike: ikeInfo(2, {
      version: 1,
      role: 'responder',
      replaces: 1,
      nat: { local: true, peer: true, peerMayForce: false },
    }),
  },
  {
    kind: 'ike-established',
    connection,
    ike: ikeInfo(3, { nat: { local: false, peer: true, peerMayForce: true } }),
  },
  { kind: 'ike-established', connection, ike: ikeInfo(4), adopted: true },
  ...CLOSE_REASONS.map((reason): IkeEvent => ({ kind: 'ike-closed', connection, ikeId: 1, reason })),
  { kind: 'ike-closed', connection, ikeId: 1, reason: 'peer-dead', failure: failure('dpd_timeout') },
  { kind: 'ike-closed', connection, ikeId: 1, reason: 'expired', failure: EVIDENCE },
  ...CAUSES.flatMap((cause): IkeEvent[] => [
    { kind: 'ike-failed', connection, ikeId: 1, role: 'initiator', peer: PEER, failure: failure(cause) },
    { kind: 'ike-failed', role: 'responder', peer: PEER, failure: failure(cause) },
  ]),
  { kind: 'ike-failed', connection, ikeId: 1, role: 'responder', peer: PEER6, failure: EVIDENCE },
  { kind: 'child-established', connection, child: childInfo(1, 1) },
  {
    kind: 'child-established',
    connection,
    child: childInfo(2, 1, {
      encapsulation: 'esp',
      narrowed: true,
      replaces: 1,
      localTs: [network('10.1.0.0/24'), network('10.1.2.3/32')],
      peerTs: [network('2001:db8:2::/48')],
    }),
  },
  { kind: 'child-established', connection, child: childInfo(3, 1), adopted: true },
  ...CLOSE_REASONS.map((reason): IkeEvent => ({ kind: 'child-closed', connection, childId: 7, reason })),
  { kind: 'child-failed', connection, ikeId: 1, role: 'initiator', failure: failure('ts_mismatch') },
  {
    kind: 'child-failed',
    connection,
    ikeId: 1,
    role: 'responder',
    failure: EVIDENCE,
    pair: { local: network('10.1.0.0/24'), peer: network('10.2.0.0/24') },
    retryAt: 9000,
    rekeys: 7,
  },
  { kind: 'peer-moved', connection, ikeId: 1, from: PEER, to: PEER6 },
  { kind: 'peer-took-over', connection, ikeId: 1, nextReceived: 12, nextSent: 7, skipped: 65_536 },
  { kind: 'rescheduled', connection, ikeId: 1, rekeyAt: 5000 },
  { kind: 'rescheduled', connection, ikeId: 1, childId: 7, rekeyAt: 5000 },
  { kind: 'liveness-probe', connection, ikeId: 1, idle: 2000.4 },
  { kind: 'round-trip', connection, ikeId: 1, exchange: 'INFORMATIONAL', time: 12.3 },
  { kind: 'round-trip', connection, ikeId: 1, exchange: 'R-U-THERE', time: 0 },
  { kind: 'retransmit', connection, ikeId: 1, exchange: 'IKE_AUTH', attempt: 1, peer: PEER },
  { kind: 'retransmit', ikeId: 1, exchange: 'IKE_SA_INIT', attempt: 3, peer: PEER6 },
  { kind: 'cookie-demanded', peer: PEER, halfOpen: 30 },
  { kind: 'cookie-answered', connection, ikeId: 1, peer: PEER },
  { kind: 'ke-group-changed', connection, ikeId: 1, from: 14, to: 19 },
  { kind: 'ke-group-changed', ikeId: 1, from: 14, to: 19 },
  { kind: 'advisory', connection, code: 'weak_algorithm', message: '3des is weak' },
  { kind: 'advisory-withdrawn', connection, code: 'pfs_unverified' },
  ...(Object.keys(QUIRKS) as QuirkCode[]).map((code): IkeEvent => ({ kind: 'quirk', connection, code })),
  ...DROPS.map((reason): IkeEvent => ({ kind: 'datagram-dropped', reason, peer: PEER, detail: 'cut short' })),
  { kind: 'message', direction: 'in', peer: PEER, connection, ikeId: 1, summary: 'IKE_AUTH [SK]' },
  { kind: 'message', direction: 'out', peer: PEER6, summary: 'IKE_SA_INIT [SA KE]' },
];
