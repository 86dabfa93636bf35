import type { ConfigIssue, ConfigPath } from '../store/config-error.js';
import { readConnection } from '../store/connection-rules.js';
import {
  checkOwnNetworks,
  checkPair,
  type PlacedConnection,
  placeConnection,
} from '../store/overlap-rules.js';
import type { ConnectionRecord, GatewayRecord, IkePolicyRecord } from '../store/records.js';
import type { Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import type { View } from './context.js';
import { connectionInput, settingsOf } from './desired.js';
import type { Dialect } from './dialect.js';
import { ApiError, badField, type IssueNames, refuseIssues } from './errors.js';

/** Codes that the contract has for faults of single fields. */
export const CONNECTION_CODES = {
  bad_name: 'vpn_connection_invalid_name',
  'missing local.cidrs': 'vpn_connection_local_cidrs_required',
  'missing local_cidrs': 'vpn_connection_local_cidrs_required',
  'missing peer.cidrs': 'vpn_connection_peer_cidrs_required',
  'missing peer_cidrs': 'vpn_connection_peer_cidrs_required',
  'list_size local.cidrs': 'vpn_connection_local_cidrs_required',
  'list_size local_cidrs': 'vpn_connection_local_cidrs_required',
  'list_size peer.cidrs': 'vpn_connection_peer_cidrs_required',
  'list_size peer_cidrs': 'vpn_connection_peer_cidrs_required',
} as const;

/** Places of a connection as the fields of its dialect. */
export function connectionNames({ flatConnections }: Dialect): IssueNames {
  return {
    codes: CONNECTION_CODES,
    path: (path) => (flatConnections ? flatPath(path) : path),
  };
}

function flatPath(path: ConfigPath): ConfigPath {
  const [side, field, ...rest] = path;
  if (field === 'cidrs') return [`${side}_cidrs`, ...rest];
  return side === 'peer' ? ['peer_address'] : path;
}

/**
 * Holds a connection against the rules of its own fields, against the other connections of its gateway, and
 * against the peers' networks of the other gateways in the VPC.
 * @throws ApiError 400
 */
export function checkConnection(
  id: string,
  record: ConnectionRecord,
  gateway: StoredObject<GatewayRecord>,
  view: View,
  site: Site,
  dialect: Dialect,
): void {
  const issues: ConfigIssue[] = [];
  const own = placedOf(record, gateway.value, view, site, issues);
  if (issues.length === 0) checkOwnNetworks(own, issues);
  refuseIssues(issues, connectionNames(dialect));
  for (const other of view.connections()) {
    if (other.id === id) continue;
    const sameGateway = other.value.gateway === gateway.id;
    const owner = sameGateway ? gateway : view.gateway(other.value.gateway);
    if (owner === undefined || owner.value.vpc !== gateway.value.vpc) continue;
    // Two gateways of a VPC may lead to one peer; two peers may not have one network.
    if (!sameGateway && remoteOf(other.value) === remoteOf(record)) continue;
    const found: ConfigIssue[] = [];
    checkPair(placedOf(other.value, owner.value, view, site, []), own, found);
    const bothUp = record.adminStateUp && other.value.adminStateUp;
    issues.push(...found.filter(({ rule }) => bothUp || rule !== 'ends_alike'));
  }
  refuseIssues(issues, connectionNames(dialect));
}

function remoteOf({ peer }: ConnectionRecord): string {
  return peer.address ?? (peer.fqdn ?? '').toLowerCase();
}

function placedOf(
  record: ConnectionRecord,
  gateway: GatewayRecord,
  view: View,
  site: Site,
  issues: ConfigIssue[],
): PlacedConnection {
  const around = {
    gateway: settingsOf(gateway, gateway.members[0]!.publicAddress!, site),
    ikePolicies: view.ikePolicies().map(({ id }) => id),
    ipsecPolicies: view.ipsecPolicies().map(({ id }) => id),
  };
  const connection = readConnection(
    { path: [], input: connectionInput(record.name, record) },
    around,
    issues,
  );
  const policy = view.ikePolicies().find(({ id }) => id === record.ikePolicy);
  return placeConnection([], connection, policy?.value.ikeVersion === 1);
}

/**
 * Connections that a change of their IKE policy would leave with nothing to tell them apart: IKEv1 needs more than
 * IKEv2 does. `policy` is as the change makes it.
 * @throws ApiError 400
 */
export function checkPolicyVersion(id: string, policy: IkePolicyRecord, view: View, site: Site): void {
  if (policy.ikeVersion !== 1) return;
  const users = view.connections().filter(({ value }) => value.ikePolicy === id && value.adminStateUp);
  for (const [index, { value: second }] of users.entries()) {
    const gateway = view.gateway(second.gateway);
    if (gateway === undefined) continue;
    const place = (record: ConnectionRecord): PlacedConnection => ({
      ...placedOf(record, gateway.value, view, site, []),
      versionOneOnly: true,
    });
    for (const { value: first } of users.slice(0, index)) {
      if (first.gateway !== second.gateway) continue;
      const found: ConfigIssue[] = [];
      checkPair(place(first), place(second), found);
      const alike = found.find(({ rule }) => rule === 'ends_alike');
      if (alike === undefined) continue;
      const message = `1 is refused by connection ${second.name}, which ${alike.message}`;
      throw badField('ike_version', 'validation_failure', message);
    }
  }
}

/** Networks of a connection and of its gateway. `side` is the one that grows. @throws ApiError 400 */
export function checkCidrQuotas(
  id: string,
  record: ConnectionRecord,
  side: 'local' | 'peer',
  view: View,
  { quotas }: Site,
): void {
  const count = ({ local, peer }: ConnectionRecord): number => local.cidrs.length + peer.cidrs.length;
  const code = `vpn_connection_${side}_subnets_quota_exceeded` as const;
  const own = count(record);
  if (own > quotas.cidrs_per_connection) {
    const message = `${own} networks are too many: a connection has at most ${quotas.cidrs_per_connection}, local and peer together`;
    throw new ApiError(400, `${code}_for_connection`, message);
  }
  const others = view
    .connectionsOf(record.gateway)
    .filter((other) => other.id !== id)
    .reduce((sum, other) => sum + count(other.value), 0);
  if (own + others > quotas.cidrs_per_gateway) {
    const message = `the gateway would have ${own + others} networks: at most ${quotas.cidrs_per_gateway} are for one gateway`;
    throw new ApiError(400, code, message);
  }
}
