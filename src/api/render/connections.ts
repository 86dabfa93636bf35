import type { ConnectionStatusDocument, StatusReason } from '../../connection/status.js';
import type { IkeIdentity } from '../../store/model.js';
import type { ConnectionRecord, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { Writable } from '../../util/writable.js';
import type { View } from '../context.js';
import type { Dialect } from '../dialect.js';
import type { GatewayObservation } from '../runner.js';
import type {
  ConnectionAnswer,
  FlatPolicyConnectionAnswer,
  FlatRouteConnectionAnswer,
  PolicyConnectionAnswer,
  RouteConnectionAnswer,
} from '../schemas/answers.js';
import { faultSentence, memberFault } from './health.js';
import { type Links, reasonAnswer } from './links.js';

/** Renders a connection as other objects refer to it. */
export function connectionReference(
  { id, value }: StoredObject<ConnectionRecord>,
  links: Links,
): { href: string; id: string; name: string; resource_type: 'vpn_gateway_connection' } {
  return {
    href: links.connection(value.gateway, id),
    id,
    name: value.name,
    resource_type: 'vpn_gateway_connection',
  };
}

/** `withPsk`: whether the one who asks may see the key. */
export function connectionAnswer(
  { id, value }: StoredObject<ConnectionRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
  observation: GatewayObservation | undefined,
  withPsk: boolean,
): ConnectionAnswer {
  const gateway = view.gateway(value.gateway)?.value;
  if (gateway === undefined) throw new Error(`connection ${id} has no gateway`);
  const status = new ObservedConnection(id, value, gateway, observation);
  const common = {
    admin_state_up: value.adminStateUp,
    authentication_mode: 'psk' as const,
    created_at: value.createdAt,
    dead_peer_detection: value.deadPeerDetection,
    href: links.connection(value.gateway, id),
    id,
    ...policyReferences(value, view, links),
    name: value.name,
    ...(value.profile === undefined ? {} : { profile: value.profile }),
    ...(withPsk && value.psk !== undefined ? { psk: value.psk } : {}),
    status: status.whole,
    status_reasons: status.reasons.map((reason) => reasonAnswer(reason, links)),
  };
  const members = gateway.mode === 'route' ? gateway.members : [];
  const tunnels = members.map(({ publicAddress }, index) => ({
    public_ip: { address: publicAddress ?? '0.0.0.0' },
    status: status.ofMember(index),
    status_reasons: status.reasonsOf(index).map((reason) => reasonAnswer(reason, links)),
  }));
  const routes = {
    routing_protocol: 'none' as const,
    distribute_traffic: value.distributeTraffic,
    tunnels,
  };
  const parts = { common, routes, value, gateway };
  if (!dialect.flatConnections) return nestedAnswer(parts);
  return flatAnswer(parts, dialect, value.peer.address ?? status.peerAddress ?? value.peer.fqdn!);
}

interface Parts {
  readonly common: Omit<FlatRouteConnectionAnswer, 'peer_address' | 'mode' | keyof Routes>;
  readonly routes: Routes;
  readonly value: ConnectionRecord;
  readonly gateway: GatewayRecord;
}
type Routes = Pick<RouteConnectionAnswer, 'routing_protocol' | 'distribute_traffic' | 'tunnels'>;

/** Until 2024-04-29. */
function flatAnswer(
  { common, routes, value, gateway }: Parts,
  { early, modes }: Dialect,
  peerAddress: string,
): FlatPolicyConnectionAnswer | FlatRouteConnectionAnswer {
  const form = {
    ...(early ? { route_mode: 'policy' as const } : {}),
    ...(early ? {} : { resource_type: 'vpn_gateway_connection' as const }),
  };
  if (gateway.mode === 'route') {
    const mode = modes ? { mode: 'route' as const } : {};
    return { ...common, ...mode, ...form, peer_address: peerAddress, mode: 'route', ...routes };
  }
  return {
    ...common,
    ...(modes ? { mode: 'policy' as const } : {}),
    ...form,
    local_cidrs: value.local.cidrs,
    peer_cidrs: value.peer.cidrs,
    peer_address: peerAddress,
  };
}

function nestedAnswer({
  common,
  routes,
  value,
  gateway,
}: Parts): PolicyConnectionAnswer | RouteConnectionAnswer {
  const { local, peer, establishMode: establish_mode } = value;
  const resource_type = 'vpn_gateway_connection' as const;
  const ike_identities = localIdentities(value, gateway);
  const host =
    peer.fqdn === undefined
      ? { address: peer.address!, type: 'address' as const }
      : { fqdn: peer.fqdn, type: 'fqdn' as const };
  const ike_identity = peerIdentity(value);
  if (gateway.mode === 'policy') {
    return {
      ...common,
      mode: 'policy',
      resource_type,
      establish_mode,
      local: { cidrs: local.cidrs, ike_identities },
      peer: { ...host, cidrs: peer.cidrs, ike_identity },
    };
  }
  return {
    ...common,
    mode: 'route',
    resource_type,
    establish_mode,
    local: { ike_identities },
    peer: { ...host, ike_identity },
    ...routes,
  };
}

type Policies = Pick<PolicyConnectionAnswer, 'ike_policy' | 'ipsec_policy'>;

function policyReferences(value: ConnectionRecord, view: View, links: Links): Policies {
  const out: Writable<Policies> = {};
  const ike = view.ikePolicies().find(({ id }) => id === value.ikePolicy);
  if (ike !== undefined) {
    const { id, value: policy } = ike;
    out.ike_policy = { href: links.ikePolicy(id), id, name: policy.name, resource_type: 'ike_policy' };
  }
  const ipsec = view.ipsecPolicies().find(({ id }) => id === value.ipsecPolicy);
  if (ipsec !== undefined) {
    const { id, value: policy } = ipsec;
    out.ipsec_policy = { href: links.ipsecPolicy(id), id, name: policy.name, resource_type: 'ipsec_policy' };
  }
  return out;
}

function localIdentities({ local }: ConnectionRecord, { mode, members }: GatewayRecord): IkeIdentity[] {
  if (local.ikeIdentities.length > 0) return [...local.ikeIdentities];
  const own = mode === 'route' ? members : members.slice(0, 1);
  return own.map(({ publicAddress }) => addressIdentity(publicAddress ?? '0.0.0.0'));
}

function peerIdentity({ peer }: ConnectionRecord): IkeIdentity {
  if (peer.ikeIdentity !== undefined) return peer.ikeIdentity;
  if (peer.fqdn === undefined) return addressIdentity(peer.address!);
  // A name without a dot is no fully qualified one.
  return { type: peer.fqdn.includes('.') ? 'fqdn' : 'hostname', value: peer.fqdn };
}

function addressIdentity(address: string): IkeIdentity {
  return { type: address.includes(':') ? 'ipv6_address' : 'ipv4_address', value: address };
}

/** Of a connection that no gateway runs until it is given a key. */
export const NO_KEY: StatusReason = {
  code: 'cannot_authenticate_connection',
  message:
    'The connection was restored from a backup without its pre-shared key: set psk, and admin_state_up to true.',
};

/** What the running gateway says of a connection, member by member. */
export class ObservedConnection {
  readonly #documents: readonly (ConnectionStatusDocument | undefined)[];
  readonly #adminStateUp: boolean;
  /** Why a member gives no status, in member order; none of one that does. */
  readonly #silence: readonly (readonly StatusReason[])[];
  readonly #hasKey: boolean;

  constructor(
    id: string,
    { adminStateUp, psk }: ConnectionRecord,
    { mode }: GatewayRecord,
    observation: GatewayObservation | undefined,
  ) {
    this.#adminStateUp = adminStateUp;
    this.#hasKey = psk !== undefined;
    const members = Array.from({ length: mode === 'route' ? 2 : 1 }, (_, member) => member);
    this.#documents = members.map((member) =>
      observation?.members[member]?.connections.find((one) => one.id === id),
    );
    this.#silence = members.map((member) => {
      const fault = observation && memberFault(observation, member);
      return fault === undefined ? [] : [{ code: 'internal_error', message: faultSentence(fault) }];
    });
  }

  /** Up when any tunnel is: a degraded connection carries traffic. */
  get whole(): 'up' | 'down' {
    return this.#documents.some((_, index) => this.ofMember(index) === 'up') ? 'up' : 'down';
  }

  /** Those of all members. Two members that fail for one cause say it once, and for two causes of one code, both. */
  get reasons(): readonly StatusReason[] {
    const all = this.#documents.flatMap((_, index) => [...this.reasonsOf(index)]);
    return all.filter((reason, index) => all.findIndex((other) => isAlike(other, reason)) === index);
  }

  ofMember(index: number): 'up' | 'down' {
    const status = this.#documents[index]?.status;
    return this.#adminStateUp && (status === 'up' || status === 'degraded') ? 'up' : 'down';
  }

  reasonsOf(index: number): readonly StatusReason[] {
    if (!this.#hasKey) return [NO_KEY];
    return this.#adminStateUp ? (this.#documents[index]?.status_reasons ?? this.#silence[index] ?? []) : [];
  }

  /** Address that the peer's host name resolves to now; undefined before it was spoken to. */
  get peerAddress(): string | undefined {
    const endpoint = this.#documents.map((one) => one?.ike?.peer_endpoint).find((one) => one !== undefined);
    return endpoint?.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1');
  }
}

/** Of one code and of one finer cause, where they have one, whatever times and counts their messages hold. */
function isAlike(a: StatusReason, b: StatusReason): boolean {
  if (a.code !== b.code) return false;
  const cause = a.details?.cause;
  return cause === b.details?.cause && (cause !== undefined || a.message === b.message);
}
