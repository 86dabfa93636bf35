import { DROP_REASONS } from '../../esp/drops.js';
import type { DatagramDropReason } from '../../ike/events.js';
import { GATEWAY_LABELS, type MetricDefinition, WORKER_LABELS } from './definition.js';

const G = GATEWAY_LABELS;
const W = WORKER_LABELS;
const source = 'gateway';
const DIRECTIONS = ['in', 'out'] as const;

/** Why datagrams of IKE are dropped; of the type that events have, so that none is left out. */
const DATAGRAM_DROPS: Readonly<Record<DatagramDropReason, true>> = {
  malformed: true,
  unknown_spi: true,
  bad_version: true,
  decryption_failed: true,
  outside_window: true,
  unexpected: true,
  half_open_limit: true,
  rate_limited: true,
  too_large: true,
};

/** Metrics of gateways, of one process each, and of their packet threads. */
export const GATEWAY_METRICS = {
  culvert_gateway_info: {
    ...{ type: 'gauge', source },
    labels: [...G, 'gateway_id', 'address', 'mode', 'interface', 'data_plane', 'version'],
    help: 'Always 1: what the gateway is. gateway_id is empty where it has its configuration from a file.',
  },
  culvert_gateway_up: {
    ...{ type: 'gauge', source, labels: G },
    help: '1 when the process of the gateway answers.',
  },
  culvert_gateway_start_timestamp_seconds: {
    ...{ type: 'gauge', source, labels: G },
    help: 'When the process of the gateway began to run, in Unix time; 0 when it does not answer.',
  },
  culvert_gateway_connections: {
    ...{ type: 'gauge', source, labels: [...G, 'state'], values: { state: ['up', 'degraded', 'down'] } },
    help: 'Configured connections by state.',
  },
  culvert_gateway_bytes_total: {
    ...{ type: 'counter', source, labels: [...G, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Octets of inner packets of all connections, those included that are not configured any more.',
  },
  culvert_gateway_packets_total: {
    ...{ type: 'counter', source, labels: [...G, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Inner packets of all connections, those included that are not configured any more.',
  },
  culvert_gateway_dropped_packets_total: {
    ...{ type: 'counter', source, labels: [...G, 'reason'], values: { reason: DROP_REASONS } },
    help: 'Dropped packets, by reason: those of all connections and those that belong to no SA.',
  },
  culvert_gateway_clear_packets_discarded_total: {
    ...{ type: 'counter', source, labels: G },
    help: 'Packets from networks behind peers that came in the clear and were discarded, since the filter was made.',
  },
  culvert_gateway_ike_dropped_datagrams_total: {
    ...{ type: 'counter', source, labels: [...G, 'reason'] },
    values: { reason: Object.keys(DATAGRAM_DROPS) },
    help: 'IKE datagrams that were dropped and changed nothing, by reason.',
  },
  culvert_gateway_half_open_ike_sas: {
    ...{ type: 'gauge', source, labels: G },
    help: 'Negotiations whose peer has not authenticated yet.',
  },
  culvert_gateway_cookies_demanded_total: {
    ...{ type: 'counter', source, labels: G },
    help: 'Initiators that were asked to return a cookie first, since too many negotiations were half-open.',
  },
  culvert_gateway_unmatched_failures_total: {
    ...{ type: 'counter', source, labels: G },
    help: 'Failed negotiations of peers that could not be matched to a connection.',
  },
  culvert_gateway_reloads_total: {
    ...{ type: 'counter', source, labels: [...G, 'result'], values: { result: ['applied', 'refused'] } },
    help: 'Configurations that were taken over, or refused since they have a fault or need a restart.',
  },
  culvert_gateway_resident_memory_bytes: {
    ...{ type: 'gauge', source, labels: G },
    help: 'Memory of the process of the gateway that is resident.',
  },
  culvert_gateway_heap_used_bytes: {
    ...{ type: 'gauge', source, labels: G },
    help: 'JavaScript objects of the main thread of the gateway.',
  },
  culvert_gateway_cpu_seconds_total: {
    ...{ type: 'counter', source, labels: G },
    help: 'Processor time of the process of the gateway, all its threads together.',
  },
  culvert_gateway_event_loop_delay_seconds: {
    ...{ type: 'gauge', source, labels: [...G, 'quantile'], values: { quantile: ['0.5', '0.99', '1'] } },
    help: 'How late the main thread of the gateway came to what was due, since the metrics were read last.',
  },
  culvert_worker_child_sas: {
    ...{ type: 'gauge', source, labels: W },
    help: 'Child SAs that belong to the packet thread.',
  },
  culvert_worker_handovers_total: {
    ...{ type: 'counter', source, labels: [...W, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Packets that came to the thread and belong to another one (out), or were taken from others (in).',
  },
  culvert_worker_queue_full_total: {
    ...{ type: 'counter', source, labels: W },
    help: 'Packets that were dropped since the queue to another thread was full.',
  },
  culvert_worker_cpu_seconds_total: {
    ...{ type: 'counter', source, labels: W },
    help: 'Processor time of the packet thread; near 1 a second it is the limit of the gateway.',
  },
  culvert_worker_bursts_total: {
    ...{ type: 'counter', source, labels: [...W, 'direction'], values: { direction: DIRECTIONS } },
    help: 'Times the thread found packets waiting: at the sockets (in) or at the TUN device (out).',
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
