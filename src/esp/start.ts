/** No sequence number may follow this one under the same key (RFC 4303 §3.3.3). */
export const LAST_SEQUENCE = 0xffffffff;

/** Where the counters of a pair of ESP SAs are. Sequence numbers are 32 bits. */
export interface EspStart {
  /** The next outbound sequence number: every one before may have been used. */
  readonly next: number;
  /** The last one that may be used before `reserve` allows more; `next - 1` allows none. */
  readonly limit: number;
  /** The right edge of the anti-replay window: every inbound number up to it counts as seen. */
  readonly highest: number;
}

/** Counters of keys that nothing was sealed or opened with, and whose numbers no standby has to know of. */
export const FRESH_START: EspStart = { next: 1, limit: LAST_SEQUENCE, highest: 0 };

/** Why counters cannot be there; undefined when they can. */
export function startFault({ next, limit, highest }: EspStart): string | undefined {
  if (!isSequence(highest)) return `highest inbound sequence number ${highest}: ${RANGE}`;
  if (!isSequence(limit)) return `limit ${limit} of outbound sequence numbers: ${RANGE}`;
  // All numbers may be used up: the one after the last is as high as this goes.
  if (!isSequence(next - 1)) return `next outbound sequence number ${next}: it is 1 to ${LAST_SEQUENCE + 1}`;
  return undefined;
}

const RANGE = `use a whole number from 0 to ${LAST_SEQUENCE}`;

function isSequence(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= LAST_SEQUENCE;
}
