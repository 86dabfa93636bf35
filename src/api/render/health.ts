import type { GatewayRecord } from '../../store/records.js';
import type { View } from '../context.js';
import type { GatewayFault, GatewayObservation, StandbyObservation } from '../runner.js';
import type { Links } from './links.js';

/** `health_state` of the contract; `inapplicable` while the gateway is being made or deleted. */
export type HealthState = 'ok' | 'degraded' | 'faulted' | 'inapplicable';

/** The codes of `health_reasons` in the contract. */
export const HEALTH_CODES = {
  cannot_create_vpc_route:
    'A route of this host is in the way of a network behind a peer, or a network holds the address of the peer itself. The connection is named, and its own status_reasons say what to do. Or a route of a routing table that leads to one of its connections cannot be added: the message names it, and it is tried again by itself.',
  cannot_reserve_ip_address:
    'The public address of the gateway could not be given to the network namespace of its VPC. It is tried again by itself.',
  internal_error:
    'The gateway is being started, cannot be started, has ended and is started again, or does not answer; or a TUN device of a connection could not be made. The message says which.',
} as const;
type HealthCode = keyof typeof HEALTH_CODES;

/** What a gateway's health is made of. */
export interface GatewayHealth {
  readonly gateway: GatewayRecord;
  readonly view: View;
  readonly links: Links;
  readonly observation: GatewayObservation | undefined;
}

interface HealthReason {
  readonly code: HealthCode;
  readonly message: string;
  readonly more_info: string;
}

const MORE_INFO = 'vpc-vpn-health#vpn-gateway-health';

/** Causes of connections that lie on this host, and not between it and the peer. */
const HOST_CAUSES: Readonly<Record<string, HealthCode>> = {
  local_route_conflict: 'cannot_create_vpc_route',
  peer_address_in_networks: 'cannot_create_vpc_route',
  tun_error: 'internal_error',
};

/** Reasons that one answer has of connections: with one conflicting route many of them may have the same. */
const MAX_CONNECTION_REASONS = 10;

/** Of the whole gateway, or of its member `index`. A standby that is not ready is degraded, and its gateway is not. */
export function healthOf(health: GatewayHealth, index?: number): HealthState {
  const { gateway, observation } = health;
  if (gateway.lifecycle === 'pending' || gateway.lifecycle === 'deleting') return 'inapplicable';
  if (observation === undefined) return 'faulted';
  const standby = standbyAt(health, index);
  if (standby !== undefined) return standby.isReady ? 'ok' : 'degraded';
  const member = gateway.mode === 'route' ? index : undefined;
  if (member !== undefined && observation.state === 'degraded') {
    if (observation.members[member] === undefined) return 'faulted';
  } else if (observation.state === 'degraded') {
    return 'degraded';
  } else if (observation.state !== 'running') {
    return 'faulted';
  }
  const reasons = [...connectionReasons(health, member), ...routeReasons(health)];
  return reasons.length > 0 ? 'degraded' : 'ok';
}

/** Why the gateway, or its member `index`, is not well. */
export function healthReasons(health: GatewayHealth, index?: number): readonly HealthReason[] {
  const state = healthOf(health, index);
  if (state === 'ok' || state === 'inapplicable') return [];
  const standby = standbyAt(health, index);
  if (standby !== undefined) return [reasonOf('internal_error', standbySentence(standby), health.links)];
  const member = health.gateway.mode === 'route' ? index : undefined;
  return [...processReasons(health, member), ...connectionReasons(health, member), ...routeReasons(health)];
}

/** The standby, if member `index` is one. */
function standbyAt({ observation }: GatewayHealth, index?: number): StandbyObservation | undefined {
  const standby = observation?.standby;
  return standby === undefined || index === undefined || index === standby.active ? undefined : standby;
}

function standbySentence({ fault }: StandbyObservation): string {
  const why = fault?.message === undefined ? '' : ` (${fault.message})`;
  return `The standby is not ready${why}: if the active member ended now, the tunnels would be away for longer.`;
}

/** Routes of the VPC's routing tables to connections of the gateway, which both members are there for. */
function routeReasons({ observation, links }: GatewayHealth): HealthReason[] {
  const sentences = observation?.routeFaults ?? [];
  return sentences
    .slice(0, MAX_CONNECTION_REASONS)
    .map((sentence) => reasonOf('cannot_create_vpc_route', `${capitalized(sentence)}.`, links));
}

function capitalized(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function reasonOf(code: HealthCode, message: string, links: Links): HealthReason {
  return { code, message, more_info: links.docs(MORE_INFO) };
}

function processReasons({ gateway, observation, links }: GatewayHealth, member?: number): HealthReason[] {
  if (observation === undefined) {
    return [reasonOf('internal_error', 'The server has not started the gateway yet.', links)];
  }
  const { members } = observation;
  const looked = members.flatMap((_, index) => {
    const fault = memberFault(observation, index);
    if (fault === undefined || (member !== undefined && member !== index)) return [];
    const which = gateway.mode === 'route' ? ` (member ${gateway.members[index]?.publicAddress})` : '';
    const code = fault.kind === 'address' ? 'cannot_reserve_ip_address' : 'internal_error';
    return [reasonOf(code, `${SENTENCES[fault.kind]}${which}${detail(fault)}`, links)];
  });
  if (looked.length > 0 || observation.state === 'running' || observation.state === 'degraded') return looked;
  return [reasonOf('internal_error', observation.reason ?? 'The gateway is not running.', links)];
}

/** Why member `index` of a gateway gives no status; undefined for one that does. */
export function memberFault(
  { state, members, faults }: GatewayObservation,
  index: number,
): GatewayFault | undefined {
  return members[index] === undefined ? (faults?.[index] ?? { kind: LIKELY[state] }) : undefined;
}

/** A fault in a sentence. */
export function faultSentence(fault: GatewayFault): string {
  return `${SENTENCES[fault.kind]}${detail(fault)}`;
}

/** What a state says of a member of which nothing else is known. */
const LIKELY: Readonly<Record<GatewayObservation['state'], GatewayFault['kind']>> = {
  starting: 'starting',
  running: 'starting',
  degraded: 'ended',
  down: 'ended',
  failed: 'start',
};

const SENTENCES: Readonly<Record<GatewayFault['kind'], string>> = {
  starting: 'The gateway is being started',
  address: 'The gateway cannot have its public address, and is tried again',
  start: 'The gateway cannot be started, and is tried again',
  ended: 'The gateway has ended by itself, and is started again',
  silent: 'The gateway runs and does not answer',
};

function detail({ message }: { readonly message?: string }): string {
  return message === undefined ? '.' : `: ${message}`;
}

function connectionReasons({ observation, view, links }: GatewayHealth, member?: number): HealthReason[] {
  const documents = (observation?.members ?? []).filter(
    (_, index) => member === undefined || member === index,
  );
  const found = documents.flatMap((document) =>
    (document?.connections ?? []).flatMap(({ id, name: known, status_reasons: reasons }) =>
      reasons.flatMap(({ message, details }) => {
        const code = HOST_CAUSES[details?.cause ?? ''];
        if (code === undefined) return [];
        const name = view.connection(id)?.value.name ?? known;
        return [reasonOf(code, `Connection ${name}: ${message}`, links)];
      }),
    ),
  );
  const distinct = new Map(found.map((reason) => [reason.message, reason]));
  return [...distinct.values()].slice(0, MAX_CONNECTION_REASONS);
}
