import { isDeepStrictEqual } from 'node:util';
import type { DpdConfig } from '../../ike/config.js';
import type { IkeIdentity } from '../../store/model.js';
import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import { DEFAULTS } from '../../store/schema.js';
import type { StoredObject } from '../../store/store.js';
import { canonicalCidr, canonicalIp } from '../../util/ip.js';
import { BodyReader } from '../bodies.js';
import { CONNECTION_CODES, checkCidrQuotasLater, checkConnectionLater } from '../connection-checks.js';
import type { ApiContext, Transaction, View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField } from '../errors.js';
import { entityTag, newId, newName, tagMatches } from '../ids.js';
import type { Call } from '../operation.js';
import { connectionBodies, type Reference, settingsBody } from '../schemas/requests.js';
import {
  checkName,
  checkQuota,
  findConnection,
  findGateway,
  idOf,
  namesOf,
  refuseDeleting,
} from './shared.js';
import { byDialect, NEWEST } from './variants.js';

interface CommonBody {
  readonly name?: string;
  readonly psk?: string;
  readonly admin_state_up?: boolean;
  readonly establish_mode?: 'bidirectional' | 'peer_only';
  readonly dead_peer_detection?: Partial<DpdConfig>;
  readonly ike_policy?: Reference;
  readonly ipsec_policy?: Reference;
  readonly routing_protocol?: 'none' | 'bgp';
  readonly distribute_traffic?: boolean;
  readonly tunnels?: readonly object[];
}

/** Both forms of the body; a dialect's schema lets only one of them in. */
interface Body extends CommonBody {
  readonly local?: { readonly cidrs?: readonly string[]; readonly ike_identities?: readonly IkeIdentity[] };
  readonly peer?: {
    readonly address?: string;
    readonly fqdn?: string;
    readonly cidrs?: readonly string[];
    readonly ike_identity?: IkeIdentity;
    readonly asn?: number;
  };
  readonly peer_address?: string;
  readonly local_cidrs?: readonly string[];
  readonly peer_cidrs?: readonly string[];
}

const readers = byDialect((dialect) => {
  const bodies = connectionBodies(dialect);
  const noCidrs = 'vpn_connection_update_cidrs_not_permitted' as const;
  const patchCodes = {
    ...CONNECTION_CODES,
    'unknown_field local': noCidrs,
    'unknown_field peer.cidrs': noCidrs,
    'unknown_field local_cidrs': noCidrs,
    'unknown_field peer_cidrs': noCidrs,
  };
  return {
    create: new BodyReader<Body>(bodies.create, { codes: CONNECTION_CODES }),
    patch: new BodyReader<Body>(bodies.patch, { codes: patchCodes }),
  };
});
/** What `changeConnection` takes. */
const settingsReader = new BodyReader<Body>(settingsBody(NEWEST), { codes: CONNECTION_CODES });

/** Dead peer detection as it was in 2019. */
const EARLY_DPD: DpdConfig = { action: 'none', interval: 30, timeout: 120 };
/** There is no BGP here: fields that only make sense with it are refused, and say so. */
function refuseBgp(body: Body): void {
  const field =
    body.routing_protocol === 'bgp'
      ? 'routing_protocol'
      : body.peer?.asn !== undefined
        ? 'peer.asn'
        : body.tunnels !== undefined
          ? 'tunnels'
          : undefined;
  if (field === undefined) return;
  const remedy =
    field === 'routing_protocol' ? 'send "none", or leave it out for static routes' : 'leave it out';
  throw badField(
    field,
    'bad_field',
    `needs dynamic routes (BGP), which this service does not offer: ${remedy}`,
  );
}

/** Works a new connection out of the body of `call`; gives back its id. @throws ApiError */
export function createConnection(transaction: Transaction, call: Call, context: ApiContext): string {
  const { view } = transaction;
  const { dialect } = call;
  const gateway = findGateway(view, call.params.gateway!);
  refuseDeleting(gateway);
  const body = readers.of(dialect).create.read(call.body());
  refuseBgp(body);
  const policies = policyIds(body, view);
  const name = body.name ?? newName(namesOf(view.connectionsOf(gateway.id)));
  const record: ConnectionRecord = {
    gateway: gateway.id,
    name,
    createdAt: context.now().toISOString(),
    psk: body.psk!,
    adminStateUp: body.admin_state_up ?? DEFAULTS.adminStateUp,
    establishMode: body.establish_mode ?? DEFAULTS.establishMode,
    deadPeerDetection: { ...(dialect.early ? EARLY_DPD : DEFAULTS.dpd), ...body.dead_peer_detection },
    ...policies,
    // In policy mode one tunnel carries everything: the field is taken, as in the documents' examples, for nothing.
    distributeTraffic: gateway.value.mode === 'route' && (body.distribute_traffic ?? false),
    local: {
      cidrs: canonical(dialect.flatConnections ? body.local_cidrs : body.local?.cidrs),
      ikeIdentities: body.local?.ike_identities ?? [],
    },
    peer: readPeer(body, dialect),
  };
  if (dialect.flatConnections && gateway.value.mode === 'policy') requireFlatCidrs(body);
  const id = newId('0717', dialect);
  checkConnectionLater(transaction, id, context, dialect);
  checkNameLater(transaction, id, gateway.id);
  transaction.later(`connections of ${gateway.id}`, (after) => {
    const count = after.connectionsOf(gateway.id).length;
    const most = context.site.quotas.connections_per_gateway;
    checkQuota(count, most, 'vpn_connections_quota_exceeded', 'connections on the gateway');
  });
  checkCidrQuotasLater(transaction, id, longerSide(record), context);
  transaction.put(KIND.connection, id, record, 'is.vpn.vpn-connection.create');
  return id;
}

