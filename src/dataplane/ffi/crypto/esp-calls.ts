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

/** Writes ESP headers and trailers of one SA into the arena (RFC 4303 §2). */
export class EspFramer {
  readonly #bytes: Uint8Array;
  readonly #layout: EspLayout;
  readonly #spi: Spi;

  constructor({ bytes }: Arena, layout: EspLayout, spi: Spi) {
    this.#bytes = bytes;
    this.#layout = layout;
    this.#spi = spi;
  }

  /** Writes the trailer after the inner packet and the header at `outAt`. Returns the octets of the body. */
  write(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const bytes = this.#bytes;
    const padding = padLength(this.#layout, innerLength);
    writeTrailer(bytes, innerAt + innerLength, padding, nextHeader);
    writeU32(bytes, outAt, this.#spi);
    writeU32(bytes, outAt + 4, sequence);
    return innerLength + padding + ESP_TRAILER_LENGTH;
  }
}
