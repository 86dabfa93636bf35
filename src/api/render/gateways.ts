import type { GatewayMember, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { View } from '../context.js';
import type { Dialect } from '../dialect.js';
import type { GatewayObservation } from '../runner.js';
import type { GatewayAnswer, MemberAnswer } from '../schemas/answers.js';
import { connectionReference } from './connections.js';
import { type GatewayHealth, type HealthState, healthOf, healthReasons } from './health.js';
import type { Links } from './links.js';

type States = Pick<
  MemberAnswer,
  'health_reasons' | 'health_state' | 'lifecycle_reasons' | 'lifecycle_state' | 'status'
>;

/** Means "no address" on a standby. */
const NO_ADDRESS = '0.0.0.0';

/** Renders a gateway in the form of the dialect; without an observation its health is `faulted`. */
export function gatewayAnswer(
  { id, value }: StoredObject<GatewayRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
  observation: GatewayObservation | undefined,
): GatewayAnswer {
  const health: GatewayHealth = { gateway: value, view, links, observation };
  const address = gatewayAddress(value);
  if (dialect.early) {
    // Order and fields as the service of 2019 printed them, and the two states that have replaced its `status` since.
    const { id: subnet, name, href } = links.subnet(value.subnet);
    const group = links.resourceGroup(value.resourceGroup);
    return {
      id,
      crn: links.crn('vpn', id),
      name: value.name,
      href: links.gateway(id),
      created_at: value.createdAt,
      status: oldStatus(value.lifecycle, healthOf(health)),
      public_ip: { address },
      subnet: { id: subnet, name, href },
      resource_group: { id: group.id, href: group.href },
      lifecycle_state: value.lifecycle,
      health_state: healthOf(health),
    };
  }
  return {
    ...(value.mode === 'route' ? { advertised_cidrs: value.advertisedCidrs } : {}),
    connections: view.connectionsOf(id).map((connection) => connectionReference(connection, links)),
    created_at: value.createdAt,
    crn: links.crn('vpn', id),
    href: links.gateway(id),
    id,
    ...statesOf(health, dialect),
    ...(value.localAsn === undefined ? {} : { local_asn: value.localAsn }),
    members: value.members.map((member, index) => memberAnswer(member, index, health, dialect)),
    ...(dialect.modes ? { mode: value.mode } : {}),
    name: value.name,
    resource_group: links.resourceGroup(value.resourceGroup),
    resource_type: 'vpn_gateway',
    subnet: links.subnet(value.subnet),
    vpc: links.vpc(value.vpc),
  };
}

/** The public address of a gateway in policy mode, which whichever member is active has. */
function gatewayAddress({ members }: GatewayRecord): string {
  return members.find(({ publicAddress }) => publicAddress !== undefined)?.publicAddress ?? NO_ADDRESS;
}

function memberAnswer(
  { privateIp, publicAddress = NO_ADDRESS }: GatewayMember,
  index: number,
  health: GatewayHealth,
  dialect: Dialect,
): MemberAnswer {
  const { gateway, links, observation } = health;
  const { address, id, name } = privateIp;
  const isActive = gateway.mode === 'route' || index === (observation?.standby?.active ?? 0);
  const active = gateway.mode === 'route' ? publicAddress : gatewayAddress(gateway);
  return {
    ...statesOf(health, dialect, index),
    private_ip: {
      address,
      href: links.reservedIp(gateway.subnet, id),
      id,
      name,
      resource_type: 'subnet_reserved_ip',
    },
    public_ip: { address: isActive ? active : NO_ADDRESS },
    role: isActive ? 'active' : 'standby',
  };
}

function statesOf(health: GatewayHealth, dialect: Dialect, index?: number): States {
  const { lifecycle } = health.gateway;
  const state = healthOf(health, index);
  const reasons = healthReasons(health, index);
  return {
    health_reasons: reasons,
    health_state: state,
    // The contract has one code for a creation that failed.
    lifecycle_reasons:
      lifecycle === 'failed' ? reasons.map((one) => ({ ...one, code: 'internal_error' })) : [],
    lifecycle_state: lifecycle,
    ...(dialect.gatewayStatus ? { status: oldStatus(lifecycle, state) } : {}),
  };
}

function oldStatus(
  lifecycle: GatewayRecord['lifecycle'],
  health: HealthState,
): NonNullable<GatewayAnswer['status']> {
  if (lifecycle === 'failed' || lifecycle === 'pending' || lifecycle === 'deleting') return lifecycle;
  return health === 'faulted' ? 'failed' : 'available';
}
