import type { IpBytes, IpRange } from '../util/ip.js';
import { ipFromNumber, ipToNumber } from '../util/ip.js';
import {
  accept,
  back,
  compare,
  count,
  deleteTable,
  deviceName,
  drop,
  type Expression,
  Hook,
  inSet,
  jump,
  loadFragmentOffset,
  loadMeta,
  loadPayload,
  loadReversePath,
  mask,
  newChain,
  newCounter,
  newRangeSet,
  newRanges,
  newRule,
  newTable,
} from './nft-encode.js';
import { commitNft, readNftCounter } from './nftables.js';

/** From these addresses to those nothing may come but through a tunnel. Both of one family. */
export interface ProtectedPair {
  readonly source: IpRange;
  readonly destination: IpRange;
}

/** What a guard lets pass and what it discards. */
export interface GuardPlan {
  /** Where decrypted packets come from. */
  readonly devices: readonly string[];
  readonly pairs: readonly ProtectedPair[];
  /** IKE and ESP for this address pass, also from inside a protected network. */
  readonly gateway: IpBytes;
  /** UDP ports of IKE and of ESP in UDP. */
  readonly ports: readonly number[];
  /**
   * Outer addresses of peers, to which the host has a route around the tunnels. Where one lies inside a protected
   * source, nothing but the tunnel's own packets goes there from the pair's destination, or comes from there.
   */
  readonly peers: readonly IpBytes[];
}

/** Before filters of others: what is discarded here is no business of theirs. */
const PRIORITY = -310;
const COUNTER = 'discarded';
/** An attribute has 65,535 octets at most, and a range up to 72. */
const RANGES_PER_MESSAGE = 500;
/** Offsets in the UDP header (RFC 768). */
const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const IPPROTO = { icmp: 1, udp: 17, esp: 50, icmpv6: 58 } as const;

interface Family {
  readonly chain: 'ipv4' | 'ipv6';
  readonly octets: 4 | 16;
  /** NFPROTO_IPV4, NFPROTO_IPV6. */
  readonly protocol: number;
  /** Offsets of the addresses in the IP header (RFC 791 §3.1, RFC 8200 §3). */
  readonly source: number;
  readonly destination: number;
  readonly ids: { readonly sources: number; readonly destinations: number; readonly peers: number };
}

const FAMILIES: readonly Family[] = [
  {
    ...{ chain: 'ipv4', octets: 4, protocol: 2, source: 12, destination: 16 },
    ids: { sources: 1, destinations: 2, peers: 5 },
  },
  {
    ...{ chain: 'ipv6', octets: 16, protocol: 10, source: 8, destination: 24 },
    ids: { sources: 3, destinations: 4, peers: 6 },
  },
];

/**
 * Puts a table of nftables in force that discards clear packets of protected pairs, to be forwarded or for this host,
 * unless they come from a tunnel's device (RFC 4301 §5.2: what matches a PROTECT policy and was not protected is
 * discarded). A table of this name is replaced in the same transaction. It outlives the process.
 * @param reversePath lets pass what comes by the very device by which the host would answer it: a network that is
 *   attached here lies beside the tunnel, however wide the peer's networks are
 * @throws LinuxError; ENOENT or EOPNOTSUPP where the kernel lacks a part of it
 */
export function installGuard(table: string, plan: GuardPlan, reversePath: boolean): void {
  const messages = [newTable(table), deleteTable(table), newTable(table), newCounter(table, COUNTER)];
  const bypassed = bypassedPairs(plan);
  for (const { chain, octets, ids } of FAMILIES) {
    const pairs = pairsOf(plan, octets);
    const peers = bypassed.peers.filter(({ length }) => length === octets);
    for (const [set, id, ranges] of [
      [`${chain}_sources`, ids.sources, pairs.map(({ source }) => source)],
      [`${chain}_destinations`, ids.destinations, pairs.map(({ destination }) => destination)],
      [`${chain}_peers`, ids.peers, peers.map((peer) => ({ start: peer, end: peer }))],
    ] as const) {
      messages.push(newRangeSet(table, set, id, octets));
      const elements = elementsOf(ranges);
      for (let at = 0; at < elements.length; at += RANGES_PER_MESSAGE)
        messages.push(newRanges(table, set, id, elements.slice(at, at + RANGES_PER_MESSAGE)));
    }
    for (const own of [`${chain}_pairs`, chain]) messages.push(newChain(table, own));
  }
  for (const hook of ['input', 'forward'] as const) {
    messages.push(newChain(table, hook, { hook: Hook[hook], priority: PRIORITY }));
    for (const rule of entryRules(plan)) messages.push(newRule(table, hook, rule));
  }
  for (const family of FAMILIES) {
    for (const rule of pairRules(family, pairsOf(plan, family.octets), 'entering'))
      messages.push(newRule(table, `${family.chain}_pairs`, rule));
    for (const rule of familyRules(family, plan, reversePath))
      messages.push(newRule(table, family.chain, rule));
  }
  if (bypassed.pairs.length > 0) messages.push(...leaving(table, plan, bypassed.pairs));
  commitNft(messages, `installing the nftables table ${table}`);
}

