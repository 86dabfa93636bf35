import { linuxError } from './errors.js';
import { type NetlinkAnswer, NLM_F_DUMP, netlinkRequest } from './netlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

/* What routes of all tables and rules have in common (rtnetlink(7), linux/rtnetlink.h). */

/** Kinds of messages about routes. */
export const Rtm = { NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26 } as const;

/** Attributes of a route. */
export const Rta = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, TABLE: 15, NH_ID: 30 } as const;

/** How far it is to the destination of a route. */
export const RtScope = { UNIVERSE: 0, LINK: 253, NOWHERE: 255 } as const;

/** Kinds of routes. */
export const Rtn = { UNICAST: 1, UNREACHABLE: 7 } as const;

/** For the octet of the table when it is in an attribute. */
export const RT_TABLE_UNSPEC = 0;

/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (u8 each), flags u32. */
export const RTMSG_SIZE = 12;

/** An answer of a dump. */
export interface FamilyAnswer extends NetlinkAnswer {
  /** The address with all bits 0: what an absent one means. */
  readonly anywhere: Uint8Array;
}

/**
 * Everything that a dump gives of both families. `size` is the length of the structure in request and answer, which
 * begins with the family.
 * @throws LinuxError
 */
export function dumpBoth(type: number, size: number, doing: string): FamilyAnswer[] {
  return [AF_INET, AF_INET6].flatMap((family) => {
    const fixed = new Uint8Array(size);
    fixed[0] = family;
    const answers = netlinkRequest(type, NLM_F_DUMP, fixed, [], size, (errno) => linuxError(errno, doing));
    const anywhere = new Uint8Array(family === AF_INET6 ? 16 : 4);
    // A strange family comes when the kernel lacks IPv6.
    const own = answers.filter((answer) => answer.fixed.getUint8(0) === family);
    return own.map((answer) => ({ anywhere, ...answer }));
  });
}
