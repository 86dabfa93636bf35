import type { BenchRow } from '#culvert/cli/bench-row.js';
import { median } from './median.js';
import { startPacketPair } from './packet-pair.js';
import { skippedRow, trafficMissing } from './preflight.js';
import { measureTcp, peakMemory } from './traffic.js';

export interface ScaleBenchOptions {
  /** Length of each measurement; 10 by default. */
  readonly seconds?: number | undefined;
  /** How often everything is measured; the figures are the medians. 1 by default. */
  readonly rounds?: number | undefined;
  progress?(text: string): void;
}

/** What there is beside the SA that carries the stream. */
const SETTINGS = [
  ...[1, 100, 1000, 10_000].map((children) => ({ children, churn: false, name: `${children} child SAs` })),
  { children: 10_000, churn: true, name: '10000 child SAs, one replaced 100 times a second' },
];

interface Measured {
  readonly mbitPerSecond: number;
  readonly retransmits: number;
  /** MiB. */
  readonly memory: number;
}

/**
 * One TCP stream by AES-128-GCM beside other child SAs: what their number costs in throughput and memory, and
 * what it costs that one is installed and one removed a hundred times a second.
 */
export async function benchScale(options: ScaleBenchOptions = {}): Promise<BenchRow[]> {
  const { seconds = 10, rounds = 1 } = options;
  const missing = trafficMissing();
  if (missing !== undefined) return [skippedRow('scale', 'scale', missing.why)];
  const measured: Measured[][] = SETTINGS.map(() => []);
  for (let round = 1; round <= rounds; round++) {
    for (const [i, setting] of SETTINGS.entries()) {
      const label = rounds === 1 ? setting.name : `${setting.name}, round ${round} of ${rounds}`;
      options.progress?.(`scale: ${label} ...`);
      measured[i]!.push(await measure(setting, seconds));
    }
  }
  const middle = (i: number, figure: keyof Measured) => median(measured[i]!.map((one) => one[figure]));
  const alone = middle(0, 'mbitPerSecond');
  return SETTINGS.flatMap(({ name }, i): BenchRow[] => {
    const [mbitPerSecond, retransmits] = [middle(i, 'mbitPerSecond'), middle(i, 'retransmits')];
    return [
      {
        ...{ part: 'scale', name: `${name}: TCP, 1 stream`, value: mbitPerSecond, unit: 'Mbit/s' },
        ...{ ratio: mbitPerSecond / alone, ratioOf: '1 child SA' },
        ...(retransmits > 0 ? { note: `${retransmits} TCP retransmits` } : {}),
      },
      { part: 'scale', name: `${name}: peak memory of a gateway`, value: middle(i, 'memory'), unit: 'MiB' },
    ];
  });
}

async function measure({ children, churn }: (typeof SETTINGS)[number], seconds: number): Promise<Measured> {
  const pair = await startPacketPair({ children, transform: 'aes128gcm16' });
  try {
    if (churn) pair.command?.('churn');
    const { mbitPerSecond, retransmits } = await measureTcp(pair, 1, seconds);
    return { mbitPerSecond, retransmits, memory: peakMemory(pair) ?? 0 };
  } finally {
    await pair.stop();
  }
}
