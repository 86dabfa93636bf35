import type { BenchRow } from '#culvert/cli/bench-row.js';

export { describeMachine } from './machine.js';

export interface BenchOptions {
  /** Length of each tunnel measurement. The parts in memory have short bounds of their own. */
  readonly seconds?: number | undefined;
  /** How often `tunnel` and `scale` are measured; their figures are the medians. */
  readonly rounds?: number | undefined;
  /** The wireguard-go to compare with, when not the one that is installed. */
  readonly wireguardGo?: string | undefined;
  /** How many child SAs a pair of whole gateways brings up. */
  readonly sas?: number | undefined;
  progress?(text: string): void;
}

type Part = (options: BenchOptions) => Promise<BenchRow[]>;

/** In the order they are run. Each is loaded when it is wanted. */
const PARTS: Readonly<Record<string, Part>> = {
  crypto: async () => await (await import('./crypto.js')).benchCrypto(),
  esp: async () => await (await import('./esp.js')).benchEsp(),
  codec: async () =>
    (await import('./codec.js')).benchCodec().map((row) => ({
      part: 'codec',
      name: `${row.operation}, ${row.octets} octets`,
      value: row.perSecond,
      unit: 'ops/s',
      note: `${row.microseconds} us each`,
    })),
  offload: async () => (await import('./offload.js')).benchOffload(),
  hostile: async () => (await import('./hostile.js')).benchHostile(),
  handshake: async () => (await import('./handshake.js')).benchHandshake(),
  scale: async (options) => await (await import('./scale.js')).benchScale(options),
  daemon: async (options) => await (await import('./daemon-scale.js')).benchDaemonScale(options),
  rekey: async (options) => await (await import('./rekey.js')).benchRekey(options),
  tunnel: async (options) => await (await import('./tunnel.js')).benchTunnel(options),
};

/** Names `runBench` takes. */
export const benchParts: readonly string[] = Object.keys(PARTS);

/**
 * Measures the parts named, one after the other, so that they do not disturb each other.
 * @throws RangeError for a part that does not exist
 */
export async function runBench(parts: readonly string[], options: BenchOptions = {}): Promise<BenchRow[]> {
  const unknown = parts.find((part) => !Object.hasOwn(PARTS, part));
  if (unknown !== undefined) {
    throw new RangeError(`no benchmark "${unknown}"; there are ${benchParts.join(', ')}`);
  }
  const rows: BenchRow[] = [];
  for (const part of benchParts.filter((name) => parts.includes(name))) {
    options.progress?.(`${part} ...`);
    rows.push(...(await PARTS[part]!(options)));
  }
  return rows;
}
