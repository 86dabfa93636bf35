/**
 * Branded numbers, so that a count of seconds never ends up where milliseconds are meant. The brand
 * exists only for the type checker; at run time these are plain numbers.
 */
declare const brand: unique symbol;

/** Milliseconds: a point on the caller's monotonic clock, or a duration on it. */
export type Millis = number & { readonly [brand]?: 'millis' };

/** Whole seconds, the unit of lifetimes and dead peer detection in policies. */
export type Seconds = number & { readonly [brand]?: 'seconds' };

/** Octets of payload. */
export type ByteCount = number & { readonly [brand]?: 'bytes' };

/** The duration of `n` seconds in milliseconds. */
export function seconds(n: Seconds): Millis {
  return n * 1000;
}
