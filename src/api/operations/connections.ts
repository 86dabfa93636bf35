import { isDeepStrictEqual } from 'node:util';
import Type from 'typebox';
import type { DpdConfig } from '../../ike/config.js';
import type { IkeIdentity } from '../../store/model.js';
import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import { DEFAULTS } from '../../store/schema.js';
import type { StoredObject } from '../../store/store.js';
import { formatCidr, formatIp, parseCidr, parseIp } from '../../util/ip.js';
import { BodyReader } from '../bodies.js';
import { CONNECTION_CODES, checkCidrQuotas, checkConnection } from '../connection-checks.js';
import { type ApiContext, type Transaction, View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField } from '../errors.js';
import { entityTag, newId, newName, tagMatches } from '../ids.js';
import type { Answer, Call, Operation } from '../operation.js';
import { ConnectionView } from '../render/connections.js';
import { connectionBodies, type Reference } from '../schemas/requests.js';
import { pageOfConnections, renderConnection } from './connection-list.js';
import {
  checkName,
  checkQuota,
  choice,
  findConnection,
  findGateway,
  idOf,
  namesOf,
  PAGE_QUERY,
  refuseDeleting,
} from './shared.js';
import { byDialect } from './variants.js';

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

/** Dead peer detection as it was in 2019. */
const EARLY_DPD: DpdConfig = { action: 'none', interval: 30, timeout: 120 };
const EARLY_LIMIT = 10;

const tag = 'VPN gateway connection';
const PATH = '/vpn_gateways/:gateway/connections';
const newestBodies = connectionBodies(readers.newest);

export const connectionOperations: readonly Operation[] = [
  {
    tag,
    method: 'GET',
    path: PATH,
    id: 'list_vpn_gateway_connections',
    summary: 'List the connections of a VPN gateway',
    query: { ...PAGE_QUERY, status: Type.Optional(Type.Enum(['up', 'down'])) },
    success: { 200: 'VPNGatewayConnectionCollection' },
    errors: [400, 404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const gateway = findGateway(view, call.params.gateway!);
      const status = choice(call, 'status', ['up', 'down']);
      const observation = context.runner.observe(gateway.id);
      const chosen = view.connectionsOf(gateway.id).filter(({ id, value }) => {
        if (status === undefined) return true;
        return new ConnectionView(id, value, gateway.value, observation).whole === status;
      });
      const url = `${call.links.gateway(gateway.id)}/connections`;
      const usual = call.dialect.early ? EARLY_LIMIT : 50;
      const filters: Record<string, string> = status === undefined ? {} : { status };
      return pageOfConnections(chosen, view, call, context, url, usual, filters);
    },
  },
  {
    tag,
    method: 'POST',
    path: PATH,
    id: 'create_vpn_gateway_connection',
    summary: 'Create a connection on a VPN gateway',
    body: newestBodies.create,
    success: { 201: 'VPNGatewayConnection' },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => create(transaction, call, context),
        (id, view) => answer(201, id, view, call, context),
      );
    },
  },
  {
    tag,
    method: 'GET',
    path: `${PATH}/:id`,
    id: 'get_vpn_gateway_connection',
    summary: 'Retrieve a connection of a VPN gateway',
    success: { 200: 'VPNGatewayConnection' },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      return answer(
        200,
        findConnection(view, call.params.gateway!, call.params.id!).connection.id,
        view,
        call,
        context,
      );
    },
  },
  {
    tag,
    method: 'PATCH',
    path: `${PATH}/:id`,
    id: 'update_vpn_gateway_connection',
    summary: 'Update a connection of a VPN gateway',
    ifMatch: true,
    body: newestBodies.patch,
    success: { 200: 'VPNGatewayConnection' },
    errors: [400, 404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => patch(transaction, call, context),
        (id, view) => answer(200, id, view, call, context),
      );
    },
  },
  {
    tag,
    method: 'DELETE',
    path: `${PATH}/:id`,
    id: 'delete_vpn_gateway_connection',
    summary: 'Delete a connection of a VPN gateway',
    ifMatch: true,
    success: { 202: null, 204: null },
    errors: [404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => {
          const { gateway, connection } = findConnection(
            transaction.view,
            call.params.gateway!,
            call.params.id!,
          );
          checkTag(call, connection);
          refuseDeleting(gateway);
          transaction.delete(KIND.connection, connection.id, 'is.vpn.vpn-connection.delete');
        },
        () => ({ status: call.dialect.early ? 204 : 202 }),
      );
    },
  },
];

