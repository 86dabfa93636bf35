declare const brand: unique symbol;

/**
 * The time of one host as the active one of a highly available gateway, by number. A term is given out once, by the
 * compare-and-set that makes its holder, and terms only rise; 0 is that of a gateway without high availability.
 *
 * Hosts that hold copies of one key seal in different terms, which are a part of every nonce that a counter makes. So no
 * nonce repeats even where two of them send at once (RFC 5116 §3.2.1, RFC 6054 §3).
 */
export type Term = number & { readonly [brand]?: 'term' };

/** No high availability. */
export const NO_TERM: Term = 0;

/** A term is 32 bits wide: the upper half of an IV of 64 bits, whose lower half counts. */
const LAST_TERM: Term = 0xffffffff;

/**
 * Why sealing must not go on in the term `next` after `before`; undefined when it may. The same term again is
 * nothing new; an earlier one could have nonces that were used already.
 */
export function termFault(next: Term, before: Term = NO_TERM): string | undefined {
  if (!Number.isInteger(next) || next < NO_TERM || next > LAST_TERM)
    return `term ${next}: use a whole number from ${NO_TERM} to ${LAST_TERM}`;
  if (next < before)
    return `term ${next} is over: keys were used in term ${before} already, and only a later one may follow`;
  return undefined;
}
