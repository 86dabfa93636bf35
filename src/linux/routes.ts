import { type Cidr, formatCidr, formatIp, type IpBytes, parseIp } from '../util/ip.js';
import { Errno, linuxError } from './errors.js';
import { findLink, linkIndex } from './links.js';
import {
  type Attribute,
  decodeAttributes,
  type NetlinkAnswer,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  netlinkRequest,
  readHostU32,
  u32,
} from './netlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTAX_MTU = 2;

const RT_TABLE_MAIN = 254;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTN_UNICAST = 1;

/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (u8 each), flags u32. */
const RTMSG_SIZE = 12;

/**
 * The route protocol number (rtnetlink(7)) that marks a route as Culvert's, so that leftovers are recognised.
 * Free in iproute2's rt_protos.
 */
export const ROUTE_PROTOCOL = 223;

/** A route to a network through a device. */
export interface DeviceRoute {
  readonly cidr: Cidr;
  readonly device: string;
  /** Next hop on the device's link; none when the destination is reached directly. */
  readonly gateway?: IpBytes;
  /** Source address the host itself uses on this route. */
  readonly source?: IpBytes;
  /** `ROUTE_PROTOCOL` when left out. */
  readonly protocol?: number;
}

/** How the kernel would send to an address. */
export interface RouteDecision {
  readonly device: string;
  readonly gateway?: IpBytes;
  readonly source?: IpBytes;
  /** The path MTU in octets when the kernel has learned or was told one. */
  readonly mtu?: number;
}

/** A route in the main table. */
export interface ListedRoute {
  readonly cidr: Cidr;
  readonly index: number;
  readonly protocol: number;
}

function message(family: number, prefix: number, protocol: number, scope: number, type: number): Uint8Array {
  return Uint8Array.of(family, prefix, 0, 0, RT_TABLE_MAIN, protocol, scope, type, 0, 0, 0, 0);
}

function change(type: number, flags: number, route: DeviceRoute, refused: (errno: number) => Error): void {
  const { address, prefix } = route.cidr;
  const v6 = address.length === 16;
  const attributes: Attribute[] = [
    { type: RTA_DST, value: address },
    { type: RTA_OIF, value: u32(linkIndex(route.device)) },
  ];
  if (route.source !== undefined) attributes.push({ type: RTA_PREFSRC, value: route.source });
  if (route.gateway !== undefined) attributes.push({ type: RTA_GATEWAY, value: route.gateway });
  const adding = type === RTM_NEWROUTE;
  const direct = v6 || route.gateway !== undefined ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  const scope = adding ? direct : RT_SCOPE_NOWHERE;
  const family = v6 ? AF_INET6 : AF_INET;
  const fixed = message(family, prefix, route.protocol ?? ROUTE_PROTOCOL, scope, adding ? RTN_UNICAST : 0);
  netlinkRequest(type, flags, fixed, attributes, RTMSG_SIZE, refused);
}

/** Adds a route to the main table. @throws LinuxError, EEXIST when there is a route to this network */
export function addRoute(route: DeviceRoute): void {
  const cidr = formatCidr(route.cidr);
  change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, (errno) =>
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

/** Removes what `addRoute` added. @throws LinuxError, ESRCH when there is no such route */
export function removeRoute(route: DeviceRoute): void {
  change(RTM_DELROUTE, 0, route, (errno) =>
    linuxError(
      errno,
      `removing the route ${formatCidr(route.cidr)} through device "${route.device}"`,
      errno === Errno.ESRCH ? 'there is no such route: somebody else removed it' : undefined,
    ),
  );
}

/** The routes of the main table that carry this protocol number; `ROUTE_PROTOCOL` when left out. */
export function listRoutes(protocol: number = ROUTE_PROTOCOL): ListedRoute[] {
  const out: ListedRoute[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const fixed = message(family, 0, 0, 0, 0);
    for (const answer of netlinkRequest(RTM_GETROUTE, NLM_F_DUMP, fixed, [], RTMSG_SIZE, (errno) =>
      linuxError(errno, 'listing routes'),
    )) {
      const route = listed(answer, family);
      if (route !== undefined && route.protocol === protocol) out.push(route);
    }
  }
  return out;
}

function listed(answer: NetlinkAnswer, family: number): ListedRoute | undefined {
  const { attributes, fixed } = answer;
  // A dump covers every table, and a strange family when the kernel lacks IPv6.
  const table = readHostU32(attributes.get(RTA_TABLE) ?? u32(fixed.getUint8(4)));
  const oif = attributes.get(RTA_OIF);
  if (fixed.getUint8(0) !== family || table !== RT_TABLE_MAIN || oif === undefined) return undefined;
  const address = attributes.get(RTA_DST) ?? new Uint8Array(family === AF_INET6 ? 16 : 4);
  return {
    cidr: { address, prefix: fixed.getUint8(1) },
    index: readHostU32(oif),
    protocol: fixed.getUint8(5),
  };
}

/** How the kernel would send to this address now. @throws LinuxError, ENETUNREACH when there is no route */
export function getRoute(destination: IpBytes | string): RouteDecision {
  const address = typeof destination === 'string' ? parseIp(destination) : destination;
  if (address === undefined) throw new RangeError(`"${String(destination)}" is not an IP address`);
  const v6 = address.length === 16;
  const fixed = message(v6 ? AF_INET6 : AF_INET, address.length * 8, 0, 0, 0);
  const attributes = [{ type: RTA_DST, value: address }];
  const answers = netlinkRequest(RTM_GETROUTE, 0, fixed, attributes, RTMSG_SIZE, (errno) =>
    linuxError(errno, `route to ${formatIp(address)}`, 'add a route, or check `ip route` and the link'),
  );
  const found = answers[0]?.attributes ?? new Map<number, Uint8Array>();
  const gateway = found.get(RTA_GATEWAY);
  const source = found.get(RTA_PREFSRC);
  const metrics = found.get(RTA_METRICS);
  const mtu = metrics === undefined ? undefined : decodeAttributes(metrics, 0).get(RTAX_MTU);
  const index = found.get(RTA_OIF);
  if (index === undefined) throw linuxError(Errno.ENETUNREACH, `route to ${formatIp(address)}`);
  return {
    device: findLink(readHostU32(index))?.name ?? '',
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
    ...(mtu === undefined ? {} : { mtu: readHostU32(mtu) }),
  };
}
