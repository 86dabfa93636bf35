import type { ProtectedPair } from '../../linux/nft-guard.js';
import type { GatewayConnection, GatewaySettings } from '../../store/model.js';
import {
  cidrOf,
  cidrRange,
  type IpRange,
  intersectRanges,
  ipFromNumber,
  ipToNumber,
  parseIp,
} from '../../util/ip.js';

/**
 * Addresses that can be the ends of a tunnelled packet at all: not "this host", loopback, multicast and broadcast,
 * which are no traffic between networks (RFC 1122 §3.2.1.3, RFC 4291 §2.4).
 */
const UNICAST: readonly IpRange[] = [
  range('1.0.0.0', '126.255.255.255'),
  range('128.0.0.0', '223.255.255.255'),
  range('100::', 'fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff'),
];

/**
 * From where to where packets must not come in the clear (RFC 4301 §5.2). In policy mode the networks of a connection
 * say so: from the peer's to ours. In route mode its selectors are everything, and routes decide what goes through it:
 * from the networks in its `routes` nothing may come beside the tunnel. Our own networks are no source, also where the
 * peer's are wider and include them.
 */
export function protectedPairs(
  mode: GatewaySettings['mode'],
  connections: readonly GatewayConnection[],
): ProtectedPair[] {
  const seen = new Map<string, ProtectedPair>();
  for (const one of connections.filter(({ adminStateUp }) => adminStateUp)) {
    const own = ranges(one.local.cidrs);
    const destinations = mode === 'policy' ? own : UNICAST;
    const sources = ranges(mode === 'policy' ? [...one.peer.cidrs, ...one.routes] : one.routes);
    for (const source of sources.flatMap((whole) => without(whole, mode === 'policy' ? own : []))) {
      for (const destination of destinations) {
        if (destination.start.length !== source.start.length) continue;
        seen.set([source.start, source.end, destination.start, destination.end].join(' '), {
          source,
          destination,
        });
      }
    }
  }
  return [...seen.values()];
}

function ranges(cidrs: readonly string[]): IpRange[] {
  return cidrs.flatMap((text) => {
    const cidr = cidrOf(text);
    return UNICAST.flatMap((part) => intersectRanges(part, cidrRange(cidr)) ?? []);
  });
}

function range(start: string, end: string): IpRange {
  return { start: parseIp(start)!, end: parseIp(end)! };
}

/** What of a range lies outside of all of these. */
function without(whole: IpRange, holes: readonly IpRange[]): IpRange[] {
  let rest = [whole];
  for (const hole of holes) {
    rest = rest.flatMap((piece) => {
      const shared = intersectRanges(piece, hole);
      if (shared === undefined) return [piece];
      const { length } = piece.start;
      const number = { first: ipToNumber(shared.start), last: ipToNumber(shared.end) };
      const before = { start: piece.start, end: ipFromNumber(number.first - 1n, length) };
      const after = { start: ipFromNumber(number.last + 1n, length), end: piece.end };
      return [
        ...(number.first > ipToNumber(piece.start) ? [before] : []),
        ...(number.last < ipToNumber(piece.end) ? [after] : []),
      ];
    });
  }
  return rest;
}
