import { ipToNumber } from '../../util/ip.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { TsType } from '../../wire/ike/registry.js';

const MAX_PROTOCOL = 0xff;
const MAX_PORT = 0xffff;
/**
 * Follows all ports and means "this packet has none to look at": the OPAQUE of RFC 4301 §4.4.1.1, which ANY
 * includes and a range of ports does not.
 */
const OPAQUE = MAX_PORT + 1;

/** Pieces into which the selectors of one list may cut one another. Plain networks are one piece each at most. */
export const MAX_PIECES = 1024;

/** Pieces looked at since the start. Only grows: tests and benchmarks compare the difference with a bound. */
export const selectorWork = { pieces: 0 };

/**
 * A selector as a box of numbers, all bounds included. Protocol "any" is 0 to 255, since it includes every
 * single one.
 */
export interface Box {
  readonly tsType: number;
  readonly lowProtocol: number;
  readonly highProtocol: number;
  readonly lowPort: number;
  readonly highPort: number;
  readonly low: bigint;
  readonly high: bigint;
}

/** Protocols that have the same ports. `ports` are pairs of bounds, sorted, neither overlapping nor adjacent. */
interface Strip {
  readonly low: number;
  readonly high: number;
  readonly ports: readonly number[];
}

/** Protocols and ports: sorted strips that do not overlap, those that touch having different ports. */
type Region = readonly Strip[];

/** Addresses with one region, both bounds included. */
interface Interval {
  readonly low: bigint;
  readonly high: bigint;
  readonly region: Region;
}

/**
 * A list of selectors in normal form: for each address family sorted intervals that do not overlap, those that
 * touch having different regions. Lists that match the same packets have the same form.
 */
export interface SelectorForm {
  readonly ipv4: readonly Interval[];
  readonly ipv6: readonly Interval[];
}

const ANY: Region = [{ low: 0, high: MAX_PROTOCOL, ports: [0, OPAQUE] }];

/** Counts down while a form is made. */
class PieceBudget {
  #left: number;

  constructor(pieces: number) {
    this.#left = pieces;
  }

  /** False when the budget is used up. */
  take(pieces: number): boolean {
    selectorWork.pieces += pieces;
    this.#left -= pieces;
    return this.#left >= 0;
  }
}

/** Returns whether selectors of this TS type can be compared: ranges of IPv4 and IPv6 (RFC 7296 §3.13.1). */
export function isKnownType(tsType: number): boolean {
  return tsType === TsType.IPV4_ADDR_RANGE || tsType === TsType.IPV6_ADDR_RANGE;
}

/** Undefined for a selector that matches nothing: of an unknown type, or with an end before its start. */
function toBox(selector: TrafficSelector): Box | undefined {
  const { tsType, protocol, startPort, endPort } = selector;
  if (!isKnownType(tsType)) return undefined;
  // RFC 7296 §3.13.1: 65535 to 0 is OPAQUE, 0 to 65535 is ANY.
  const opaque = startPort === MAX_PORT && endPort === 0;
  const any = startPort === 0 && endPort === MAX_PORT;
  const box = {
    tsType,
    lowProtocol: protocol,
    highProtocol: protocol === 0 ? MAX_PROTOCOL : protocol,
    lowPort: opaque ? OPAQUE : startPort,
    highPort: opaque || any ? OPAQUE : endPort,
    low: ipToNumber(selector.startAddress),
    high: ipToNumber(selector.endAddress),
  };
  return box.low > box.high || box.lowPort > box.highPort ? undefined : box;
}

/** Start and end port of a selector with the ports of the box (RFC 7296 §3.13.1). */
export function portsOf({ lowPort, highPort }: Box): {
  readonly startPort: number;
  readonly endPort: number;
} {
  if (lowPort === OPAQUE) return { startPort: MAX_PORT, endPort: 0 };
  return { startPort: lowPort, endPort: Math.min(highPort, MAX_PORT) };
}

/** Returns the boxes of all selectors that match anything; the others have none. */
export function boxesOf(selectors: readonly TrafficSelector[]): Box[] {
  const out: Box[] = [];
  for (const selector of selectors) {
    const box = toBox(selector);
    if (box !== undefined) out.push(box);
  }
  return out;
}

/** Undefined when the selectors cut one another into more than `pieces`. */
export function formOf(boxes: readonly Box[], pieces = MAX_PIECES): SelectorForm | undefined {
  const budget = new PieceBudget(pieces);
  const ipv4 = intervalsOf(ofType(boxes, TsType.IPV4_ADDR_RANGE), budget);
  const ipv6 = ipv4 && intervalsOf(ofType(boxes, TsType.IPV6_ADDR_RANGE), budget);
  return ipv6 && { ipv4: ipv4!, ipv6 };
}

function ofType(boxes: readonly Box[], tsType: number): Box[] {
  return boxes.filter((box) => box.tsType === tsType);
}