/** Takes it away. Safe when there is none. @throws LinuxError */
export function removeGuard(table: string): void {
  // A table that is not there cannot be deleted: it is made first, in the same transaction.
  commitNft([newTable(table), deleteTable(table)], `removing the nftables table ${table}`);
}

/** Packets that it has discarded. @throws LinuxError, ENOENT when the table is gone */
export function discardedByGuard(table: string): number {
  return readNftCounter(table, COUNTER);
}

function pairsOf({ pairs }: GuardPlan, octets: number): ProtectedPair[] {
  return pairs.filter(({ source }) => source.start.length === octets);
}

/** What every packet goes through: tunnels and the host's own traffic pass, the rest goes to its family's rules. */
function entryRules({ devices }: GuardPlan): Expression[][] {
  const from = (device: string): Expression[] => [
    loadMeta('iifname'),
    compare('eq', deviceName(device)),
    accept(),
  ];
  return [
    ...[...devices, 'lo'].map(from),
    ...FAMILIES.map((family) => [...ofFamily(family), jump(family.chain)]),
  ];
}

function ofFamily({ protocol }: Family): Expression[] {
  return [loadMeta('nfproto'), compare('eq', Uint8Array.of(protocol))];
}

function familyRules(family: Family, plan: GuardPlan, reversePath: boolean): Expression[][] {
  const { chain, octets, ids } = family;
  const fromPeer = [...loadAddress(family, 'source'), inSet(`${chain}_peers`, ids.peers)];
  const forGateway = [...loadAddress(family, 'destination'), compare('eq', plan.gateway)];
  const toPairs = jump(`${chain}_pairs`);
  return [
    // Two look-ups for what is no business of this gateway, however many connections there are.
    [...loadAddress(family, 'source'), inSet(`${chain}_sources`, ids.sources, true), back()],
    [...loadAddress(family, 'destination'), inSet(`${chain}_destinations`, ids.destinations, true), back()],
    ...(plan.gateway.length === octets ? outerRules(family, plan, forGateway, DESTINATION_PORT) : []),
    ...(octets === 16 ? [neighbourDiscovery()] : []),
    // The way back to a peer leads around the tunnel: that a packet came by it does not make it one of a neighbour.
    ...outerRules(family, plan, fromPeer, DESTINATION_PORT),
    [...fromPeer, toPairs],
    ...(reversePath ? [[loadReversePath(), compare('neq', new Uint8Array(4)), back()]] : []),
    [toPairs],
  ];
}

/** Pairs whose source contains the outer address of a peer, and these addresses. */
function bypassedPairs({ pairs, peers }: GuardPlan): Pick<GuardPlan, 'pairs' | 'peers'> {
  const numbered = [4, 16].map((octets) =>
    peers
      .filter(({ length }) => length === octets)
      .map((peer) => ({ peer, at: ipToNumber(peer) }))
      .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)),
  );
  const inside = new Set<IpBytes>();
  const holding = pairs.filter(({ source: { start, end } }) => {
    const sorted = numbered[start.length === 4 ? 0 : 1]!;
    const last = ipToNumber(end);
    const first = firstFrom(sorted, ipToNumber(start));
    let to = first;
    while (to < sorted.length && sorted[to]!.at <= last) inside.add(sorted[to++]!.peer);
    return to > first;
  });
  return { pairs: holding, peers: [...inside] };
}

/** Index of the first element that is not below `at`. */
function firstFrom(sorted: readonly { readonly at: bigint }[], at: bigint): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.at < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Chains for what leaves: forwarded packets and the host's own to a peer's outer address inside its networks, which
 * the route around the tunnel would take in the clear. Of the host's own, IKE and ESP pass.
 */
