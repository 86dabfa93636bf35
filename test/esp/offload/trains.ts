import { Coalescer } from '../../../src/esp/offload/coalesce.js';
import { coalescerSpace } from '../../../src/esp/offload/coalescer-space.js';
import type { CoalesceSwitches } from '../../../src/esp/offload/mergeable.js';
import { createPacketMemory } from '../../../src/esp/offload/packet-memory.js';
import { Splitter } from '../../../src/esp/offload/split.js';
import {
  createVirtioHeader,
  readVirtioHeader,
  VIRTIO_HEADER_LENGTH,
} from '../../../src/esp/offload/virtio.js';
import { createPacketView, readPacket } from '../../../src/wire/ip.js';
import { newMemory } from './packets.js';

/** One coalescer and one splitter in one memory, with guards around what the coalescer may write. */

export const ITEMS = 16;
export const memory = createPacketMemory(newMemory(24));
export const { bytes } = memory;
const SCRATCH = 64;
export const AT = 8192;
export const switches: CoalesceSwitches = { tcp: true, udp: true };
export const coalescer = new Coalescer(memory, AT, ITEMS, switches);
export const splitter = new Splitter(memory, SCRATCH);
export const view = createPacketView();
export const CANARY = 0xc3;

/** What is written to TUN: a packet or a train of them. */
export interface Item {
  readonly packet: Uint8Array;
  readonly virtio: ReturnType<typeof createVirtioHeader>;
  readonly segments: number;
}

/** ESP padding and trailer behind a packet as it is decrypted. */
export const TRAILER = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 7, 4);

/** Offers a packet as the data plane does. False when the coalescer is full. */
export function offer(packet: Uint8Array): boolean {
  const at = coalescer.target(packet.length + TRAILER.length);
  if (at < 0) return false;
  bytes.set(packet, at);
  bytes.set(TRAILER, at + packet.length);
  if (readPacket(bytes, at, packet.length, view)) coalescer.accept(view);
  else coalescer.reject(packet.length + TRAILER.length);
  return true;
}

export function collect(into: Item[]): void {
  coalescer.finish();
  for (let i = 0; i < coalescer.count; i++) {
    const at = coalescer.itemAt(i);
    const virtio = createVirtioHeader();
    readVirtioHeader(bytes, at, virtio);
    const packet = bytes.slice(at + VIRTIO_HEADER_LENGTH, at + coalescer.itemLength(i));
    if (coalescer.packetAt(i) !== at + VIRTIO_HEADER_LENGTH) throw new Error('packetAt contradicts itemAt');
    into.push({ packet, virtio, segments: coalescer.segments(i) });
  }
  coalescer.clear();
}

const END = AT + coalescerSpace(ITEMS);
const GUARD = new Uint8Array(4096).fill(CANARY);

/** What is written to TUN for these packets. */
export function coalesce(packets: readonly Uint8Array[]): Item[] {
  bytes.set(GUARD, AT - GUARD.length);
  bytes.set(GUARD, END);
  const out: Item[] = [];
  for (const packet of packets) {
    if (offer(packet)) continue;
    collect(out);
    if (!offer(packet)) throw new Error('full although it was cleared');
  }
  collect(out);
  if (Buffer.compare(bytes.subarray(AT - GUARD.length, AT), GUARD) !== 0) {
    throw new Error('octets before were written');
  }
  if (Buffer.compare(bytes.subarray(END, END + GUARD.length), GUARD) !== 0) {
    throw new Error('octets behind were written');
  }
  return out;
}

/** Behind the coalescer's memory and its guard. */
export const SPLIT_AT = 20 * 65536;

/** The items split again, as the kernel would. */
export function resplit(items: readonly Item[]): Uint8Array[] {
  return items.flatMap(({ packet, virtio, segments }) => {
    const at = SPLIT_AT;
    const header = new Uint8Array(VIRTIO_HEADER_LENGTH);
    header.set([virtio.flags, virtio.gsoType]);
    new DataView(header.buffer).setUint16(4, virtio.gsoSize, true);
    new DataView(header.buffer).setUint16(6, virtio.checksumStart, true);
    new DataView(header.buffer).setUint16(8, virtio.checksumOffset, true);
    bytes.set(header, at);
    bytes.set(packet, at + VIRTIO_HEADER_LENGTH);
    const out: Uint8Array[] = [];
    const count = splitter.begin(at, VIRTIO_HEADER_LENGTH + packet.length);
    if (count !== segments) throw new Error(`${segments} packets became ${count} (${splitter.refusal})`);
    while (splitter.next()) out.push(bytes.slice(splitter.at, splitter.at + splitter.length));
    return out;
  });
}
