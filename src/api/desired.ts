import { completed } from '../store/connection-settings.js';
import { limitsOf } from '../store/gateway-file.js';
import type { GatewayConnection, GatewayFile, GatewaySettings } from '../store/model.js';
import { completedIkePolicy, completedIpsecPolicy } from '../store/policy-rules.js';
import type { ConnectionRecord, GatewayRecord } from '../store/records.js';
import { DEFAULTS } from '../store/schema.js';
import type { Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import { utf8 } from '../util/bytes.js';
import { SecretKey } from '../util/secret.js';
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
  // Everything was checked when it was stored; a profile that became stricter since is not for what runs.
  return {
    source: `vpn_gateways/${id}`,
    gateway,
    ikePolicies: view.ikePolicies().map((one) => completedIkePolicy({ ...one.value, name: one.id })),
    ipsecPolicies: view.ipsecPolicies().map((one) => completedIpsecPolicy({ ...one.value, name: one.id })),
    connections: connections
      .filter(hasKey)
      .map((one) => ofMember(connectionOf(one.id, one.value, gateway), member)),
    limits: limitsOf({}),
  };
}

/** A stored connection as a gateway runs it. */
export function connectionOf(
  id: string,
  record: ConnectionRecord,
  gateway: GatewaySettings,
): GatewayConnection {
  const key = new SecretKey(utf8(record.psk ?? ''));
  return completed(record, gateway, { id, psk: { kind: 'inline', key } });
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
