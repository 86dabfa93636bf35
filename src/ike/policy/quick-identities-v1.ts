import { compareBytes } from '../../util/bytes.js';
import { cidrRange, ipFromNumber, ipToNumber, parseIp, rangeToCidrs } from '../../util/ip.js';
import { err, ok, type Result } from '../../util/result.js';
import { describeSelector } from '../../wire/ike/describe.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { TsType } from '../../wire/ike/registry.js';
import type { V1IdPayload } from '../../wire/ike/v1/payloads.js';
import { V1IdType } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import type { NetworkPair } from './carried-pairs.js';
import { covers, equalSelector } from './selectors.js';

const MAX_PORT = 0xffff;

/** Those of `networkPairs` that the pair is, or is a part of. */
export function pairsAround({ local, peer }: ConnectionConfig, pair: NetworkPair): NetworkPair[] {
  const around = (configured: readonly TrafficSelector[], part: TrafficSelector) =>
    configured.filter((whole) => covers([whole], [part]));
  const theirs = around(peer.selectors, pair.peer);
  return around(local.selectors, pair.local).flatMap((ours) =>
    theirs.map((one) => ({ local: ours, peer: one })),
  );
}

/** Returns whether two pairs have the same networks, protocols and ports at both ends. */
export function samePair(a: NetworkPair, b: NetworkPair): boolean {
  return equalSelector(a.peer, b.peer) && equalSelector(a.local, b.local);
}

/**
 * A selector as identity of quick mode (RFC 2407 §4.6.2): an address, a subnet, or else a range. A range of
 * ports has no form there: port 0, any, is sent for all but a single one.
 */
export function quickIdentity(selector: TrafficSelector): V1IdPayload {
  const { startAddress, endAddress, protocol } = selector;
  const v4 = startAddress.length === 4;
  const port = selector.startPort === selector.endPort ? selector.startPort : 0;
  const common = { kind: 'id', protocol, port } as const;
  if (compareBytes(startAddress, endAddress) === 0) {
    return { ...common, idType: v4 ? V1IdType.IPV4_ADDR : V1IdType.IPV6_ADDR, data: startAddress };
  }
  const networks = rangeToCidrs({ start: startAddress, end: endAddress });
  const network = networks[0]!;
  if (networks.length === 1) {
    const all = (1n << BigInt(8 * startAddress.length)) - 1n;
    const host = (1n << BigInt(8 * startAddress.length - network.prefix)) - 1n;
    const mask = ipFromNumber(all - host, startAddress.length);
    const idType = v4 ? V1IdType.IPV4_ADDR_SUBNET : V1IdType.IPV6_ADDR_SUBNET;
    return { ...common, idType, data: joined(startAddress, mask) };
  }
  const idType = v4 ? V1IdType.IPV4_ADDR_RANGE : V1IdType.IPV6_ADDR_RANGE;
  return { ...common, idType, data: joined(startAddress, endAddress) };
}

/** The addresses that an identity of quick mode means; a reason in words when it means none. */
export function selectorOfIdentity(id: Omit<V1IdPayload, 'kind'>): Result<TrafficSelector, string> {
  const range = rangeOf(id);
  if (!range.ok) return range;
  const { start, end } = range.value;
  const { protocol, port } = id;
  return ok({
    tsType: start.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE,
    protocol,
    startPort: port,
    endPort: port === 0 ? MAX_PORT : port,
    startAddress: start,
    endAddress: end,
  });
}

function rangeOf({
  idType,
  data,
}: Omit<V1IdPayload, 'kind'>): Result<{ start: Uint8Array; end: Uint8Array }, string> {
  const half = data.length / 2;
  switch (idType) {
    case V1IdType.IPV4_ADDR:
    case V1IdType.IPV6_ADDR:
      return ok({ start: data.slice(), end: data.slice() });
    case V1IdType.IPV4_ADDR_SUBNET:
    case V1IdType.IPV6_ADDR_SUBNET: {
      const prefix = prefixOf(data.subarray(half));
      if (prefix === undefined) return err('a network with holes in its mask');
      const end = cidrRange({ address: data.slice(0, half), prefix }).end;
      // Host bits that the peer left in the address do not count: the mask decides.
      const start = ipFromNumber(ipToNumber(end) - ((1n << BigInt(8 * half - prefix)) - 1n), half);
      return ok({ start, end });
    }
    case V1IdType.IPV4_ADDR_RANGE:
    case V1IdType.IPV6_ADDR_RANGE: {
      const [start, end] = [data.slice(0, half), data.slice(half)];
      return compareBytes(start, end) > 0 ? err('a range with its end before its start') : ok({ start, end });
    }
    default:
      return err(`an identity of type ${idType}, which is no network`);
  }
}

function prefixOf(mask: Uint8Array): number | undefined {
  const bits = 8 * mask.length;
  const host = (1n << BigInt(bits)) - 1n - ipToNumber(mask);
  if ((host & (host + 1n)) !== 0n) return undefined;
  return bits - (host === 0n ? 0 : host.toString(2).length);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** The whole of one address, which both ends mean when quick mode has no identities (RFC 2409 §5.5). */
export function hostSelector(address: string): TrafficSelector {
  const bytes = parseIp(address)!;
  const whole = selectorOfIdentity({
    idType: bytes.length === 4 ? V1IdType.IPV4_ADDR : V1IdType.IPV6_ADDR,
    protocol: 0,
    port: 0,
    data: bytes,
  });
  if (!whole.ok) throw new Error(whole.error);
  return whole.value;
}

/** Whether the configured networks include the proposed pair: version 1 cannot narrow, so all of it or nothing. */
export function allowsPair(connection: ConnectionConfig, pair: NetworkPair): boolean {
  return covers(connection.local.selectors, [pair.local]) && covers(connection.peer.selectors, [pair.peer]);
}

/** Why a pair is refused, with both ends' networks. */
export function pairMismatch(
  connection: ConnectionConfig,
  received: { readonly local: string; readonly peer: string } | undefined,
  message: string,
): Failure {
  return {
    cause: 'ts_mismatch',
    message,
    details: {
      localSelectors: connection.local.selectors.map(describeSelector),
      peerSelectors: connection.peer.selectors.map(describeSelector),
      ...(received === undefined
        ? {}
        : { receivedLocalSelectors: [received.local], receivedPeerSelectors: [received.peer] }),
    },
  };
}
