import type { BenchRow } from '#culvert/cli/bench-row.js';
import { messageOf } from '#culvert/cli/errors.js';
import { Pair } from '#culvert/cli/pair/pair.js';
import { parseSuite } from '#culvert/cli/suite.js';
import type { Contender } from './contender.js';
import { median } from './median.js';
import { Onlooker } from './onlooker.js';
import { startForwarding, startPacketPair } from './packet-pair.js';
import { skippedRow, trafficMissing } from './preflight.js';
import { StrongswanPair, strongswanMissing } from './strongswan-pair.js';
import { loadedRoundTrip, measureTcp, measureUdp, peakMemory, roundTrip } from './traffic.js';
import { findWireguardGo, startWireguardPair } from './wireguard-pair.js';

export interface TunnelBenchOptions {
  /** Length of each measurement; 10 by default. One more is spent on settling where TCP is measured. */
  readonly seconds?: number | undefined;
  /** How often everything is measured, one after the other; the figures are the medians. 1 by default. */
  readonly rounds?: number | undefined;
  /** The wireguard-go to compare with, when not the one that is installed. */
  readonly wireguardGo?: string | undefined;
  progress?(text: string): void;
}

/** The suites measured, by the names of `culvert pair --suite` and of strongSwan. */
const IKE = 'aes256-sha256-modp2048';
const SUITES = [
  { name: 'aes128-sha1', culvert: 'aes128-sha1-modp2048', strongswan: 'aes128-sha1' },
  { name: 'aes256-sha256', culvert: 'aes256-sha256-modp2048', strongswan: 'aes256-sha256' },
  { name: 'aes128gcm16', culvert: `${IKE}/aes128gcm16`, strongswan: 'aes128gcm16' },
  { name: 'chacha20poly1305', culvert: `${IKE}/chacha20poly1305`, strongswan: undefined },
] as const;

/**
 * One thing measured of a contender: TCP with so many streams; the highest rate of UDP datagrams of so many octets
 * of payload with a loss below 1 %; round trips, in silence and beside one TCP stream; CPU time of both gateways
 * for a gigabit of that stream; the peak memory of the larger gateway process.
 */
type Figure = 'tcp1' | 'tcp4' | 'udp64' | 'udp1300' | 'idle' | 'loaded' | 'cpu' | 'memory';
const FIGURES: Readonly<Record<Figure, { readonly name: string; readonly unit: string }>> = {
  tcp1: { name: 'TCP 1', unit: 'Mbit/s' },
  tcp4: { name: 'TCP 4', unit: 'Mbit/s' },
  udp64: { name: 'UDP 64', unit: 'kpps' },
  udp1300: { name: 'UDP 1300', unit: 'kpps' },
  idle: { name: 'RTT idle', unit: 'ms' },
  loaded: { name: 'RTT loaded', unit: 'ms' },
  cpu: { name: 'CPU', unit: 's/Gbit' },
  memory: { name: 'memory', unit: 'MiB' },
};

/** As long as round trips beside a TCP stream are measured, at most: some hundreds of them are enough. */
const MAX_LOADED_SECONDS = 3;

interface Result {
  readonly name: string;
  readonly figures: Partial<Record<Figure, number>>;
  readonly retransmits: number;
  /** Why there are no figures. */
  readonly skipped?: string;
}

/**
 * Host to host through two gateways, each in a namespace: the network itself, Culvert without cryptography as
 * the ceiling, Culvert in each suite, strongSwan's userspace ESP and wireguard-go where they are installed.
 * What cannot be measured is a row with a note.
 */
export async function benchTunnel(options: TunnelBenchOptions = {}): Promise<BenchRow[]> {
  const obstacle = trafficMissing();
  if (obstacle !== undefined) return [skippedRow('tunnel', obstacle.what, obstacle.why)];
  const contenders = listContenders(options);
  const rounds: Result[][] = contenders.map(() => []);
  const { rounds: count = 1 } = options;
  for (let round = 1; round <= count; round++) {
    for (const [i, { name, start }] of contenders.entries()) {
      const label = count === 1 ? name : `${name}, round ${round} of ${count}`;
      // What could not be measured once is not tried again.
      if (rounds[i]!.some((result) => result.skipped !== undefined)) continue;
      rounds[i]!.push(
        typeof start === 'string' ? missing(name, start) : await attempt(label, name, start, options),
      );
    }
  }
  const results = rounds.map(medianOf);
  const named = (name: string): Result | undefined => results.find((result) => result.name === name);
  const ratios = contenders.flatMap(({ name, against = [] }) =>
    against.flatMap(({ name: other, figures }) => compare(named(name), named(other), figures)),
  );
  return [...results.flatMap(rowsOf), ...ratios];
}

interface Entrant {
  readonly name: string;
  /** Or why it cannot. */
  readonly start: (() => Promise<Contender>) | string;
  /** Whom it is compared with. */
  readonly against?: readonly { readonly name: string; readonly figures: readonly Figure[] }[];
}

/** The suite that is measured a second time, beside scrapes and a stream of events. */
const WATCHED = 'aes128gcm16';
const CEILING = 'Culvert without cryptography';
const ALL = Object.keys(FIGURES) as Figure[];