function longerSide({ local, peer }: ConnectionRecord): 'local' | 'peer' {
  return local.cidrs.length > peer.cidrs.length ? 'local' : 'peer';
}

function checkNameLater(transaction: Transaction, id: string, gateway: string): void {
  transaction.later(`name of ${id}`, (view) =>
    checkName(id, view.connectionsOf(gateway), 'vpn_connection_duplicate_name'),
  );
}

function requireFlatCidrs(body: Body): void {
  for (const side of ['local', 'peer'] as const) {
    if (body[`${side}_cidrs`] !== undefined) continue;
    const code = `vpn_connection_${side}_cidrs_required` as const;
    throw badField(`${side}_cidrs`, code, 'is missing: name at least one network');
  }
}

function readPeer(body: Body, dialect: Dialect): ConnectionRecord['peer'] {
  if (dialect.flatConnections) {
    return { address: canonicalIp(body.peer_address!), cidrs: canonical(body.peer_cidrs) };
  }
  const { address: given, fqdn, cidrs, ike_identity: identity } = body.peer!;
  return {
    ...(given === undefined ? {} : { address: canonicalIp(given) }),
    ...(fqdn === undefined ? {} : { fqdn }),
    cidrs: canonical(cidrs),
    ...(identity === undefined ? {} : { ikeIdentity: identity }),
  };
}

function canonical(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).map(canonicalCidr);
}

/** @throws ApiError 404 when there is no such policy */
function policyIds(body: Body, view: View): Pick<ConnectionRecord, 'ikePolicy' | 'ipsecPolicy'> {
  const ids: { ikePolicy?: string; ipsecPolicy?: string } = {};
  if (body.ike_policy !== undefined) {
    ids.ikePolicy = known(idOf(body.ike_policy, 'ike_policy'), view.ikePolicies(), 'ike_policy');
  }
  if (body.ipsec_policy !== undefined) {
    ids.ipsecPolicy = known(idOf(body.ipsec_policy, 'ipsec_policy'), view.ipsecPolicies(), 'ipsec_policy');
  }
  return ids;
}

function known(id: string, policies: readonly StoredObject[], field: 'ike_policy' | 'ipsec_policy'): string {
  if (policies.some((policy) => policy.id === id)) return id;
  const message = `there is no ${field === 'ike_policy' ? 'IKE' : 'IPsec'} policy with this id`;
  throw new ApiError(404, `${field}_not_found`, message, { name: field, type: 'field' });
}

/** Changes the fields of a connection that the contract lets change. @throws ApiError */
export function patchConnection(transaction: Transaction, call: Call, context: ApiContext): string {
  const { view } = transaction;
  const { gateway, connection } = findConnection(view, call.params.gateway!, call.params.id!);
  checkTag(call, connection);
  refuseDeleting(gateway);
  const raw = call.body();
  const body = readers.of(call.dialect).patch.read(raw);
  if (body.tunnels !== undefined && call.headers['if-match'] === undefined) {
    const target = { name: 'If-Match', type: 'header' } as const;
    throw new ApiError(400, 'bad_request', 'a change of tunnels needs the header If-Match', target);
  }
  refuseBgp(body);
  const after = patched(connection.value, body, raw as object, gateway.value, view, call.dialect);
  store(transaction, connection, after, call, context);
  return connection.id;
}

/**
 * Changes any field of a connection but its gateway, also those that a single PATCH leaves alone: networks are given
 * as whole lists, the peer may become an address or a host name, and null or an empty list makes identities
 * automatic again. @throws ApiError
 */
export function changeConnection(transaction: Transaction, call: Call, context: ApiContext): string {
  const { view } = transaction;
  const { gateway, connection } = findConnection(view, call.params.gateway!, call.params.id!);
  refuseDeleting(gateway);
  const raw = call.body();
  const body = settingsReader.read(raw);
  refuseBgp(body);
  const before = connection.value;
  const { peer: _peer, ...rest } = body;
  const after = {
    ...patched(before, rest, raw as object, gateway.value, view, call.dialect),
    local: {
      cidrs: body.local?.cidrs === undefined ? before.local.cidrs : canonical(body.local.cidrs),
      ikeIdentities: body.local?.ike_identities ?? before.local.ikeIdentities,
    },
    peer: changedPeer(before.peer, body, raw as Body),
  };
  if (store(transaction, connection, after, call, context)) {
    checkCidrQuotasLater(transaction, connection.id, longerSide(after), context);
  }
  return connection.id;
}

