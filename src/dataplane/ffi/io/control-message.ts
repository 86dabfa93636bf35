/**
 * Ancillary data of the packet path (cmsg(3)): UDP_SEGMENT and TOS on the way out, UDP_GRO and TOS on the way
 * in. The structure is the same on x86-64 and arm64: length with header (8 octets), level (4), type (4), data,
 * each message aligned to 8.
 */

const SOL_IP = 0;
const SOL_UDP = 17;
const SOL_IPV6 = 41;
const IP_TOS = 1;
const IPV6_TCLASS = 67;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;

const HEADER = 16;
const ALIGNED = 24;

/** Octets of control data of one message, in either direction. */
export const CONTROL_SPACE = 64;

/** Views of the memory that holds the messages: those of the arena. */
interface Views {
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly u32: Uint32Array<ArrayBufferLike>;
  readonly view: DataView<ArrayBufferLike>;
}

/**
 * Writes what a run needs at `at` and answers with its octets.
 * @param segment octets of each datagram, 0 when the run is one datagram
 * @param trafficClass TOS or traffic class of the outer header; 0 needs no message
 */
export function writeSendControl(
  { u32, view }: Views,
  at: number,
  segment: number,
  trafficClass: number,
  v6: boolean,
): number {
  let end = at;
  if (segment !== 0) {
    u32[end >>> 2] = HEADER + 2;
    u32[(end >>> 2) + 2] = SOL_UDP;
    u32[(end >>> 2) + 3] = UDP_SEGMENT;
    view.setUint16(end + HEADER, segment, true);
    end += ALIGNED;
  }
  if (trafficClass !== 0) {
    u32[end >>> 2] = HEADER + 4;
    u32[(end >>> 2) + 2] = v6 ? SOL_IPV6 : SOL_IP;
    u32[(end >>> 2) + 3] = v6 ? IPV6_TCLASS : IP_TOS;
    u32[(end + HEADER) >>> 2] = trafficClass;
    end += ALIGNED;
  }
  return end - at;
}

/** Writes what a kernel says of a train of datagrams of `segment` octets (0: it is none); answers with the octets. */
export function writeGroControl({ u32 }: Pick<Views, 'u32'>, at: number, segment: number): number {
  if (segment === 0) return 0;
  u32[at >>> 2] = HEADER + 4;
  u32[(at >>> 2) + 1] = 0;
  u32[(at >>> 2) + 2] = SOL_UDP;
  u32[(at >>> 2) + 3] = UDP_GRO;
  u32[(at + HEADER) >>> 2] = segment;
  return ALIGNED;
}

/** What came with a message. */
export interface ReceiveControl {
  /** Octets of each datagram of the message but the last; 0 when it is one datagram. */
  segment: number;
  /** TOS or traffic class of the outer header. */
  trafficClass: number;
}

/** Reads the `length` octets of control data at `at` into `control`. */
export function readReceiveControl(
  { u32, bytes }: Views,
  at: number,
  length: number,
  control: ReceiveControl,
): void {
  control.segment = 0;
  control.trafficClass = 0;
  const end = at + length;
  while (at + HEADER < end) {
    const size = u32[at >>> 2]!;
    if (size < HEADER || at + size > end) return;
    const level = u32[(at >>> 2) + 2]!;
    const type = u32[(at >>> 2) + 3]!;
    if (level === SOL_UDP && type === UDP_GRO) control.segment = u32[(at + HEADER) >>> 2]!;
    else if ((level === SOL_IP && type === IP_TOS) || (level === SOL_IPV6 && type === IPV6_TCLASS)) {
      // IPv4 gives one octet, IPv6 an int in host order: the first octet is the value of both.
      control.trafficClass = bytes[at + HEADER]!;
    }
    at += (size + 7) & ~7;
  }
}
