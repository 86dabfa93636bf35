import { addressOf } from '../../linux/ffi.js';

/**
 * The memory of the packet path: one shared WebAssembly.Memory in which everything that the kernel or OpenSSL
 * touches stands at a fixed offset. Calls get plain numbers (base + offset), so nothing is wrapped or
 * allocated for a packet. The memory never grows, hence its base address never moves. Main and worker see the
 * same octets at the same address.
 */

/** Packets of one burst: read, then sent or written, before the other direction has its turn. */
export const BURST = 32;

/** Child SAs the tables have room for. */
export const MAX_CHILDREN = 1024;

/** An IP packet has at most 65,535 octets; padding, trailer, header, IV and ICV add less than 512. */
const PACKET_SPACE = 65536 + 512;

/**
 * Distance of the packet slots: not a power of two, else the beginnings of all packets of a burst compete
 * for the same lines of the processor's caches.
 */
const SLOT = PACKET_SPACE + 1472;

/** struct msghdr (56 octets) and the octets sent or received (u32), padded: the same on x86-64 and arm64. */
export const MMSGHDR_SIZE = 64;
export const MMSGHDR_LENGTH = 56;
const IOVEC_SIZE = 16;
export const NAME_SIZE = 32;

/** Octets of the ring that carries orders from main to the worker. */
export const RING_SIZE = 256 * 1024;

/** Octets of one block of counters: 32 numbers of 64 bits. */
export const COUNTER_BLOCK = 256;

/** Random octets drawn at a time. */
export const RANDOM_POOL = 4096;

let next = 0;
function take(size: number): number {
  const at = next;
  next = (next + size + 63) & ~63;
  return at;
}

/** Where everything is. Offsets in octets, multiples of 64. */
export const At = {
  /** Words shared by main and worker: see control-ring.ts. */
  control: take(64),
  ring: take(RING_SIZE),
  /** Block 0 counts drops that belong to no SA; the others belong to child SAs. */
  counters: take((MAX_CHILDREN + 1) * COUNTER_BLOCK),
  /** Socket address of each child SA's peer, by the number of its counter block. */
  peers: take((MAX_CHILDREN + 1) * NAME_SIZE),
  pollFds: take(64 * 8),
  nonce: take(64),
  outLength: take(64),
  mac: take(64),
  /** Keys on their way into a cipher context: zero at all other times. */
  keys: take(256),
  random: take(RANDOM_POOL),
  rxHeaders: take(BURST * MMSGHDR_SIZE),
  rxIovecs: take(BURST * IOVEC_SIZE),
  rxNames: take(BURST * NAME_SIZE),
  txHeaders: take(BURST * MMSGHDR_SIZE),
  txIovecs: take(BURST * IOVEC_SIZE),
  /** The inner packet read from TUN, and room for its trailer. */
  inner: take(PACKET_SPACE),
  /** Plaintext of a received packet. Nothing reads it before the ICV held. */
  plain: take(PACKET_SPACE),
  rxPackets: take(BURST * SLOT),
  txPackets: take(BURST * SLOT),
} as const;

/** The longest datagram or packet a slot takes. */
export const MAX_PACKET = 65535;

const PAGE = 65536;
const PAGES = Math.ceil(next / PAGE);

/** Offset of the packet slot `i` of the receive side. */
export function rxPacket(i: number): number {
  return At.rxPackets + i * SLOT;
}

/** Offset of the packet slot `i` of the send side. */
export function txPacket(i: number): number {
  return At.txPackets + i * SLOT;
}

/** A shared WebAssembly.Memory; the standard library without the DOM does not name the type. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

interface MemoryDescriptor {
  readonly initial: number;
  readonly maximum: number;
  readonly shared: true;
}

const { Memory } = (
  globalThis as unknown as {
    readonly WebAssembly: { readonly Memory: new (descriptor: MemoryDescriptor) => SharedMemory };
  }
).WebAssembly;

/** The memory with its views. */
export interface Arena {
  readonly memory: SharedMemory;
  /** Address of offset 0 in this process. */
  readonly base: number;
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly u32: Uint32Array<ArrayBufferLike>;
  readonly i32: Int32Array<ArrayBufferLike>;
  readonly f64: Float64Array<ArrayBufferLike>;
  readonly view: DataView<ArrayBufferLike>;
}

/** Fresh zeroed memory. @throws LinuxError ENOSYS without FFI */
export function createArena(): Arena {
  return useArena(new Memory({ initial: PAGES, maximum: PAGES, shared: true }));
}

/** Views of memory that another thread created. */
export function useArena(memory: SharedMemory): Arena {
  const { buffer } = memory;
  const bytes = new Uint8Array(buffer);
  return {
    memory,
    base: addressOf(bytes),
    bytes,
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    f64: new Float64Array(buffer),
    view: new DataView(buffer),
  };
}

/** Writes a pointer to the arena's offset `target` at `at`, as eight octets in host order. */
export function writePointer(arena: Arena, at: number, target: number): void {
  const address = arena.base + target;
  arena.u32[at >>> 2] = address >>> 0;
  arena.u32[(at >>> 2) + 1] = Math.floor(address / 2 ** 32);
}

/**
 * Fills `BURST` message headers that each point to one iovec: to the receive slots with room for the
 * sender's address, or to the send slots, where name and length are set per packet.
 */
export function prepareMessages(arena: Arena): void {
  for (let i = 0; i < BURST; i++) {
    const rx = At.rxHeaders + i * MMSGHDR_SIZE;
    const rxIovec = At.rxIovecs + i * IOVEC_SIZE;
    writePointer(arena, rx, At.rxNames + i * NAME_SIZE);
    arena.u32[(rx + 8) >>> 2] = NAME_SIZE;
    writePointer(arena, rx + 16, rxIovec);
    arena.u32[(rx + 24) >>> 2] = 1;
    writePointer(arena, rxIovec, rxPacket(i));
    arena.u32[(rxIovec + 8) >>> 2] = MAX_PACKET;
    const tx = At.txHeaders + i * MMSGHDR_SIZE;
    const txIovec = At.txIovecs + i * IOVEC_SIZE;
    writePointer(arena, tx + 16, txIovec);
    arena.u32[(tx + 24) >>> 2] = 1;
    writePointer(arena, txIovec, txPacket(i));
  }
}

/** Sets destination and length of the message `i` of the send side. */
export function setMessage(arena: Arena, i: number, name: number, nameLength: number, length: number): void {
  const header = At.txHeaders + i * MMSGHDR_SIZE;
  writePointer(arena, header, name);
  arena.u32[(header + 8) >>> 2] = nameLength;
  arena.u32[(At.txIovecs + i * IOVEC_SIZE + 8) >>> 2] = length;
}
