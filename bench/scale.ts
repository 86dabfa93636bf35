import type { BenchRow } from '#culvert/cli/bench-row.js';
import { startPacketPair } from './packet-pair.js';
import { skippedRow, trafficMissing } from './preflight.js';
import { measureTcp, peakMemory } from './traffic.js';

export interface ScaleBenchOptions {
  /** Length of each measurement; 10 by default. */
  readonly seconds?: number | undefined;
  progress?(text: string): void;
}

const COUNTS = [1, 100, 1000, 10_000];

/**
 * One TCP stream by AES-128-GCM beside other child SAs: what their number costs in throughput and memory, and
 * what it costs that one is installed and one removed a hundred times a second.
 */
export async function benchScale(options: ScaleBenchOptions = {}): Promise<BenchRow[]> {
  const { seconds = 10 } = options;
  const missing = trafficMissing();
  if (missing !== undefined) return [skippedRow('scale', 'scale', missing.why)];
  const rows: BenchRow[] = [];
  let alone: number | undefined;
  for (const [children, churn] of [...COUNTS.map((n) => [n, false] as const), [10_000, true] as const]) {
    const name = `${children} child SAs${churn ? ', one replaced 100 times a second' : ''}`;
    options.progress?.(`scale: ${name} ...`);
    const pair = await startPacketPair({ children, transform: 'aes128gcm16' });
    try {
      if (churn) pair.command?.('churn');
      const { mbitPerSecond, retransmits } = await measureTcp(pair, 1, seconds);
      alone ??= mbitPerSecond;
      rows.push({
        ...{ part: 'scale', name: `${name}: TCP, 1 stream`, value: mbitPerSecond, unit: 'Mbit/s' },
        ...{ ratio: mbitPerSecond / alone, ratioOf: '1 child SA' },
        ...(retransmits > 0 ? { note: `${retransmits} TCP retransmits` } : {}),
      });
      const memory = peakMemory(pair);
      if (memory !== undefined) {
        rows.push({ part: 'scale', name: `${name}: peak memory of a gateway`, value: memory, unit: 'MiB' });
      }
    } finally {
      await pair.stop();
    }
  }
  return rows;
}
