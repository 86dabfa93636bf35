import type { ApiClient, ApiObject } from '../vpn/api-client.js';
import { type ConnectionWish, connectionWish, withoutDerived } from './connection-wish.js';
import type { GatewayWish } from './document.js';
import type { Known } from './known.js';
import { type IkePolicyWish, type IpsecPolicyWish, ikePolicyWish, ipsecPolicyWish } from './policy-wish.js';
import { type KnownTable, readTables } from './routing-current.js';

/** What there is, in the terms of a document, with the ids of the objects. */
export interface Current {
  readonly ikePolicies: readonly Known<IkePolicyWish>[];
  readonly ipsecPolicies: readonly Known<IpsecPolicyWish>[];
  readonly gateways: readonly KnownGateway[];
  readonly tables: readonly KnownTable[];
  readonly vpcs: readonly ApiObject[];
  readonly subnets: readonly ApiObject[];
  /** Ids of gateways that are being deleted: their names and addresses are not free yet. */
  readonly leaving: readonly string[];
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
  const [ike, ipsec, gateways, subnets, vpcs] = await Promise.all([
    api.list('/ike_policies', 'ike_policies'),
    api.list('/ipsec_policies', 'ipsec_policies'),
    // Oldest first, so that an export keeps the order in which things were made.
    api.list('/vpn_gateways', 'vpn_gateways', { sort: 'created_at' }),
    api.list('/subnets', 'subnets'),
    api.list('/vpcs', 'vpcs'),
  ]);
  const isLeaving = ({ lifecycle_state: state }: ApiObject): boolean => state === 'deleting';
  const living = gateways.filter((gateway) => !isLeaving(gateway));
  return {
    ikePolicies: ike.map((policy) => ({ id: policy.id, wish: ikePolicyWish(policy) })).reverse(),
    ipsecPolicies: ipsec.map((policy) => ({ id: policy.id, wish: ipsecPolicyWish(policy) })).reverse(),
    gateways: await Promise.all(living.map((gateway) => readGateway(api, gateway))),
    tables: await readTables(api, vpcs, gateways),
    vpcs,
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
    connections: connections.map((one) => ({ id: one.id, wish: wishOf(one, addresses) })).reverse(),
  };
}

interface Named {
  readonly name: string;
}

/** Identities that follow from addresses and names count as not given. */
function wishOf(answer: ApiObject, addresses: readonly string[]): ConnectionWish {
  const { ike_policy: ike, ipsec_policy: ipsec } = answer as {
    readonly ike_policy?: Named;
    readonly ipsec_policy?: Named;
  };
  const wish = connectionWish({ ...answer, ike_policy: ike?.name, ipsec_policy: ipsec?.name });
  return withoutDerived(wish, addresses);
}
