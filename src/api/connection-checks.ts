import type { ConfigIssue, ConfigPath } from '../store/config-error.js';
import { type ConnectionSurroundings, checkConnection } from '../store/connection-rules.js';
import {
  checkOwnNetworks,
  checkPair,
  type PlacedConnection,
  placeConnection,
} from '../store/overlap-rules.js';
import type { ConnectionRecord, GatewayRecord } from '../store/records.js';
import type { Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import type { ApiContext, Transaction, View } from './context.js';
import { connectionOf, settingsOf } from './desired.js';
import type { Dialect } from './dialect.js';
import { ApiError, badField, type IssueNames, refuseIssues } from './errors.js';
import { networksOf, networksOfGateway } from './quotas.js';

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
 * Holds a connection, as the transaction leaves it, against the rules of its own fields, against the other
 * connections of its gateway, and against the peers' networks of the other gateways in the VPC.
 * @throws ApiError 400 when the transaction is settled
 */
export function checkConnectionLater(
  transaction: Transaction,
  id: string,
  { site }: Pick<ApiContext, 'site'>,
  dialect: Dialect,
): void {
  transaction.later(`connection ${id}`, (view) => {
    const connection = view.connection(id);
    const gateway = connection && view.gateway(connection.value.gateway);
    // Whatever is deleted again within the transaction breaks no rule.
    if (connection !== undefined && gateway !== undefined) {
      holdAgainstRules(connection, gateway, rulesOf(view, site), dialect);
    }
  });
}

/** One for each state: a transaction of many connections reads each of them once. */
const RULES = new WeakMap<View, ConnectionReader>();

function rulesOf(view: View, site: Site): ConnectionReader {
  const known = RULES.get(view) ?? new ConnectionReader(view, site);
  RULES.set(view, known);
  return known;
}

/** The connections of one state of the store, as the rules compare them. */
class ConnectionReader {
  readonly view: View;
  readonly #site: Site;
  readonly #ikePolicies: readonly string[];
  readonly #ipsecPolicies: readonly string[];
  readonly #versionOne: ReadonlySet<string>;
  readonly #placed = new Map<string, PlacedConnection>();

  constructor(view: View, site: Site) {
    this.view = view;
    this.#site = site;
    const ike = view.ikePolicies();
    this.#ikePolicies = ike.map(({ id }) => id);
    this.#ipsecPolicies = view.ipsecPolicies().map(({ id }) => id);
    this.#versionOne = new Set(ike.filter(({ value }) => value.ikeVersion === 1).map(({ id }) => id));
  }

  /** What the fields of a connection of this gateway are checked against. */
  around(gateway: GatewayRecord): ConnectionSurroundings {
    return {
      gateway: settingsOf(gateway, gateway.members[0]!.publicAddress!, this.#site),
      ikePolicies: this.#ikePolicies,
      ipsecPolicies: this.#ipsecPolicies,
    };
  }

  placed({ id, value }: StoredObject<ConnectionRecord>, gateway: GatewayRecord): PlacedConnection {
    const known = this.#placed.get(id);
    if (known !== undefined) return known;
    const connection = connectionOf(id, value, this.around(gateway).gateway);
    const placed = placeConnection([], connection, this.#versionOne.has(value.ikePolicy ?? ''));
    this.#placed.set(id, placed);
    return placed;
  }
}

function holdAgainstRules(
  connection: StoredObject<ConnectionRecord>,
  gateway: StoredObject<GatewayRecord>,
  reader: ConnectionReader,
  dialect: Dialect,
): void {
  const { view } = reader;
  const { id, value: record } = connection;
  if (record.psk === undefined && record.adminStateUp) {
    const message = 'is missing: the connection was restored without its key; send one, then it can be up';
    throw badField('psk', 'validation_required_field', message);
  }
  const issues: ConfigIssue[] = [];
  checkConnection([], record, reader.around(gateway.value), issues);
  const own = reader.placed(connection, gateway.value);
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
    checkPair(reader.placed(other, owner.value), own, found);
    const bothUp = record.adminStateUp && other.value.adminStateUp;
    issues.push(...found.filter(({ rule }) => bothUp || rule !== 'ends_alike'));
  }
  refuseIssues(issues, connectionNames(dialect));
}

function remoteOf({ peer }: ConnectionRecord): string {
  return peer.address ?? (peer.fqdn ?? '').toLowerCase();
}

/**
 * Connections that their IKE policy leaves with nothing to distinguish them: IKEv1 needs more than IKEv2 does.
 * @throws ApiError 400
 */
export function checkPolicyVersion(id: string, view: View, site: Site): void {
  const policy = view.ikePolicies().find((one) => one.id === id);
  if (policy?.value.ikeVersion !== 1) return;
  const reader = rulesOf(view, site);
  const users = view.connections().filter(({ value }) => value.ikePolicy === id && value.adminStateUp);
  for (const [index, second] of users.entries()) {
    const gateway = view.gateway(second.value.gateway);
    if (gateway === undefined) continue;
    for (const first of users.slice(0, index)) {
      if (first.value.gateway !== gateway.id) continue;
      const found: ConfigIssue[] = [];
      checkPair(reader.placed(first, gateway.value), reader.placed(second, gateway.value), found);
      const alike = found.find(({ rule }) => rule === 'ends_alike');
      if (alike === undefined) continue;
      const message = `1 is refused by connection ${second.value.name}, which ${alike.message}`;
      throw badField('ike_version', 'validation_failure', message);
    }
  }
}

/**
 * Networks of a connection and of its gateway, as the transaction leaves them. `side` is the one that grows.
 * @throws ApiError 400 when the transaction is settled
 */
export function checkCidrQuotasLater(
  transaction: Transaction,
  id: string,
  side: 'local' | 'peer',
  { site }: Pick<ApiContext, 'site'>,
): void {
  transaction.later(`networks of ${id}`, (view) => {
    const connection = view.connection(id);
    if (connection !== undefined) checkCidrQuotas(connection.value, side, view, site);
  });
}

function checkCidrQuotas(
  record: ConnectionRecord,
  side: 'local' | 'peer',
  view: View,
  { quotas }: Site,
): void {
  const code = `vpn_connection_${side}_subnets_quota_exceeded` as const;
  const own = networksOf(record);
  if (own > quotas.cidrs_per_connection) {
    const message = `${own} networks are too many: a connection has at most ${quotas.cidrs_per_connection}, local and peer together`;
    throw new ApiError(400, `${code}_for_connection`, message);
  }
  const all = networksOfGateway(view, record.gateway);
  if (all > quotas.cidrs_per_gateway) {
    const message = `the gateway would have ${all} networks: at most ${quotas.cidrs_per_gateway} are for one gateway`;
    throw new ApiError(400, code, message);
  }
}
