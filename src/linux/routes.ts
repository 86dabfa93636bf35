import { type Cidr, formatCidr, formatIp, type IpBytes, parseIp } from '../util/ip.js';
import { Errno, linuxError } from './errors.js';
import { findLink, linkIndex } from './links.js';
import {
  type Attribute,
  decodeAttributes,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  netlinkRequest,
  readHostU32,
  u32,
} from './netlink.js';
import { dumpBoth, type FamilyAnswer, RTMSG_SIZE, Rta, Rtm, Rtn, RtScope } from './rtnetlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTAX_MTU = 2;

const RT_TABLE_MAIN = 254;

/**
 * The route protocol number (rtnetlink(7)) that marks a route as Culvert's, so that leftovers are recognised.
 * Free in iproute2's rt_protos.
 */
export const ROUTE_PROTOCOL = 223;

/** A route to a network through a device. */
export interface DeviceRoute {
  readonly cidr: Cidr;
  readonly device: string;
  /** Number of a group of next hops that it leads to in place of that device, which is one of them (next-hops.ts). */
  readonly group?: number;
  /** Next hop on the device's link; none when the destination is reached directly. */
  readonly gateway?: IpBytes;
  /** Source address the host itself uses on this route. */
  readonly source?: IpBytes;
  /** `ROUTE_PROTOCOL` when left out. */
  readonly protocol?: number;
  /** Of several routes to one network the kernel takes the one with the lowest; its default when left out. */
  readonly metric?: number;
}

/** How the kernel would send to an address. */
export interface RouteDecision {
  readonly device: string;
  readonly gateway?: IpBytes;
  readonly source?: IpBytes;
  /** The path MTU in octets when the kernel has learned or was given one. */
  readonly mtu?: number;
}

/** A route in the main table. */
export interface ListedRoute {
  readonly cidr: Cidr;
  readonly kind: 'unicast' | 'unreachable' | 'other';
  /** Index of its device; 0 where it has none, or several. */
  readonly index: number;
  readonly gateway?: IpBytes;
  readonly metric: number;
  readonly protocol: number;
}

function message(family: number, prefix: number, protocol: number, scope: number, type: number): Uint8Array {
  return Uint8Array.of(family, prefix, 0, 0, RT_TABLE_MAIN, protocol, scope, type, 0, 0, 0, 0);
}

function change(type: number, flags: number, route: DeviceRoute, refused: (errno: number) => Error): void {
  const { address, prefix } = route.cidr;
  const v6 = address.length === 16;
  const adding = type === Rtm.NEWROUTE;
  const attributes: Attribute[] = [{ type: Rta.DST, value: address }];
  if (route.group === undefined) attributes.push({ type: Rta.OIF, value: u32(linkIndex(route.device)) });
  // What is removed is found without it.
  else if (adding) attributes.push({ type: Rta.NH_ID, value: u32(route.group) });
  if (route.source !== undefined) attributes.push({ type: RTA_PREFSRC, value: route.source });
  if (route.gateway !== undefined) attributes.push({ type: Rta.GATEWAY, value: route.gateway });
  if (route.metric !== undefined) attributes.push({ type: Rta.PRIORITY, value: u32(route.metric) });
  const isFar = v6 || route.gateway !== undefined || route.group !== undefined;
  const direct = isFar ? RtScope.UNIVERSE : RtScope.LINK;
  const scope = adding ? direct : RtScope.NOWHERE;
  const family = v6 ? AF_INET6 : AF_INET;
  const fixed = message(family, prefix, route.protocol ?? ROUTE_PROTOCOL, scope, adding ? Rtn.UNICAST : 0);
  netlinkRequest(type, flags, fixed, attributes, RTMSG_SIZE, refused);
}

/** Adds a route to the main table. @throws LinuxError, EEXIST when there is a route to this network */
export function addRoute(route: DeviceRoute): void {
  const cidr = formatCidr(route.cidr);
  change(Rtm.NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, (errno) =>
    linuxError(
      errno,
      `adding the route ${cidr} through device "${route.device}"`,
      errno === Errno.EEXIST
        ? `there is a route to ${cidr} already: see \`ip route show ${cidr}\`, and remove it or change the peer's networks`
        : errno === Errno.ENETDOWN
          ? `bring the device "${route.device}" up first`
          : undefined,
    ),
  );
}

/** Puts a route in the place of the one to its network: no packet finds neither. @throws LinuxError */
export function replaceRoute(route: DeviceRoute): void {
  change(Rtm.NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, (errno) =>
    linuxError(errno, `changing the route ${formatCidr(route.cidr)} to device "${route.device}"`),
  );
}

