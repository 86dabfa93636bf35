import type { Seconds } from '../util/units.js';
import type { ApiSettings } from './connection-settings.js';

/**
 * The objects of the control plane as the store keeps them. They have what was asked for and nothing that follows
 * from it: defaults that depend on other objects (identities, addresses of peers) are worked out when read.
 */
export const KIND = {
  gateway: 'vpn_gateway',
  connection: 'vpn_gateway_connection',
  ikePolicy: 'ike_policy',
  ipsecPolicy: 'ipsec_policy',
  routingTable: 'routing_table',
  route: 'route',
} as const;

/** For the store's `secretFields`. */
export const SECRET_FIELDS: Readonly<Record<string, readonly string[]>> = { [KIND.connection]: ['psk'] };

/** One of the two members of a gateway, and its addresses. */
export interface GatewayMember {
  /** An address of the subnet that is reserved for the member. */
  readonly privateIp: { readonly id: string; readonly name: string; readonly address: string };
  /** Where IKE and ESP listen; absent for the standby of a policy mode gateway. */
  readonly publicAddress?: string;
}

/** A gateway as the store keeps it. References are ids; times are RFC 3339, in UTC. */
export interface GatewayRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly mode: 'policy' | 'route';
  readonly subnet: string;
  readonly vpc: string;
  readonly zone: string;
  readonly resourceGroup: string;
  readonly localAsn?: number;
  readonly advertisedCidrs: readonly string[];
  /** Two: the first is the one that runs in policy mode. */
  readonly members: readonly GatewayMember[];
  readonly lifecycle: 'pending' | 'stable' | 'failed' | 'deleting';
}

/** A connection as the store keeps it. `gateway` is an id; its key is stored apart from the rest, sealed. */
export interface ConnectionRecord extends ApiSettings {
  readonly gateway: string;
  readonly createdAt: string;
}

interface PolicyRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly resourceGroup: string;
  /** Names as in the configuration, most preferred first. */
  readonly encryption: readonly string[];
  readonly authentication: readonly string[];
  readonly additionalKeyExchanges?: readonly string[];
  readonly keyLifetime: Seconds;
}

/** An IKE policy as the store keeps it. */
export interface IkePolicyRecord extends PolicyRecord {
  readonly ikeVersion: 1 | 2;
  readonly dhGroups: readonly number[];
}

/** An IPsec policy as the store keeps it. */
export interface IpsecPolicyRecord extends PolicyRecord {
  /** `disabled`, `group_14` and so on. */
  readonly pfsGroups: readonly string[];
}

/** Who may put routes of its own into a routing table. */
export const ROUTE_MAKERS = ['vpn_gateway', 'vpn_server'] as const;
/** Who may learn the routes of a routing table that are advertised. */
export const ROUTE_LEARNERS = ['direct_link', 'transit_gateway'] as const;
/** Where packets may come from that are routed by a table although they leave no subnet. */
export const INGRESS_SOURCES = ['directLink', 'transitGateway', 'vpcZone', 'internet'] as const;
/** The field of the API for each of these. */
export const INGRESS_FIELDS = {
  directLink: 'route_direct_link_ingress',
  transitGateway: 'route_transit_gateway_ingress',
  vpcZone: 'route_vpc_zone_ingress',
  internet: 'route_internet_ingress',
} as const satisfies Readonly<Record<(typeof INGRESS_SOURCES)[number], string>>;
/** What a route does with a packet. */
export const ROUTE_ACTIONS = ['delegate', 'delegate_vpc', 'deliver', 'drop'] as const;
/** Of two routes to one network the one with the smaller number wins. */
export const ROUTE_PRIORITY = { min: 0, max: 4, usual: 2 } as const;

/** A routing table as the store keeps it. The default table of a VPC is there once it was changed. */
export interface RoutingTableRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly vpc: string;
  readonly isDefault: boolean;
  readonly acceptRoutesFrom: readonly (typeof ROUTE_MAKERS)[number][];
  readonly advertiseRoutesTo: readonly (typeof ROUTE_LEARNERS)[number][];
  /** Those whose flag is true. */
  readonly ingress: readonly (typeof INGRESS_SOURCES)[number][];
  /** Ids of the subnets it is attached to; empty for the default table, which has all others. */
  readonly subnets: readonly string[];
}

/** A route as the store keeps it; made by a client, since those of services follow from what they are made for. */
export interface RouteRecord {
  /** Id of its table. */
  readonly table: string;
  readonly vpc: string;
  readonly name: string;
  readonly createdAt: string;
  readonly zone: string;
  readonly destination: string;
  readonly action: (typeof ROUTE_ACTIONS)[number];
  /** For `deliver` one of the two; for every other action none. */
  readonly nextHop: { readonly address?: string; readonly connection?: string };
  readonly priority: number;
  readonly advertise: boolean;
}
