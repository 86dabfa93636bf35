import { readU16, readU32, writeU16, writeU32 } from '../../util/bytes.js';
import { createPacketView, IPV6_HEADER_LENGTH, IpProtocol, readPacket } from '../../wire/ip.js';
import {
  TCP_CHECKSUM_OFFSET,
  TCP_FLAGS_OFFSET,
  TCP_HEADER_LENGTH,
  TCP_SEQUENCE_OFFSET,
  TcpFlag,
} from '../../wire/tcp.js';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER_LENGTH, UDP_LENGTH_OFFSET } from '../../wire/udp.js';
import { checksumOf, udpChecksumOf } from './ones-complement.js';
import type { PacketMemory } from './packet-memory.js';
import {
  checksumFieldWithin,
  createVirtioHeader,
  GsoType,
  readVirtioHeader,
  VIRTIO_HEADER_LENGTH,
  VirtioFlag,
} from './virtio.js';

/** IP header with extension headers or options, and TCP header with options, of a packet to be split. */
const MAX_HEADERS = 320;

/**
 * Octets after a segment that its reader may overwrite, for the ESP trailer and an ICV: the splitter puts
 * them back. So much memory must also lie after the packet.
 */
export const TAIL_ROOM = 64;

/** Octets of memory that a splitter needs for itself. */
export const SPLITTER_SPACE = MAX_HEADERS + TAIL_ROOM;

/** Why a packet from TUN cannot be split. None of these comes from a sane kernel. */
export type SplitRefusal =
  | 'none'
  | 'too short'
  | 'unknown GSO type'
  | 'checksum field outside of the packet'
  | 'not a whole IP packet'
  | 'GSO type contradicts the packet'
  | 'checksum start contradicts the packet'
  | 'impossible header length'
  | 'no segment size or no payload';

/**
 * Turns what a TUN device with virtio-net header hands over into packets as they belong on the wire: a plain
 * packet gets its checksum completed, a super-packet becomes segments, one per call of `next`, without bound on
 * their number. Works in place: each segment's header is written in front of its payload, over the segment
 * before, which the caller has sealed by then. Nothing is allocated or copied but headers.
 *
 *     for (let n = splitter.begin(at, length); splitter.next(); ) seal(splitter.at, splitter.length)
 *
 * IPv4 ids count up from the super-packet's, TCP sequence numbers by the segment size; FIN and PSH stay on
 * the last segment only, CWR on the first only, as in the kernel's tcp_gso_segment. IP and TCP options and
 * extension headers are repeated as they are.
 */
export class Splitter {
  /** Where the segment begins that `next` made, and its octets: a whole IP packet. */
  at = 0;
  length = 0;
  /** Octets of the longest segment, known from `begin` on: to be compared with the MTU. */
  longest = 0;
  /** Why `begin` answered with 0. */
  refusal: SplitRefusal = 'none';

  readonly #memory: PacketMemory;
  readonly #template: number;
  readonly #tail: number;
  readonly #header = createVirtioHeader();
  readonly #view = createPacketView();
  #count = 0;
  #index = 0;
  /** Where the next segment's payload begins, and where the super-packet ends. */
  #payload = 0;
  #end = 0;
  #gsoSize = 0;
  #headerLength = 0;
  #transport = 0;
  #v4 = false;
  #tcp = false;
  #id = 0;
  #sequence = 0;
  #flags = 0;
  /** Sum of the IPv4 header without length, id and checksum. */
  #ipSum = 0;
  /** Sum of the pseudo-header without the length. */
  #pseudoSum = 0;

  /** @param scratch offset of `SPLITTER_SPACE` octets for the splitter alone */
  constructor(memory: PacketMemory, scratch: number) {
    this.#memory = memory;
    this.#template = scratch;
    this.#tail = scratch + MAX_HEADERS;
  }

