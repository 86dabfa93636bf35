import type { TrafficTotal } from '../../../connection/traffic-totals.js';
import { dropCounts } from '../../../esp/drop-counter.js';
import { DROP_REASONS, type DropCounts, type DropReason } from '../../../esp/drops.js';
import type { Millis } from '../../../util/units.js';
import type { ChildCounters, WorkerState } from '../../dataplane.js';
import { type Arena, At, COUNTER_BLOCK } from './arena.js';

/**
 * Counters in the arena, in blocks of 64-bit floating-point numbers: written by the worker only, read by main
 * at any time without a lock, since an aligned number is never seen half written.
 */
export const Counter = {
  PACKETS_IN: 0,
  BYTES_IN: 1,
  PACKETS_OUT: 2,
  BYTES_OUT: 3,
  /** On the kernel's monotonic clock in milliseconds, 0 for never. */
  LAST_INBOUND: 4,
  SEQUENCE_OUT: 5,
  /** Id of the child SA plus one: until the worker has written it the block is about another SA, or none. */
  OWNER: 6,
  /** The last outbound sequence number allowed. */
  RESERVED_OUT: 7,
  DROPS: 8,
  /** The right edge of the anti-replay window. The last number of the block: drops may become more. */
  HIGHEST_IN: COUNTER_BLOCK / 8 - 1,
} as const;

/** Block of the drops that belong to no SA. */
export const GLOBAL_BLOCK = 0;

/** The same in block 0, which belongs to no SA. */
export const GlobalCounter = {
  /** Packets given to the workers that own their SAs. */
  HANDED_OVER: 0,
  /** Packets taken from other workers. */
  TAKEN_OVER: 1,
  /** Times packets were waiting at the sockets, and at TUN devices. */
  BURSTS_IN: 2,
  BURSTS_OUT: 3,
} as const;

/** Index in `DROP_REASONS`, by name: what the packet path counts with. */
export const Drop = Object.fromEntries(DROP_REASONS.map((reason, i) => [reason, i])) as Readonly<
  Record<DropReason, number>
>;

/** Index in `arena.f64` of the first number of a block. */
export function counterBase(block: number): number {
  return (At.counters + block * COUNTER_BLOCK) >>> 3;
}

/** Zeroes a block and says whose it is. */
export function claimBlock({ f64 }: Arena, block: number, id: number): void {
  const base = counterBase(block);
  f64.fill(0, base, base + COUNTER_BLOCK / 8);
  f64[base + Counter.OWNER] = id + 1;
}

/** The drops counted in a block. */
export function readDrops({ f64 }: Arena, block: number): DropCounts {
  const at = counterBase(block) + Counter.DROPS;
  return dropCounts(f64.subarray(at, at + DROP_REASONS.length));
}

/** What a worker counts beside its child SAs. */
export function readWorker({ f64 }: Arena): Omit<WorkerState, 'children' | 'cpuSeconds'> {
  const base = counterBase(GLOBAL_BLOCK);
  return {
    handedOver: f64[base + GlobalCounter.HANDED_OVER]!,
    takenOver: f64[base + GlobalCounter.TAKEN_OVER]!,
    queueFull: f64[base + Counter.DROPS + Drop.queue_full]!,
    burstsIn: f64[base + GlobalCounter.BURSTS_IN]!,
    burstsOut: f64[base + GlobalCounter.BURSTS_OUT]!,
  };
}

/**
 * The counters of a child SA, all zero as long as the worker has not installed it.
 * @param toClock a time on the kernel's monotonic clock as one on the daemon's
 */
export function readChild(
  arena: Arena,
  block: number,
  id: number,
  toClock: (monotonic: number) => Millis,
): ChildCounters {
  const base = counterBase(block);
  const owned = arena.f64[base + Counter.OWNER] === id + 1;
  const at = (i: number): number => (owned ? arena.f64[base + i]! : 0);
  const last = at(Counter.LAST_INBOUND);
  return {
    id,
    packetsIn: at(Counter.PACKETS_IN),
    bytesIn: at(Counter.BYTES_IN),
    packetsOut: at(Counter.PACKETS_OUT),
    bytesOut: at(Counter.BYTES_OUT),
    lastInbound: last === 0 ? 0 : toClock(last),
    sequenceOut: at(Counter.SEQUENCE_OUT),
    reservedOut: at(Counter.RESERVED_OUT),
    highestIn: at(Counter.HIGHEST_IN),
    drops: owned ? readDrops(arena, block) : dropCounts([]),
  };
}

/** Adds the counters of a child SA to a total: nothing, as long as the worker has not installed it. */
export function addChild(
  { f64 }: Arena,
  block: number,
  {
    id,
    total,
    toClock,
  }: {
    readonly id: number;
    readonly total: TrafficTotal;
    /** A time on the kernel's monotonic clock as one on the daemon's. */
    toClock(monotonic: number): Millis;
  },
): void {
  const base = counterBase(block);
  if (f64[base + Counter.OWNER] !== id + 1) return;
  total.packetsIn += f64[base + Counter.PACKETS_IN]!;
  total.bytesIn += f64[base + Counter.BYTES_IN]!;
  total.packetsOut += f64[base + Counter.PACKETS_OUT]!;
  total.bytesOut += f64[base + Counter.BYTES_OUT]!;
  const last = f64[base + Counter.LAST_INBOUND]!;
  if (last !== 0) total.lastInbound = Math.max(total.lastInbound, toClock(last));
  const { drops } = total;
  const at = base + Counter.DROPS;
  for (let i = 0; i < drops.length; i++) drops[i] = drops[i]! + f64[at + i]!;
}

/** The kernel's monotonic clock in milliseconds: the same in every thread. */
export function monotonicMillis(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
