import type { BenchRow } from '#culvert/cli/bench-row.js';
import { Coalescer } from '#culvert/esp/offload/coalesce.js';
import { coalescerSpace } from '#culvert/esp/offload/coalescer-space.js';
import { checksumOf, foldSum } from '#culvert/esp/offload/ones-complement.js';
import { createPacketMemory, type PacketMemory } from '#culvert/esp/offload/packet-memory.js';
import { Splitter } from '#culvert/esp/offload/split.js';
import {
  createVirtioHeader,
  GsoType,
  VIRTIO_HEADER_LENGTH,
  VirtioFlag,
  writeVirtioHeader,
} from '#culvert/esp/offload/virtio.js';
import { writeU16, writeU32 } from '#culvert/util/bytes.js';
import { createPacketView, readPacket } from '#culvert/wire/ip.js';
import { TCP_CHECKSUM_OFFSET, TcpFlag } from '#culvert/wire/tcp.js';

/** Wall-clock bound of the whole run in milliseconds. */
const BUDGET_MS = 3000;
const ROWS = 8;
/** The first part of a row's share runs unmeasured. */
const WARM_UP = 0.3;

const ITEMS = 16;
const SCRATCH_AT = 64;
const TRAIN_AT = 4096;
const COALESCER_AT = 128 * 1024;

/** A segment of a path with MTU 1440 inside the tunnel: 20 + 32 octets of headers. */
const HEADERS = 52;
const PAYLOAD = 1388;
const SEGMENTS = 45;
/** What one checksum is measured over. */
const SUMMED = 1440;

interface WasmMemory {
  readonly Memory: new (d: {
    initial: number;
    maximum: number;
    shared: true;
  }) => {
    readonly buffer: SharedArrayBuffer;
  };
}

/**
 * The building blocks of the offloaded packet path on one thread: nanoseconds for a segment of 1440 octets,
 * split from or merged into a TCPv4 super-packet with all checksums, and for one checksum. Takes 3 s.
 */
export function benchOffload(): BenchRow[] {
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmMemory }).WebAssembly;
  const pages = Math.ceil((COALESCER_AT + coalescerSpace(ITEMS)) / 65536);
  const memory = new Memory({ initial: pages, maximum: pages, shared: true });
  const simd = createPacketMemory(memory);
  const plain = createPacketMemory(memory, { simd: false });
  const share = BUDGET_MS / ROWS;
  const rows: BenchRow[] = [];
  const add = (name: string, each: number, run: () => void, base?: BenchRow): BenchRow => {
    const value = Math.round((nanoseconds(run, share) / each) * 10) / 10;
    const ratio = base === undefined ? {} : { ratio: value / base.value, ratioOf: base.name };
    const row = { part: 'offload', name, value, unit: 'ns', ...ratio };
    rows.push(row);
    return row;
  };
  for (let i = 0; i < SUMMED + 64; i++) simd.bytes[TRAIN_AT + i] = i * 7;
  const bySimd = add(`checksum of ${SUMMED} octets, SIMD`, 1, () => {
    keep(simd.sum(TRAIN_AT, SUMMED));
  });
  add(
    `checksum of ${SUMMED} octets, plain`,
    1,
    () => {
      keep(plain.sum(TRAIN_AT, SUMMED));
    },
    bySimd,
  );
  add(
    `checksum of ${SUMMED} octets, plain, odd address`,
    1,
    () => {
      keep(plain.sum(TRAIN_AT + 1, SUMMED));
    },
    bySimd,
  );
  const splitBySimd = add('split, a segment', SEGMENTS, splitting(simd));
  add('split, a segment, plain', SEGMENTS, splitting(plain), splitBySimd);
  const packets = segments(simd);
  const mergeBySimd = merging('coalesce, a segment', simd, packets, share);
  const mergePlain = merging('coalesce, a segment, plain', plain, packets, share);
  const ratio = mergePlain.value / mergeBySimd.value;
  rows.push(mergeBySimd, { ...mergePlain, ratio, ratioOf: mergeBySimd.name });
  return rows;
}

/** Keeps the optimiser from leaving out what is not used. */
const sink = new Int32Array(1);
function keep(value: number): void {
  sink[0] = sink[0]! ^ value;
}

/** Coalescing takes what remains when the time is taken off that it takes to put the packets in place. */
function merging(
  name: string,
  memory: PacketMemory,
  packets: readonly Uint8Array[],
  share: number,
): BenchRow {
  const placed = nanoseconds(placing(memory, packets), share / 2) / SEGMENTS;
  const merged = nanoseconds(coalescing(memory, packets), share) / SEGMENTS;
  const value = Math.round((merged - placed) * 10) / 10;
  return { part: 'offload', name, value, unit: 'ns', note: 'both checksums verified, decryption left out' };
}

