import { setTimeout as sleep } from 'node:timers/promises';
import { IcmpEcho, IPV4_ECHO_HEADERS } from '../../linux/icmp-echo.js';
import { formatIp, type IpBytes } from '../../util/ip.js';
import { oneLine } from '../../util/operator-error.js';
import { err, ok, type Result } from '../../util/result.js';
import type { Millis } from '../../util/units.js';

/** What came back through a tunnel. Lengths in octets of the whole inner packet. */
export interface TunnelProbe {
  readonly target: string;
  /** Of the small packet. */
  readonly roundTrip: Millis;
  /** The longest that was tried: what the tunnel takes. */
  readonly tried: number;
  /** The longest that came back. */
  readonly largest: number;
}

/** What is sent through a tunnel, and how it is answered. */
export interface TunnelProbeOptions {
  readonly source: IpBytes;
  /** Addresses that may answer. */
  readonly targets: readonly IpBytes[];
  /** Octets of the longest packet that the tunnel takes. */
  readonly longest: number;
}

const POLL: Millis = 5;
/** The usual length of a ping. */
const SMALL = 84;
const FIRST_PATIENCE: Millis = 1500;
const MIN_PATIENCE: Millis = 400;
/** Two losses in a row are no chance any more. */
const TRIES = 2;
/** As near as the limit is looked for, in octets. */
const NEAR = 8;

/**
 * Asks for echoes of growing length through a tunnel, with DF set, and finds the longest that comes back (RFC 4821 §7
 * finds the length of a path without the help of ICMP in this way). IPv4 only.
 * @returns why nothing can be said, as the rest of a sentence
 */
export async function probeTunnel(options: TunnelProbeOptions): Promise<Result<TunnelProbe, string>> {
  const { source, targets, longest } = options;
  const echoes: Echo[] = [];
  try {
    for (const target of targets) echoes.push(new Echo(source, target));
    const first = await firstAnswer(echoes);
    if (first === undefined) {
      const asked = targets.map(formatIp).join(', ');
      return err(
        `no echo came back from ${asked}: nobody has these addresses, or a firewall there is silent`,
      );
    }
    const { echo, roundTrip } = first;
    const patience = Math.max(MIN_PATIENCE, 4 * roundTrip);
    const comesBack = (length: number): Promise<boolean> => echo.comesBack(length, patience);
    const largest = (await comesBack(longest)) ? longest : await longestBelow(longest, comesBack);
    return ok({ target: formatIp(echo.target), roundTrip: Math.round(roundTrip), tried: longest, largest });
  } catch (error) {
    return err(oneLine(error));
  } finally {
    for (const echo of echoes) echo.close();
  }
}

async function longestBelow(limit: number, comesBack: (length: number) => Promise<boolean>): Promise<number> {
  let [lost, good] = [limit, SMALL];
  while (lost - good > NEAR) {
    const middle = (lost + good) >> 1;
    if (await comesBack(middle)) good = middle;
    else lost = middle;
  }
  return good;
}

async function firstAnswer(
  echoes: readonly Echo[],
): Promise<{ readonly echo: Echo; readonly roundTrip: Millis } | undefined> {
  for (let n = 0; n < TRIES; n++) {
    const start = performance.now();
    for (const echo of echoes) echo.send(SMALL);
    while (performance.now() - start < FIRST_PATIENCE) {
      const echo = echoes.find((one) => one.answered());
      if (echo !== undefined) return { echo, roundTrip: performance.now() - start };
      await sleep(POLL);
    }
  }
  return undefined;
}

/** Echoes of one target. */
class Echo {
  readonly target: IpBytes;
  readonly #icmp: IcmpEcho;
  #sequence = 0;

  constructor(source: IpBytes, target: IpBytes) {
    this.target = target;
    const options = { source: formatIp(source), dontFragment: true };
    this.#icmp = new IcmpEcho(formatIp(target), process.pid, options);
  }

  /** @param length octets of the whole packet */
  send(length: number): void {
    this.#icmp.send(++this.#sequence, length - IPV4_ECHO_HEADERS);
  }

  answered(): boolean {
    return this.#icmp.answered(this.#sequence);
  }

  async comesBack(length: number, patience: Millis): Promise<boolean> {
    for (let n = 0; n < TRIES; n++) {
      this.send(length);
      for (const start = performance.now(); performance.now() - start < patience; await sleep(POLL)) {
        if (this.answered()) return true;
      }
    }
    return false;
  }

  close(): void {
    this.#icmp.close();
  }
}
