import type { IkeSuite } from '../../crypto/types.js';
import type { V1Payload } from '../../wire/ike/v1/payloads.js';
import type { V1Lifetimes } from '../policy/proposals-v1.js';
import type { Terms } from './phases.js';
import { readVendorIds, type VendorFinding } from './vendor-ids.js';

/** What a message 1 or 2 agrees on, with the vendor ids in it. */
export function termsOf(suite: IkeSuite, lifetimes: V1Lifetimes, found: VendorFinding): Terms {
  const { dialect, dpd, fragmentation, names: vendors } = found;
  return { suite, lifetimes, dialect, dpd, fragmentation, vendors };
}

/** Some peers send their vendor ids only with message 3 or 4. */
export function withVendors(terms: Terms, payloads: readonly V1Payload[]): Terms {
  const later = readVendorIds(payloads);
  return {
    ...terms,
    dpd: terms.dpd || later.dpd,
    fragmentation: terms.fragmentation || later.fragmentation,
    vendors: [...new Set([...terms.vendors, ...later.names])],
  };
}