function changedPeer(before: ConnectionRecord['peer'], body: Body, raw: Body): ConnectionRecord['peer'] {
  if (body.peer === undefined) return before;
  const { address: host, fqdn, cidrs, ike_identity: identity } = body.peer;
  const { address: _address, fqdn: _fqdn, ikeIdentity, ...rest } = before;
  const isGiven = host !== undefined || fqdn !== undefined;
  const isCleared = raw.peer?.ike_identity === null;
  const after = identity ?? (isCleared ? undefined : ikeIdentity);
  return {
    ...rest,
    ...(isGiven ? {} : hostOf(before)),
    ...(host === undefined ? {} : { address: canonicalIp(host) }),
    ...(fqdn === undefined ? {} : { fqdn }),
    cidrs: cidrs === undefined ? before.cidrs : canonical(cidrs),
    ...(after === undefined ? {} : { ikeIdentity: after }),
  };
}

function hostOf({
  address: host,
  fqdn,
}: ConnectionRecord['peer']): Pick<ConnectionRecord['peer'], 'address' | 'fqdn'> {
  return { ...(host === undefined ? {} : { address: host }), ...(fqdn === undefined ? {} : { fqdn }) };
}

/** Whether there was a difference to put. */
function store(
  transaction: Transaction,
  { id, value: before }: StoredObject<ConnectionRecord>,
  after: ConnectionRecord,
  { dialect }: Call,
  context: ApiContext,
): boolean {
  if (isDeepStrictEqual(after, before)) return false;
  checkConnectionLater(transaction, id, context, dialect);
  checkNameLater(transaction, id, after.gateway);
  transaction.put(KIND.connection, id, after, 'is.vpn.vpn-connection.update');
  return true;
}

/** @throws ApiError */
export function deleteConnection(transaction: Transaction, call: Call): string {
  const { gateway, connection } = findConnection(transaction.view, call.params.gateway!, call.params.id!);
  checkTag(call, connection);
  refuseDeleting(gateway);
  transaction.delete(KIND.connection, connection.id, 'is.vpn.vpn-connection.delete');
  return connection.id;
}

function checkTag(call: Call, connection: StoredObject): void {
  const given = call.headers['if-match'];
  if (given === undefined || tagMatches(given, entityTag(connection.id, connection.revision))) return;
  throw new ApiError(412, 'precondition_failed', 'the connection was changed since: read it again', {
    name: 'If-Match',
    type: 'header',
  });
}

function patched(
  before: ConnectionRecord,
  body: Body,
  raw: object,
  gateway: GatewayRecord,
  view: View,
  { flatConnections }: Dialect,
): ConnectionRecord {
  // null means "not given" everywhere (RFC 7396 has it otherwise) but here, where it means "automatic again".
  const cleared = (field: string): boolean => (raw as Record<string, unknown>)[field] === null;
  const { ikePolicy, ipsecPolicy, ...rest } = before;
  const psk = body.psk ?? before.psk;
  const kept = {
    ...(ikePolicy === undefined || cleared('ike_policy') ? {} : { ikePolicy }),
    ...(ipsecPolicy === undefined || cleared('ipsec_policy') ? {} : { ipsecPolicy }),
  };
  const peer = flatConnections ? { address: body.peer_address } : body.peer;
  return {
    ...rest,
    ...kept,
    ...policyIds(body, view),
    name: body.name ?? before.name,
    ...(psk === undefined ? {} : { psk }),
    adminStateUp: body.admin_state_up ?? before.adminStateUp,
    establishMode: body.establish_mode ?? before.establishMode,
    deadPeerDetection: { ...before.deadPeerDetection, ...body.dead_peer_detection },
    distributeTraffic:
      gateway.mode === 'route' ? (body.distribute_traffic ?? before.distributeTraffic) : false,
    peer: patchedPeer(before.peer, peer, flatConnections),
  };
}

/** A peer stays what it is, an address or a name. */
function patchedPeer(
  before: ConnectionRecord['peer'],
  patch: { readonly address?: string | undefined; readonly fqdn?: string | undefined } | undefined,
  flat: boolean,
): ConnectionRecord['peer'] {
  const kind = before.address === undefined ? 'fqdn' : 'address';
  const other = kind === 'fqdn' ? 'address' : 'fqdn';
  if (patch?.[other] !== undefined) {
    const message = `cannot replace the ${kind} of this peer: delete the connection and make it anew`;
    throw badField(flat ? 'peer_address' : `peer.${other}`, 'validation_only_one', message);
  }
  const value = patch?.[kind];
  if (value === undefined) return before;
  return { ...before, [kind]: kind === 'address' ? canonicalIp(value) : value };
}
