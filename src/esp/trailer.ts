import { IpProtocol, type PacketView, readPacket } from '../wire/ip.js';
import { DROP_REASONS, type DropReason } from './drops.js';
import { ESP_TRAILER_LENGTH } from './layout.js';
import type { SelectorSet } from './selectors.js';

/**
 * The next header of a tunnel-mode packet by the version of the inner one (RFC 4303 §2.6): `firstOctet` is
 * that of the inner packet. 0 when it is neither IPv4 nor IPv6.
 */
export function nextHeaderOf(firstOctet: number): number {
  const version = firstOctet >>> 4;
  return version === 4 ? IpProtocol.IPV4 : version === 6 ? IpProtocol.IPV6 : 0;
}

/** Writes padding 1, 2, 3… (RFC 4303 §2.4), pad length and next header at `at`; returns the octet after. */
export function writeTrailer(bytes: Uint8Array, at: number, padLength: number, nextHeader: number): number {
  for (let i = 1; i <= padLength; i++) bytes[at++] = i;
  bytes[at++] = padLength;
  bytes[at++] = nextHeader;
  return at;
}

const REFUSED = {
  bad_padding: refusal('bad_padding'),
  bad_next_header: refusal('bad_next_header'),
  dummy: refusal('dummy'),
  selector_mismatch: refusal('selector_mismatch'),
  malformed: refusal('malformed'),
};

function refusal(reason: DropReason): number {
  return -1 - DROP_REASONS.indexOf(reason);
}

/** The reason behind a negative answer of `readInner`. */
export function refusedBecause(answer: number): DropReason {
  return DROP_REASONS[-1 - answer]!;
}

/**
 * Checks the plaintext of an authentic packet, `bytes` from `start` to `end`: padding, next header, inner
 * packet, and that it stays within the SA's selectors (RFC 4301 §5.2, RFC 4303 §3.4.4). Fills `view` with the
 * inner packet. Allocates nothing, so that every packet path can use it.
 * @returns octets of the inner packet, which begins at `start`; what follows is traffic-flow padding
 *   (RFC 4303 §2.7). Negative when the packet is dropped: see `refusedBecause`
 */
export function readInner(
  bytes: Uint8Array,
  start: number,
  end: number,
  selectors: SelectorSet,
  view: PacketView,
): number {
  if (end - start < ESP_TRAILER_LENGTH) return REFUSED.malformed;
  const nextHeader = bytes[end - 1]!;
  const padLength = bytes[end - 2]!;
  const payloadEnd = end - ESP_TRAILER_LENGTH - padLength;
  if (payloadEnd < start) return REFUSED.bad_padding;
  for (let i = 0; i < padLength; i++) {
    if (bytes[payloadEnd + i] !== i + 1) return REFUSED.bad_padding;
  }
  if (nextHeader === IpProtocol.NO_NEXT_HEADER) return REFUSED.dummy;
  if (nextHeader !== IpProtocol.IPV4 && nextHeader !== IpProtocol.IPV6) return REFUSED.bad_next_header;
  if (payloadEnd === start || nextHeaderOf(bytes[start]!) !== nextHeader) return REFUSED.malformed;
  if (!readPacket(bytes, start, payloadEnd - start, view)) return REFUSED.malformed;
  if (!selectors.matchesInbound(view)) return REFUSED.selector_mismatch;
  return view.totalLength;
}
