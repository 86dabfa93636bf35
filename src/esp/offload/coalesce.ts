import { readU16, readU32 } from '../../util/bytes.js';
import { IpProtocol, NO_PORT, type PacketView } from '../../wire/ip.js';
import { TCP_CHECKSUM_OFFSET, TCP_FLAGS_OFFSET, TCP_SEQUENCE_OFFSET, TcpFlag } from '../../wire/tcp.js';
import { UDP_CHECKSUM_OFFSET } from '../../wire/udp.js';
import { MAX_LENGTH, PACKET_OFFSET, SAVED_SPACE, SLOT, TRAILER_ROOM } from './coalescer-space.js';
import {
  checksumsHold,
  flowHash,
  IPV4_ADDRESSES,
  IPV6_ADDRESSES,
  sameOctets,
  sameTcpHeader,
} from './flow-match.js';
import { type CoalesceSwitches, mergeableHeader } from './mergeable.js';
import type { PacketMemory } from './packet-memory.js';
import { completeSuperPacket } from './super-packet.js';
import {
  clearVirtioHeader,
  createVirtioHeader,
  GsoType,
  VIRTIO_HEADER_LENGTH,
  VirtioFlag,
  writeVirtioHeader,
} from './virtio.js';

/** The kernel refuses a longer train (UDP_MAX_SEGMENTS of linux/udp.h, before it was raised to 128). */
const MAX_UDP_SEGMENTS = 64;

/** What kind of packet an item is. */
const OTHER = 0;
const TCP = 1;
const UDP = 2;

/** Whether an item takes more. */
const CLOSED = 0;
const OPEN = 1;

const NONE = -1;

/**
 * Merges consecutive TCP segments (and UDP datagrams) of a burst into super-packets for one write to TUN. It
 * follows the kernel's own receive offload (inet_gro_receive, tcp_gro_receive), so that merging is invisible:
 * splitting a super-packet again gives the same segments, IPv4 ids of atomic datagrams (RFC 6864 §4) apart.
 *
 * - A packet only joins the newest item of its flow, at its end. Whatever else comes in a flow (a bare ACK,
 *   FIN, other length, gap) closes that item and becomes an item of its own: nothing overtakes within a flow.
 * - Equal must be: addresses, ports, acknowledgment, window, TCP options, TOS or traffic class with ECN, TTL,
 *   DF, flow label. PSH and a shorter segment close an item.
 * - IP header and transport checksum of both are verified before the first merge, and of each that joins:
 *   the kernel computes a merged packet's checksum again, which would repair damage done before the tunnel.
 *
 * Packets are decrypted to where `target` says. That is, when the last item may go on, so far before its end
 * that the next payload lands right after the last one; the octets overwritten by the next header are kept
 * aside and put back. Usually no payload is ever copied.
 *
 *     const at = coalescer.target(room);   // NONE (-1): flush first
 *     decrypt to at; check; readInner(… at … view) ? coalescer.accept(view) : coalescer.reject(written)
 *     …
 *     coalescer.finish(); for each item write(itemAt(i), itemLength(i)); coalescer.clear();
 */
export class Coalescer {
  /** Items so far. `finish` has to be called before they are read. */
  count = 0;

  readonly #memory: PacketMemory;
  readonly #switches: CoalesceSwitches;
  readonly #saved: number;
  readonly #slots: number;
  readonly #capacity: number;
  readonly #virtio = createVirtioHeader();

  /** By item. Lengths in octets. */
  readonly #length: Int32Array;
  readonly #transport: Int32Array;
  readonly #headerLength: Int32Array;
  readonly #gsoSize: Int32Array;
  readonly #segments: Int32Array;
  readonly #nextSequence: Int32Array;
  readonly #hash: Int32Array;
  readonly #kind: Uint8Array;
  readonly #state: Uint8Array;
  readonly #verified: Uint8Array;
  readonly #version: Uint8Array;
  /** 1 when the IPv4 ids of an item stay the same, 0 when they count up. Known from the second segment on. */
  readonly #fixedId: Uint8Array;

  /** Where the pending packet is expected, and the item whose end it overlaps. */
  #target = NONE;
  #overlapped = NONE;
  /** The item that was begun or went on last. */
  #last = NONE;

