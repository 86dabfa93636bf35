import { messageOf } from '../errors.js';
import { Pair, type PairOptions } from './pair.js';
import { agreedSuite, type PairPing, type PairReport, type PairTransfer } from './report.js';
import { SITE_A, SITE_B } from './site-network.js';
import { TrafficHost } from './traffic.js';

/** What `culvert pair` does with the pair, and for how long. Durations are in seconds. */
export interface RunPairOptions extends PairOptions {
  readonly suiteText: string | null;
  readonly seconds: number;
  readonly pings: number;
  /** Aborted when the person has had enough. */
  readonly signal: AbortSignal;
  progress(text: string): void;
  /** Called with a good report while everything is still up. */
  stay?(pair: Pair, report: PairReport): Promise<void>;
}

/**
 * The whole demonstration: start, wait for the tunnel, ping and TCP in both directions, stop. Failures are
 * in the report; when this returns nothing is left of it.
 */
export async function runPair(options: RunPairOptions): Promise<PairReport> {
  const findings = new Findings(options);
  let pair: Pair | undefined;
  const interrupted = new Promise<never>((_, reject) => {
    options.signal.addEventListener('abort', () => reject(options.signal.reason), { once: true });
  });
  interrupted.catch(() => {});
  try {
    options.progress('Making four network namespaces and starting two gateways ...');
    pair = await Pair.start(options);
    if (options.signal.aborted) throw options.signal.reason;
    await Promise.race([measure(pair, options, findings), pair.lost, interrupted]);
    await options.stay?.(pair, findings.report(pair));
  } catch (error) {
    findings.errors.push(messageOf(error));
    // What the gateways say about themselves is the best explanation, when they still can.
    if (pair !== undefined) await findings.look(pair).catch(() => {});
  }
  const last = findings.report(pair);
  const problems = (await pair?.stop()) ?? [];
  return { ...last, ok: last.ok && problems.length === 0, errors: [...last.errors, ...problems] };
}

async function measure(pair: Pair, options: RunPairOptions, findings: Findings): Promise<void> {
  options.progress('Waiting for the tunnel ...');
  findings.setupMs = await pair.waitUntilUp();
  const a = { site: SITE_A, host: await TrafficHost.start(pair.lab, SITE_A.host) };
  const b = { site: SITE_B, host: await TrafficHost.start(pair.lab, SITE_B.host) };
  const directions = [
    [a, b],
    [b, a],
  ] as const;
  options.progress('Pinging host to host through it ...');
  for (const [from, to] of directions) {
    const address = to.site.hostAddress;
    const figures = await from.host.ping(to.host, address, options.pings);
    findings.ping.push({ from: from.site.host, to: to.site.host, address, ...figures });
    if (figures.received === 0) {
      findings.errors.push(`no ping from ${from.site.host} to ${to.site.host} was answered`);
    }
  }
  for (const [from, to] of directions) {
    options.progress(`TCP from ${from.site.host} to ${to.site.host} for ${options.seconds} s ...`);
    const figures = await from.host.send(to.host, to.site.hostAddress, options.seconds);
    findings.transfer.push({ from: from.site.host, to: to.site.host, ...figures });
    if (figures.bytes === 0) {
      findings.errors.push(`no octet of TCP got from ${from.site.host} to ${to.site.host}`);
    }
  }
  await findings.look(pair);
}

/** What is known so far, so that a failure half-way still shows it. */
class Findings {
  readonly errors: string[] = [];
  readonly ping: PairPing[] = [];
  readonly transfer: PairTransfer[] = [];
  setupMs: number | null = null;
  #statuses: Awaited<ReturnType<Pair['statuses']>> = [];
  readonly #options: RunPairOptions;

  constructor(options: RunPairOptions) {
    this.#options = options;
  }

  async look(pair: Pair): Promise<void> {
    this.#statuses = await pair.statuses();
  }

  report(pair: Pair | undefined): PairReport {
    return {
      ok: this.errors.length === 0,
      errors: this.errors,
      ike_version: this.#options.ikeVersion ?? 2,
      suite_requested: this.#options.suiteText,
      suite: agreedSuite(this.#statuses[0]?.connections[0]),
      privileges: pair?.lab.userNamespace === true ? 'user namespace' : 'root',
      setup_ms: this.setupMs,
      sites: (pair?.gateways ?? []).map(({ name, controlPath }, i) => ({
        name,
        control: controlPath,
        status: this.#statuses[i] ?? null,
      })),
      ping: this.ping,
      transfer: this.transfer,
    };
  }
}
