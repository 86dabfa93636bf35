import { compareBytes } from '../../util/bytes.js';
import { type Cidr, cidrRange, type IpBytes, ipFromNumber, ipToNumber } from '../../util/ip.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { TsType } from '../../wire/ike/registry.js';

/** Selectors in one TS payload: the count is one octet (RFC 7296 §3.13). */
const MOST_SELECTORS = 255;
const MOST_PORT = 0xffff;
/**
 * Stands behind all ports for "this packet has none to look at": the OPAQUE of RFC 4301 §4.4.1.1, which ANY
 * includes and a range of ports does not.
 */
const OPAQUE = MOST_PORT + 1;

/**
 * A selector as a box of numbers, all bounds included. Protocol "any" is 0 to 255, since it holds every
 * single one.
 */
interface Box {
  readonly tsType: number;
  readonly lowProtocol: number;
  readonly highProtocol: number;
  readonly lowPort: number;
  readonly highPort: number;
  readonly low: bigint;
  readonly high: bigint;
}

/** All protocols and ports of a network. */
export function cidrSelector(cidr: Cidr): TrafficSelector {
  const { start, end } = cidrRange(cidr);
  return {
    tsType: start.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE,
    protocol: 0,
    startPort: 0,
    endPort: MOST_PORT,
    startAddress: start,
    endAddress: end,
  };
}

/**
 * The selector of one packet's end, as an initiator puts it first after an acquire (RFC 7296 §2.9). For
 * ICMP `port` is type * 256 + code (RFC 4301 §4.4.1.1).
 */
export function packetSelector(address: IpBytes, protocol: number, port: number): TrafficSelector {
  return {
    tsType: address.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE,
    protocol,
    startPort: port,
    endPort: port,
    startAddress: Uint8Array.from(address),
    endAddress: Uint8Array.from(address),
  };
}

/**
 * What both lists hold (RFC 7296 §2.9): the intersections of each configured selector with each proposed
 * one, without those that lie inside another. Empty when nothing is common: TS_UNACCEPTABLE. The result is
 * all that is common, so the initiator's first selector, made from a packet, is in it whenever it may be.
 * Selectors of unknown types match nothing.
 */
export function narrow(
  configured: readonly TrafficSelector[],
  proposed: readonly TrafficSelector[],
): TrafficSelector[] {
  const ours = boxes(configured);
  const kept: Box[] = [];
  // The outer loop runs over the proposal: should the result outgrow a TS payload, its first selectors stay.
  for (const theirs of boxes(proposed)) {
    for (const own of ours) {
      const common = intersect(own, theirs);
      if (common === undefined || kept.some((box) => holds(box, common))) continue;
      for (let i = kept.length - 1; i >= 0; i--) if (holds(common, kept[i]!)) kept.splice(i, 1);
      if (kept.length < MOST_SELECTORS) kept.push(common);
    }
  }
  return kept.map(toSelector);
}

/** Whether every packet that `inner` matches is matched by `outer` too, be it by several selectors together. */
export function covers(outer: readonly TrafficSelector[], inner: readonly TrafficSelector[]): boolean {
  if (!inner.every(isKnown)) return false;
  const outers = boxes(outer);
  return boxes(inner).every((box) => isCovered(box, outers, 0));
}

/** Whether both lists match the same packets. */
export function sameSelectors(a: readonly TrafficSelector[], b: readonly TrafficSelector[]): boolean {
  return covers(a, b) && covers(b, a);
}

function boxes(selectors: readonly TrafficSelector[]): Box[] {
  const out: Box[] = [];
  for (const selector of selectors) {
    const box = toBox(selector);
    if (box !== undefined) out.push(box);
  }
  return out;
}

function isKnown({ tsType }: TrafficSelector): boolean {
  return tsType === TsType.IPV4_ADDR_RANGE || tsType === TsType.IPV6_ADDR_RANGE;
}

