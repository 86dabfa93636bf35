import type { GatewayMember, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { View } from '../context.js';
import type { Dialect } from '../dialect.js';
import type { GatewayObservation } from '../runner.js';
import { connectionReference } from './connections.js';
import type { Links } from './links.js';

/** Stands for "no address" on a standby. */
const NO_ADDRESS = '0.0.0.0';

type HealthState = 'ok' | 'degraded' | 'faulted' | 'inapplicable';

export function gatewayAnswer(
  { id, value }: StoredObject<GatewayRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
  observation: GatewayObservation | undefined,
): object {
  const health = healthOf(value, observation);
  const first = value.members[0]!;
  if (dialect.early) {
    // Order and fields as the service of 2019 printed them, and the two states that stand for its `status` since.
    const { id: subnet, name, href } = links.subnet(value.subnet);
    const group = links.resourceGroup(value.resourceGroup);
    return {
      id,
      crn: links.crn('vpn', id),
      name: value.name,
      href: links.gateway(id),
      created_at: value.createdAt,
      status: oldStatus(value.lifecycle, health),
      public_ip: { address: first.publicAddress ?? NO_ADDRESS },
      subnet: { id: subnet, name, href },
      resource_group: { id: group.id, href: group.href },
      lifecycle_state: value.lifecycle,
      health_state: health,
    };
  }
  return {
    ...(value.mode === 'route' ? { advertised_cidrs: value.advertisedCidrs } : {}),
    connections: view.connectionsOf(id).map((connection) => connectionReference(connection, links)),
    created_at: value.createdAt,
    crn: links.crn('vpn', id),
    href: links.gateway(id),
    id,
    ...statesOf(value, health, dialect, observation),
    ...(value.localAsn === undefined ? {} : { local_asn: value.localAsn }),
    members: value.members.map((member, index) =>
      memberAnswer(member, index, value, links, dialect, observation),
    ),
    ...(dialect.modes ? { mode: value.mode } : {}),
    name: value.name,
    resource_group: links.resourceGroup(value.resourceGroup),
    resource_type: 'vpn_gateway',
    subnet: links.subnet(value.subnet),
    vpc: links.vpc(value.vpc),
  };
}

function memberAnswer(
  { privateIp, publicAddress }: GatewayMember,
  index: number,
  gateway: GatewayRecord,
  links: Links,
  dialect: Dialect,
  observation: GatewayObservation | undefined,
): object {
  const { address, id, name } = privateIp;
  return {
    ...statesOf(gateway, memberHealth(gateway, index, observation), dialect, observation),
    private_ip: {
      address,
      href: links.reservedIp(gateway.subnet, id),
      id,
      name,
      resource_type: 'subnet_reserved_ip',
    },
    public_ip: { address: publicAddress ?? NO_ADDRESS },
    role: gateway.mode === 'route' || index === 0 ? 'active' : 'standby',
  };
}

function statesOf(
  gateway: GatewayRecord,
  health: HealthState,
  dialect: Dialect,
  observation: GatewayObservation | undefined,
): Record<string, unknown> {
  const reason = { code: 'internal_error', message: observation?.reason ?? 'The gateway is not running.' };
  const failed = gateway.lifecycle === 'failed';
  return {
    health_reasons: health === 'faulted' || health === 'degraded' ? [reason] : [],
    health_state: health,
    lifecycle_reasons: failed ? [reason] : [],
    lifecycle_state: gateway.lifecycle,
    ...(dialect.gatewayStatus ? { status: oldStatus(gateway.lifecycle, health) } : {}),
  };
}

function healthOf(gateway: GatewayRecord, observation: GatewayObservation | undefined): HealthState {
  if (gateway.lifecycle === 'pending' || gateway.lifecycle === 'deleting') return 'inapplicable';
  switch (observation?.state) {
    case 'running':
      return 'ok';
    case 'degraded':
      return 'degraded';
    default:
      return 'faulted';
  }
}

/** A standby has nothing running: it is as well as its gateway. */
function memberHealth(
  gateway: GatewayRecord,
  index: number,
  observation: GatewayObservation | undefined,
): HealthState {
  const whole = healthOf(gateway, observation);
  if (whole !== 'degraded' || gateway.mode === 'policy') return whole;
  return observation?.members[index] === undefined ? 'faulted' : 'ok';
}

function oldStatus(lifecycle: GatewayRecord['lifecycle'], health: HealthState): string {
  if (lifecycle === 'failed' || lifecycle === 'pending' || lifecycle === 'deleting') return lifecycle;
  return health === 'faulted' ? 'failed' : 'available';
}
