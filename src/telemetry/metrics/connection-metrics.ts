import { HANDSHAKE_SECONDS } from '../../connection/projections/counts.js';
import { STATUS_CAUSES } from '../../connection/reasons.js';
import { ACTIVITIES, ADVISORY_CODES } from '../../connection/status.js';
import { DROP_REASONS } from '../../esp/drops.js';
import { CONNECTION_LABELS, type MetricDefinition } from './definition.js';

const K = CONNECTION_LABELS;
const source = 'gateway';
const DIRECTIONS = ['in', 'out'] as const;
const ROLES = ['initiator', 'responder'] as const;
const SA_KINDS = ['ike', 'child'] as const;

/** Metrics of connections. Every configured connection has all their series from the start, up or not. */
export const CONNECTION_METRICS = {
  culvert_connection_info: {
    ...{ type: 'gauge', source },
    labels: [...K, 'connection_id', 'peer', 'mode', 'ike_version', 'establish_mode'],
    help: 'Always 1: what the connection is. ike_version is auto where both are accepted.',
  },
  culvert_connection_up: {
    ...{ type: 'gauge', source, labels: K },
    help: '1 when packets of at least one pair of networks can pass: a child SA is established.',
  },
  culvert_connection_admin_up: {
    ...{ type: 'gauge', source, labels: K },
    help: '1 when the connection is meant to be up: admin_state_up is true and no operator holds it down.',
  },
  culvert_connection_state: {
    ...{ type: 'gauge', source, labels: [...K, 'state'], values: { state: ['up', 'degraded', 'down'] } },
    help: '1 for the state it is in, 0 for the others. degraded: some pairs of networks are not carried.',
  },
  culvert_connection_activity: {
    ...{ type: 'gauge', source, labels: [...K, 'activity'], values: { activity: ACTIVITIES } },
    help: '1 for what the gateway is doing about the connection, 0 for the others.',
  },
  culvert_connection_cause_info: {
    ...{ type: 'gauge', source, labels: [...K, 'code', 'cause'] },
    help: 'Always 1: why the connection is not up, as its first status reason says; code and cause are none when there is nothing to say.',
  },
  culvert_connection_advisory: {
    ...{ type: 'gauge', source, labels: [...K, 'code'], values: { code: ADVISORY_CODES } },
    help: '1 while the advisory stands.',
  },
  culvert_connection_established_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: K },
    help: 'When the IKE SA in use was established, in Unix time; 0 without one.',
  },
  culvert_connection_state_changed_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: K },
    help: 'When child SAs last began to carry more or less of the connection (state), in Unix time; 0 as long as that never changed.',
  },
  culvert_connection_last_inbound_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: K },
    help: 'When the last authentic ESP packet came, in Unix time; 0 before the first.',
  },
  culvert_connection_next_attempt_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: K },
    help: 'When the connection is tried again, in Unix time; 0 when no attempt is planned.',
  },
  culvert_connection_next_rekey_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: [...K, 'sa'], values: { sa: SA_KINDS } },
    help: 'The soonest planned rekeying of an SA of this kind, in Unix time; 0 without one.',
  },
  culvert_connection_bytes_total: {
    ...{ type: 'counter', source, labels: [...K, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Octets of inner packets: in after decryption, out before encryption.',
  },
  culvert_connection_packets_total: {
    ...{ type: 'counter', source, labels: [...K, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Inner packets: in after decryption, out before encryption.',
  },
  culvert_connection_dropped_packets_total: {
    ...{ type: 'counter', source, labels: [...K, 'reason'], values: { reason: DROP_REASONS } },
    help: 'Packets that its child SAs dropped, by reason.',
  },
  culvert_connection_attempts_total: {
    ...{ type: 'counter', source, labels: [...K, 'role'], values: { role: ROLES } },
    help: 'Negotiations of an IKE SA from the start that came to an end: established, failed or given up.',
  },
  culvert_connection_establishments_total: {
    ...{ type: 'counter', source, labels: [...K, 'role'], values: { role: ROLES } },
    help: 'IKE SAs that were negotiated from the start; rekeyings do not count.',
  },
  culvert_connection_failures_total: {
    ...{ type: 'counter', source, labels: [...K, 'cause'], values: { cause: STATUS_CAUSES } },
    help: 'Failed negotiations of IKE SAs and of new child SAs, in either role, by cause.',
  },
  culvert_connection_losses_total: {
    ...{ type: 'counter', source, labels: [...K, 'cause'], values: { cause: STATUS_CAUSES } },
    help: 'How often the connection went down without being asked to, by cause.',
  },
  culvert_connection_flaps: {
    ...{ type: 'gauge', source, labels: K },
    help: 'Losses in the last ten minutes, which the advisory flapping goes by; 64 at most.',
  },
  culvert_connection_rekeys_total: {
    ...{ type: 'counter', source, labels: [...K, 'sa', 'result'] },
    ...{ values: { sa: SA_KINDS, result: ['done', 'failed'] } },
    help: 'Rekeyings, by whichever end began them: done, or refused or unanswered.',
  },
  culvert_connection_handshake_duration_seconds: {
    ...{ type: 'histogram', source, labels: [...K, 'role'], values: { role: ROLES } },
    buckets: HANDSHAKE_SECONDS,
    help: 'From the first message of an IKE SA to its first child SA.',
  },
  culvert_connection_ike_sas: {
    ...{ type: 'gauge', source, labels: K },
    help: 'Established IKE SAs; two for a moment at a rekeying.',
  },
  culvert_connection_child_sas: {
    ...{ type: 'gauge', source, labels: K },
    help: 'Established child SAs, those that a newer one replaces included.',
  },
  culvert_connection_pairs: {
    ...{ type: 'gauge', source, labels: [...K, 'state'] },
    ...{ values: { state: ['covered', 'pending', 'refused', 'down'] } },
    help: 'Configured pairs of networks by coverage.',
  },
  culvert_connection_pair_covered: {
    ...{ type: 'gauge', source, labels: [...K, 'local_network', 'peer_network'] },
    help: '1 when a child SA carries the configured pair of networks; the first 256 pairs of a connection.',
  },
  culvert_connection_dpd_probes_total: {
    ...{ type: 'counter', source, labels: K },
    help: 'Times the peer was asked for a sign of life.',
  },
  culvert_connection_dpd_timeouts_total: {
    ...{ type: 'counter', source, labels: K },
    help: 'IKE SAs that were given up since the peer was found dead.',
  },
  culvert_connection_ike_messages_total: {
    ...{ type: 'counter', source, labels: [...K, 'direction'], values: { direction: DIRECTIONS } },
    help: 'IKE messages that were sent or accepted, those sent again not counted.',
  },
  culvert_connection_ike_retransmissions_total: {
    ...{ type: 'counter', source, labels: K },
    help: 'Requests that were not answered in time and sent again.',
  },
  culvert_connection_crypto_info: {
    ...{ type: 'gauge', source },
    labels: [...K, 'ike_encryption', 'ike_integrity', 'dh_group', 'esp_encryption', 'esp_integrity', 'pfs'],
    help: 'Always 1: what was negotiated; none where there is nothing, or no SA.',
  },
  culvert_connection_inner_mtu_bytes: {
    ...{ type: 'gauge', source, labels: K },
    help: 'The longest packet that fits into the tunnel, of its child SAs the least; 0 when it is not known.',
  },
  culvert_connection_endpoint_changes_total: {
    ...{ type: 'counter', source, labels: K },
    help: 'Moves of the peer to another address or port.',
  },
  culvert_connection_nat: {
    ...{ type: 'gauge', source, labels: [...K, 'side'], values: { side: ['local', 'peer'] } },
    help: '1 when NAT detection found this side to be behind a NAT.',
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