/** Removes what `addRoute` added. @throws LinuxError, ESRCH when there is no such route */
export function removeRoute(route: DeviceRoute): void {
  change(Rtm.DELROUTE, 0, route, (errno) =>
    linuxError(
      errno,
      `removing the route ${formatCidr(route.cidr)} through device "${route.device}"`,
      errno === Errno.ESRCH ? 'there is no such route: something else removed it' : undefined,
    ),
  );
}

function changeUnreachable(type: number, flags: number, cidr: Cidr, metric: number, doing: string): void {
  const { address, prefix } = cidr;
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const scope = type === Rtm.NEWROUTE ? RtScope.UNIVERSE : RtScope.NOWHERE;
  const fixed = message(family, prefix, ROUTE_PROTOCOL, scope, Rtn.UNREACHABLE);
  const attributes = [
    { type: Rta.DST, value: address },
    { type: Rta.PRIORITY, value: u32(metric) },
  ];
  netlinkRequest(type, flags, fixed, attributes, RTMSG_SIZE, (errno) =>
    linuxError(errno, `${doing} the unreachable route ${formatCidr(cidr)}`),
  );
}

/**
 * Adds a route that refuses packets to a network for which there is no route with a lower metric. It belongs to no
 * device and no process. @throws LinuxError, EEXIST when there is a route to this network with this metric
 */
export function addUnreachable(cidr: Cidr, metric: number): void {
  changeUnreachable(Rtm.NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, cidr, metric, 'adding');
}

/** Removes what `addUnreachable` added. @throws LinuxError, ESRCH when there is no such route */
export function removeUnreachable(cidr: Cidr, metric: number): void {
  changeUnreachable(Rtm.DELROUTE, 0, cidr, metric, 'removing');
}

/** The routes of the main table that carry this protocol number; `ROUTE_PROTOCOL` when left out. */
export function listRoutes(protocol: number = ROUTE_PROTOCOL): ListedRoute[] {
  return allRoutes().filter((route) => route.protocol === protocol);
}

/** The routes of the main table, both families. */
export function allRoutes(): ListedRoute[] {
  return dumpBoth(Rtm.GETROUTE, RTMSG_SIZE, 'listing routes').flatMap((answer) => listed(answer) ?? []);
}

function listed({ attributes, fixed, anywhere }: FamilyAnswer): ListedRoute | undefined {
  // A dump covers every table.
  const table = readHostU32(attributes.get(Rta.TABLE) ?? u32(fixed.getUint8(4)));
  if (table !== RT_TABLE_MAIN) return undefined;
  const gateway = attributes.get(Rta.GATEWAY);
  const type = fixed.getUint8(7);
  return {
    cidr: { address: attributes.get(Rta.DST) ?? anywhere, prefix: fixed.getUint8(1) },
    kind: type === Rtn.UNICAST ? 'unicast' : type === Rtn.UNREACHABLE ? 'unreachable' : 'other',
    index: readHostU32(attributes.get(Rta.OIF) ?? u32(0)),
    ...(gateway === undefined ? {} : { gateway }),
    metric: readHostU32(attributes.get(Rta.PRIORITY) ?? u32(0)),
    protocol: fixed.getUint8(5),
  };
}

/** How the kernel would send to this address now. @throws LinuxError, ENETUNREACH when there is no route */
export function getRoute(destination: IpBytes | string): RouteDecision {
  const address = typeof destination === 'string' ? parseIp(destination) : destination;
  if (address === undefined) throw new RangeError(`"${String(destination)}" is not an IP address`);
  const v6 = address.length === 16;
  const fixed = message(v6 ? AF_INET6 : AF_INET, address.length * 8, 0, 0, 0);
  const attributes = [{ type: Rta.DST, value: address }];
  const answers = netlinkRequest(Rtm.GETROUTE, 0, fixed, attributes, RTMSG_SIZE, (errno) =>
    linuxError(errno, `route to ${formatIp(address)}`, 'add a route, or check `ip route` and the link'),
  );
  const found = answers[0]?.attributes ?? new Map<number, Uint8Array>();
  const gateway = found.get(Rta.GATEWAY);
  const source = found.get(RTA_PREFSRC);
  const metrics = found.get(RTA_METRICS);
  const mtu = metrics === undefined ? undefined : decodeAttributes(metrics, 0).get(RTAX_MTU);
  const index = found.get(Rta.OIF);
  // For IPv6 the kernel answers with the unreachable route itself, for IPv4 with an error.
  const type = answers[0]?.fixed.getUint8(7);
  if (index === undefined || type === Rtn.UNREACHABLE) {
    throw linuxError(Errno.ENETUNREACH, `route to ${formatIp(address)}`);
  }
  return {
    device: findLink(readHostU32(index))?.name ?? '',
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
    ...(mtu === undefined ? {} : { mtu: readHostU32(mtu) }),
  };
}
