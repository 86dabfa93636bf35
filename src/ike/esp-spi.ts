import { readU32, writeU32 } from '../util/bytes.js';
import type { Random } from '../util/random.js';
import { FIRST_ESP_SPI } from '../wire/esp.js';

/**
 * Which low bits inbound SPIs have. The packet path finds the worker of an SA by them; all SAs of a connection
 * have the same, so that a rekeyed pair takes over within one worker.
 */
export interface SpiSteering {
  /** Ones at the low end, up to 8 bits: those that `bitsOf` sets. 0 leaves all to chance. */
  readonly mask: number;
  /** A value within the mask, the same as long as the connection has SAs. */
  bitsOf(connection: string): number;
}

/** The inbound SPIs in use: one pool for all versions, since they share one data plane. */
export interface EspSpiPool {
  readonly ctx: { readonly random: Random; readonly spiSteering?: SpiSteering | undefined };
  readonly espSpis: Set<number>;
}

/**
 * A fresh inbound SPI for a child SA of this connection, reserved until `releaseSpi`. SPIs 0 to 255 are reserved
 * (RFC 4303 §2.1).
 */
export function reserveSpi({ ctx, espSpis }: EspSpiPool, connection: string): number {
  const { spiSteering } = ctx;
  const mask = spiSteering?.mask ?? 0;
  const bits = mask === 0 ? 0 : spiSteering!.bitsOf(connection) & mask;
  for (;;) {
    const random = readU32(ctx.random.bytes(4), 0);
    const spi = mask === 0 ? random : ((random & ~mask) | bits) >>> 0;
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
