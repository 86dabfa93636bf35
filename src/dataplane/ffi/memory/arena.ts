import { coalescerSpace } from '../../../esp/offload/coalescer-space.js';
import { SPLITTER_SPACE } from '../../../esp/offload/split.js';
import { CALL_SIZE } from '../../../linux/call-runner.js';
import { addressOf } from '../../../linux/ffi.js';
import { HASH_STATE } from '../crypto/low-level-hash.js';
import { CONTROL_SPACE } from '../io/control-message.js';

/**
 * The memory of the packet path: a shared WebAssembly.Memory in which everything that the kernel or OpenSSL
 * touches is at a fixed offset. Calls get plain numbers (base + offset), so nothing is wrapped or
 * allocated for a packet. The memory never grows, hence its base address never moves. Main and worker see the
 * same octets at the same address.
 *
 * What is derived from keys, and the lists of C functions to call, are in a second memory, the vault. V8 maps
 * each such memory by itself, with gigabytes of address space around it that must not be touched, so that no stray
 * write among packets reaches the vault, neither by a wrong offset in JavaScript nor by a C function.
 */

/** Messages of one receiving call. */
export const RX_BURST = 64;

/** Messages of one sending call: each is a run of datagrams of one size to one peer. */
export const TX_RUNS = 32;

/** Datagrams the kernel sends of one run (UDP_MAX_SEGMENTS of linux/udp.h before it was raised). */
export const RUN_SEGMENTS = 64;

/** Child SAs the tables have room for. */
export const MAX_CHILDREN = 16384;

/** An IP packet has at most 65,535 octets; padding, trailer, header, IV and ICV add less than 512. */
const PACKET_SPACE = 65536 + 512;

/**
 * Distance of the packet slots: not a power of two, else the beginnings of all packets of a burst compete
 * for the same lines of the processor's caches.
 */
const SLOT = PACKET_SPACE + 1472;

/** Packets, merged or not, that are collected before they are written to TUN. */
export const TUN_ITEMS = 48;

/** struct msghdr (56 octets) and the octets sent or received (u32), padded: the same on x86-64 and arm64. */
export const MMSGHDR_SIZE = 64;
export const MMSGHDR_LENGTH = 56;
const IOVEC_SIZE = 16;
/** Octets that struct sockaddr_in6 takes, rounded up. */
export const NAME_SIZE = 32;

/** Octets of the ring that carries orders from main to the worker. */
export const RING_SIZE = 256 * 1024;

/** Octets of one block of counters: 32 numbers of 64 bits. */
export const COUNTER_BLOCK = 256;

/** Octets of a slot for two hash states of a MAC, or the key schedule of AES (244). */
export const KEY_SLOT_SIZE = 2 * HASH_STATE;

/** Packets that AES-CBC takes side by side, and octets of a lane: see multi-cbc.ts. */
export const CBC_LANES = 8;
export const CBC_LANE = 40;

/** Keys of a child SA: two MACs, or one cipher in each direction, or all that CBC has at most. */
export const KEY_SLOTS = 3 * MAX_CHILDREN;

/** Calls that a list has room for: see call-list.ts. */
export const MAX_CALLS = 16;
/** The calls, and a word that says whose they are. */
const CALL_LIST_SIZE = MAX_CALLS * CALL_SIZE + 64;

/** Random octets drawn at a time. */
export const RANDOM_POOL = 4096;

/** Hands out room, in octets, at multiples of 64. */
class Layout {
  size = 0;

  take(size: number): number {
    const at = this.size;
    this.size = (at + size + 63) & ~63;
    return at;
  }
}

const packets = new Layout();
const take = (size: number): number => packets.take(size);

/** What one sending call needs, by run. Packets come last: they need no wiping of headers in between. */
export interface SendArea {
  readonly headers: number;
  readonly iovecs: number;
  readonly controls: number;
  readonly packets: number;
}

