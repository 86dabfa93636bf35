import { utf8 } from '../util/bytes.js';
import { Writer } from './writer.js';

/*
 * Capture files in the pcapng format (draft-ietf-opsawg-pcapng): blocks of type, length, body and length again, each a
 * multiple of four octets. Written big-endian, as the section header says. A file is the section
 * header, one description per interface, then packets; what has been written so far is always a whole file.
 */

const BlockType = { SECTION: 0x0a0d0d0a, INTERFACE: 1, STATISTICS: 5, PACKET: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** LINKTYPE_RAW: the packet begins with its IPv4 or IPv6 header. */
const RAW_IP = 101;

/** Option codes; those from 2 on depend on the block. */
const Option = {
  END: 0,
  COMMENT: 1,
  APPLICATION: 4,
  INTERFACE_NAME: 2,
  DESCRIPTION: 3,
  TIME_UNIT: 9,
  FLAGS: 2,
  START_TIME: 2,
  END_TIME: 3,
  RECEIVED: 4,
  DROPPED: 5,
} as const;
/** Octets of an option's code and length. */
const OPTION_HEADER = 4;
/** The longest text that an option can hold. */
const MAX_TEXT = 65_535;

/** Bits 0 and 1 of epb_flags. */
const DIRECTION = { in: 1, out: 2 } as const;

/** Where packets were seen, as the file names it. */
export interface CaptureInterface {
  readonly name: string;
  readonly description?: string;
}

/** A packet in a capture file. */
export interface CapturedPacket {
  /** Index of its interface, in the order in which they were described. */
  readonly interface: number;
  /** When it was seen, in microseconds since 1970 (UTC). */
  readonly at: bigint;
  /** The packet from its IP header on, possibly cut short. */
  readonly bytes: Uint8Array;
  /** Octets of the whole packet. */
  readonly length: number;
  readonly direction: keyof typeof DIRECTION;
  /** Shown beside the packet, for example why it was dropped. */
  readonly comment?: string;
}

/** What is known of an interface when the capture ends. Times as `CapturedPacket.at`. */
export interface InterfaceStatistics {
  readonly interface: number;
  readonly begun: bigint;
  readonly ended: bigint;
  /** Packets that passed while the capture ran, those that are not in the file included. */
  readonly received: number;
  /** Those that are not in the file, for want of room. */
  readonly dropped: number;
  readonly comment?: string;
}

/** The beginning of a file: the section header and the description of each interface. `application`: who wrote it. */
export function pcapngHeader(application: string, interfaces: readonly CaptureInterface[]): Uint8Array {
  const writer = new Writer(256);
  block(writer, BlockType.SECTION, () => {
    writer.u32(BYTE_ORDER_MAGIC);
    writer.u16(1);
    writer.u16(0);
    // The length of the section is not known in advance: -1.
    writer.u32(0xffff_ffff);
    writer.u32(0xffff_ffff);
    textOption(writer, Option.APPLICATION, application);
    endOptions(writer);
  });
  for (const { name, description } of interfaces) {
    block(writer, BlockType.INTERFACE, () => {
      writer.u16(RAW_IP);
      writer.u16(0);
      // No bound on the octets of a packet.
      writer.u32(0);
      textOption(writer, Option.INTERFACE_NAME, name);
      if (description !== undefined) textOption(writer, Option.DESCRIPTION, description);
      option(writer, Option.TIME_UNIT, Uint8Array.of(6));
      endOptions(writer);
    });
  }
  return writer.finish();
}

/** One packet, to be appended to the file. @throws RangeError for a time before 1970 or one that 64 bits do not hold */
export function pcapngPacket(packet: CapturedPacket): Uint8Array {
  const { at, bytes, length, direction, comment } = packet;
  const writer = new Writer(bytes.length + 128);
  block(writer, BlockType.PACKET, () => {
    writer.u32(packet.interface);
    u64(writer, at);
    writer.u32(bytes.length);
    writer.u32(length);
    padded(writer, bytes);
    option(writer, Option.FLAGS, Uint8Array.of(0, 0, 0, DIRECTION[direction]));
    if (comment !== undefined) textOption(writer, Option.COMMENT, comment);
    endOptions(writer);
  });
  return writer.finish();
}

/** What the file says of an interface at its end. @throws RangeError as `pcapngPacket` */
export function pcapngStatistics(statistics: InterfaceStatistics): Uint8Array {
  const { begun, ended, received, dropped, comment } = statistics;
  const writer = new Writer(256);
  block(writer, BlockType.STATISTICS, () => {
    writer.u32(statistics.interface);
    u64(writer, ended);
    for (const [code, value] of [
      [Option.START_TIME, begun],
      [Option.END_TIME, ended],
      [Option.RECEIVED, BigInt(received)],
      [Option.DROPPED, BigInt(dropped)],
    ] as const) {
      writer.u16(code);
      writer.u16(8);
      u64(writer, value);
    }
    if (comment !== undefined) textOption(writer, Option.COMMENT, comment);
    endOptions(writer);
  });
  return writer.finish();
}

/** Octets that `pcapngPacket` makes of it, so that a bound on the file can be kept without writing first. */
export function pcapngPacketLength({ bytes, comment }: Pick<CapturedPacket, 'bytes' | 'comment'>): number {
  const text = comment === undefined ? 0 : OPTION_HEADER + roundUp(Math.min(utf8(comment).length, MAX_TEXT));
  // Type, five fields, flags, end of options, and the length before and after.
  return 12 + 20 + roundUp(bytes.length) + 8 + text + OPTION_HEADER;
}

function block(writer: Writer, type: number, body: () => void): void {
  const start = writer.length;
  writer.u32(type);
  writer.u32(0);
  body();
  const length = writer.length - start + 4;
  writer.u32(length);
  writer.setU32(start + 4, length);
}

/** As pcapng writes a time: the upper half first, whatever the order of octets. */
function u64(writer: Writer, value: bigint): void {
  writer.u32(Number(value >> 32n));
  writer.u32(Number(value & 0xffff_ffffn));
}

function option(writer: Writer, code: number, value: Uint8Array): void {
  writer.u16(code);
  writer.u16(value.length);
  padded(writer, value);
}

function textOption(writer: Writer, code: number, text: string): void {
  option(writer, code, utf8(text).subarray(0, MAX_TEXT));
}

function endOptions(writer: Writer): void {
  writer.u16(Option.END);
  writer.u16(0);
}

function padded(writer: Writer, bytes: Uint8Array): void {
  writer.bytes(bytes);
  writer.bytes(new Uint8Array(roundUp(bytes.length) - bytes.length));
}

function roundUp(length: number): number {
  return Math.ceil(length / 4) * 4;
}
