import type { ApiClient, ApiObject } from '../vpn/api-client.js';
import {
  type ConnectionWish,
  type GatewayWish,
  type Identity,
  type IkePolicyWish,
  type IpsecPolicyWish,
  ikePolicyWish,
  ipsecPolicyWish,
} from './document.js';

/** What there is, in the terms of a document, with the ids of the objects. */
export interface Current {
  readonly ikePolicies: readonly Known<IkePolicyWish>[];
  readonly ipsecPolicies: readonly Known<IpsecPolicyWish>[];
  readonly gateways: readonly KnownGateway[];
  readonly subnets: readonly ApiObject[];
  /** Ids of gateways that are being deleted: their names and addresses are not free yet. */
  readonly leaving: readonly string[];
}

/** An object of the server in the form that a file would wish for it, with its id. */
export interface Known<T> {
  readonly id: string;
  readonly wish: T;
}

/** A gateway of the server with its connections, and what defaults of the file are derived from. */
export interface KnownGateway extends Known<Omit<GatewayWish, 'connections'>> {
  readonly vpc: string;
  /** Public addresses of its members, in their order: what its IKE identities are unless others are given. */
  readonly addresses: readonly string[];
  readonly connections: readonly Known<ConnectionWish>[];
}

/** Reads everything that a file can declare from the server. @throws CliError when a request fails */
export async function readCurrent(api: ApiClient): Promise<Current> {
  const [ike, ipsec, gateways, subnets] = await Promise.all([
    api.list('/ike_policies', 'ike_policies'),
    api.list('/ipsec_policies', 'ipsec_policies'),
    // Oldest first, so that an export keeps the order in which things were made.
    api.list('/vpn_gateways', 'vpn_gateways', { sort: 'created_at' }),
    api.list('/subnets', 'subnets'),
  ]);
  const isLeaving = ({ lifecycle_state: state }: ApiObject): boolean => state === 'deleting';
  const living = gateways.filter((gateway) => !isLeaving(gateway));
  return {
    ikePolicies: ike.map((policy) => ({ id: policy.id, wish: ikePolicyWish(policy) })).reverse(),
    ipsecPolicies: ipsec.map((policy) => ({ id: policy.id, wish: ipsecPolicyWish(policy) })).reverse(),
    gateways: await Promise.all(living.map((gateway) => readGateway(api, gateway))),
    subnets,
    leaving: gateways.filter(isLeaving).map(({ id }) => id),
  };
}

async function readGateway(api: ApiClient, gateway: ApiObject): Promise<KnownGateway> {
  const connections = await api.list(`/vpn_gateways/${gateway.id}/connections`, 'connections');
  const members = gateway.members as readonly { readonly public_ip: { readonly address: string } }[];
  const addresses = members.map(({ public_ip }) => public_ip.address).filter((one) => one !== '0.0.0.0');
  return {
    id: gateway.id,
    vpc: (gateway.vpc as ApiObject).id,
    addresses,
    wish: {
      name: gateway.name,
      subnet: (gateway.subnet as ApiObject).name,
      mode: gateway.mode as 'policy' | 'route',
    },
    connections: connections
      .map((one) => ({ id: one.id, wish: connectionWish(one as unknown as ConnectionAnswer, addresses) }))
      .reverse(),
  };
}

interface ConnectionAnswer extends Omit<ConnectionWish, 'ike_policy' | 'ipsec_policy' | 'local' | 'peer'> {
  readonly ike_policy?: { readonly name: string };
  readonly ipsec_policy?: { readonly name: string };
  readonly local: { readonly cidrs?: readonly string[]; readonly ike_identities: readonly Identity[] };
  readonly peer: {
    readonly address?: string;
    readonly fqdn?: string;
    readonly cidrs?: readonly string[];
    readonly ike_identity: Identity;
  };
}

/** Identities that follow from addresses and names count as not given. */
function connectionWish(answer: ConnectionAnswer, addresses: readonly string[]): ConnectionWish {
  const { local, peer, name, admin_state_up, establish_mode, dead_peer_detection, psk } = answer;
  const kind = peer.address === undefined ? 'fqdn' : 'address';
  const value = peer[kind] ?? '';
  return {
    name,
    ...(psk === undefined ? {} : { psk }),
    admin_state_up,
    establish_mode,
    dead_peer_detection,
    ike_policy: answer.ike_policy?.name ?? null,
    ipsec_policy: answer.ipsec_policy?.name ?? null,
    distribute_traffic: answer.distribute_traffic ?? false,
    local: { cidrs: local.cidrs ?? [], ike_identities: givenIdentities(local.ike_identities, addresses) },
    peer: {
      kind,
      value,
      cidrs: peer.cidrs ?? [],
      ike_identity: givenIdentity(peer.ike_identity, value),
    },
  };
}

/** Local identities, or null when they are what the addresses of the gateway make by themselves. */
export function givenIdentities(
  identities: readonly Identity[] | null,
  addresses: readonly string[],
): readonly Identity[] | null {
  if (identities === null || identities.length !== addresses.length) return identities;
  return identities.every((one, index) => isDerived(one, addresses[index]!)) ? null : identities;
}

/** The peer's identity, or null when it is what its address or name makes by itself. */
export function givenIdentity(identity: Identity | null, peer: string): Identity | null {
  return identity !== null && isDerived(identity, peer) ? null : identity;
}

/** Whether the identity is what an address or a host name makes by itself. */
function isDerived({ type, value }: Identity, from: string): boolean {
  if (value !== from) return false;
  const isAddress = /^[0-9.]+$/.test(from) || from.includes(':');
  return isAddress ? type.endsWith('_address') : type === (from.includes('.') ? 'fqdn' : 'hostname');
}