function takeSendArea(): SendArea {
  return {
    headers: take(TX_RUNS * MMSGHDR_SIZE),
    iovecs: take(TX_RUNS * IOVEC_SIZE),
    controls: take(TX_RUNS * CONTROL_SPACE),
    packets: take(TX_RUNS * SLOT),
  };
}

/** Octets in front of the packet read from TUN: the virtio-net header, and room for a cipher's first block. */
const INNER_FRONT = 64;

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
  /** What ErrorQueue reads into. */
  errors: take(576),
  split: take(SPLITTER_SPACE),
  rxHeaders: take(RX_BURST * MMSGHDR_SIZE),
  rxIovecs: take(RX_BURST * IOVEC_SIZE),
  rxNames: take(RX_BURST * NAME_SIZE),
  rxControls: take(RX_BURST * CONTROL_SPACE),
  tx: takeSendArea(),
  /** The same for the raw socket of ESP without UDP. */
  rawTx: takeSendArea(),
  /** The packet read from TUN at `innerPacket()`: room for a header before and a trailer after. */
  inner: take(INNER_FRONT + PACKET_SPACE),
  /** Plaintext that is not for TUN: of tests and benchmarks. */
  plain: take(PACKET_SPACE),
  /** An answer to a packet that is too big, or a fragment of it. */
  answer: take(PACKET_SPACE),
  coalescer: take(coalescerSpace(TUN_ITEMS)),
  rxPackets: take(RX_BURST * SLOT),
} as const;

const vault = new Layout();
const keep = (size: number): number => vault.take(size);

/** Where everything is in the vault. Offsets in octets, multiples of 64. */
export const Vaulted = {
  /** Sixteen zeros: the IV of a context before its first packet. Never written. */
  zeroIv: keep(64),
  nonce: keep(64),
  /** The nonce of the packet being opened. */
  openNonce: keep(64),
  cbcLanes: keep(CBC_LANES * CBC_LANE),
  /** The calls of the packet being sealed, and of the one being opened. */
  sealCalls: keep(CALL_LIST_SIZE),
  openCalls: keep(CALL_LIST_SIZE),
  outLength: keep(64),
  mac: keep(64),
  /** AES-GCM's state of the packet in hand: see ipsec-mb.ts. */
  gcmState: keep(128),
  /** Keys on their way into a cipher context: zero at all other times. */
  keys: keep(256),
  random: keep(RANDOM_POOL),
  /** The hash state of the message in hand. */
  macState: keep(HASH_STATE),
  /** Octets kept aside while a cipher writes over them; a padded MAC key while it is taken over. */
  saved: keep(128),
  /** What is derived from keys: see key-slots.ts. */
  keySlots: keep(KEY_SLOTS * KEY_SLOT_SIZE),
} as const;

/** The longest datagram or packet a slot takes. */
export const MAX_PACKET = 65535;

const PAGE = 65536;

/** Offset of the packet slot `i` of the receive side. */
export function rxPacket(i: number): number {
  return At.rxPackets + i * SLOT;
}

/** Offset of the first packet of run `i` of the send side. */
export function txPacket(i: number, area: SendArea = At.tx): number {
  return area.packets + i * SLOT;
}

