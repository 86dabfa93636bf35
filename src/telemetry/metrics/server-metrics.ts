import { CONNECTION_LABELS, GATEWAY_LABELS, type MetricDefinition } from './definition.js';

const source = 'server';

/** What the API's document calls the labels that all of its metrics have. */
const IBM_COMMON = [
  'ibm_ctype',
  'ibm_location',
  'ibm_resource',
  'ibm_resource_type',
  'ibm_resource_group_name',
  'ibm_scope',
  'ibm_service_name',
] as const;
const IBM_GATEWAY = [
  ...['ibm_service_instance', 'ibm_service_instance_name', 'ibm_is_vpn_gateway_name', 'ibm_is_generation'],
  ...IBM_COMMON,
] as const;
const IBM_CONNECTION = [
  ...['ibm_service_instance', 'ibm_is_vpn_gateway_name', 'ibm_is_vpn_connection_name'],
  ...['ibm_is_vpn_connection_id', 'ibm_is_generation'],
  ...IBM_COMMON,
] as const;

/** Seconds. Reads are answered from memory within a millisecond; writes wait for the disk. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Metrics of the API server, of its store and of its supervisor, and the names that the API's document has for ten. */
export const SERVER_METRICS = {
  culvert_gateway_restarts_total: {
    ...{ type: 'counter', source, labels: GATEWAY_LABELS },
    help: 'Starts of a process of the gateway after one that ended, failed to start or fell silent.',
  },
  culvert_ha_role: {
    ...{ type: 'gauge', source, labels: GATEWAY_LABELS },
    help: 'Of a gateway with a standby: 1 for its active member, 0 for the other one.',
  },
  culvert_ha_standby_ready: {
    ...{ type: 'gauge', source, labels: ['gateway'] },
    help: 'Of a gateway with a standby: 1 when that could take over at once.',
  },
  culvert_ha_term: {
    ...{ type: 'gauge', source, labels: ['gateway'] },
    help: 'Of a gateway with a standby: a number that rises with each takeover; 0 before the first member is active.',
  },
  culvert_ha_takeovers_total: {
    ...{ type: 'counter', source, labels: ['gateway', 'reason'] },
    ...{ values: { reason: ['switch', 'ended', 'silent'] } },
    help: 'Takeovers by the standby: it was asked to, the active member ended, or it did not answer.',
  },
  culvert_vpc_routes: {
    ...{ type: 'gauge', source, labels: ['vpc', 'state'] },
    values: { state: ['stable', 'pending', 'waiting', 'failed'] },
    help: 'Routes that clients made, by lifecycle_state. waiting: no tunnel of the connection is up; failed: the kernel refuses it.',
  },
  culvert_connection_routes: {
    ...{ type: 'gauge', source, labels: CONNECTION_LABELS },
    help: 'Routes of VPCs whose packets go through this tunnel now; those of a distributed connection count at each of its tunnels.',
  },
  culvert_gateway_route_moves_total: {
    ...{ type: 'counter', source, labels: ['gateway'] },
    help: 'Changes of the tunnels that carry the packets of a route, for each route to a connection of the gateway.',
  },
  culvert_api_requests_total: {
    ...{ type: 'counter', source, labels: ['method', 'route', 'code'] },
    help: 'Answered requests by route, as the API document writes it, and HTTP status; route is none where no route matched.',
  },
  culvert_api_request_duration_seconds: {
    ...{ type: 'histogram', source, labels: ['method', 'route'], buckets: BUCKETS },
    help: 'From the head of a request to the last octet of its answer.',
  },
  culvert_api_requests_in_flight: {
    ...{ type: 'gauge', source, labels: [] },
    help: 'Requests that are being answered.',
  },
  culvert_api_auth_failures_total: {
    ...{ type: 'counter', source, labels: ['reason'] },
    ...{ values: { reason: ['missing', 'invalid', 'too_many'] } },
    help: 'Requests without a valid token, and logins that failed: no token, a wrong one, or too many wrong ones from the address.',
  },
  culvert_store_writes_total: {
    ...{
      type: 'counter',
      source,
      labels: ['result'],
      values: { result: ['done', 'conflict', 'uncertain', 'failed'] },
    },
    help: 'Commits by result. conflict: another writer was faster, and the change is worked out again. uncertain: etcd has not said whether it was made.',
  },
  culvert_store_up: {
    ...{ type: 'gauge', source, labels: [] },
    help: '0 while etcd cannot be asked: writes are refused, and reads show what is known. Always 1 with a store in a file.',
  },
  culvert_store_resyncs_total: {
    ...{ type: 'counter', source, labels: ['cause'] },
    values: { cause: ['gap', 'compacted', 'lag', 'restored', 'unreadable'] },
    help: 'Times that a store in etcd was read again in full, because its watch had missed commits or brought none.',
  },
  culvert_store_write_duration_seconds: {
    ...{ type: 'histogram', source, labels: [], buckets: BUCKETS },
    help: 'How long commits took that were made.',
  },
  culvert_store_revision: {
    ...{ type: 'gauge', source, labels: [] },
    help: 'Commits of the store so far.',
  },
  culvert_store_objects: {
    ...{ type: 'gauge', source, labels: ['kind'] },
    values: { kind: ['vpn_gateway', 'vpn_gateway_connection', 'ike_policy', 'ipsec_policy'] },
    help: 'Objects in the store by kind.',
  },
  ibm_is_vpn_gateway_bytes_in: ibm('gateway', 'octets of inner packets from peers'),
  ibm_is_vpn_gateway_bytes_out: ibm('gateway', 'octets of inner packets to peers'),
  ibm_is_vpn_gateway_packets_in: ibm('gateway', 'inner packets from peers'),
  ibm_is_vpn_gateway_packets_out: ibm('gateway', 'inner packets to peers'),
  ibm_is_vpn_gateway_status: ibm('gateway', undefined),
  ibm_is_vpn_connection_bytes_in: ibm('connection', 'octets of inner packets from the peer'),
  ibm_is_vpn_connection_bytes_out: ibm('connection', 'octets of inner packets to the peer'),
  ibm_is_vpn_connection_packets_in: ibm('connection', 'inner packets from the peer'),
  ibm_is_vpn_connection_packets_out: ibm('connection', 'inner packets to the peer'),
  ibm_is_vpn_connection_status: ibm('connection', undefined),
} as const satisfies Readonly<Record<string, MetricDefinition>>;

function ibm(of: 'gateway' | 'connection', what: string | undefined) {
  const labels = of === 'gateway' ? IBM_GATEWAY : IBM_CONNECTION;
  const state = of === 'gateway' ? 'available' : 'up';
  const help =
    what === undefined
      ? `The API document's name: 1 when the ${of} is ${state}, 0 when not.`
      : `The API document's name, all members together: ${what} in the last minute.`;
  return { type: 'gauge', source, labels, help } as const;
}
