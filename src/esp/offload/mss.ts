import { readU16, writeU16 } from '../../util/bytes.js';
import { IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH, IpProtocol, type PacketView } from '../../wire/ip.js';
import {
  TCP_CHECKSUM_OFFSET,
  TCP_FLAGS_OFFSET,
  TCP_HEADER_LENGTH,
  TcpFlag,
  tcpHeaderLength,
} from '../../wire/tcp.js';
import { swapHalves, updateChecksum } from './ones-complement.js';

/** Option kinds of TCP (RFC 9293 §3.2). */
const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;
const MAXIMUM_SEGMENT_SIZE = 2;
const MSS_OPTION_LENGTH = 4;

/**
 * The largest MSS by default. It leaves room for tunnels and PPPoE on the way that we do not know of.
 */
export const DEFAULT_MSS_CEILING = 1360;

/** The smallest MSS that any path allows: 68 octets (RFC 791 §3.2) less both headers. */
const MIN_MSS = 28;

/**
 * The MSS to clamp to: what fits the inner MTU without IP or TCP options, and no more than `ceiling`.
 * @param innerMtu octets of the longest inner packet
 * @param version of the inner packet
 */
export function mssLimit(innerMtu: number, version: 4 | 6, ceiling: number = DEFAULT_MSS_CEILING): number {
  const headers = (version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH) + TCP_HEADER_LENGTH;
  return Math.max(MIN_MSS, Math.min(innerMtu - headers, ceiling));
}

/** Whether the packet opens a TCP connection: only such a segment carries an MSS option (RFC 9293 §3.7.1). */
export function isSyn(view: PacketView): boolean {
  if (view.protocol !== IpProtocol.TCP || view.fragmentOffset !== 0) return false;
  const at = view.payloadOffset + TCP_FLAGS_OFFSET;
  return at < view.offset + view.totalLength && (view.bytes[at]! & TcpFlag.SYN) !== 0;
}

/**
 * Lowers the MSS option of a SYN or SYN-ACK to `limit` and corrects the checksum by the difference (RFC 1624):
 * a wrong checksum stays wrong. Never raises a value and never adds an option. The checksum must be complete,
 * not the kernel's sum of the pseudo-header alone.
 * @returns the value that was there when it was lowered, else 0
 */
export function clampMss(view: PacketView, limit: number): number {
  const headerLength = tcpHeaderLength(view);
  if (headerLength <= TCP_HEADER_LENGTH) return 0;
  const { bytes, payloadOffset } = view;
  if ((bytes[payloadOffset + TCP_FLAGS_OFFSET]! & TcpFlag.SYN) === 0) return 0;
  const end = payloadOffset + headerLength;
  let at = payloadOffset + TCP_HEADER_LENGTH;
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === END_OF_OPTIONS) return 0;
    if (kind === NO_OPERATION) {
      at++;
      continue;
    }
    if (at + 2 > end) return 0;
    const length = bytes[at + 1]!;
    // A length below 2 would never end.
    if (length < 2 || at + length > end) return 0;
    if (kind === MAXIMUM_SEGMENT_SIZE && length === MSS_OPTION_LENGTH) {
      const value = readU16(bytes, at + 2);
      if (value <= limit) return 0;
      lower(bytes, payloadOffset, at + 2, value, limit);
      return value;
    }
    at += length;
  }
  return 0;
}

function lower(bytes: Uint8Array, tcp: number, at: number, old: number, value: number): void {
  const odd = ((at - tcp) & 1) === 1;
  const field = tcp + TCP_CHECKSUM_OFFSET;
  writeU16(bytes, at, value);
  const checksum = readU16(bytes, field);
  writeU16(
    bytes,
    field,
    odd ? updateChecksum(checksum, swapHalves(old), swapHalves(value)) : updateChecksum(checksum, old, value),
  );
}
