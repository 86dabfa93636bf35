import { equalBytes, fromHex, fromUtf8, toHex } from '../util/bytes.js';
import type { Payload } from '../wire/ike/payloads.js';

/** Octets of an unknown vendor id that are shown. */
const MAX_SHOWN = 16;
/** Vendor ids of one message that are looked at. */
const MAX_IDS = 32;

/** Vendor ids seen in captures of these products; a version may follow the prefix. */
const BY_PREFIX: readonly (readonly [hex: string, name: string])[] = [
  ['882fe56d6fd20dbc2251613b2ebe5beb', 'strongSwan'],
  ['afcad71368a1f1c96b8696fc77570100', 'DPD (RFC 3706)'],
  ['4048b7d56ebce88525e7de7f00d6c2d3', 'fragmentation'],
  ['1e2b516905991c7d7c96fcbfb587e461', 'Microsoft'],
  ['fb1de3cdf341b7ea16b7e5be0855f120', 'Microsoft negotiation discovery'],
  ['4a131c81070358455c5728f20e95452f', 'NAT-T (RFC 3947)'],
];

/** Names of the vendors that a message's vendor ids announce, else their octets (RFC 7296 §3.12). */
export function vendorNames(payloads: readonly Payload[]): string[] {
  const ids = payloads.flatMap((p) => (p.kind === 'vendor' ? [p.data] : [])).slice(0, MAX_IDS);
  return [...new Set(ids.map(vendorName))];
}

function vendorName(id: Uint8Array): string {
  for (const [hex, name] of BY_PREFIX) {
    const prefix = fromHex(hex);
    if (equalBytes(id.subarray(0, prefix.length), prefix)) return name;
  }
  // Cisco, libreswan and others send readable text.
  const text = fromUtf8(id.subarray(0, 2 * MAX_SHOWN));
  if (/^[\x20-\x7e]{4,}$/.test(text)) return text;
  return toHex(id.subarray(0, MAX_SHOWN));
}
