import { equalBytes, fromHex } from '../../util/bytes.js';
import type { VendorPayload } from '../../wire/ike/payloads.js';
import type { V1Payload } from '../../wire/ike/v1/payloads.js';
import { vendorNames } from '../vendors.js';

/**
 * The NAT traversal a peer speaks: RFC 3947, or the drafts 02 and 03, which have other numbers for payloads
 * and encapsulation modes and are otherwise the same.
 */
export type NatDialect = 'rfc' | 'draft';

const RFC_3947 = fromHex('4a131c81070358455c5728f20e95452f');
const DRAFT_03 = fromHex('7d9419a65310ca6f2c179d9215529d56');
/** Of "draft-ietf-ipsec-nat-t-ike-02" with and without a newline after it: peers send either. */
const DRAFT_02_NEWLINE = fromHex('90cb80913ebb696e086381b5ec427b1f');
const DRAFT_02 = fromHex('cd60464335df21f87cfdb2fc68b6a448');
/** RFC 3706 §5.1, version 1.0. */
const DPD = fromHex('afcad71368a1f1c96b8696fc77570100');
/** "FRAGMENTATION"; some peers put four octets of capabilities after it. */
const FRAGMENTATION = fromHex('4048b7d56ebce88525e7de7f00d6c2d3');

/** What the peer's vendor ids announce. */
export interface VendorFinding {
  readonly dialect: NatDialect | undefined;
  /** The id that named the dialect: a responder answers with the same. */
  readonly dialectId: Uint8Array | undefined;
  readonly dpd: boolean;
  readonly fragmentation: boolean;
  readonly names: readonly string[];
}

/** Vendor ids of a first message: all that we can do, best first. */
export function offeredVendorIds(): V1Payload[] {
  return [RFC_3947, DRAFT_03, DRAFT_02_NEWLINE, DRAFT_02, DPD, FRAGMENTATION].map(vendor);
}

/** Vendor ids of the answer: the one way of NAT traversal that is used, and what we can do besides. */
export function answeredVendorIds(found: VendorFinding): V1Payload[] {
  return [...(found.dialectId === undefined ? [] : [found.dialectId]), DPD, FRAGMENTATION].map(vendor);
}

/** Reads what the peer's vendor ids announce; of several dialects of NAT traversal, the newest counts. */
export function readVendorIds(payloads: readonly V1Payload[]): VendorFinding {
  const ids = payloads.flatMap((one) => (one.kind === 'vendor' ? [one.data] : []));
  const has = (wanted: Uint8Array): boolean => ids.some((id) => equalBytes(id, wanted));
  const dialectId = [RFC_3947, DRAFT_03, DRAFT_02_NEWLINE, DRAFT_02].find(has);
  const payloadsOfV2 = ids.map((data): VendorPayload => ({ kind: 'vendor', data }));
  return {
    dialect: dialectId === undefined ? undefined : dialectId === RFC_3947 ? 'rfc' : 'draft',
    dialectId,
    dpd: has(DPD),
    fragmentation: ids.some((id) => equalBytes(id.subarray(0, FRAGMENTATION.length), FRAGMENTATION)),
    names: vendorNames(payloadsOfV2),
  };
}

function vendor(data: Uint8Array): V1Payload {
  return { kind: 'vendor', data };
}
