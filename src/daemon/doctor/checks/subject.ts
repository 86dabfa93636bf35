import type { GatewayConnection } from '../../../store/model.js';
import {
  cidrOf,
  cidrRange,
  formatCidr,
  type IpBytes,
  ipFromNumber,
  ipToNumber,
  parseIp,
  rangeContains,
} from '../../../util/ip.js';
import type { Facts, HostFacts } from '../facts.js';

/** As many pairs of networks are judged one by one in all: rule sets may be long, and a gateway has other work. */
const MAX_PAIRS = 64;
/** As many connections are judged at once. */
export const MAX_CONNECTIONS = 64;

/** Why only the host can be looked at. */
export const NO_GATEWAY = 'no gateway is named';

/** What checks of packets are asked about: traffic between two networks of a connection. */
export interface Pair {
  readonly local: string;
  readonly peer: string;
  /** An address of each, to ask the kernel and the packet filter about. */
  readonly from: IpBytes | undefined;
  readonly to: IpBytes;
}

/** The connections that are meant to be up, the first of them when there are very many. */
export function connectionsOf({ file, running }: Facts): readonly GatewayConnection[] {
  const all = file?.connections.filter(({ adminStateUp }) => adminStateUp) ?? [];
  const known = all.filter(({ id }) => running === undefined || running.explanations.has(id));
  return known.slice(0, MAX_CONNECTIONS);
}

/** The TUN device of a connection: the one it has, or the gateway's. */
export function deviceOf({ id, interface: own }: GatewayConnection, { file, running }: Facts): string {
  return running?.explanations.get(id)?.connection.interface ?? own ?? file?.gateway.interface ?? '';
}

/** All devices of the gateway, in the order of its connections. */
export function devicesOf(facts: Facts): string[] {
  const connections = connectionsOf(facts).map((one) => deviceOf(one, facts));
  return [...new Set([...connections, ...(facts.file === undefined ? [] : [facts.file.gateway.interface])])];
}

/** Networks behind the peer: in policy mode those it has, in route mode those that are routed to it. */
export function remoteNetworks({ peer, routes }: GatewayConnection): readonly string[] {
  return [...peer.cidrs, ...routes];
}

/**
 * Pairs of networks of one family of all these connections; of very many connections the first pairs of each. In route
 * mode the local networks are whatever is routed to the tunnel.
 */
export function pairsOf(connection: GatewayConnection, { host, file }: Facts): Pair[] {
  const most = Math.max(1, Math.floor(MAX_PAIRS / Math.max(1, file!.connections.length)));
  const remotes = remoteNetworks(connection).map((peer) => ({ peer, to: sampleOf(peer, host) }));
  const anywhere = remotes.map(({ peer, to }) => ({ local: 'local networks', peer, from: undefined, to }));
  if (file!.gateway.mode === 'route') return anywhere.slice(0, most);
  const pairs = connection.local.cidrs.flatMap((local) => {
    const from = sampleOf(local, host);
    return remotes.flatMap(({ peer, to }) => (from.length === to.length ? [{ local, peer, from, to }] : []));
  });
  return pairs.slice(0, most);
}

/** An address in a network for a host that is not this one, as far as the network has room. */
export function sampleOf(network: string, { addresses }: Pick<HostFacts, 'addresses'>): IpBytes {
  const cidr = cidrOf(network);
  const range = cidrRange(cidr);
  const own = addresses.ok ? addresses.value : [];
  const first = ipToNumber(range.start);
  const candidates = [1n, 2n, 3n, 4n, 5n, 0n].map((n) => ipFromNumber(first + n, range.start.length));
  const inside = candidates.filter((candidate) => rangeContains(range, candidate));
  return inside.find((one) => !own.some((address) => sameAddress(address, one))) ?? range.start;
}

/** Whether traffic of the connection has to be passed on: its networks are more than addresses of this host. */
export function isForwarded(
  connection: GatewayConnection,
  { addresses }: Pick<HostFacts, 'addresses'>,
): boolean {
  const own = new Set(
    addresses.ok ? addresses.value.map((ip) => formatCidr({ address: ip, prefix: ip.length * 8 })) : [],
  );
  return connection.local.cidrs.some((network) => !own.has(network)) || connection.local.cidrs.length === 0;
}

/** Addresses of the peer as far as they are known. */
export function peerAddresses({ id, peer }: GatewayConnection, { path, running }: Facts): readonly string[] {
  if (peer.address !== undefined) return [peer.address];
  const resolved = path.resolved.get(id);
  if (resolved?.ok === true) return resolved.value;
  const endpoint = running?.explanations.get(id)?.connection.ike?.peer_endpoint;
  const address = endpoint?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return address === undefined || parseIp(address) === undefined ? [] : [address];
}

/** Whether two addresses are one. */
export function sameAddress(a: IpBytes, b: IpBytes): boolean {
  return a.length === b.length && a.every((octet, i) => octet === b[i]);
}
