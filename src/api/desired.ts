import type { ConfigIssue } from '../store/config-error.js';
import { readConnection } from '../store/connection-rules.js';
import { limitsOf } from '../store/gateway-file.js';
import type {
  GatewayConnection,
  GatewayFile,
  GatewaySettings,
  IkePolicy,
  IpsecPolicy,
} from '../store/model.js';
import { readIkePolicy, readIpsecPolicy } from '../store/policy-rules.js';
import type {
  ConnectionRecord,
  GatewayRecord,
  IkePolicyRecord,
  IpsecPolicyRecord,
} from '../store/records.js';
import {
  type ConnectionInput,
  DEFAULTS,
  type IkePolicyInput,
  type IpsecPolicyInput,
} from '../store/schema.js';
import type { Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import type { View } from './context.js';
import type { DesiredGateway } from './runner.js';

/** What the runner is to make of a gateway in this state of the store. */
export function desiredGateway(
  { id, value: gateway }: StoredObject<GatewayRecord>,
  view: View,
  site: Site,
): DesiredGateway {
  const connections = view.connectionsOf(id);
  const vpc = site.vpcs.find((one) => one.id === gateway.vpc);
  const subnet = site.subnets.find((one) => one.id === gateway.subnet);
  return {
    id,
    name: gateway.name,
    // The configuration may have lost what the store still names: the gateway then runs where the server does.
    vpc: vpc ?? { id: gateway.vpc, name: gateway.vpc },
    subnetCidr: subnet?.cidr ?? '0.0.0.0/0',
    members: gateway.members.flatMap(({ publicAddress }, member) =>
      publicAddress === undefined
        ? []
        : [memberFile(id, settingsOf(gateway, publicAddress, site), member, connections, view)],
    ),
  };
}

/** The settings that the rules for connections look at, and that a member runs with. */
export function settingsOf(gateway: GatewayRecord, address: string, site: Site): GatewaySettings {
  return {
    name: gateway.name,
    mode: gateway.mode,
    address,
    interface: DEFAULTS.interface,
    encapsulation: site.encapsulation,
    profile: site.profile,
    failClosed: DEFAULTS.failClosed,
    control: DEFAULTS.control,
  };
}

function memberFile(
  id: string,
  gateway: GatewaySettings,
  member: number,
  connections: readonly StoredObject<ConnectionRecord>[],
  view: View,
): GatewayFile {
  const around = {
    gateway,
    ikePolicies: view.ikePolicies().map((one) => one.id),
    ipsecPolicies: view.ipsecPolicies().map((one) => one.id),
  };
  // Everything was checked when it was stored; a profile that became stricter since is not for what runs.
  const ignored: ConfigIssue[] = [];
  return {
    source: `vpn_gateways/${id}`,
    gateway,
    ikePolicies: view
      .ikePolicies()
      .map(
        (one): IkePolicy =>
          readIkePolicy({ path: [], input: ikePolicyInput(one.id, one.value) }, 'compatible', ignored),
      ),
    ipsecPolicies: view
      .ipsecPolicies()
      .map(
        (one): IpsecPolicy =>
          readIpsecPolicy({ path: [], input: ipsecPolicyInput(one.id, one.value) }, 'compatible', ignored),
      ),
    connections: connections.filter(hasKey).map((one) => {
      const input = connectionInput(one.value.name, one.value);
      return ofMember({ ...readConnection({ path: [], input }, around, ignored), id: one.id }, member);
    }),
    limits: limitsOf({}),
  };
}

/** A connection that was restored without its key has nothing to authenticate with. */
function hasKey({ value }: StoredObject<ConnectionRecord>): boolean {
  return value.psk !== undefined;
}

/** In route mode a connection names an identity for each member: each runs with its own first. */
function ofMember(connection: GatewayConnection, member: number): GatewayConnection {
  const { local } = connection;
  const own = local.ikeIdentities[member];
  if (own === undefined) return connection;
  return { ...connection, local: { ...local, ikeIdentities: [own] } };
}

/** A connection as the configuration file would say it. */
export function connectionInput(name: string, record: ConnectionRecord): ConnectionInput {
  const { local, peer } = record;
  return {
    name,
    ...(record.psk === undefined ? {} : { psk: record.psk }),
    admin_state_up: record.adminStateUp,
    establish_mode: record.establishMode,
    dead_peer_detection: { ...record.deadPeerDetection },
    ...(record.ikePolicy === undefined ? {} : { ike_policy: record.ikePolicy }),
    ...(record.ipsecPolicy === undefined ? {} : { ipsec_policy: record.ipsecPolicy }),
    local: {
      ...(local.cidrs.length === 0 ? {} : { cidrs: [...local.cidrs] }),
      ike_identities: [...local.ikeIdentities],
    },
    peer: {
      ...(peer.address === undefined ? {} : { address: peer.address }),
      ...(peer.fqdn === undefined ? {} : { fqdn: peer.fqdn }),
      ...(peer.cidrs.length === 0 ? {} : { cidrs: [...peer.cidrs] }),
      ...(peer.ikeIdentity === undefined ? {} : { ike_identity: peer.ikeIdentity }),
    },
  };
}

/** A policy as the configuration file would say it. */
export function ikePolicyInput(name: string, record: IkePolicyRecord): IkePolicyInput {
  return {
    name,
    ike_version: record.ikeVersion,
    encryption_algorithms: [...record.encryption],
    authentication_algorithms: [...record.authentication],
    dh_groups: [...record.dhGroups],
    key_lifetime: record.keyLifetime,
  } as IkePolicyInput;
}

export function ipsecPolicyInput(name: string, record: IpsecPolicyRecord): IpsecPolicyInput {
  return {
    name,
    encryption_algorithms: [...record.encryption],
    ...(record.authentication.length === 0 ? {} : { authentication_algorithms: [...record.authentication] }),
    pfs_groups: [...record.pfsGroups],
    key_lifetime: record.keyLifetime,
  } as IpsecPolicyInput;
}