  /**
   * Takes the packet at `at`, of which `length` octets were read, virtio-net header included.
   * @returns the number of segments that `next` will make; 0 when the packet is to be dropped, see `refusal`
   */
  begin(at: number, length: number): number {
    const header = this.#header;
    const size = length - VIRTIO_HEADER_LENGTH;
    this.#index = 0;
    this.#count = 0;
    this.longest = 0;
    if (size < 1) return this.#refuse('too short');
    readVirtioHeader(this.#memory.bytes, at, header);
    switch (header.gsoType & ~GsoType.ECN) {
      case GsoType.NONE:
        return this.#beginPlain(at + VIRTIO_HEADER_LENGTH, size);
      case GsoType.TCPV4:
      case GsoType.TCPV6:
      case GsoType.UDP_L4:
        return this.#beginTrain(at + VIRTIO_HEADER_LENGTH, size);
      default:
        return this.#refuse('unknown GSO type');
    }
  }

  /** Makes the next segment, described by `at` and `length`. False when there is none left. */
  next(): boolean {
    const index = this.#index;
    if (index === this.#count) return false;
    this.#index = index + 1;
    // A plain packet stays where it is, complete.
    if (this.#headerLength > 0) this.#segment(index);
    return true;
  }

  #refuse(why: SplitRefusal): 0 {
    this.refusal = why;
    return 0;
  }

  /**
   * A packet by itself. What is in the checksum field already, the sum of the pseudo-header, is part of the
   * sum; as in the kernel's skb_checksum_help a UDP checksum of zero is sent as all ones.
   */
  #beginPlain(packet: number, size: number): number {
    const { bytes, sum } = this.#memory;
    const { flags, checksumStart, checksumOffset } = this.#header;
    if ((flags & VirtioFlag.NEEDS_CSUM) !== 0) {
      if (!checksumFieldWithin(this.#header, size)) {
        return this.#refuse('checksum field outside of the packet');
      }
      const start = packet + checksumStart;
      const covered = sum(start, size - checksumStart);
      const value = checksumOffset === UDP_CHECKSUM_OFFSET ? udpChecksumOf(covered) : checksumOf(covered);
      writeU16(bytes, start + checksumOffset, value);
    }
    this.at = packet;
    this.length = size;
    this.longest = size;
    this.#headerLength = 0;
    this.refusal = 'none';
    this.#count = 1;
    return 1;
  }

  /** A super-packet. Only the positions found by reading the packet count: hdr_len is no more than a hint. */
  #beginTrain(packet: number, size: number): number {
    const { bytes } = this.#memory;
    const { flags, gsoType, gsoSize, checksumStart } = this.#header;
    const view = this.#view;
    if (!readPacket(bytes, packet, size, view) || view.totalLength !== size) {
      return this.#refuse('not a whole IP packet');
    }
    if (view.moreFragments || view.fragmentOffset !== 0) return this.#refuse('not a whole IP packet');
    const type = gsoType & ~GsoType.ECN;
    const tcp = type !== GsoType.UDP_L4;
    if (
      view.protocol !== (tcp ? IpProtocol.TCP : IpProtocol.UDP) ||
      (tcp && view.version !== (type === GsoType.TCPV4 ? 4 : 6))
    ) {
      return this.#refuse('GSO type contradicts the packet');
    }
    const transport = view.headerLength;
    if ((flags & VirtioFlag.NEEDS_CSUM) !== 0 && checksumStart !== transport) {
      return this.#refuse('checksum start contradicts the packet');
    }
    let headerLength = transport + UDP_HEADER_LENGTH;
    if (tcp) {
      if (size < transport + TCP_HEADER_LENGTH) return this.#refuse('impossible header length');
      headerLength = transport + ((bytes[view.payloadOffset + 12]! >>> 4) << 2);
      if (headerLength < transport + TCP_HEADER_LENGTH) return this.#refuse('impossible header length');
    }
    if (headerLength > size || headerLength > MAX_HEADERS) return this.#refuse('impossible header length');
    if (gsoSize === 0 || headerLength === size) return this.#refuse('no segment size or no payload');
    this.#v4 = view.version === 4;
    this.#tcp = tcp;
    this.#transport = transport;
    this.#headerLength = headerLength;
    this.#gsoSize = gsoSize;
    this.#payload = packet + headerLength;
    this.#end = packet + size;
    this.#keepHeaders(packet);
    this.longest = Math.min(headerLength + gsoSize, size);
    this.refusal = 'none';
    this.#count = Math.ceil((size - headerLength) / gsoSize);
    return this.#count;
  }

  /** Saves the headers and sums up what is the same in all segments. */
  #keepHeaders(packet: number): void {
    const { bytes, sum, copy } = this.#memory;
    const view = this.#view;
    const transport = packet + this.#transport;
    const checksumAt = transport + (this.#tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET);
    if (!this.#v4 && this.#transport !== IPV6_HEADER_LENGTH) {
      // With a routing header the pseudo-header has the final destination (RFC 8200 §8.1), which the kernel
      // has summed already: take its sum and leave out the length.
      const length = this.#end - transport;
      this.#pseudoSum = readU16(bytes, checksumAt) + (~length & 0xffff);
    } else {
      this.#pseudoSum = sum(view.sourceOffset, 2 * view.addressLength) + view.protocol;
    }
    writeU16(bytes, checksumAt, 0);
    if (this.#v4) {
      this.#id = readU16(bytes, packet + 4);
      // Length and id.
      writeU32(bytes, packet + 2, 0);
      writeU16(bytes, packet + 10, 0);
      this.#ipSum = sum(packet, this.#transport);
    }
    if (this.#tcp) {
      this.#sequence = readU32(bytes, transport + TCP_SEQUENCE_OFFSET) | 0;
      this.#flags = bytes[transport + TCP_FLAGS_OFFSET]!;
    }
    copy(this.#template, packet, this.#headerLength);
  }

  #segment(index: number): void {
    const { bytes, sum, copy } = this.#memory;
    const payloadAt = this.#payload;
    const last = index === this.#count - 1;
    const payloadLength = last ? this.#end - payloadAt : this.#gsoSize;
    const at = payloadAt - this.#headerLength;
    const transport = at + this.#transport;
    const transportLength = payloadAt + payloadLength - transport;
    const length = transport - at + transportLength;
    if (index > 0) copy(payloadAt, this.#tail, TAIL_ROOM);
    if (!last) copy(this.#tail, payloadAt + payloadLength, TAIL_ROOM);
    copy(at, this.#template, this.#headerLength);
    if (this.#v4) {
      const id = (this.#id + index) & 0xffff;
      writeU16(bytes, at + 2, length);
      writeU16(bytes, at + 4, id);
      writeU16(bytes, at + 10, checksumOf(this.#ipSum + length + id));
    } else {
      writeU16(bytes, at + 4, length - IPV6_HEADER_LENGTH);
    }
    if (this.#tcp) {
      let flags = this.#flags;
      if (!last) flags &= ~(TcpFlag.FIN | TcpFlag.PSH);
      if (index > 0) flags &= ~TcpFlag.CWR;
      writeU32(bytes, transport + TCP_SEQUENCE_OFFSET, this.#sequence + index * this.#gsoSize);
      bytes[transport + TCP_FLAGS_OFFSET] = flags;
      const covered = this.#pseudoSum + transportLength + sum(transport, transportLength);
      writeU16(bytes, transport + TCP_CHECKSUM_OFFSET, checksumOf(covered));
    } else {
      writeU16(bytes, transport + UDP_LENGTH_OFFSET, transportLength);
      const covered = this.#pseudoSum + transportLength + sum(transport, transportLength);
      writeU16(bytes, transport + UDP_CHECKSUM_OFFSET, udpChecksumOf(covered));
    }
    this.at = at;
    this.length = length;
    this.#payload = payloadAt + payloadLength;
  }
}
