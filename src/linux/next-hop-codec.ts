import { type Attribute, type NetlinkAnswer, readHostU32, u32 } from './netlink.js';
import { ROUTE_PROTOCOL } from './routes.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

/* The octets of requests for next hops, and of the kernel's list of them (linux/nexthop.h). */

const NHA_ID = 1;
const NHA_GROUP = 2;
const NHA_GROUP_TYPE = 3;
const NHA_OIF = 5;
const NHA_RES_GROUP = 12;
const NHA_RES_GROUP_BUCKETS = 1;
const NLA_F_NESTED = 0x8000;

const NEXTHOP_GRP_TYPE_RES = 1;

const AF_UNSPEC = 0;

/** struct nhmsg: family, scope, protocol, reserved (u8 each), flags u32. */
export const NHMSG_SIZE = 8;
/** struct nexthop_grp: id u32, weight less one u8, reserved u8 and u16. */
const GROUP_ENTRY_SIZE = 8;

/** Flows fall into so many buckets of a group by their hash, and each bucket has its next hop. A power of two is fastest. */
const BUCKETS = 128;

/** A next hop, or a group of several. */
export type NextHop =
  /** Through a device, to whatever is behind it. */
  | {
      readonly kind: 'device';
      readonly id: number;
      /** IP version of the routes that may name it. */
      readonly family: 4 | 6;
      readonly device: string;
    }
  /**
   * Several at once, by flow, as a resilient group: while its members stay the same, so does the member of each flow.
   */
  | { readonly kind: 'group'; readonly id: number; readonly members: readonly number[] };

/** What a request consists of: struct nhmsg and the attributes. */
export interface NextHopRequest {
  readonly fixed: Uint8Array;
  readonly attributes: readonly Attribute[];
}

/** To have a next hop. `index` is that of its device. */
export function encodeNextHop(hop: NextHop, index: number): NextHopRequest {
  const id = { type: NHA_ID, value: u32(hop.id) };
  if (hop.kind === 'device') {
    const family = hop.family === 6 ? AF_INET6 : AF_INET;
    return { fixed: header(family, ROUTE_PROTOCOL), attributes: [id, { type: NHA_OIF, value: u32(index) }] };
  }
  const entries = new Uint8Array(hop.members.length * GROUP_ENTRY_SIZE);
  hop.members.forEach((member, i) => {
    entries.set(u32(member), i * GROUP_ENTRY_SIZE);
  });
  const buckets = Uint8Array.of(6, 0, NHA_RES_GROUP_BUCKETS, 0, BUCKETS, 0, 0, 0);
  const attributes = [
    id,
    { type: NHA_GROUP, value: entries },
    { type: NHA_GROUP_TYPE, value: Uint8Array.of(NEXTHOP_GRP_TYPE_RES, 0) },
    { type: NHA_RES_GROUP | NLA_F_NESTED, value: buckets },
  ];
  return { fixed: header(AF_UNSPEC, ROUTE_PROTOCOL), attributes };
}

/** To remove the one with a number; without a number, to list all. */
export function encodeNextHopId(id?: number): NextHopRequest {
  const attributes = id === undefined ? [] : [{ type: NHA_ID, value: u32(id) }];
  return { fixed: header(AF_UNSPEC, 0), attributes };
}

function header(family: number, protocol: number): Uint8Array {
  return Uint8Array.of(family, 0, protocol, 0, 0, 0, 0, 0);
}

/**
 * Reads an entry of the kernel's list. Undefined for one that does not carry `ROUTE_PROTOCOL`.
 * @param nameOf the name of a device by its index
 */
export function decodeNextHop(
  { fixed, attributes }: NetlinkAnswer,
  nameOf: (index: number) => string,
): NextHop | undefined {
  if (fixed.getUint8(2) !== ROUTE_PROTOCOL) return undefined;
  const number = (type: number): number => readHostU32(attributes.get(type) ?? u32(0));
  const id = number(NHA_ID);
  const group = attributes.get(NHA_GROUP);
  if (group !== undefined) return { kind: 'group', id, members: decodeMembers(group) };
  const family = fixed.getUint8(0) === AF_INET6 ? 6 : 4;
  return { kind: 'device', id, family, device: nameOf(number(NHA_OIF)) };
}

function decodeMembers(bytes: Uint8Array): number[] {
  const members: number[] = [];
  for (let at = 0; at + GROUP_ENTRY_SIZE <= bytes.length; at += GROUP_ENTRY_SIZE) {
    members.push(readHostU32(bytes.subarray(at, at + 4)));
  }
  return members;
}