function answer(status: number, id: string, view: View, call: Call, context: ApiContext): Answer {
  const connection = view.connection(id);
  if (connection === undefined) throw new Error(`connection ${id} is gone right behind its change`);
  const etag = entityTag(connection.id, connection.revision);
  return { status, body: renderConnection(connection, view, call, context), headers: { etag } };
}

function checkTag(call: Call, connection: StoredObject): void {
  const given = call.headers['if-match'];
  if (given === undefined || tagMatches(given, entityTag(connection.id, connection.revision))) return;
  throw new ApiError(412, 'precondition_failed', 'the connection was changed since: read it again', {
    name: 'If-Match',
    type: 'header',
  });
}

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

function create(transaction: Transaction, call: Call, { site, now }: ApiContext): string {
  const { view } = transaction;
  const { dialect } = call;
  const gateway = findGateway(view, call.params.gateway!);
  refuseDeleting(gateway);
  const body = readers.of(dialect).create.read(call.body());
  refuseBgp(body);
  const siblings = view.connectionsOf(gateway.id);
  const policies = policyIds(body, view);
  const { name = newName(namesOf(siblings)) } = body;
  const peer = readPeer(body, dialect);
  const record: ConnectionRecord = {
    gateway: gateway.id,
    name,
    createdAt: now().toISOString(),
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
    peer,
  };
  if (dialect.flatConnections && gateway.value.mode === 'policy') requireFlatCidrs(body);
  const id = newId('0717', dialect);
  checkConnection(id, record, gateway, view, site, dialect);
  checkName(name, undefined, siblings, 'vpn_connection_duplicate_name');
  const most = site.quotas.connections_per_gateway;
  checkQuota(siblings.length, most, 'vpn_connections_quota_exceeded', 'connections on the gateway');
  const side = record.local.cidrs.length > record.peer.cidrs.length ? 'local' : 'peer';
  checkCidrQuotas(id, record, side, view, site);
  transaction.put(KIND.connection, id, record, 'is.vpn.vpn-connection.create');
  return id;
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
    return { address: address(body.peer_address!), cidrs: canonical(body.peer_cidrs) };
  }
  const { address: given, fqdn, cidrs, ike_identity: identity } = body.peer!;
  return {
    ...(given === undefined ? {} : { address: address(given) }),
    ...(fqdn === undefined ? {} : { fqdn }),
    cidrs: canonical(cidrs),
    ...(identity === undefined ? {} : { ikeIdentity: identity }),
  };
}

/** In canonical form; what is no address or network stays as it is, for the rules to refuse. */
function address(text: string): string {
  const ip = parseIp(text);
  return ip === undefined ? text : formatIp(ip);
}

function canonical(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).map((text) => {
    const cidr = parseCidr(text);
    return typeof cidr === 'string' ? text : formatCidr(cidr);
  });
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

function patch(transaction: Transaction, call: Call, { site }: ApiContext): string {
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
  if (isDeepStrictEqual(after, connection.value)) return connection.id;
  checkConnection(connection.id, after, gateway, view, site, call.dialect);
  const siblings = view.connectionsOf(gateway.id);
  checkName(after.name, connection.id, siblings, 'vpn_connection_duplicate_name');
  transaction.put(KIND.connection, connection.id, after, 'is.vpn.vpn-connection.update');
  return connection.id;
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
    psk: body.psk ?? before.psk,
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
  return { ...before, [kind]: kind === 'address' ? address(value) : value };
}