/** Sweeps over the addresses: between two bounds of boxes the same ones are in force. */
function intervalsOf(boxes: readonly Box[], budget: PieceBudget): Interval[] | undefined {
  const starts = [...boxes].sort((a, b) => order(a.low, b.low));
  const ends = [...boxes].sort((a, b) => order(a.high, b.high));
  const bounds = boxes.flatMap(({ low, high }) => [low, high + 1n]).sort(order);
  const out: Interval[] = [];
  // Whole networks need no look at protocols and ports: it is enough to count them.
  let whole = 0;
  const parts = new Set<Box>();
  let started = 0;
  let ended = 0;
  for (let i = 0; i + 1 < bounds.length; i++) {
    const low = bounds[i]!;
    const high = bounds[i + 1]! - 1n;
    if (high < low) continue;
    for (; ended < ends.length && ends[ended]!.high < low; ended++) {
      if (isWhole(ends[ended]!)) whole--;
      else parts.delete(ends[ended]!);
    }
    for (; started < starts.length && starts[started]!.low <= low; started++) {
      if (isWhole(starts[started]!)) whole++;
      else parts.add(starts[started]!);
    }
    if (whole === 0 && parts.size === 0) continue;
    const region = whole > 0 ? (budget.take(1) ? ANY : undefined) : regionOf(parts, budget);
    if (region === undefined) return undefined;
    append(out, { low, high, region });
  }
  return out;
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isWhole({ lowProtocol, highProtocol, lowPort, highPort }: Box): boolean {
  return lowProtocol === 0 && highProtocol === MAX_PROTOCOL && lowPort === 0 && highPort === OPAQUE;
}

function append(intervals: Interval[], next: Interval): void {
  const last = intervals[intervals.length - 1];
  const joins = last !== undefined && last.high + 1n === next.low && sameRegion(last.region, next.region);
  if (joins) intervals[intervals.length - 1] = { ...last, high: next.high };
  else intervals.push(next);
}

function regionOf(boxes: ReadonlySet<Box>, budget: PieceBudget): Region | undefined {
  const bounds = [...boxes].flatMap((box) => [box.lowProtocol, box.highProtocol + 1]).sort((a, b) => a - b);
  const out: Strip[] = [];
  for (let i = 0; i + 1 < bounds.length; i++) {
    const low = bounds[i]!;
    const high = bounds[i + 1]! - 1;
    if (high < low) continue;
    if (!budget.take(boxes.size)) return undefined;
    const here = [...boxes].filter((box) => box.lowProtocol <= low && low <= box.highProtocol);
    if (here.length === 0) continue;
    const ports = portsUnion(here);
    const last = out[out.length - 1];
    const joins = last !== undefined && last.high + 1 === low && samePorts(last.ports, ports);
    if (joins) out[out.length - 1] = { ...last, high };
    else out.push({ low, high, ports });
  }
  return out;
}

function portsUnion(boxes: readonly Box[]): number[] {
  const out: number[] = [];
  for (const { lowPort, highPort } of [...boxes].sort((a, b) => a.lowPort - b.lowPort)) {
    const end = out.length - 1;
    if (end > 0 && lowPort <= out[end]! + 1) out[end] = Math.max(out[end]!, highPort);
    else out.push(lowPort, highPort);
  }
  return out;
}

/** Whether both match the same packets. */
export function sameForm(a: SelectorForm, b: SelectorForm): boolean {
  return sameIntervals(a.ipv4, b.ipv4) && sameIntervals(a.ipv6, b.ipv6);
}

function sameIntervals(a: readonly Interval[], b: readonly Interval[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      selectorWork.pieces++;
      const other = b[i]!;
      return one.low === other.low && one.high === other.high && sameRegion(one.region, other.region);
    })
  );
}

function sameRegion(a: Region, b: Region): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every((strip, i) => {
      selectorWork.pieces++;
      const other = b[i]!;
      return strip.low === other.low && strip.high === other.high && samePorts(strip.ports, other.ports);
    })
  );
}

function samePorts(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((bound, i) => bound === b[i]);
}

/** Whether every packet that `inner` matches is matched by `outer` too. */
export function formCovers(outer: SelectorForm, inner: SelectorForm): boolean {
  return intervalsCover(outer.ipv4, inner.ipv4) && intervalsCover(outer.ipv6, inner.ipv6);
}

/** A merge of the two: no interval of either is looked at twice, but for the one at which the other one ends. */
function intervalsCover(outer: readonly Interval[], inner: readonly Interval[]): boolean {
  if (inner.length === 0) return true;
  let at = firstReaching(outer, inner[0]!.low);
  for (const { low, high, region } of inner) {
    while (at < outer.length && outer[at]!.high < low) at++;
    let next = low;
    for (;;) {
      selectorWork.pieces++;
      const holder = outer[at];
      if (holder === undefined || holder.low > next || !regionCovers(holder.region, region)) return false;
      if (holder.high >= high) break;
      next = holder.high + 1n;
      at++;
    }
  }
  return true;
}

/** Place of the first interval that ends at the address or after it. */
function firstReaching(intervals: readonly Interval[], address: bigint): number {
  let [from, to] = [0, intervals.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (intervals[middle]!.high < address) from = middle + 1;
    else to = middle;
  }
  return from;
}

function regionCovers(outer: Region, inner: Region): boolean {
  if (outer === inner || outer === ANY) return true;
  let at = 0;
  for (const { low, high, ports } of inner) {
    while (at < outer.length && outer[at]!.high < low) at++;
    let next = low;
    for (;;) {
      selectorWork.pieces++;
      const holder = outer[at];
      if (holder === undefined || holder.low > next || !portsCover(holder.ports, ports)) return false;
      if (holder.high >= high) break;
      next = holder.high + 1;
      at++;
    }
  }
  return true;
}

/** Neighbours are joined in both, so that each range of the one lies within a single range of the other. */
function portsCover(outer: readonly number[], inner: readonly number[]): boolean {
  let at = 0;
  for (let i = 0; i < inner.length; i += 2) {
    while (at < outer.length && outer[at + 1]! < inner[i]!) at += 2;
    selectorWork.pieces++;
    if (at >= outer.length || outer[at]! > inner[i]! || outer[at + 1]! < inner[i + 1]!) return false;
  }
  return true;
}