/** Where the IP packet read from TUN begins; its virtio-net header, if any, is right before it. */
export function innerPacket(): number {
  return At.inner + INNER_FRONT;
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

declare const WebAssembly: { readonly Memory: new (descriptor: MemoryDescriptor) => SharedMemory };

/** A memory with its views. */
export interface Region {
  readonly memory: SharedMemory;
  /** Address of offset 0 in this process. */
  readonly base: number;
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly u32: Uint32Array<ArrayBufferLike>;
}

/** The memory of packets with its views. */
export interface Arena extends Region {
  readonly vault: Region;
  /** The distance of the vault: base + far + offset is an address in it. */
  readonly far: number;
  readonly i32: Int32Array<ArrayBufferLike>;
  readonly f64: Float64Array<ArrayBufferLike>;
  readonly view: DataView<ArrayBufferLike>;
}

/** Fresh zeroed memory. @throws LinuxError ENOSYS without FFI */
export function createArena(): Arena {
  return useArena(allocate(packets.size), allocate(vault.size));
}

function allocate(octets: number): SharedMemory {
  const pages = Math.ceil(octets / PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

function regionOf(memory: SharedMemory): Region {
  const bytes = new Uint8Array(memory.buffer);
  return { memory, base: addressOf(bytes), bytes, u32: new Uint32Array(memory.buffer) };
}

/** Views of memories that another thread created. */
export function useArena(memory: SharedMemory, vaultMemory: SharedMemory): Arena {
  const { buffer } = memory;
  const region = regionOf(memory);
  const vaultRegion = regionOf(vaultMemory);
  return {
    ...region,
    vault: vaultRegion,
    far: vaultRegion.base - region.base,
    i32: new Int32Array(buffer),
    f64: new Float64Array(buffer),
    view: new DataView(buffer),
  };
}

/** Writes a pointer to the arena's offset `target` at `at`, as eight octets in host order. */
export function writePointer(arena: Arena, at: number, target: number): void {
  writeAddress(arena, at, arena.base + target);
}

/** Writes an address at `at`, as eight octets in host order. */
export function writeAddress({ u32 }: Region, at: number, address: number): void {
  u32[at >>> 2] = address >>> 0;
  u32[(at >>> 2) + 1] = Math.floor(address / 2 ** 32);
}

/** Fills the headers of a receiving call: each points to one slot, room for the address and control data. */
export function prepareReceive(arena: Arena): void {
  for (let i = 0; i < RX_BURST; i++) {
    const header = At.rxHeaders + i * MMSGHDR_SIZE;
    const iovec = At.rxIovecs + i * IOVEC_SIZE;
    writePointer(arena, header, At.rxNames + i * NAME_SIZE);
    writePointer(arena, header + 16, iovec);
    arena.u32[(header + 24) >>> 2] = 1;
    writePointer(arena, header + 32, At.rxControls + i * CONTROL_SPACE);
    writePointer(arena, iovec, rxPacket(i));
    arena.u32[(iovec + 8) >>> 2] = MAX_PACKET;
  }
  rearmReceive(arena, RX_BURST);
}

/** The kernel replaced the room for addresses and control data of `count` messages by what it used of it. */
export function rearmReceive({ u32 }: Arena, count: number): void {
  for (let i = 0, at = At.rxHeaders; i < count; i++, at += MMSGHDR_SIZE) {
    u32[(at + 8) >>> 2] = NAME_SIZE;
    u32[(at + 40) >>> 2] = CONTROL_SPACE;
  }
}

/** Fills the headers of a sending call. Name, length and control data are set for each run. */
export function prepareSend(arena: Arena, area: SendArea): void {
  for (let i = 0; i < TX_RUNS; i++) {
    const header = area.headers + i * MMSGHDR_SIZE;
    const iovec = area.iovecs + i * IOVEC_SIZE;
    writePointer(arena, header + 16, iovec);
    arena.u32[(header + 24) >>> 2] = 1;
    writePointer(arena, header + 32, area.controls + i * CONTROL_SPACE);
    writePointer(arena, iovec, txPacket(i, area));
  }
}

/** Sets destination and octets of the run `i`, and how much control data there is. */
export function setRun(
  arena: Arena,
  area: SendArea,
  i: number,
  name: number,
  nameLength: number,
  length: number,
  controlLength: number,
): void {
  const header = area.headers + i * MMSGHDR_SIZE;
  writePointer(arena, header, name);
  arena.u32[(header + 8) >>> 2] = nameLength;
  arena.u32[(header + 40) >>> 2] = controlLength;
  arena.u32[(area.iovecs + i * IOVEC_SIZE + 8) >>> 2] = length;
}
