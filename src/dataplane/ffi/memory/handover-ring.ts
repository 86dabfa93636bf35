import { addressOf, type Libc, libc } from '../../../linux/ffi.js';
import { NAME_SIZE } from './arena.js';

/**
 * A ring in shared memory that carries packets from one worker (its only writer) to another (its only reader).
 * A record never wraps: what does not fit before the end begins again at the start.
 *
 *     0  octets ever written (u32, modulo 2^32)      64  octets ever consumed (u32)     128  records
 *
 * A record:
 *
 *     0  octets of the record (u32, a multiple of 8)     4  kind (u32)
 *     8  octets of the packet (u32)                     12  traffic class of the outer header (u32)
 *    16  socket address of the sender (32)              48  the packet
 */
const HEAD = 0;
const TAIL = 64 >>> 2;
const RECORDS = 128;
const NAME = 16;
const PACKET = NAME + NAME_SIZE;

/** The rest of the ring up to its end is unused. */
const SKIP = 0xffffffff;

/**
 * Octets of the records, a power of two: 15 of the longest super-packets or 700 packets of 1400 octets, which is
 * what a reader may be behind when the processor was taken from it for two milliseconds.
 */
export const HANDOVER_ROOM = 1024 * 1024;

/** The longest packet that always finds room in an empty ring, wherever its head is. */
export const MAX_HANDOVER = HANDOVER_ROOM / 2 - PACKET;

/** What a record contains. */
export const Handed = {
  /** What one read from TUN gave, from the virtio-net header on if there is one. */
  INNER: 1,
  /** An ESP packet that came in UDP, from the SPI on. */
  ESP: 2,
} as const;

/** Zeroed memory for one ring. The kernel gives it only as far as it is used. */
export function createHandoverRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(RECORDS + HANDOVER_ROOM);
}

/** What both ends have. The view is held, since an address alone does not keep memory from being freed. */
class End {
  protected readonly u32: Uint32Array;
  protected readonly i32: Int32Array;
  /** Address of the first record. */
  protected readonly base: number;
  protected readonly memcpy: Libc['memcpy'] = libc().memcpy;

  /** @throws LinuxError ENOSYS without FFI */
  constructor(memory: SharedArrayBuffer) {
    this.u32 = new Uint32Array(memory);
    this.i32 = new Int32Array(memory);
    this.base = addressOf(new Uint8Array(memory)) + RECORDS;
  }

  /** Octets in use, a part that is skipped included. */
  get used(): number {
    return (Atomics.load(this.i32, HEAD) - Atomics.load(this.i32, TAIL)) >>> 0;
  }
}

/** The end that gives. */
export class HandoverWriter extends End {
  /**
   * Copies a packet of `length` octets at `address` into the ring; `nameAddress` is that of its sender's socket
   * address, 0 for none. False when there is no room.
   * @throws RangeError when the packet can never fit
   */
  put(kind: number, address: number, length: number, trafficClass: number, nameAddress: number): boolean {
    if (length > MAX_HANDOVER) throw new RangeError(`a packet of ${length} octets: ${MAX_HANDOVER} at most`);
    const { i32, u32 } = this;
    const size = (PACKET + length + 7) & ~7;
    const head = Atomics.load(i32, HEAD);
    const position = head & (HANDOVER_ROOM - 1);
    const skip = position + size > HANDOVER_ROOM ? HANDOVER_ROOM - position : 0;
    if (this.used + skip + size > HANDOVER_ROOM) return false;
    if (skip > 0) u32[(RECORDS + position) >>> 2] = SKIP;
    const at = (position + skip) & (HANDOVER_ROOM - 1);
    const word = (RECORDS + at) >>> 2;
    u32[word] = size;
    u32[word + 1] = kind;
    u32[word + 2] = length;
    u32[word + 3] = trafficClass;
    if (nameAddress !== 0) this.memcpy(this.base + at + NAME, nameAddress, NAME_SIZE);
    this.memcpy(this.base + at + PACKET, address, length);
    // Seen by the reader only after all that was written before.
    Atomics.store(i32, HEAD, (head + skip + size) | 0);
    return true;
  }
}

/** The end that takes. `kind`, `length` and `trafficClass` are those of the current record. */
export class HandoverReader extends End {
  kind = 0;
  length = 0;
  trafficClass = 0;
  #at = 0;
  #size = 0;

  /** Turns to the oldest record. False when there is none. `release` follows. */
  next(): boolean {
    const { i32, u32 } = this;
    let tail = Atomics.load(i32, TAIL);
    if (tail === Atomics.load(i32, HEAD)) return false;
    let at = tail & (HANDOVER_ROOM - 1);
    if (u32[(RECORDS + at) >>> 2] === SKIP) {
      // The record for which the rest was skipped is there already: both appear at once.
      tail = (tail + HANDOVER_ROOM - at) | 0;
      Atomics.store(i32, TAIL, tail);
      at = 0;
    }
    const word = (RECORDS + at) >>> 2;
    this.#at = at;
    this.#size = u32[word]!;
    this.kind = u32[word + 1]!;
    this.length = u32[word + 2]!;
    this.trafficClass = u32[word + 3]!;
    return true;
  }

  /** Copies the packet to `address`. */
  copyPacket(address: number): void {
    this.memcpy(address, this.base + this.#at + PACKET, this.length);
  }

  /** Copies the sender's socket address to `address`. */
  copyName(address: number): void {
    this.memcpy(address, this.base + this.#at + NAME, NAME_SIZE);
  }

  /** The record may be overwritten from now on. */
  release(): void {
    Atomics.store(this.i32, TAIL, (Atomics.load(this.i32, TAIL) + this.#size) | 0);
  }
}
