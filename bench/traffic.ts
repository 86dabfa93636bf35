import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { SITE_A, SITE_B } from '#culvert/cli/pair/site-network.js';
import type { NetworkLab } from '#culvert/linux/namespaces.js';
import type { Contender } from './contender.js';
import { iperfTcp, iperfUdp } from './iperf.js';

/** Loss of UDP datagrams that a rate may have, in percent. */
const MAX_LOSS = 1;

/** The kernel's unit of CPU time in /proc. */
const TICKS_PER_SECOND = 100;

export interface TcpFigures {
  readonly mbitPerSecond: number;
  readonly retransmits: number;
  /** CPU seconds of both gateways for a gigabit. 0 when the kernel carries the packets. */
  readonly cpuPerGbit: number;
}

/** TCP from host to host, and nothing beside it. */
export async function measureTcp(c: Contender, streams: number, seconds: number): Promise<TcpFigures> {
  const before = cpuSeconds(c);
  const { mbitPerSecond, retransmits, gbit } = await iperfTcp(
    c.lab,
    SITE_A.host,
    SITE_B.host,
    SITE_B.hostAddress,
    seconds,
    streams,
  );
  const used = cpuSeconds(c) - before;
  return { mbitPerSecond, retransmits, cpuPerGbit: used / gbit };
}

/**
 * Median round trip beside one TCP stream, in milliseconds; undefined when nothing came back. Apart from the
 * throughput: ping spins on the processor while it waits for its next turn.
 */
export async function loadedRoundTrip({ lab }: Contender, seconds: number): Promise<number | undefined> {
  const stream = iperfTcp(lab, SITE_A.host, SITE_B.host, SITE_B.hostAddress, seconds + 1);
  const [rtt] = await Promise.all([pause(1000).then(() => roundTrip(lab, seconds)), stream]);
  return rtt;
}

/** Median round trip from host to host, in milliseconds; undefined when nothing came back. */
export async function roundTrip(lab: NetworkLab, seconds: number): Promise<number | undefined> {
  const argv = ['ping', '-n', '-i', '0.01', '-w', String(Math.ceil(seconds)), SITE_B.hostAddress];
  const { stdout } = await lab.run(SITE_A.host, argv);
  const times = [...stdout.matchAll(/time=([\d.]+) ms/g)]
    .map((match) => Number(match[1]))
    .sort((a, b) => a - b);
  return times[times.length >>> 1];
}

/**
 * The highest rate of UDP datagrams with `octets` of payload that arrives with less than 1 % loss, in thousands
 * of packets per second: the sender's highest rate first, then by halving.
 */
export async function measureUdp(lab: NetworkLab, octets: number, seconds: number): Promise<number> {
  const probe = Math.max(1, seconds / 2);
  const run = (rate: number) =>
    iperfUdp(lab, SITE_A.host, SITE_B.host, SITE_B.hostAddress, { octets, rate, seconds: probe });
  const free = await run(0);
  if (free.lossPercent < MAX_LOSS) return free.received / 1000;
  let [low, high] = [0, free.sent];
  let best = 0;
  let rate = Math.min(high, free.received);
  for (let i = 0; i < 6; i++) {
    const { received, sent, lossPercent } = await run(rate);
    if (lossPercent < MAX_LOSS) {
      best = Math.max(best, received);
      // The sender does not reach it: no higher rate would show more.
      if (sent < rate * 0.9) break;
      low = rate;
    } else {
      high = Math.min(high, rate);
    }
    rate = (low + high) / 2;
  }
  return best / 1000;
}

/** CPU seconds the processes have used so far, all threads. */
export function cpuSeconds({ pids }: Pick<Contender, 'pids'>): number {
  return pids.reduce((sum, pid) => {
    // Behind the name in parentheses: field 14 and 15 are user and system time.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}

/** CPU seconds that the main thread of a process has used so far. */
export function mainThreadSeconds(pid: number): number {
  const [nanoseconds] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ');
  return Number(nanoseconds) / 1e9;
}

/** Peak resident memory of the larger gateway so far, in MiB; undefined when there is no process. */
export function peakMemory({ pids }: Contender): number | undefined {
  const peaks = pids.map((pid) => processMemory(pid).peak);
  return peaks.length === 0 ? undefined : Math.max(...peaks);
}

/** Resident memory of a process in MiB, now and at most so far; 0 when it has ended. */
export function processMemory(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return { now: mib('VmRSS'), peak: mib('VmHWM') };
}