/** In the order they are measured: what is compared is side by side. */
function listContenders(options: TunnelBenchOptions): Entrant[] {
  const program = findWireguardGo(options.wireguardGo);
  const noStrongswan = strongswanMissing();
  return [
    { name: 'plain forwarding', start: startForwarding },
    { name: CEILING, start: () => startPacketPair({ children: 1, transform: 'null' }) },
    {
      name: 'wireguard-go',
      start:
        program === undefined
          ? 'it is not installed: name one by --wireguard-go FILE'
          : () => startWireguardPair(program),
    },
    ...SUITES.flatMap((suite): Entrant[] => {
      const { strongswan } = suite;
      const peer = `strongSwan ${suite.name}`;
      const against = strongswan === undefined ? [] : [{ name: peer, figures: ALL }];
      if (suite.name === 'aes128gcm16') {
        against.push({ name: 'wireguard-go', figures: ALL }, { name: CEILING, figures: ['tcp1', 'tcp4'] });
      }
      const ours = { name: `Culvert ${suite.name}`, start: () => startCulvert(suite.culvert), against };
      if (strongswan === undefined) return [ours];
      const start = noStrongswan ?? (() => StrongswanPair.start({ ike: IKE, esp: strongswan }));
      const theirs = { name: peer, start };
      if (suite.name !== WATCHED) return [ours, theirs];
      // What monitoring costs.
      const watched: Entrant = {
        name: `${ours.name}, watched`,
        start: () => startCulvert(suite.culvert, true),
        against: [{ name: ours.name, figures: ALL }],
      };
      return [ours, watched, theirs];
    }),
  ];
}

/** Ours over theirs, figure by figure, where both have them. */
function compare(
  ours: Result | undefined,
  theirs: Result | undefined,
  figures: readonly Figure[],
): BenchRow[] {
  if (ours === undefined || theirs === undefined) return [];
  return figures.flatMap((figure) => {
    const [a, b] = [ours.figures[figure], theirs.figures[figure]];
    if (a === undefined || b === undefined || b === 0) return [];
    const { name } = FIGURES[figure];
    const ratio = { ratio: a / b, ratioOf: `${theirs.name}, ${name}`, ratioTo: theirs.name };
    return [{ ...row(ours, figure, a), ...ratio }];
  });
}

/** The median of each figure. */
function medianOf(results: readonly Result[]): Result {
  const measured = results.filter((result) => result.skipped === undefined);
  if (measured.length === 0) return results[0]!;
  const figures: Partial<Record<Figure, number>> = {};
  for (const figure of ALL) {
    const values = measured.map((result) => result.figures[figure]).filter((value) => value !== undefined);
    if (values.length > 0) figures[figure] = median(values);
  }
  return { name: measured[0]!.name, figures, retransmits: median(measured.map((one) => one.retransmits)) };
}

/** @param watched metrics are scraped every second, and events followed */
async function startCulvert(suite: string, watched = false): Promise<Contender> {
  const pair = await Pair.start({ suite: parseSuite(suite), metrics: watched });
  let onlooker: Onlooker | undefined;
  try {
    await Promise.race([pair.waitUntilUp(), pair.lost]);
    if (watched) onlooker = await Onlooker.start(pair);
  } catch (error) {
    await pair.stop();
    throw error;
  }
  const stop = async (): Promise<void> => {
    try {
      onlooker?.stop();
    } finally {
      await pair.stop();
    }
  };
  return { lab: pair.lab, pids: pair.gateways.map((one) => one.pid!), stop };
}

async function attempt(
  label: string,
  name: string,
  start: () => Promise<Contender>,
  options: TunnelBenchOptions,
): Promise<Result> {
  const { seconds = 10 } = options;
  let contender: Contender | undefined;
  try {
    options.progress?.(`tunnel: ${label} ...`);
    contender = await start();
    const idle = await roundTrip(contender.lab, 1);
    const one = await measureTcp(contender, 1, seconds);
    const memory = peakMemory(contender);
    const four = await measureTcp(contender, 4, seconds);
    const udp64 = await measureUdp(contender.lab, 64, seconds);
    const udp1300 = await measureUdp(contender.lab, 1300, seconds);
    const loaded = await loadedRoundTrip(contender, Math.min(seconds, MAX_LOADED_SECONDS));
    return {
      name,
      retransmits: one.retransmits,
      figures: {
        ...{ tcp1: one.mbitPerSecond, tcp4: four.mbitPerSecond, udp64, udp1300 },
        ...(idle === undefined ? {} : { idle }),
        ...(loaded === undefined ? {} : { loaded }),
        ...(memory === undefined ? {} : { cpu: one.cpuPerGbit, memory }),
      },
    };
  } catch (error) {
    return missing(name, `failed: ${messageOf(error)}`);
  } finally {
    await contender?.stop();
  }
}

function missing(name: string, skipped: string): Result {
  return { name, figures: {}, retransmits: 0, skipped };
}

function rowsOf(result: Result): BenchRow[] {
  if (result.skipped !== undefined) return [skippedRow('tunnel', result.name, result.skipped)];
  return (Object.keys(FIGURES) as Figure[]).flatMap((figure) => {
    const value = result.figures[figure];
    if (value === undefined) return [];
    const retransmits = figure === 'tcp1' && result.retransmits > 0;
    return [
      {
        ...row(result, figure, value),
        ...(retransmits ? { note: `${result.retransmits} TCP retransmits` } : {}),
      },
    ];
  });
}

function row({ name }: Result, figure: Figure, value: number): BenchRow {
  const { name: what, unit } = FIGURES[figure];
  return { part: 'tunnel', name: `${name}: ${what}`, subject: name, figure: what, value, unit };
}
