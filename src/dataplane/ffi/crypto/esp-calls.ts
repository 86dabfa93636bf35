import { ESP_TRAILER_LENGTH, type EspLayout, padLength } from '../../../esp/layout.js';
import { writeTrailer } from '../../../esp/trailer.js';
import { writeU32 } from '../../../util/bytes.js';
import type { Spi } from '../../../util/ids.js';
import type { Arena } from '../memory/arena.js';
import type { CallList } from './call-list.js';
import type { Openssl } from './openssl.js';

/** What the sealers and openers of one arena share. One packet of each direction is in hand at a time. */
export interface EspCalls {
  readonly openssl: Openssl;
  readonly arena: Arena;
  readonly sealing: CallList;
  readonly opening: CallList;
}

/** Fails loudly: with valid contexts and lengths these calls only fail when the library is broken. */
export function completed(made: number, count: number): void {
  if (made !== count) throw new Error(`OpenSSL failed in call ${made + 1} of ${count} of a packet`);
}

/** Writes the trailer after the inner packet and the ESP header at `outAt`; returns the body's length. */
export function frame(
  bytes: Uint8Array,
  layout: EspLayout,
  spi: Spi,
  sequence: number,
  innerAt: number,
  innerLength: number,
  nextHeader: number,
  outAt: number,
): number {
  const padding = padLength(layout, innerLength);
  writeTrailer(bytes, innerAt + innerLength, padding, nextHeader);
  writeU32(bytes, outAt, spi);
  writeU32(bytes, outAt + 4, sequence);
  return innerLength + padding + ESP_TRAILER_LENGTH;
}