  /** Of the packet in hand. */
  #packetKind = OTHER;
  #packetHeader = 0;
  #packetPayload = 0;
  #packetHash = 0;

  /**
   * @param at offset of `coalescerSpace(items)` octets, best a multiple of 64
   * @param items packets, merged or not, that fit before a flush
   */
  constructor(memory: PacketMemory, at: number, items: number, switches: CoalesceSwitches) {
    this.#memory = memory;
    this.#switches = switches;
    this.#saved = at;
    this.#slots = at + SAVED_SPACE + PACKET_OFFSET;
    this.#capacity = items;
    this.#length = new Int32Array(items);
    this.#transport = new Int32Array(items);
    this.#headerLength = new Int32Array(items);
    this.#gsoSize = new Int32Array(items);
    this.#segments = new Int32Array(items);
    this.#nextSequence = new Int32Array(items);
    this.#hash = new Int32Array(items);
    this.#kind = new Uint8Array(items);
    this.#state = new Uint8Array(items);
    this.#verified = new Uint8Array(items);
    this.#version = new Uint8Array(items);
    this.#fixedId = new Uint8Array(items);
  }

  /**
   * Where to put the next packet: `room` octets from there may be written, trailer included, up to 66,047.
   * @returns -1 when all items are taken: finish, write and clear first
   */
  target(room: number): number {
    if (this.#overlapped !== NONE) this.#restore();
    if (this.count === this.#capacity) return NONE;
    const item = this.#last;
    if (item !== NONE && this.#state[item] === OPEN) {
      const headerLength = this.#headerLength[item]!;
      const length = this.#length[item]!;
      // The item's own header must stay readable, and a packet without payload cannot go on.
      if (
        length >= 2 * headerLength &&
        room > headerLength &&
        length - headerLength + room <= MAX_LENGTH + TRAILER_ROOM &&
        this.#verifyItem(item)
      ) {
        const at = this.packetAt(item) + length - headerLength;
        this.#memory.copy(this.#saved, at, headerLength);
        this.#overlapped = item;
        this.#target = at;
        return at;
      }
    }
    this.#target = this.packetAt(this.count);
    return this.#target;
  }

  /**
   * Takes the packet that is now at the target. `view` must show it, checked by `readPacket`; octets after
   * its own length do not matter.
   * @throws RangeError when `view` shows another place: a mistake of the caller
   */
  accept(view: PacketView): void {
    if (view.offset !== this.#target) throw new RangeError('the packet is not at the target');
    this.#classify(view);
    const item = this.#packetKind === OTHER ? NONE : this.#newestOfFlow(view);
    if (item !== NONE && this.#state[item] === OPEN && this.#packetPayload > 0) {
      if (this.#continues(item, view)) {
        this.#append(item, view);
        return;
      }
    }
    // From now on the newest of its flow: no later packet finds the item before.
    this.#begin(view);
  }

  /**
   * The packet is not wanted: wipes the `written` octets at the target and puts back what they overlapped.
   * Nothing that failed authentication or was refused stays in memory.
   */
  reject(written: number): void {
    if (this.#target === NONE) return;
    this.#memory.bytes.fill(0, this.#target, this.#target + written);
    if (this.#overlapped !== NONE) this.#restore();
    this.#target = NONE;
  }

  /** Whether the item begun or continued last may go on. */
  get goesOn(): boolean {
    return this.#last !== NONE && this.#state[this.#last] === OPEN;
  }

  /** Completes the headers of all items. */
  finish(): void {
    if (this.#overlapped !== NONE) this.#restore();
    this.#target = NONE;
    for (let i = 0; i < this.count; i++) {
      if (this.#segments[i] === 1) clearVirtioHeader(this.#memory.bytes, this.itemAt(i));
      else this.#complete(i);
      this.#state[i] = CLOSED;
    }
  }

  /** Forgets all items. */
  clear(): void {
    if (this.#overlapped !== NONE) this.#restore();
    this.count = 0;
    this.#last = NONE;
    this.#target = NONE;
  }

  /** Offset of the virtio-net header of item `i`, after which its packet is. */
  itemAt(i: number): number {
    return this.packetAt(i) - VIRTIO_HEADER_LENGTH;
  }

  /** Octets of item `i`, virtio-net header included. */
  itemLength(i: number): number {
    return this.#length[i]! + VIRTIO_HEADER_LENGTH;
  }

  /** Offset of the packet of item `i`, for a TUN device without virtio-net header. */
  packetAt(i: number): number {
    return this.#slots + i * SLOT;
  }

  /** Packets that were merged into item `i`. */
  segments(i: number): number {
    return this.#segments[i]!;
  }

  #restore(): void {
    const item = this.#overlapped;
    const headerLength = this.#headerLength[item]!;
    this.#memory.copy(this.packetAt(item) + this.#length[item]! - headerLength, this.#saved, headerLength);
    this.#overlapped = NONE;
  }

  /** Finds out what the packet is and whether it may be merged at all: then its payload length is not 0. */
  #classify(view: PacketView): void {
    const { bytes } = this.#memory;
    const { protocol } = view;
    this.#packetPayload = 0;
    this.#packetKind = OTHER;
    if (protocol !== IpProtocol.TCP && protocol !== IpProtocol.UDP) return;
    if (view.sourcePort === NO_PORT) {
      // A later fragment belongs to some flow, but to which one it does not say.
      this.#state.fill(CLOSED, 0, this.count);
      return;
    }
    this.#packetKind = protocol === IpProtocol.TCP ? TCP : UDP;
    this.#packetHash = flowHash(bytes, view);
    const header = mergeableHeader(bytes, view, this.#switches);
    if (header === 0) return;
    this.#packetHeader = header;
    this.#packetPayload = view.totalLength - header;
  }

  #newestOfFlow(view: PacketView): number {
    const hash = this.#packetHash;
    for (let i = this.count - 1; i >= 0; i--) {
      if (this.#hash[i] === hash && this.#kind[i] === this.#packetKind && this.#sameFlow(i, view)) return i;
    }
    return NONE;
  }

  #sameFlow(item: number, view: PacketView): boolean {
    const { bytes } = this.#memory;
    if (this.#version[item] !== view.version) return false;
    const at = this.packetAt(item);
    const addresses = at + (view.version === 4 ? IPV4_ADDRESSES : IPV6_ADDRESSES);
    const ports = at + this.#transport[item]!;
    return (
      sameOctets(bytes, addresses, view.sourceOffset, 2 * view.addressLength) &&
      sameOctets(bytes, ports, view.payloadOffset, 4)
    );
  }

  /** Whether the packet, of the item's flow, is what the item goes on with. */
  #continues(item: number, view: PacketView): boolean {
    const { bytes } = this.#memory;
    const payload = this.#packetPayload;
    const first = this.packetAt(item);
    const at = view.offset;
    if (this.#packetHeader !== this.#headerLength[item]) return false;
    if (payload > this.#gsoSize[item]! || this.#length[item]! + payload > MAX_LENGTH) return false;
    const transport = first + view.headerLength;
    if (this.#packetKind === TCP) {
      const sequence = readU32(bytes, view.payloadOffset + TCP_SEQUENCE_OFFSET) | 0;
      if (sequence !== this.#nextSequence[item]) return false;
      const header = this.#packetHeader - view.headerLength;
      if (!sameTcpHeader(bytes, transport, view.payloadOffset, header)) return false;
    } else if (this.#segments[item]! >= MAX_UDP_SEGMENTS) {
      return false;
    }
    if (view.version === 4) {
      if (bytes[first + 1] !== bytes[at + 1] || bytes[first + 8] !== bytes[at + 8]) return false;
      if (bytes[first + 6] !== bytes[at + 6] || !this.#idContinues(item, view)) return false;
    } else if (!sameOctets(bytes, first, at, 4) || bytes[first + 7] !== bytes[at + 7]) {
      return false;
    }
    return this.#verifyItem(item) && checksumsHold(this.#memory, at, view.totalLength, view.version);
  }

  /**
   * IPv4 ids count up by one, as they will when the kernel splits the packet; with DF they may also stay the
   * same, as the stacks do that do not use them (RFC 6864 §4.1). The same as the kernel's inet_gro_flush.
   */
  #idContinues(item: number, view: PacketView): boolean {
    const { bytes } = this.#memory;
    const segments = this.#segments[item]!;
    const distance = (readU16(bytes, view.offset + 4) - readU16(bytes, this.packetAt(item) + 4)) & 0xffff;
    if (segments === 1) {
      this.#fixedId[item] = view.dontFragment && distance === 0 ? 1 : 0;
    }
    return distance === (this.#fixedId[item] === 1 ? 0 : segments);
  }

  /** Whether the item's first packet was intact. Asked once; an item that was not takes no more. */
  #verifyItem(item: number): boolean {
    if (this.#verified[item] === 1) return true;
    if (!checksumsHold(this.#memory, this.packetAt(item), this.#length[item]!, this.#version[item]!)) {
      this.#state[item] = CLOSED;
      return false;
    }
    this.#verified[item] = 1;
    return true;
  }

  #append(item: number, view: PacketView): void {
    const { bytes, copy } = this.#memory;
    const payload = this.#packetPayload;
    const length = this.#length[item]!;
    const flags = bytes[view.payloadOffset + TCP_FLAGS_OFFSET]!;
    // An overlapping payload is in its place already; any other is copied there.
    if (this.#overlapped !== item) {
      copy(this.packetAt(item) + length, view.offset + this.#packetHeader, payload);
    }
    if (this.#overlapped !== NONE) this.#restore();
    this.#length[item] = length + payload;
    this.#segments[item] = this.#segments[item]! + 1;
    let closing = payload < this.#gsoSize[item]!;
    if (this.#packetKind === TCP) {
      this.#nextSequence[item] = this.#nextSequence[item]! + payload;
      if ((flags & TcpFlag.PSH) !== 0) {
        const at = this.packetAt(item) + this.#transport[item]! + TCP_FLAGS_OFFSET;
        bytes[at] = bytes[at]! | TcpFlag.PSH;
        closing = true;
      }
    }
    if (closing) this.#state[item] = CLOSED;
    this.#last = item;
    this.#target = NONE;
  }

  /** The packet becomes an item of its own. */
  #begin(view: PacketView): void {
    const { bytes, copy } = this.#memory;
    const item = this.count;
    const length = view.totalLength;
    const payload = this.#packetPayload;
    let open = payload > 0 ? OPEN : CLOSED;
    if (payload > 0 && this.#packetKind === TCP) {
      const sequence = readU32(bytes, view.payloadOffset + TCP_SEQUENCE_OFFSET);
      this.#nextSequence[item] = sequence + payload;
      if ((bytes[view.payloadOffset + TCP_FLAGS_OFFSET]! & TcpFlag.PSH) !== 0) open = CLOSED;
    }
    if (this.#overlapped !== NONE) {
      copy(this.packetAt(item), view.offset, length);
      this.#restore();
    }
    this.#length[item] = length;
    this.#transport[item] = view.headerLength;
    this.#headerLength[item] = this.#packetHeader;
    this.#gsoSize[item] = payload;
    this.#segments[item] = 1;
    this.#hash[item] = this.#packetHash;
    this.#kind[item] = this.#packetKind;
    this.#version[item] = view.version;
    this.#state[item] = open;
    this.#verified[item] = 0;
    this.#last = item;
    this.#target = NONE;
    this.count = item + 1;
  }

  /** Lengths, checksums and virtio-net header of a merged packet. */
  #complete(item: number): void {
    const { bytes } = this.#memory;
    const tcp = this.#kind[item] === TCP;
    const v4 = this.#version[item] === 4;
    const header = this.#virtio;
    header.flags = VirtioFlag.NEEDS_CSUM;
    header.gsoType = tcp ? (v4 ? GsoType.TCPV4 : GsoType.TCPV6) : GsoType.UDP_L4;
    header.headerLength = this.#headerLength[item]!;
    header.gsoSize = this.#gsoSize[item]!;
    header.checksumStart = this.#transport[item]!;
    header.checksumOffset = tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
    completeSuperPacket(this.#memory, this.packetAt(item), this.#length[item]!, header);
    writeVirtioHeader(bytes, this.itemAt(item), header);
  }
}
