import { type Cidr, formatCidr, formatIp, type IpBytes } from '../util/ip.js';
import { Errno, linuxError } from './errors.js';
import { linkIndex, linkNames } from './links.js';
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
import { ROUTE_PROTOCOL } from './routes.js';
import {
  dumpBoth,
  type FamilyAnswer,
  RT_TABLE_UNSPEC,
  RTMSG_SIZE,
  Rta,
  Rtm,
  Rtn,
  RtScope,
} from './rtnetlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

/* Routes in routing tables other than the main one (rtnetlink(7)). */

const RTA_MULTIPATH = 9;

/** Types of routes (RTN_*), by what becomes of a packet: the last of them ends the lookup in this table only. */
const TYPES = { blackhole: 6, unreachable: Rtn.UNREACHABLE, throw: 9 } as const;

/** struct rtnexthop: length u16, flags u8, hops u8, index u32. */
const NEXT_HOP_SIZE = 8;

/** Where a route leads. */
export type TableWay =
  /** Through a device, to whatever is behind it. */
  | { readonly kind: 'device'; readonly device: string }
  /** To a router, or to several in turn by flow. */
  | { readonly kind: 'routers'; readonly routers: readonly IpBytes[] }
  /** To a group of next hops, by its number (next-hops.ts). */
  | { readonly kind: 'group'; readonly id: number }
  | { readonly kind: keyof typeof TYPES };

/** A route in a table. In one table there is one route to a network with a metric. */
export interface TableRoute {
  readonly table: number;
  readonly cidr: Cidr;
  /** The lowest wins. Never 0: for IPv6 the kernel takes that as "not given". */
  readonly metric: number;
  readonly way: TableWay;
}

/** A route as the kernel lists it. */
export interface ListedTableRoute {
  readonly route: TableRoute;
  /** Who laid it, see `ROUTE_PROTOCOL`. */
  readonly protocol: number;
}

function familyOf({ address }: Cidr): number {
  return address.length === 16 ? AF_INET6 : AF_INET;
}

function message(cidr: Cidr, scope: number, type: number): Uint8Array {
  const { prefix } = cidr;
  return Uint8Array.of(
    familyOf(cidr),
    prefix,
    0,
    0,
    RT_TABLE_UNSPEC,
    ROUTE_PROTOCOL,
    scope,
    type,
    0,
    0,
    0,
    0,
  );
}