/** Undefined for a selector that matches nothing: of an unknown type, or with an end before its start. */
function toBox(selector: TrafficSelector): Box | undefined {
  if (!isKnown(selector)) return undefined;
  const { tsType, protocol, startPort, endPort } = selector;
  // RFC 7296 §3.13.1: 65535 to 0 is OPAQUE, 0 to 65535 is ANY.
  const opaque = startPort === MOST_PORT && endPort === 0;
  const any = startPort === 0 && endPort === MOST_PORT;
  const box = {
    tsType,
    lowProtocol: protocol,
    highProtocol: protocol === 0 ? 255 : protocol,
    lowPort: opaque ? OPAQUE : startPort,
    highPort: opaque || any ? OPAQUE : endPort,
    low: ipToNumber(selector.startAddress),
    high: ipToNumber(selector.endAddress),
  };
  return box.low > box.high || box.lowPort > box.highPort ? undefined : box;
}

function toSelector(box: Box): TrafficSelector {
  const length = box.tsType === TsType.IPV4_ADDR_RANGE ? 4 : 16;
  const opaque = box.lowPort === OPAQUE;
  return {
    tsType: box.tsType,
    protocol: box.lowProtocol,
    startPort: opaque ? MOST_PORT : box.lowPort,
    endPort: opaque ? 0 : Math.min(box.highPort, MOST_PORT),
    startAddress: ipFromNumber(box.low, length),
    endAddress: ipFromNumber(box.high, length),
  };
}

function intersect(a: Box, b: Box): Box | undefined {
  if (a.tsType !== b.tsType) return undefined;
  const box = {
    tsType: a.tsType,
    lowProtocol: Math.max(a.lowProtocol, b.lowProtocol),
    highProtocol: Math.min(a.highProtocol, b.highProtocol),
    lowPort: Math.max(a.lowPort, b.lowPort),
    highPort: Math.min(a.highPort, b.highPort),
    low: greater(a.low, b.low),
    high: lesser(a.high, b.high),
  };
  const empty = box.lowProtocol > box.highProtocol || box.lowPort > box.highPort || box.low > box.high;
  return empty ? undefined : box;
}

function greater(a: bigint, b: bigint): bigint {
  if (b > a) return b;
  return a;
}

function lesser(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

function holds(outer: Box, inner: Box): boolean {
  return (
    outer.tsType === inner.tsType &&
    outer.lowProtocol <= inner.lowProtocol &&
    inner.highProtocol <= outer.highProtocol &&
    outer.lowPort <= inner.lowPort &&
    inner.highPort <= outer.highPort &&
    outer.low <= inner.low &&
    inner.high <= outer.high
  );
}

/** Cuts what `outers[from]` takes out of the box and looks for the pieces that are left in the later ones. */
function isCovered(box: Box, outers: readonly Box[], from: number): boolean {
  for (let i = from; i < outers.length; i++) {
    const common = intersect(box, outers[i]!);
    if (common !== undefined) return without(box, common).every((piece) => isCovered(piece, outers, i + 1));
  }
  return false;
}

/** The box less a part of it, as up to six boxes that do not overlap. */
function without(box: Box, part: Box): Box[] {
  const out: Box[] = [];
  if (box.low < part.low) out.push({ ...box, high: part.low - 1n });
  if (part.high < box.high) out.push({ ...box, low: part.high + 1n });
  const byAddress = { ...box, low: part.low, high: part.high };
  if (box.lowPort < part.lowPort) out.push({ ...byAddress, highPort: part.lowPort - 1 });
  if (part.highPort < box.highPort) out.push({ ...byAddress, lowPort: part.highPort + 1 });
  const byPort = { ...byAddress, lowPort: part.lowPort, highPort: part.highPort };
  if (box.lowProtocol < part.lowProtocol) out.push({ ...byPort, highProtocol: part.lowProtocol - 1 });
  if (part.highProtocol < box.highProtocol) out.push({ ...byPort, lowProtocol: part.highProtocol + 1 });
  return out;
}

/** Whether the address, 4 or 16 octets, lies in the networks of a selector, whatever protocol and ports it has. */
export function containsAddress({ startAddress, endAddress }: TrafficSelector, address: IpBytes): boolean {
  return (
    address.length === startAddress.length &&
    compareBytes(startAddress, address) <= 0 &&
    compareBytes(address, endAddress) <= 0
  );
}
