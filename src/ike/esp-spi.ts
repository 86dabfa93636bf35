import { readU32, writeU32 } from '../util/bytes.js';
import type { Random } from '../util/random.js';
import { FIRST_ESP_SPI } from '../wire/esp.js';

/** The inbound SPIs in use: one pool for all versions, since they share one data plane. */
export interface EspSpiPool {
  readonly ctx: { readonly random: Random };
  readonly espSpis: Set<number>;
}

/** A fresh inbound SPI, reserved until `releaseSpi`. SPIs 0 to 255 are reserved (RFC 4303 §2.1). */
export function reserveSpi({ ctx, espSpis }: EspSpiPool): number {
  for (;;) {
    const spi = readU32(ctx.random.bytes(4), 0);
    if (spi < FIRST_ESP_SPI || espSpis.has(spi)) continue;
    espSpis.add(spi);
    return spi;
  }
}

export function releaseSpi({ espSpis }: EspSpiPool, spi: number): void {
  espSpis.delete(spi);
}

/** An SPI as the 4 octets of a payload. */
export function spiBytes(spi: number): Uint8Array {
  const out = new Uint8Array(4);
  writeU32(out, 0, spi);
  return out;
}
