import { readU16, writeU16 } from '../../util/bytes.js';
import { IPV4_HEADER_LENGTH, type PacketView } from '../../wire/ip.js';
import { checksumOf } from './ones-complement.js';
import type { PacketMemory } from './packet-memory.js';

const MORE_FRAGMENTS = 0x2000;
/** Fragment offsets count in units of so many octets. */
const UNIT = 8;

/** The longest fragment offset, in units. */
const MAX_OFFSET = 0x1fff;
const MAX_DATAGRAM = 0xffff;

/** Only count, do not write. */
const NOWHERE = -1;

/** Bit of an option's type: it is repeated in every fragment. */
const COPIED = 0x80;
const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;

/**
 * Fragments IPv4 packets without DF before they are sealed (RFC 791 §2.3, §3.2; RFC 4301 §8.1, §8.2.1). One
 * fragment per call, copied to where the caller wants it; the packet itself stays as it was.
 *
 *     for (let n = fragmenter.begin(view, mtu); n > 0; n--) length = fragmenter.next(slot)
 */
export class Fragmenter {
  readonly #memory: PacketMemory;
  #packet = 0;
  #headerLength = 0;
  /** Where the next fragment's payload begins, and where the packet ends. */
  #at = 0;
  #end = 0;
  #mtu = 0;
  /** Offset of the next fragment in the original datagram, in units. */
  #offset = 0;
  /** Flags as they were, with MF when this is a fragment already and not the last one. */
  #flags = 0;

  constructor(memory: PacketMemory) {
    this.#memory = memory;
  }

  /**
   * Takes the packet in `view`, whose checksums are complete. It must stay in place until the last fragment.
   * @param mtu most octets of a fragment, headers included
   * @returns how many fragments there will be, 1 when the packet fits; 0 when it cannot be fragmented: IPv6,
   *   DF, or no room for 8 octets after the header
   */
  begin(view: PacketView, mtu: number): number {
    this.#at = 0;
    this.#end = 0;
    if (view.version !== 4 || view.dontFragment) return 0;
    const { bytes, offset, headerLength, totalLength } = view;
    const field = readU16(bytes, offset + 6);
    const payload = totalLength - headerLength;
    // Would end beyond the longest datagram: no host could reassemble it.
    if ((field & MAX_OFFSET) * UNIT + payload > MAX_DATAGRAM) return 0;
    const first = Math.min(payload, unitsOf(mtu - headerLength));
    if (totalLength > mtu && first < UNIT) return 0;
    this.#packet = offset;
    this.#headerLength = headerLength;
    this.#at = view.payloadOffset;
    this.#end = offset + totalLength;
    this.#mtu = mtu;
    this.#offset = field & MAX_OFFSET;
    this.#flags = field & ~MAX_OFFSET & 0xffff;
    if (totalLength <= mtu) return 1;
    // Later fragments carry fewer options, hence at least as much.
    const later = unitsOf(mtu - this.#laterHeaderLength());
    const rest = Math.max(0, payload - first - (mtu - this.#laterHeaderLength()));
    return 2 + Math.ceil(rest / later);
  }

  /** Writes the next fragment at `outAt` and answers with its length, at most the MTU; 0 after the last one. */
  next(outAt: number): number {
    const { bytes, sum, copy } = this.#memory;
    const left = this.#end - this.#at;
    if (left <= 0) return 0;
    const first = this.#at === this.#packet + this.#headerLength;
    let headerLength = this.#headerLength;
    if (first) copy(outAt, this.#packet, headerLength);
    else headerLength = this.#writeLaterHeader(outAt);
    const last = headerLength + left <= this.#mtu;
    const payload = last ? left : unitsOf(this.#mtu - headerLength);
    writeU16(bytes, outAt + 2, headerLength + payload);
    writeU16(bytes, outAt + 6, this.#flags | (last ? 0 : MORE_FRAGMENTS) | this.#offset);
    writeU16(bytes, outAt + 10, 0);
    writeU16(bytes, outAt + 10, checksumOf(sum(outAt, headerLength)));
    copy(outAt + headerLength, this.#at, payload);
    this.#at += payload;
    this.#offset += payload / UNIT;
    return headerLength + payload;
  }

  #laterHeaderLength(): number {
    return IPV4_HEADER_LENGTH + this.#copiedOptions(NOWHERE);
  }

  /** The header of all but the first fragment: without the options that are not to be repeated. */
  #writeLaterHeader(outAt: number): number {
    const { bytes, copy } = this.#memory;
    copy(outAt, this.#packet, IPV4_HEADER_LENGTH);
    const headerLength = IPV4_HEADER_LENGTH + this.#copiedOptions(outAt + IPV4_HEADER_LENGTH);
    bytes[outAt] = 0x40 | (headerLength >>> 2);
    return headerLength;
  }

  /** Copies the options with the copied flag to `outAt`, padded to 32 bits; answers with their length. */
  #copiedOptions(outAt: number): number {
    const { bytes } = this.#memory;
    const end = this.#packet + this.#headerLength;
    let at = this.#packet + IPV4_HEADER_LENGTH;
    let length = 0;
    while (at < end) {
      const type = bytes[at]!;
      if (type === END_OF_OPTIONS) break;
      if (type === NO_OPERATION) {
        at++;
        continue;
      }
      const size = at + 1 < end ? bytes[at + 1]! : 0;
      if (size < 2 || at + size > end) break;
      if ((type & COPIED) !== 0) {
        if (outAt !== NOWHERE) for (let i = 0; i < size; i++) bytes[outAt + length + i] = bytes[at + i]!;
        length += size;
      }
      at += size;
    }
    for (; (length & 3) !== 0; length++) if (outAt !== NOWHERE) bytes[outAt + length] = END_OF_OPTIONS;
    return length;
  }
}

/** Octets that fit when all but the last fragment consist of whole units. */
function unitsOf(room: number): number {
  return room < 0 ? 0 : room & ~(UNIT - 1);
}
