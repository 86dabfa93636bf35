import { messageOf } from '#culvert/cli/errors.js';
import { Pair } from '#culvert/cli/pair/pair.js';
import { checkPairPossible, findProgram } from '#culvert/cli/pair/preflight.js';
import { SITE_A, SITE_B } from '#culvert/cli/pair/site-network.js';
import { parseSuite } from '#culvert/cli/suite.js';
import type { NetworkLab } from '#culvert/linux/namespaces.js';
import { iperfTcp } from './iperf.js';
import type { BenchRow } from './row.js';
import { StrongswanPair, type StrongswanSuite, strongswanMissing } from './strongswan-pair.js';

export interface TunnelBenchOptions {
  /** Length of each measurement; 10 by default. Two more are spent on setting up and settling. */
  readonly seconds?: number | undefined;
  progress?(text: string): void;
}

/** The suites measured, by the names of `culvert pair --suite` and of strongSwan. */
const SUITES: readonly {
  readonly name: string;
  readonly culvert: string;
  readonly strongswan: StrongswanSuite;
}[] = [
  {
    name: 'aes128-sha1',
    culvert: 'aes128-sha1-modp2048',
    strongswan: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1' },
  },
  {
    name: 'aes256-sha256',
    culvert: 'aes256-sha256-modp2048',
    strongswan: { ike: 'aes256-sha256-modp2048', esp: 'aes256-sha256' },
  },
  {
    name: 'aes128gcm16',
    culvert: 'aes256-sha256-modp2048/aes128gcm16',
    strongswan: { ike: 'aes256-sha256-modp2048', esp: 'aes128gcm16' },
  },
];

/**
 * One TCP stream by iperf3 from host to host through two gateways, each in a namespace: Culvert's, and
 * strongSwan's with userspace ESP where it is installed. What cannot be measured is a row with a note.
 */
export async function benchTunnel(options: TunnelBenchOptions = {}): Promise<BenchRow[]> {
  try {
    checkPairPossible();
  } catch (error) {
    return [skipped('culvert', messageOf(error))];
  }
  if (findProgram('iperf3') === undefined) return [skipped('iperf3', 'iperf3 is not installed')];
  const noStrongswan = strongswanMissing();
  const rows: BenchRow[] = [];
  for (const suite of SUITES) {
    const theirs =
      noStrongswan === undefined
        ? await attempt(`strongSwan ${suite.name}`, options, () => strongswan(suite.strongswan, options))
        : skipped(`strongSwan ${suite.name}`, noStrongswan);
    const ours = await attempt(`Culvert ${suite.name}`, options, () => culvert(suite.culvert, options));
    const comparable = ours.unit !== '' && theirs.unit !== '';
    rows.push(
      comparable ? { ...ours, ratio: ours.value / theirs.value, ratioOf: theirs.name } : ours,
      theirs,
    );
  }
  return rows;
}

interface Measured {
  readonly mbitPerSecond: number;
  readonly retransmits: number;
}

async function culvert(suite: string, options: TunnelBenchOptions): Promise<Measured> {
  const pair = await Pair.start({ suite: parseSuite(suite) });
  try {
    await Promise.race([pair.waitUntilUp(), pair.lost]);
    return await Promise.race([stream(pair.lab, options), pair.lost]);
  } finally {
    await pair.stop();
  }
}

async function strongswan(suite: StrongswanSuite, options: TunnelBenchOptions): Promise<Measured> {
  const pair = await StrongswanPair.start(suite);
  try {
    return await stream(pair.lab, options);
  } finally {
    await pair.stop();
  }
}

function stream(lab: NetworkLab, { seconds = 10 }: TunnelBenchOptions): Promise<Measured> {
  return iperfTcp(lab, SITE_A.host, SITE_B.host, SITE_B.hostAddress, seconds);
}

async function attempt(
  name: string,
  options: TunnelBenchOptions,
  measure: () => Promise<Measured>,
): Promise<BenchRow> {
  options.progress?.(`tunnel: ${name} ...`);
  try {
    const { mbitPerSecond, retransmits } = await measure();
    const note = retransmits > 0 ? { note: `${retransmits} TCP retransmits` } : {};
    return { part: 'tunnel', name: `${name} TCP`, value: mbitPerSecond, unit: 'Mbit/s', ...note };
  } catch (error) {
    return skipped(name, `failed: ${messageOf(error)}`);
  }
}

/** A row without a figure: its unit is empty. */
function skipped(name: string, why: string): BenchRow {
  return { part: 'tunnel', name, value: 0, unit: '', note: `skipped: ${why}` };
}
