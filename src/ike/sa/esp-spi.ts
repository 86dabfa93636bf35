import { readU32, writeU32 } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import { FIRST_ESP_SPI } from '../../wire/esp.js';
import type { Output } from '../outputs.js';

/**
 * Which low bits inbound SPIs have. The packet path finds the worker of an SA by them; all SAs of a connection
 * have the same, so that a rekeyed pair takes over within one worker.
 */
export interface SpiSteering {
  /** Ones at the low end, up to 8 bits: those that `bitsOf` sets. 0 leaves all to chance. */
  readonly mask: number;
  /** A value within the mask, the same as long as the connection has SAs. */
  bitsOf(connection: ConnectionId): number;
}

/** The inbound SPIs in use: one pool for all versions, since they share one data plane. */
export interface EspSpiPool {
  readonly ctx: {
    readonly random: Random;
    readonly spiSteering?: SpiSteering | undefined;
    emit(output: Output): void;
  };
  readonly espSpis: Set<number>;
  /** Those of them that the packet path expects by our order: our request names them, and is not answered yet. */
  readonly expectedSpis: Set<number>;
}

/**
 * A fresh inbound SPI for a child SA of this connection, reserved until `releaseSpi`. SPIs 0 to 255 are reserved
 * (RFC 4303 §2.1).
 */
export function reserveSpi({ ctx, espSpis }: EspSpiPool, connection: ConnectionId): number {
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

/**
 * Our request gives this SPI to the peer, which may send on the SA before its answer is read here (RFC 7296 §2.8):
 * the packet path keeps what comes until `useSpi` or `releaseSpi`.
 */
export function expectSpi({ ctx, expectedSpis }: EspSpiPool, spi: number): void {
  expectedSpis.add(spi);
  ctx.emit({ kind: 'expect-esp', spi });
}

/** The same of a request that another engine has sent: the packet path expects the SPI already. */
export function resumeExpecting({ espSpis, expectedSpis }: EspSpiPool, spi: number): void {
  espSpis.add(spi);
  expectedSpis.add(spi);
}

/** The child SA of this SPI is installed, which ends the waiting. */
export function useSpi({ espSpis, expectedSpis }: EspSpiPool, spi: number): void {
  espSpis.add(spi);
  expectedSpis.delete(spi);
}

/** Frees an inbound SPI, with `forget-esp` where packets were expected on it already. */
export function releaseSpi({ ctx, espSpis, expectedSpis }: EspSpiPool, spi: number): void {
  espSpis.delete(spi);
  if (expectedSpis.delete(spi)) ctx.emit({ kind: 'forget-esp', spi });
}

/** An SPI as the 4 octets of a payload. */
export function spiBytes(spi: number): Uint8Array {
  const out = new Uint8Array(4);
  writeU32(out, 0, spi);
  return out;
}
