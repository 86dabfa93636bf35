import { readU16, writeU16 } from '../../util/bytes.js';
import type { PacketView } from '../../wire/ip.js';
import { updateChecksum } from './ones-complement.js';

/**
 * What the outer and the inner IP header take from each other: DSCP and ECN (RFC 4301 §5.1.2, RFC 6040, RFC 2983).
 */

/** The lower two bits of TOS and traffic class (RFC 3168 §5). */
export const Ecn = { NOT_ECT: 0, ECT_1: 1, ECT_0: 2, CE: 3 } as const;

const ECN_MASK = 3;

/** Answer of `innerEcn`: drop the packet. */
export const ECN_DROP = -1;

/**
 * TOS or traffic class of the outer header: the inner DSCP (uniform model, RFC 2983 §3) and the inner ECN
 * (RFC 6040 §4.1, normal mode).
 * @param ecn false: the peer does not decapsulate by RFC 6040 or RFC 4301, so the outer header says
 *   Not-ECT (compatibility mode)
 */
export function outerTrafficClass(inner: number, ecn = true): number {
  return ecn ? inner : inner & ~ECN_MASK;
}

/** RFC 6040 §4.2, figure 4, by inner × 4 + outer. */
const DECAPSULATED = [
  // Inner Not-ECT: only a loss can inform the transport of congestion.
  [Ecn.NOT_ECT, Ecn.NOT_ECT, Ecn.NOT_ECT, ECN_DROP],
  // Inner ECT(1)
  [Ecn.ECT_1, Ecn.ECT_1, Ecn.ECT_1, Ecn.CE],
  // Inner ECT(0)
  [Ecn.ECT_0, Ecn.ECT_1, Ecn.ECT_0, Ecn.CE],
  // Inner CE
  [Ecn.CE, Ecn.CE, Ecn.CE, Ecn.CE],
].flat();

/** ECN that the inner packet leaves with, by the two bits of both headers, or `ECN_DROP`. */
export function innerEcn(inner: number, outer: number): number {
  return DECAPSULATED[((inner & ECN_MASK) << 2) | (outer & ECN_MASK)]!;
}

/**
 * Carries congestion marks of the outer header over to the inner packet in `view`; DSCP stays as it came.
 * @param outer TOS or traffic class that the ESP packet arrived with
 * @returns false when the packet must be dropped
 */
export function decapsulateEcn(view: PacketView, outer: number): boolean {
  const inner = view.trafficClass;
  // By far the most packets: no mark outside.
  if (((inner ^ outer) & ECN_MASK) === 0) return true;
  const ecn = innerEcn(inner, outer);
  if (ecn === ECN_DROP) return false;
  if (ecn !== (inner & ECN_MASK)) setTrafficClass(view, (inner & ~ECN_MASK) | ecn);
  return true;
}

/** Writes TOS or traffic class of the packet in `view`, with the IPv4 header checksum. */
export function setTrafficClass(view: PacketView, value: number): void {
  const { bytes, offset } = view;
  const old = readU16(bytes, offset);
  if (view.version === 4) {
    bytes[offset + 1] = value;
    const field = offset + 10;
    writeU16(bytes, field, updateChecksum(readU16(bytes, field), old, readU16(bytes, offset)));
  } else {
    writeU16(bytes, offset, (old & 0xf00f) | ((value & 0xff) << 4));
  }
  view.trafficClass = value & 0xff;
}
