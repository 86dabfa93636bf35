import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { BenchRow } from '#culvert/cli/bench-row.js';
import { ControlClient } from '#culvert/daemon/control/client.js';
import { NetworkLab } from '#culvert/linux/namespaces.js';
import { daemonScaleFiles, SCALE_ADDRESSES } from './daemon-scale-files.js';
import { pairMissing, skippedRow } from './preflight.js';
import { cpuSeconds, mainThreadSeconds, processMemory } from './traffic.js';

export interface DaemonScaleOptions {
  /** Child SAs to be brought up; 2,000 by default. */
  readonly sas?: number | undefined;
  progress?(text: string): void;
}

const DEFAULT_SAS = 2000;
/** Without a further child SA for this long it is over: longer than a pair that went unanswered waits for its turn. */
const STALLED_MS = 60_000;
/** Allowed at most: a start, and this for each child SA. */
const START_MS = 60_000;
const MS_PER_SA = 60;

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

/**
 * Two whole gateways, IKE, status and packet path, with many connections between them: how fast their child SAs
 * come up, and what each process needs for them. Most child SAs belong to IKEv1 connections with fifty pairs of
 * networks each, the others to IKEv2 connections with one child SA.
 */
export async function benchDaemonScale(options: DaemonScaleOptions = {}): Promise<BenchRow[]> {
  const { sas = DEFAULT_SAS } = options;
  const missing = pairMissing();
  if (missing !== undefined) return [skippedRow('daemon', 'daemon', missing.why)];
  const folder = mkdtempSync(join(tmpdir(), 'culvert-bench-'));
  const lab = NetworkLab.create();
  const daemons: Daemon[] = [];
  try {
    for (const node of ['a', 'b']) await lab.add(node);
    await lab.link(
      { node: 'a', device: 'wan', addresses: [`${SCALE_ADDRESSES[0]}/24`] },
      { node: 'b', device: 'wan', addresses: [`${SCALE_ADDRESSES[1]}/24`] },
    );
    const files = daemonScaleFiles(sas);
    // The end that answers is there first: otherwise the first attempts would measure retransmission.
    for (const [node, file] of [
      ['b', files.responder],
      ['a', files.initiator],
    ] as const) {
      options.progress?.(`daemon: ${files.connections} connections, starting gateway ${node} ...`);
      daemons.push(await Daemon.start(lab, node, folder, file));
    }
    return await measure(daemons, files, options);
  } finally {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  daemons: readonly Daemon[],
  { childSas, connections }: { readonly childSas: number; readonly connections: number },
  { progress }: DaemonScaleOptions,
): Promise<BenchRow[]> {
  const began = Date.now();
  const idle = daemons.map(({ pid }) => ({
    memory: processMemory(pid).now,
    cpu: cpuSeconds({ pids: [pid] }),
  }));
  const least = (): number => Math.min(...daemons.map(({ established }) => established));
  let [seen, seenAt, told] = [0, began, began];
  while (least() < childSas) {
    await pause(50);
    const now = Date.now();
    if (least() > seen) [seen, seenAt] = [least(), now];
    if (now - seenAt > STALLED_MS || now - began > START_MS + childSas * MS_PER_SA) break;
    if (now - told > 5000) {
      told = now;
      progress?.(`daemon: ${seen} of ${childSas} child SAs ...`);
    }
  }
  const reached = Math.min(least(), childSas);
  const seconds = ((reached > seen ? Date.now() : seenAt) - began) / 1000;
  const rows: BenchRow[] = [
    {
      ...{ part: 'daemon', name: `child SAs of ${connections} connections`, value: reached, unit: 'in all' },
      ...(reached < childSas ? { note: `${childSas} were wanted` } : {}),
    },
    { part: 'daemon', name: 'coming up', value: reached / seconds, unit: 'child SAs/s' },
  ];
  for (const [index, daemon] of daemons.entries()) {
    const subject = index === 0 ? 'responder' : 'initiator';
    const row = (figure: string, value: number, unit: string): void => {
      rows.push({ part: 'daemon', name: `${subject}: ${figure}`, subject, figure, value, unit });
    };
    const { memory, cpu } = idle[index]!;
    const { peak, now } = processMemory(daemon.pid);
    const each = (total: number): number => total / Math.max(1, reached);
    row('peak memory', peak, 'MiB');
    row('memory per child SA', each((now - memory) * 1024), 'KiB');
    row('CPU time per child SA', each((cpuSeconds({ pids: [daemon.pid] }) - cpu) * 1000), 'ms');
    const asked = Date.now();
    await daemon.askStatus();
    row('a full status', Date.now() - asked, 'ms');
    row('peak memory with it', processMemory(daemon.pid).peak, 'MiB');
    for (const { figure, value, unit } of await scrapes(daemon)) row(figure, value, unit);
    row('peak memory with them', processMemory(daemon.pid).peak, 'MiB');
  }
  return rows;
}

/** Scrapes that are measured, after some that make the thread that writes and have V8 compile what a scrape runs. */
const SCRAPES = 10;
const SCRAPES_BEFORE = 10;
/** Scrapes closer together than this are one look. */
const SCRAPE_PAUSE_MS = 600;

/** What a scrape takes: until it is read, and of the main thread beyond what that does in the same time without. */
async function scrapes(daemon: Daemon): Promise<{ figure: string; value: number; unit: string }[]> {
  let [octets, taken] = [0, 0];
  /** Milliseconds of the main thread and of time. */
  const during = async (times: number, step: () => Promise<unknown>): Promise<[number, number]> => {
    const [cpu, begun] = [mainThreadSeconds(daemon.pid), performance.now()];
    for (let i = 0; i < times; i++) {
      await step();
      await pause(SCRAPE_PAUSE_MS);
    }
    return [(mainThreadSeconds(daemon.pid) - cpu) * 1000, performance.now() - begun];
  };
  const scrape = async (): Promise<void> => {
    const asked = performance.now();
    octets = await daemon.scrape();
    taken += performance.now() - asked;
  };
  await during(SCRAPES_BEFORE, scrape);
  taken = 0;
  const [idle, idleTime] = await during(SCRAPES, async () => undefined);
  const [busy, busyTime] = await during(SCRAPES, scrape);
  return [
    { figure: 'a scrape, packed', value: octets / 1024, unit: 'KiB' },
    { figure: 'a scrape', value: taken / SCRAPES, unit: 'ms' },
    {
      figure: 'main thread for a scrape',
      value: (busy - (idle / idleTime) * busyTime) / SCRAPES,
      unit: 'ms',
    },
    { figure: 'main thread without scrapes', value: (idle / idleTime) * 1000, unit: 'ms/s' },
  ];
}

/** `culvert run` in a namespace. Its log reports child SAs: asking for them would be work of its own. */
class Daemon {
  readonly #process: ChildProcess;
  readonly #control: string;
  readonly #metrics: string;
  #established = 0;

  private constructor(process: ChildProcess, control: string, metrics: string) {
    this.#process = process;
    this.#control = control;
    this.#metrics = metrics;
    createInterface({ input: process.stderr! }).on('line', (line) => {
      if (/child SA \d+ established/.test(line)) this.#established++;
    });
  }

  static async start(lab: NetworkLab, node: string, folder: string, config: ScaleFile): Promise<Daemon> {
    const control = join(folder, `${node}.sock`);
    const file = join(folder, `${node}.yaml`);
    writeFileSync(file, stringify({ ...config, gateway: { ...config.gateway, control } }), { mode: 0o600 });
    const argv = [process.execPath, ...nodeArguments(node), MAIN, 'run', '--config', file];
    const metrics = join(folder, `${node}-metrics.sock`);
    argv.push('--metrics', metrics);
    const child = lab.spawn(node, argv, { stdio: ['ignore', 'inherit', 'pipe'] });
    const daemon = new Daemon(child, control, metrics);
    for (const deadline = Date.now() + START_MS; Date.now() < deadline && daemon.#running; await pause(50)) {
      try {
        (await ControlClient.connect(control)).close();
        return daemon;
      } catch {
        // Not yet.
      }
    }
    await daemon.stop();
    throw new Error(`gateway ${node} did not start`);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get established(): number {
    return this.#established;
  }

  get #running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async askStatus(): Promise<void> {
    const client = await ControlClient.connect(this.#control);
    try {
      await client.status();
    } finally {
      client.close();
    }
  }

  /** Reads the metrics, packed. Gives their octets. */
  scrape(): Promise<number> {
    const headers = { 'accept-encoding': 'gzip' };
    return new Promise((resolve, reject) => {
      request({ socketPath: this.#metrics, path: '/metrics', headers, agent: false }, (answer) => {
        let octets = 0;
        answer.on('data', (part: Uint8Array) => {
          octets += part.length;
        });
        answer.on('end', () => resolve(octets));
      })
        .once('error', reject)
        .end();
    });
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const patience = new AbortController();
    const late = pause(20_000, 'late', { signal: patience.signal }).catch(() => undefined);
    if ((await Promise.race([exited, late])) === 'late') this.#process.kill('SIGKILL');
    patience.abort();
    await exited;
  }
}

interface ScaleFile {
  readonly gateway: object;
  readonly [section: string]: unknown;
}

/** For a profile of the daemons: CULVERT_BENCH_NODE_ARGS, in which %n is the gateway. */
function nodeArguments(node: string): string[] {
  const words = (process.env.CULVERT_BENCH_NODE_ARGS ?? '').split(' ').filter((word) => word !== '');
  return words.map((word) => word.replaceAll('%n', node));
}