function leaving(table: string, plan: GuardPlan, pairs: readonly ProtectedPair[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  const add = (chain: string, rules: readonly Expression[][]): void => {
    for (const rule of rules) messages.push(newRule(table, chain, rule));
  };
  for (const hook of ['forward', 'output'] as const) {
    const base = `leaving_${hook}`;
    const own = (family: Family) => `${family.chain}_${base}`;
    for (const family of FAMILIES) messages.push(newChain(table, own(family)));
    messages.push(newChain(table, base, { hook: Hook[hook], priority: PRIORITY }));
    for (const device of [...plan.devices, 'lo'])
      add(base, [[loadMeta('oifname'), compare('eq', deviceName(device)), accept()]]);
    for (const family of FAMILIES) {
      const { chain, octets, ids } = family;
      const toPeer = (inverted: boolean) => [
        ...loadAddress(family, 'destination'),
        inSet(`${chain}_peers`, ids.peers, inverted),
      ];
      add(base, [[...ofFamily(family), jump(own(family))]]);
      add(own(family), [[...toPeer(true), back()]]);
      if (hook === 'output') {
        add(own(family), outerRules(family, plan, [], SOURCE_PORT));
        if (octets === 16) add(own(family), [neighbourDiscovery()]);
      }
      const those = pairs.filter(({ source }) => source.start.length === octets);
      add(own(family), pairRules(family, those, 'leaving'));
    }
  }
  return messages;
}

/** Discards what is sent from the source to the destination of a pair, or for `leaving` the other way. */
function pairRules(
  family: Family,
  pairs: readonly ProtectedPair[],
  way: 'entering' | 'leaving',
): Expression[][] {
  const within = (end: 'source' | 'destination', { start, end: last }: IpRange) => [
    ...loadAddress(family, end),
    compare('gte', start),
    compare('lte', last),
  ];
  const [from, to] =
    way === 'entering' ? (['source', 'destination'] as const) : (['destination', 'source'] as const);
  return pairs.map((pair) => [
    // Known already: it lets nft(8) show the addresses as such.
    ...ofFamily(family),
    ...within(from, pair.source),
    ...within(to, pair.destination),
    count(COUNTER),
    drop(),
  ]);
}

function loadAddress(family: Family, end: 'source' | 'destination'): Expression[] {
  return [loadPayload('network', family[end], family.octets)];
}

/**
 * The tunnel's own packets, which are no traffic of it although a peer may lie in its own network and this gateway in
 * ours: IKE, ESP, and the ICMP errors that report the path MTU (RFC 4301 §8.2). IPv4 is reassembled before it comes
 * here, IPv6 is not: fragments after the first name no port, and nothing can be made of them without the first.
 * @param whose what shows that a packet is between the outer addresses
 * @param portAt where the port of this end is in the UDP header
 */
function outerRules(
  { octets }: Family,
  { ports }: GuardPlan,
  whose: readonly Expression[],
  portAt: number,
): Expression[][] {
  const protocol = (number: number) => [loadMeta('l4proto'), compare('eq', Uint8Array.of(number))];
  const port = (value: number) => [
    loadPayload('transport', portAt, 2),
    compare('eq', Uint8Array.of(value >>> 8, value & 0xff)),
  ];
  const errors: readonly (readonly [protocol: number, from: number, to: number])[] =
    octets === 4
      ? [
          [IPPROTO.icmp, 3, 3],
          [IPPROTO.icmp, 11, 12],
        ]
      : [[IPPROTO.icmpv6, 1, 4]];
  return [
    ...ports.map((value) => [...whose, ...protocol(IPPROTO.udp), ...port(value), back()]),
    [...whose, ...protocol(IPPROTO.esp), back()],
    ...errors.map(([number, from, to]) => [
      ...whose,
      ...protocol(number),
      loadPayload('transport', 0, 1),
      compare('gte', Uint8Array.of(from)),
      compare('lte', Uint8Array.of(to)),
      back(),
    ]),
    ...(octets === 16 ? [[...whose, ...laterFragment(), back()]] : []),
  ];
}

/** RFC 8200 §4.5: the offset of a fragment after the first is not zero. */
function laterFragment(): Expression[] {
  return [loadFragmentOffset(), mask(Uint8Array.of(0xff, 0xf8)), compare('neq', new Uint8Array(2))];
}

/** RFC 4861: types 133 to 137 hold the link together and never cross a router. */
function neighbourDiscovery(): Expression[] {
  return [
    loadMeta('l4proto'),
    compare('eq', Uint8Array.of(IPPROTO.icmpv6)),
    loadPayload('transport', 0, 1),
    compare('gte', Uint8Array.of(133)),
    compare('lte', Uint8Array.of(137)),
    back(),
  ];
}

/** Ranges as a set takes them: sorted, joined, each with the address after its last. */
function elementsOf(ranges: readonly IpRange[]) {
  const octets = ranges[0]?.start.length ?? 4;
  const sorted = ranges
    .map(({ start, end }) => ({ first: ipToNumber(start), last: ipToNumber(end) }))
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const joined: { first: bigint; last: bigint }[] = [];
  for (const range of sorted) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1n) joined.push(range);
    else if (range.last > before.last) before.last = range.last;
  }
  const top = 1n << BigInt(octets * 8);
  return joined.map(({ first, last }) => ({
    first: ipFromNumber(first, octets),
    behind: last + 1n === top ? undefined : ipFromNumber(last + 1n, octets),
  }));
}
