import { isDeepStrictEqual } from 'node:util';
import type { DpdConfig } from '../../ike/config.js';
import type { FieldPath } from '../../store/connection-fields.js';
import { apiSettingsOf, clearedIn, withChanges } from '../../store/connection-settings.js';
import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { Static } from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import { CONNECTION_CODES, checkCidrQuotasLater, checkConnectionLater } from '../connection-checks.js';
import type { ApiContext, Transaction, View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField } from '../errors.js';
import { entityTag, newId, newName, tagMatches } from '../ids.js';
import type { Call } from '../operation.js';
import { keepRoutedConnectionLater } from '../routing/in-use.js';
import { flatConnectionBodies, nestedConnectionBodies, settingsBody } from '../schemas/requests.js';
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

/** The settings that a body gives, in the form of the newest version. */
type Body = Static<ReturnType<typeof settingsBody>>;

interface Readers {
  create(raw: unknown): Body;
  patch(raw: unknown): Body;
}

const readers = byDialect((dialect) =>
  dialect.flatConnections ? flatReaders(dialect) : nestedReaders(dialect),
);
/** What `changeConnection` takes. */
const settingsReader = new BodyReader(settingsBody(NEWEST), { codes: CONNECTION_CODES });

function patchCodes() {
  const noCidrs = 'vpn_connection_update_cidrs_not_permitted' as const;
  return {
    ...CONNECTION_CODES,
    'unknown_field local': noCidrs,
    'unknown_field peer.cidrs': noCidrs,
    'unknown_field local_cidrs': noCidrs,
    'unknown_field peer_cidrs': noCidrs,
  };
}

function nestedReaders(dialect: Dialect): Readers {
  const bodies = nestedConnectionBodies(dialect);
  const create = new BodyReader(bodies.create, { codes: CONNECTION_CODES });
  const patch = new BodyReader(bodies.patch, { codes: patchCodes() });
  return { create: (raw) => create.read(raw), patch: (raw) => patch.read(raw) };
}

function flatReaders(dialect: Dialect): Readers {
  const bodies = flatConnectionBodies(dialect);
  const create = new BodyReader(bodies.create, { codes: CONNECTION_CODES });
  const patch = new BodyReader(bodies.patch, { codes: patchCodes() });
  return {
    create(raw) {
      const { peer_address: address, local_cidrs: local, peer_cidrs: peer, ...rest } = create.read(raw);
      return { ...rest, local: given({ cidrs: local }), peer: given({ address, cidrs: peer }) };
    },
    patch(raw) {
      const { peer_address: address, ...rest } = patch.read(raw);
      return address === undefined ? rest : { ...rest, peer: { address } };
    },
  };
}

/** Without the fields that are not given. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

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

/** Makes a new connection from the body of `call` and returns its id. @throws ApiError */
export function createConnection(transaction: Transaction, call: Call, context: ApiContext): string {
  const { view } = transaction;
  const { dialect } = call;
  const gateway = findGateway(view, call.params.gateway!);
  refuseDeleting(gateway);
  const body = readers.of(dialect).create(call.body());
  refuseBgp(body);
  const policies = policyIds(body, view);
  const name = body.name ?? newName(namesOf(view.connectionsOf(gateway.id)));
  const dpd = { ...(dialect.early ? EARLY_DPD : {}), ...body.dead_peer_detection };
  const settings = apiSettingsOf({ ...body, name, dead_peer_detection: dpd, ...policies });
  const record: ConnectionRecord = {
    gateway: gateway.id,
    createdAt: context.now().toISOString(),
    ...settings,
    // In policy mode one tunnel carries everything: the field is accepted, as in the documents' examples, and ignored.
    distributeTraffic: gateway.value.mode === 'route' && settings.distributeTraffic,
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
    if (body[side]?.cidrs !== undefined) continue;
    const code = `vpn_connection_${side}_cidrs_required` as const;
    throw badField(`${side}_cidrs`, code, 'is missing: name at least one network');
  }
}

/** @throws ApiError 404 when there is no such policy */
function policyIds(body: Body, view: View): { ike_policy?: string; ipsec_policy?: string } {
  const ids: { ike_policy?: string; ipsec_policy?: string } = {};
  if (body.ike_policy !== undefined) {
    ids.ike_policy = known(idOf(body.ike_policy, 'ike_policy'), view.ikePolicies(), 'ike_policy');
  }
  if (body.ipsec_policy !== undefined) {
    ids.ipsec_policy = known(idOf(body.ipsec_policy, 'ipsec_policy'), view.ipsecPolicies(), 'ipsec_policy');
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
  const body = readers.of(call.dialect).patch(raw);
  if (body.tunnels !== undefined && call.headers['if-match'] === undefined) {
    const target = { name: 'If-Match', type: 'header' } as const;
    throw new ApiError(400, 'bad_request', 'a change of tunnels needs the header If-Match', target);
  }
  refuseBgp(body);
  const policies = policyIds(body, view);
  checkPeerKind(connection.value.peer, body.peer ?? {}, call.dialect);
  const after = patched(connection.value, { ...body, ...policies }, clearedIn(raw as object), gateway.value);
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
  checkTag(call, connection);
  refuseDeleting(gateway);
  const raw = call.body();
  const body = settingsReader.read(raw);
  refuseBgp(body);
  const policies = policyIds(body, view);
  const cleared = clearedIn(raw as object);
  // The peer may become the other of the two.
  if (body.peer?.address !== undefined) cleared.push('peer.fqdn');
  if (body.peer?.fqdn !== undefined) cleared.push('peer.address');
  const after = patched(connection.value, { ...body, ...policies }, cleared, gateway.value);
  if (store(transaction, connection, after, call, context)) {
    checkCidrQuotasLater(transaction, connection.id, longerSide(after), context);
  }
  return connection.id;
}

/** Whether there was a difference to put. What it means for running SAs is said where they run (`diffConnections`). */
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
  keepRoutedConnectionLater(transaction, connection.id);
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

/** null means "not given" everywhere (RFC 7396 has it otherwise) but at `cleared`, where it is "automatic again". */
function patched(
  before: ConnectionRecord,
  given: object,
  cleared: readonly FieldPath[],
  gateway: GatewayRecord,
): ConnectionRecord {
  const after = withChanges(before, given, cleared);
  return { ...after, distributeTraffic: gateway.mode === 'route' && after.distributeTraffic };
}

/** A peer stays what it is, an address or a name. @throws ApiError 400 */
function checkPeerKind(
  before: ConnectionRecord['peer'],
  patch: NonNullable<Body['peer']>,
  { flatConnections }: Dialect,
): void {
  const kind = before.address === undefined ? 'fqdn' : 'address';
  const other = kind === 'fqdn' ? 'address' : 'fqdn';
  if (patch[other] === undefined) return;
  const message = `cannot replace the ${kind} of this peer: delete the connection and create it again`;
  throw badField(flatConnections ? 'peer_address' : `peer.${other}`, 'validation_only_one', message);
}
