import type { IkeSuite } from '../../crypto/types.js';
import type { V1Payload } from '../../wire/ike/v1/payloads.js';
import type { V1Lifetimes } from '../policy/proposals-v1.js';
import { shorter } from './lifetimes.js';
import type { Terms } from './phases.js';
import { announcedLifetime } from './responder-lifetime.js';
import { readVendorIds, type VendorFinding } from './vendor-ids.js';

/** What a message 1 or 2 agrees on, with the vendor ids in it. */
export function termsOf(suite: IkeSuite, lifetimes: V1Lifetimes, found: VendorFinding): Terms {
  const { dialect, dpd, fragmentation, names: vendors } = found;
  return { suite, lifetimes, dialect, dpd, fragmentation, vendors };
}

/** A responder may keep the SA for less time than was agreed on, which message 6 says then (RFC 2407 §4.6.3.1). */
export function keptFor(terms: Terms, payloads: readonly V1Payload[]): Terms {
  const { lifetimes } = terms;
  const announced = payloads.map(announcedLifetime).find((life) => life !== undefined);
  if (announced === undefined) return terms;
  return { ...terms, lifetimes: { ...lifetimes, seconds: shorter(announced, lifetimes.seconds) } };
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
