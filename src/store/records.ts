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
