import { DROP_REASONS } from '../../../esp/drops.js';
import { AF_INET, AF_INET6, sockaddrAddress, sockaddrPort } from '../../../linux/sockaddr.js';
import type { Endpoint } from '../../../util/ip.js';
import type { Millis } from '../../../util/units.js';
import { TAP_ROOM, type TapOptions, type TappedPacket } from '../../packet-tap.js';
import { type Arena, NAME_SIZE } from './arena.js';

/**
 * A ring in shared memory that carries copies of packets from one worker (its only writer) to main (its only reader)
 * while a capture runs. A record never wraps: what does not fit before the end begins again at the start.
 *
 *     0  octets ever written (u32, modulo 2^32)      64  octets ever consumed (u32)
 *   128  copies that found no room (u32)            192  records
 *
 * A record:
 *
 *     0  octets of the record (u32, a multiple of 8)     4  what it is (u32): `Tap`, and 256 × (reason of the drop + 1)
 *     8  id of the child SA (i32), -1 for none          12  octets of the whole packet (u32)
 *    16  octets of the copy (u32)                       24  time on the monotonic clock in milliseconds (f64)
 *    32  socket address of the peer (32), or zeros      64  the copy
 */
const HEAD = 0;
const TAIL = 64 >>> 2;
const LOST = 128 >>> 2;
const RECORDS = 192;
const NAME = 32;
const PACKET = NAME + NAME_SIZE;

/** The rest of the ring up to its end is unused. */
const SKIP = 0xffffffff;

/** What a copy is of, as flags: an ESP packet in UDP that came in, unless they say something else. */
export const Tap = { OUT: 1, INNER: 2, RAW: 4 } as const;
const REASON_SHIFT = 8;

/** The flags of a packet that was dropped. `reason` is one of `Drop`. */
export function droppedTap(flags: number, reason: number): number {
  return flags | ((reason + 1) << REASON_SHIFT);
}

/** Zeroed memory for one ring. The kernel gives it only as far as it is used. */
export function createTapRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(RECORDS + TAP_ROOM);
}

/** The worker's end: what it copies, and for which child SAs. */
export class TapWriter {
  readonly #arena: Arena;
  readonly #i32: Int32Array;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #options: Omit<TapOptions, 'now'>;
  readonly #now: () => Millis;
  readonly #children = new Set<number>();

  /** @param now the monotonic clock */
  constructor(arena: Arena, ring: SharedArrayBuffer, options: Omit<TapOptions, 'now'>, now: () => Millis) {
    this.#arena = arena;
    this.#i32 = new Int32Array(ring);
    this.#u32 = new Uint32Array(ring);
    this.#f64 = new Float64Array(ring);
    this.#bytes = new Uint8Array(ring);
    this.#options = options;
    this.#now = now;
  }

  watch(childId: number): void {
    this.#children.add(childId);
  }

  forget(childId: number): void {
    this.#children.delete(childId);
  }

  /** This end, for a child SA that is watched. */
  of(childId: number): TapWriter | undefined {
    return this.#children.has(childId) ? this : undefined;
  }

