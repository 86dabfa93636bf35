import { setTimeout as pause } from 'node:timers/promises';
import type { BenchRow } from '#culvert/cli/bench-row.js';
import { SITE_A } from '#culvert/cli/pair/site-network.js';
import type { Contender } from './contender.js';
import { median } from './median.js';
import { startForwarding, startPacketPair } from './packet-pair.js';
import { skippedRow, trafficMissing } from './preflight.js';
import { type TcpCounters, watchTcp } from './tcp-counters.js';
import { measureTcp, type TcpFigures } from './traffic.js';

export interface RekeyBenchOptions {
  /** Length of each measurement; 10 by default. */
  readonly seconds?: number | undefined;
  progress?(text: string): void;
}

const ROUNDS = 3;
const INTERVAL_MS = 5000;
/** The stream has its speed by then. */
const START_MS = 1500;
/** Between the steps of a rekeying: as long as an exchange may take, and the last packets of the old SA. */
const EXCHANGE_MS = 20;
const OVERLAP_MS = 1000;
/**
 * TCP segments that are sent again this long after a rekeying may be due to it: some ten round trips under load.
 * What is sent again at other times is not: the kernels of the test network change the order of packets when a
 * process moves to another processor, and the sender takes some of that for loss.
 */
const SUSPECT_MS = 200;

/**
 * One TCP stream by AES-128-GCM, with and without a new child SA every five seconds, by turns: what a rekeying
 * costs the packet path. The new SA receives at both ends before either sends by it, and the old one goes last, as
 * IKE does it. TCP segments that are sent again soon after a rekeying are counted apart.
 */
export async function benchRekey(options: RekeyBenchOptions = {}): Promise<BenchRow[]> {
  const { seconds = 10 } = options;
  const missing = trafficMissing();
  if (missing !== undefined) return [skippedRow('rekey', 'rekey', missing.why)];
  options.progress?.('rekey: the network itself ...');
  const network = await startForwarding();
  const itself = await measureTcp(network, 1, seconds).finally(() => network.stop());
  const pair = await startPacketPair({ children: 1, transform: 'aes128gcm16' });
  try {
    const plain: TcpFigures[] = [];
    const rekeyed: TcpFigures[] = [];
    const counters = await watchTcp(pair.lab, SITE_A.host);
    const rekeying = new Rekeying(pair, counters);
    for (let round = 1; round <= ROUNDS; round++) {
      options.progress?.(`rekey: round ${round} of ${ROUNDS} ...`);
      plain.push(await measureTcp(pair, 1, seconds));
      const running = rekeying.start();
      rekeyed.push(await measureTcp(pair, 1, seconds));
      await running.stop();
    }
    await counters.stop();
    const drops = (await pair.drops?.()) ?? 0;
    const base = median(plain.map(({ mbitPerSecond }) => mbitPerSecond));
    const value = median(rekeyed.map(({ mbitPerSecond }) => mbitPerSecond));
    const unit = 'Mbit/s';
    const count = (figures: readonly TcpFigures[]) => figures.reduce((sum, one) => sum + one.retransmits, 0);
    return [
      {
        ...{ part: 'rekey', name: 'plain forwarding: TCP, 1 stream', value: itself.mbitPerSecond, unit },
        note: retransmits(itself.retransmits),
      },
      {
        part: 'rekey',
        name: 'one child SA: TCP, 1 stream',
        value: base,
        unit,
        note: retransmits(count(plain)),
      },
      {
        ...{ part: 'rekey', name: 'rekeyed every 5 s: TCP, 1 stream', value, unit },
        ...{ ratio: value / base, ratioOf: 'one child SA', note: retransmits(count(rekeyed)) },
      },
      {
        ...{ part: 'rekey', name: `TCP retransmits within ${SUSPECT_MS} ms of a rekeying` },
        ...{ value: rekeying.suspects, unit: 'in all', note: `of ${count(rekeyed)}` },
      },
      { part: 'rekey', name: 'rekeyings under load', value: rekeying.done, unit: 'in all' },
      { part: 'rekey', name: 'packets dropped by both gateways', value: drops, unit: 'in all' },
    ];
  } finally {
    await pair.stop();
  }
}

/** Rekeys the SA of the traffic again and again. */
class Rekeying {
  readonly #pair: Contender;
  readonly #counters: TcpCounters;
  done = 0;
  /** TCP segments sent again during a rekeying or soon after. */
  suspects = 0;

  constructor(pair: Contender, counters: TcpCounters) {
    this.#pair = pair;
    this.#counters = counters;
  }

  start(): { stop(): Promise<void> } {
    const end = new AbortController();
    const running = this.#run(end.signal);
    return {
      async stop() {
        end.abort();
        await running;
      },
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    const quiet = (milliseconds: number) => pause(milliseconds, undefined, { signal }).catch(() => {});
    await quiet(START_MS);
    while (!signal.aborted) {
      const [old, next] = [this.done, this.done + 1];
      const before = this.#counters.retransmits();
      this.#pair.command?.(`install ${next}`);
      await pause(EXCHANGE_MS);
      this.#pair.command?.(`activate ${next}`);
      await pause(SUSPECT_MS);
      this.suspects += this.#counters.retransmits() - before;
      await pause(OVERLAP_MS - SUSPECT_MS);
      this.#pair.command?.(`remove ${old}`);
      this.done = next;
      await quiet(INTERVAL_MS - EXCHANGE_MS - OVERLAP_MS);
    }
  }
}

function retransmits(count: number): string {
  return `${count} TCP retransmits`;
}