/** Average time of one call. */
function nanoseconds(run: () => void, milliseconds: number): number {
  const start = performance.now();
  while (performance.now() - start < milliseconds * WARM_UP) repeat(run);
  const from = performance.now();
  let calls = 0;
  let elapsed = 0;
  do {
    calls += repeat(run);
    elapsed = performance.now() - from;
  } while (elapsed < milliseconds * (1 - WARM_UP));
  return (elapsed / calls) * 1e6;
}

const REPEAT = 50;

function repeat(run: () => void): number {
  for (let i = 0; i < REPEAT; i++) run();
  return REPEAT;
}

/** A TCPv4 super-packet as the kernel hands it over; splitting it destroys it, so each round writes it again. */
function splitting(memory: PacketMemory): () => void {
  const { bytes } = memory;
  const splitter = new Splitter(memory, SCRATCH_AT);
  const size = HEADERS + SEGMENTS * PAYLOAD;
  const packet = TRAIN_AT + VIRTIO_HEADER_LENGTH;
  const virtio = {
    ...createVirtioHeader(),
    flags: VirtioFlag.NEEDS_CSUM,
    gsoType: GsoType.TCPV4,
    headerLength: HEADERS,
    gsoSize: PAYLOAD,
    checksumStart: 20,
    checksumOffset: TCP_CHECKSUM_OFFSET,
  };
  return () => {
    writeVirtioHeader(bytes, TRAIN_AT, virtio);
    writeHeaders(bytes, packet, size, 1, 0);
    if (splitter.begin(TRAIN_AT, VIRTIO_HEADER_LENGTH + size) !== SEGMENTS) {
      throw new Error(`the bench's own packet is refused: ${splitter.refusal}`);
    }
    while (splitter.next()) keep(splitter.at + splitter.length);
  };
}

/** Segments of one flow with right checksums, one behind the other. */
function segments(memory: PacketMemory): Uint8Array[] {
  return Array.from({ length: SEGMENTS }, (_, i) => {
    const { bytes, sum } = memory;
    const size = HEADERS + PAYLOAD;
    writeHeaders(bytes, TRAIN_AT, size, i, i * PAYLOAD);
    const pseudo = sum(TRAIN_AT + 12, 8) + 6 + size - 20;
    writeU16(bytes, TRAIN_AT + 36, checksumOf(pseudo + sum(TRAIN_AT + 20, size - 20)));
    writeU16(bytes, TRAIN_AT + 10, checksumOf(sum(TRAIN_AT, 20)));
    if (foldSum(sum(TRAIN_AT, 20)) !== 0xffff) throw new Error("the bench's own checksum is wrong");
    return bytes.slice(TRAIN_AT, TRAIN_AT + size);
  });
}

/** The packets are copied to where they would be decrypted to. */
function coalescing(memory: PacketMemory, packets: readonly Uint8Array[]): () => void {
  const { bytes } = memory;
  const coalescer = new Coalescer(memory, COALESCER_AT, ITEMS, { tcp: true, udp: false });
  const view = createPacketView();
  return () => {
    for (const packet of packets) {
      const at = coalescer.target(packet.length + 32);
      bytes.set(packet, at);
      readPacket(bytes, at, packet.length, view);
      coalescer.accept(view);
    }
    coalescer.finish();
    if (coalescer.count !== 1) throw new Error(`the bench's own packets became ${coalescer.count} trains`);
    keep(coalescer.itemLength(0));
    coalescer.clear();
  };
}

/** What `coalescing` does beside coalescing. */
function placing(memory: PacketMemory, packets: readonly Uint8Array[]): () => void {
  const { bytes } = memory;
  const view = createPacketView();
  return () => {
    let at = COALESCER_AT;
    for (const packet of packets) {
      bytes.set(packet, at);
      readPacket(bytes, at, packet.length, view);
      keep(view.payloadOffset);
      at += PAYLOAD;
    }
  };
}

/** IPv4 and TCP headers with timestamps, without checksums. */
function writeHeaders(bytes: Uint8Array, at: number, size: number, id: number, sequence: number): void {
  writeU32(bytes, at, 0x45000000 | size);
  writeU32(bytes, at + 4, (id << 16) | 0x4000);
  writeU32(bytes, at + 8, 0x40060000);
  writeU32(bytes, at + 12, 0x0a010001);
  writeU32(bytes, at + 16, 0x0a020001);
  writeU32(bytes, at + 20, 0x9c401451);
  writeU32(bytes, at + 24, sequence);
  writeU32(bytes, at + 28, 1);
  writeU32(bytes, at + 32, 0x80000000 | (TcpFlag.ACK << 16) | 502);
  writeU32(bytes, at + 36, 0);
  writeU32(bytes, at + 40, 0x0101080a);
  writeU32(bytes, at + 44, 1);
  writeU32(bytes, at + 48, 2);
}