  /**
   * Copies the packet of `length` octets at `at`, unless its kind was not asked for or there is no room.
   * @param what flags of `Tap`, for a dropped packet through `droppedTap`
   * @param childId -1 for none
   * @param name where the peer's socket address is in the arena, -1 for none
   */
  put(what: number, childId: number, at: number, length: number, name: number): void {
    const { snap, inner, dropped } = this.#options;
    if (what >>> REASON_SHIFT !== 0 ? !dropped : (what & Tap.INNER) !== 0 && !inner) return;
    const kept = Math.min(length, snap);
    const size = (PACKET + kept + 7) & ~7;
    const head = Atomics.load(this.#i32, HEAD);
    const position = head & (TAP_ROOM - 1);
    const skip = position + size > TAP_ROOM ? TAP_ROOM - position : 0;
    const used = (head - Atomics.load(this.#i32, TAIL)) >>> 0;
    if (used + skip + size > TAP_ROOM) {
      Atomics.add(this.#i32, LOST, 1);
      return;
    }
    if (skip > 0) this.#u32[(RECORDS + position) >>> 2] = SKIP;
    const to = RECORDS + ((position + skip) & (TAP_ROOM - 1));
    this.#write(to, what, childId, length);
    this.#u32[to >>> 2] = size;
    this.#u32[(to + 16) >>> 2] = kept;
    const { bytes } = this.#arena;
    if (name < 0) this.#bytes.fill(0, to + NAME, to + PACKET);
    else this.#bytes.set(bytes.subarray(name, name + NAME_SIZE), to + NAME);
    this.#bytes.set(bytes.subarray(at, at + kept), to + PACKET);
    // Seen by the reader only after all that was written before.
    Atomics.store(this.#i32, HEAD, (head + skip + size) | 0);
  }

  #write(to: number, what: number, childId: number, length: number): void {
    const word = to >>> 2;
    this.#u32[word + 1] = what;
    this.#i32[word + 2] = childId;
    this.#u32[word + 3] = length;
    this.#f64[(to + 24) >>> 3] = this.#now();
  }

  /** Overwrites all copies: inner packets are among them. The last that is done with the ring. */
  wipe(): void {
    this.#bytes.fill(0, RECORDS);
  }
}

/** Main's end. */
export class TapReader {
  readonly #i32: Int32Array;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #bytes: Uint8Array;

  constructor(ring: SharedArrayBuffer) {
    this.#i32 = new Int32Array(ring);
    this.#u32 = new Uint32Array(ring);
    this.#f64 = new Float64Array(ring);
    this.#bytes = new Uint8Array(ring);
  }

  get lost(): number {
    return Atomics.load(this.#i32, LOST) >>> 0;
  }

  /** The oldest copy, taken out; undefined when there is none. Its time is on the monotonic clock. */
  next(): TappedPacket | undefined {
    let tail = Atomics.load(this.#i32, TAIL);
    if (tail === Atomics.load(this.#i32, HEAD)) return undefined;
    let position = tail & (TAP_ROOM - 1);
    if (this.#u32[(RECORDS + position) >>> 2] === SKIP) {
      // The record for which the rest was skipped is there already: both appear at once.
      tail = (tail + TAP_ROOM - position) | 0;
      position = 0;
    }
    const at = RECORDS + position;
    const packet = this.#read(at);
    Atomics.store(this.#i32, TAIL, (tail + this.#u32[at >>> 2]!) | 0);
    return packet;
  }

  #read(at: number): TappedPacket {
    const word = at >>> 2;
    const what = this.#u32[word + 1]!;
    const childId = this.#i32[word + 2]!;
    const reason = what >>> REASON_SHIFT;
    const tapped = {
      at: this.#f64[(at + 24) >>> 3]!,
      direction: (what & Tap.OUT) === 0 ? ('in' as const) : ('out' as const),
      childId: childId < 0 ? undefined : childId,
      drop: reason === 0 ? undefined : DROP_REASONS[reason - 1],
      length: this.#u32[word + 3]!,
      bytes: this.#bytes.slice(at + PACKET, at + PACKET + this.#u32[word + 4]!),
    };
    if ((what & Tap.INNER) !== 0) return { layer: 'inner', ...tapped };
    const form = (what & Tap.RAW) === 0 ? ('udp' as const) : ('esp' as const);
    return { layer: 'outer', form, remote: this.#remote(at + NAME, form === 'udp'), ...tapped };
  }

  #remote(at: number, hasPort: boolean): Endpoint | undefined {
    const family = this.#bytes[at];
    if (family !== AF_INET && family !== AF_INET6) return undefined;
    const port = hasPort ? sockaddrPort(this.#bytes, at) : 0;
    return { address: sockaddrAddress(this.#bytes, at), port };
  }
}
