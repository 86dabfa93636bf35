import { Errno, linuxError } from './errors.js';
import { linkIndex, linkNames } from './links.js';
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, netlinkRequest } from './netlink.js';
import { decodeNextHop, encodeNextHop, encodeNextHopId, type NextHop, NHMSG_SIZE } from './next-hop-codec.js';

/*
 * Next hops as objects of their own, which routes name by number (linux/nexthop.h). Another device behind a number
 * moves the packets of all routes with it at once. The kernel takes a next hop away with its device, and out of its
 * group; a group without any goes as well, with its routes.
 */

const RTM_NEWNEXTHOP = 104;
const RTM_DELNEXTHOP = 105;
const RTM_GETNEXTHOP = 106;

function put(hop: NextHop, flags: number, doing: string): void {
  const index = hop.kind === 'device' ? linkIndex(hop.device) : 0;
  const { fixed, attributes } = encodeNextHop(hop, index);
  netlinkRequest(RTM_NEWNEXTHOP, flags, fixed, attributes, NHMSG_SIZE, (errno) =>
    linuxError(errno, `${doing} ${textOf(hop)}`, remedyOf(errno, hop)),
  );
}

function textOf(hop: NextHop): string {
  return hop.kind === 'device'
    ? `the next hop ${hop.id} through device "${hop.device}"`
    : `the group ${hop.id} of next hops`;
}

function remedyOf(errno: number, hop: NextHop): string | undefined {
  if (errno === Errno.EEXIST) {
    return `another program has a next hop of this number: see \`ip nexthop show id ${hop.id}\`, and remove it`;
  }
  if (errno === Errno.ENETDOWN && hop.kind === 'device') {
    return `bring the device "${hop.device}" up: a TUN device has a carrier while its process holds it`;
  }
  if (errno === Errno.EOPNOTSUPP || (errno === Errno.EINVAL && hop.kind === 'group')) {
    return 'traffic is distributed by resilient groups of next hops, which Linux has from 5.12 on: use a newer kernel, or set distribute_traffic to false';
  }
  return undefined;
}

/** Adds a next hop or a group. @throws LinuxError, EEXIST when the number is taken */
export function addNextHop(hop: NextHop): void {
  put(hop, NLM_F_CREATE | NLM_F_EXCL, 'adding');
}

/** Puts another device behind the number of a next hop: no packet finds neither. @throws LinuxError */
export function replaceNextHop(hop: NextHop): void {
  put(hop, NLM_F_CREATE | NLM_F_REPLACE, 'changing');
}

/** Removes a next hop, with all routes that name it. @throws LinuxError, ENOENT when there is none */
export function removeNextHop(id: number): void {
  const { fixed, attributes } = encodeNextHopId(id);
  netlinkRequest(RTM_DELNEXTHOP, 0, fixed, attributes, NHMSG_SIZE, (errno) =>
    linuxError(errno, `removing the next hop ${id}`),
  );
}

/**
 * The next hops that carry `ROUTE_PROTOCOL` and have a number that `chosen` takes; none where the kernel has no such
 * objects. @throws LinuxError
 */
export function listNextHops(chosen: (id: number) => boolean): NextHop[] {
  const { fixed, attributes } = encodeNextHopId();
  try {
    const answers = netlinkRequest(RTM_GETNEXTHOP, NLM_F_DUMP, fixed, attributes, NHMSG_SIZE, (errno) =>
      linuxError(errno, 'listing next hops'),
    );
    const nameOf = linkNames();
    return answers.flatMap((answer) => {
      const hop = decodeNextHop(answer, nameOf);
      return hop !== undefined && chosen(hop.id) ? hop : [];
    });
  } catch (error) {
    if ((error as { readonly errno?: number }).errno === Errno.EOPNOTSUPP) return [];
    throw error;
  }
}
