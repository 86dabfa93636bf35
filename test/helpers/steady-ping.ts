import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { LabSite } from './site-lab.js';

/** A stretch in which requests went unanswered. */
export interface Outage {
  /** The times of the last answer before and of the first one after it, in milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  readonly lost: number;
}

/** What a steady ping saw. Requests after the last one that was answered may still have been on their way. */
export interface PingCount {
  /** Requests up to the last one that was answered. */
  readonly sent: number;
  readonly received: number;
  /** Those that were not answered although a later one was, or none at all after them. */
  readonly lost: number;
  /** Where between answers some are missing, in order. */
  readonly outages: readonly Outage[];
  /** Requests a second after those that are sent at the start, by ping's own clock. */
  readonly rate: number;
}

/** A ping that runs beside a test. */
export interface SteadyPing {
  /** Requests answered so far. */
  readonly answered: number;
  /** Ends it, once a request sent from now on is answered or five seconds have gone without. */
  stop(): Promise<PingCount>;
}

/** How long an answer may take on a busy machine, in steps of `STEP` milliseconds. */
const PATIENCE = 200;
const STEP = 25;

/**
 * Sends an echo request every `interval` seconds until it is stopped. Where the machine is too busy to send one
 * in time, it is made up for, by half a second of them at most; as many are sent at the start.
 */
export function steadyPing(
  lab: NetworkLab,
  from: Pick<LabSite, 'node' | 'inside'>,
  to: { readonly inside: string },
  interval = 0.01,
): SteadyPing {
  const preload = Math.max(1, Math.round(0.5 / interval));
  const argv = ['ping', '-n', '-i', String(interval), '-l', String(preload), '-W', '1'];
  const child = lab.spawn(from.node, [...argv, '-I', from.inside, to.inside], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  /** When each number was answered. */
  const answered = new Map<number, number>();
  let highest = 0;
  let rest = '';
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const seq = Number(/bytes from .* icmp_seq=(\d+)/.exec(line)?.[1] ?? 0);
      if (seq > 0) answered.set(seq, Date.now());
      else output += `${line}\n`;
      highest = Math.max(highest, seq);
    }
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    get answered() {
      return answered.size;
    },
    async stop() {
      // A request that was on its way is answered before one that is sent later.
      const before = highest;
      const started = performance.now();
      const enough = (): boolean => highest > before && performance.now() - started > 2000 * interval;
      for (let n = 0; n < PATIENCE && !enough(); n++) await sleep(STEP);
      child.kill('SIGINT');
      await ended;
      const found = /(\d+) packets transmitted.* time (\d+)ms/.exec(output + rest);
      if (found === null) throw new Error(`ping said: ${output}`);
      const sent = highest > before ? highest : Number(found[1]);
      // Numbers are of 16 bits: no test sends as many.
      const rate = ((Number(found[1]) - preload) * 1000) / Math.max(1, Number(found[2]));
      return {
        sent,
        received: answered.size,
        lost: sent - answered.size,
        outages: outagesOf(answered),
        rate,
      };
    },
  };
}

function outagesOf(answered: ReadonlyMap<number, number>): Outage[] {
  const sorted = [...answered].sort(([a], [b]) => a - b);
  return sorted.slice(1).flatMap(([seq, to], index) => {
    const [before, from] = sorted[index]!;
    return seq === before + 1 ? [] : [{ from, to, lost: seq - before - 1 }];
  });
}
