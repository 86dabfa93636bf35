import { messageOf } from '#culvert/cli/errors.js';
import { Pair } from '#culvert/cli/pair/pair.js';
import { checkPairPossible, findProgram } from '#culvert/cli/pair/preflight.js';
import { parseSuite } from '#culvert/cli/suite.js';
import type { Contender } from './contender.js';
import { startForwarding, startPacketPair } from './packet-pair.js';
import type { BenchRow } from './row.js';
import { StrongswanPair, strongswanMissing } from './strongswan-pair.js';
import { measureTcp, measureUdp, peakMemory, roundTrip } from './traffic.js';
import { findWireguardGo, startWireguardPair } from './wireguard-pair.js';

export interface TunnelBenchOptions {
  /** Length of each measurement; 10 by default. One more is spent on settling where TCP is measured. */
  readonly seconds?: number | undefined;
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

/** One thing measured of a contender. `better`: what a ratio above 1 means. */
type Figure = 'tcp1' | 'tcp4' | 'udp64' | 'udp1300' | 'idle' | 'loaded' | 'cpu' | 'memory';
const FIGURES: Readonly<Record<Figure, { readonly name: string; readonly unit: string }>> = {
  tcp1: { name: 'TCP, 1 stream', unit: 'Mbit/s' },
  tcp4: { name: 'TCP, 4 streams', unit: 'Mbit/s' },
  udp64: { name: 'UDP 64 octets, loss below 1 %', unit: 'kpps' },
  udp1300: { name: 'UDP 1300 octets, loss below 1 %', unit: 'kpps' },
  idle: { name: 'round trip, idle', unit: 'ms' },
  loaded: { name: 'round trip beside TCP', unit: 'ms' },
  cpu: { name: 'CPU of both gateways, TCP', unit: 's/Gbit' },
  memory: { name: 'peak memory of a gateway', unit: 'MiB' },
};

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
  try {
    checkPairPossible();
  } catch (error) {
    return [note('culvert', `skipped: ${messageOf(error)}`)];
  }
  if (findProgram('iperf3') === undefined) return [note('iperf3', 'skipped: iperf3 is not installed')];
  const results: Result[] = [];
  const add = async (name: string, start: () => Promise<Contender>): Promise<Result> => {
    const result = await attempt(name, start, options);
    results.push(result);
    return result;
  };
  const rows: BenchRow[] = [];
  const compare = (ours: Result, theirs: Result, figures: readonly Figure[]): void => {
    for (const figure of figures) {
      const [a, b] = [ours.figures[figure], theirs.figures[figure]];
      if (a === undefined || b === undefined || b === 0) continue;
      const { name } = FIGURES[figure];
      rows.push({ ...row(ours, figure, a), ratio: a / b, ratioOf: `${theirs.name}, ${name}` });
    }
  };

  await add('plain forwarding', startForwarding);
  const ceiling = await add('Culvert without cryptography', () =>
    startPacketPair({ children: 1, transform: 'null' }),
  );
  const program = findWireguardGo(options.wireguardGo);
  const wireguard =
    program === undefined
      ? missing('wireguard-go', 'it is not installed: name one by --wireguard-go FILE')
      : await attempt('wireguard-go', () => startWireguardPair(program), options);
  results.push(wireguard);
  const noStrongswan = strongswanMissing();
  for (const suite of SUITES) {
    const ours = await add(`Culvert ${suite.name}`, () => startCulvert(suite.culvert));
    if (suite.name === 'aes128gcm16') {
      compare(ours, ceiling, ['tcp1', 'tcp4']);
      compare(ours, wireguard, ['tcp1', 'tcp4', 'udp64', 'udp1300', 'idle', 'cpu', 'memory']);
    }
    const { strongswan } = suite;
    if (strongswan === undefined) continue;
    const name = `strongSwan ${suite.name}`;
    const theirs =
      noStrongswan === undefined
        ? await attempt(name, () => StrongswanPair.start({ ike: IKE, esp: strongswan }), options)
        : missing(name, noStrongswan);
    results.push(theirs);
    compare(ours, theirs, ['tcp1', 'tcp4', 'udp64', 'udp1300', 'idle', 'loaded', 'cpu', 'memory']);
  }
  return [...results.flatMap(rowsOf), ...rows];
}

async function startCulvert(suite: string): Promise<Contender> {
  const pair = await Pair.start({ suite: parseSuite(suite) });
  try {
    await Promise.race([pair.waitUntilUp(), pair.lost]);
  } catch (error) {
    await pair.stop();
    throw error;
  }
  return { lab: pair.lab, pids: pair.gateways.map((one) => one.pid!), stop: () => pair.stop() };
}

async function attempt(
  name: string,
  start: () => Promise<Contender>,
  options: TunnelBenchOptions,
): Promise<Result> {
  const { seconds = 10 } = options;
  let contender: Contender | undefined;
  try {
    options.progress?.(`tunnel: ${name} ...`);
    contender = await start();
    const idle = await roundTrip(contender.lab, 1);
    const one = await measureTcp(contender, 1, seconds);
    const memory = peakMemory(contender);
    const four = await measureTcp(contender, 4, seconds);
    const udp64 = await measureUdp(contender.lab, 64, seconds);
    const udp1300 = await measureUdp(contender.lab, 1300, seconds);
    return {
      name,
      retransmits: one.retransmits,
      figures: {
        ...{ tcp1: one.mbitPerSecond, tcp4: four.mbitPerSecond, udp64, udp1300 },
        ...(idle === undefined ? {} : { idle }),
        ...(one.rttMs === undefined ? {} : { loaded: one.rttMs }),
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
  if (result.skipped !== undefined) return [note(result.name, `skipped: ${result.skipped}`)];
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
  return { part: 'tunnel', name: `${name}: ${what}`, value, unit };
}

/** A row without a figure: its unit is empty. */
function note(name: string, text: string): BenchRow {
  return { part: 'tunnel', name, value: 0, unit: '', note: text };
}