/** Router by router: struct rtnexthop and the attribute with its address. */
function encodeRouters(routers: readonly IpBytes[]): Uint8Array {
  const parts = routers.map((router) => {
    const part = new Uint8Array(NEXT_HOP_SIZE + 4 + router.length);
    const view = new DataView(part.buffer);
    view.setUint16(0, part.length, true);
    view.setUint16(NEXT_HOP_SIZE, 4 + router.length, true);
    view.setUint16(NEXT_HOP_SIZE + 2, Rta.GATEWAY, true);
    part.set(router, NEXT_HOP_SIZE + 4);
    return part;
  });
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function wayAttributes(way: TableWay): Attribute[] {
  if (way.kind === 'device') return [{ type: Rta.OIF, value: u32(linkIndex(way.device)) }];
  if (way.kind === 'group') return [{ type: Rta.NH_ID, value: u32(way.id) }];
  if (way.kind !== 'routers') return [];
  const [first, ...others] = way.routers;
  if (first !== undefined && others.length === 0) return [{ type: Rta.GATEWAY, value: first }];
  return [{ type: RTA_MULTIPATH, value: encodeRouters(way.routers) }];
}

function send(type: number, flags: number, route: TableRoute, doing: string): void {
  const { cidr, way, table, metric } = route;
  const adding = type === Rtm.NEWROUTE;
  const special = way.kind in TYPES ? TYPES[way.kind as keyof typeof TYPES] : undefined;
  const scope = !adding
    ? RtScope.NOWHERE
    : way.kind === 'device' && cidr.address.length === 4
      ? RtScope.LINK
      : RtScope.UNIVERSE;
  const attributes: Attribute[] = [
    { type: Rta.DST, value: cidr.address },
    { type: Rta.TABLE, value: u32(table) },
    { type: Rta.PRIORITY, value: u32(metric) },
    // What is removed is found by network and metric.
    ...(adding ? wayAttributes(way) : []),
  ];
  const fixed = message(cidr, scope, adding ? (special ?? Rtn.UNICAST) : (special ?? 0));
  netlinkRequest(type, flags, fixed, attributes, RTMSG_SIZE, (errno) =>
    linuxError(errno, `${doing} the route ${formatCidr(cidr)} ${wayText(way)}`, remedyOf(errno, route)),
  );
}

function remedyOf(errno: number, { cidr, table, way }: TableRoute): string | undefined {
  if (errno === Errno.EEXIST) {
    return `another program has a route to ${formatCidr(cidr)} there: see \`ip route show table ${table}\`, and remove it`;
  }
  if (errno === Errno.ENETUNREACH && way.kind === 'routers') {
    return 'the next hop is no neighbour of this host: name the address of one, on a network of the host that is up';
  }
  return undefined;
}

/** What is written of a way in sentences. */
function wayText(way: TableWay): string {
  switch (way.kind) {
    case 'device':
      return `through device "${way.device}"`;
    case 'routers':
      return `by way of ${way.routers.map(formatIp).join(' and ')}`;
    case 'group':
      return `to the group ${way.id} of next hops`;
    default:
      return `(${way.kind})`;
  }
}

/** Adds a route. @throws LinuxError, EEXIST when there is a route to this network with this metric in the table */
export function addTableRoute(route: TableRoute): void {
  send(Rtm.NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, 'adding');
}

/** Puts a route in the place of the one to its network with its metric: no packet finds neither. @throws LinuxError */
export function replaceTableRoute(route: TableRoute): void {
  send(Rtm.NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, 'changing');
}

/** Removes a route. @throws LinuxError, ESRCH when there is no such route */
export function removeTableRoute(route: TableRoute): void {
  send(Rtm.DELROUTE, 0, route, 'removing');
}

/** The routes of those tables that `chosen` takes, of both families, by whatever program they were laid. */
export function listTableRoutes(chosen: (table: number) => boolean): ListedTableRoute[] {
  const nameOf = linkNames();
  return dumpBoth(Rtm.GETROUTE, RTMSG_SIZE, 'listing routes').flatMap((answer) =>
    listed(answer, chosen, nameOf),
  );
}

function listed(
  { attributes, fixed, anywhere }: FamilyAnswer,
  chosen: (table: number) => boolean,
  nameOf: (index: number) => string,
): ListedTableRoute[] {
  const table = readHostU32(attributes.get(Rta.TABLE) ?? u32(fixed.getUint8(4)));
  const way = chosen(table) ? wayOf(attributes, fixed.getUint8(7), nameOf) : undefined;
  if (way === undefined) return [];
  const cidr = { address: attributes.get(Rta.DST) ?? anywhere, prefix: fixed.getUint8(1) };
  const metric = readHostU32(attributes.get(Rta.PRIORITY) ?? u32(0));
  return [{ route: { table, cidr, metric, way }, protocol: fixed.getUint8(5) }];
}

function wayOf(
  attributes: ReadonlyMap<number, Uint8Array>,
  type: number,
  nameOf: (index: number) => string,
): TableWay | undefined {
  if (type !== Rtn.UNICAST) {
    const kinds = Object.keys(TYPES) as (keyof typeof TYPES)[];
    const kind = kinds.find((one) => TYPES[one] === type);
    return kind === undefined ? undefined : { kind };
  }
  // The kernel lists the members of a group beside it.
  const group = attributes.get(Rta.NH_ID);
  if (group !== undefined) return { kind: 'group', id: readHostU32(group) };
  const paths = attributes.get(RTA_MULTIPATH);
  if (paths !== undefined) return { kind: 'routers', routers: decodeRouters(paths) };
  const router = attributes.get(Rta.GATEWAY);
  if (router !== undefined) return { kind: 'routers', routers: [router] };
  return { kind: 'device', device: nameOf(readHostU32(attributes.get(Rta.OIF) ?? u32(0))) };
}

function decodeRouters(bytes: Uint8Array): IpBytes[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const routers: IpBytes[] = [];
  for (let at = 0; at + NEXT_HOP_SIZE <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < NEXT_HOP_SIZE || at + length > bytes.length) break;
    const router = decodeAttributes(bytes.subarray(0, at + length), at + NEXT_HOP_SIZE).get(Rta.GATEWAY);
    if (router !== undefined) routers.push(router);
    at += (length + 3) & ~3;
  }
  return routers;
}
