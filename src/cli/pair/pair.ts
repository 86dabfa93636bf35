import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { StatusDocument } from '../../connection/status.js';
import type { NetworkLab } from '../../linux/namespaces.js';
import { CliError, messageOf } from '../errors.js';
import type { Suite } from '../suite.js';
import { pairGatewayFile, randomPsk } from './gateway-file.js';
import { GatewayProcess } from './gateway-process.js';
import { PrivateFolder } from './private-folder.js';
import { createSiteNetwork, SITE_A, SITE_B, type Site } from './site-network.js';

const UP_TIMEOUT_MS = 20_000;
const LOOK_EVERY_MS = 10;

/** What the two gateways of a pair negotiate, and whether their logs are kept. */
export interface PairOptions {
  readonly suite?: Suite | undefined;
  /** 2 when left out. */
  readonly ikeVersion?: 1 | 2 | undefined;
  /** Folder that keeps a log file of each gateway. */
  readonly keepLogs?: string | undefined;
  /** Both serve metrics, see `GatewayProcess.metricsPath`. */
  readonly metrics?: boolean;
}

/**
 * Two Culvert gateways with a network behind each, in namespaces of their own. Whatever ends this process
 * ends all of it.
 */
export class Pair {
  readonly lab: NetworkLab;
  readonly #folder: PrivateFolder;
  readonly #gateways: GatewayProcess[] = [];

  private constructor(lab: NetworkLab, folder: PrivateFolder) {
    this.lab = lab;
    this.#folder = folder;
  }

  /** Starts both daemons; `pair.waitUntilUp` is the next step. Leaves nothing running when it fails. */
  static async start(options: PairOptions): Promise<Pair> {
    const folder = new PrivateFolder('culvert-pair-');
    let pair: Pair | undefined;
    try {
      pair = new Pair(await createSiteNetwork(), folder);
      const psk = folder.write('psk', randomPsk(randomBytes));
      // The waiting end first: the other one then finds it at its first attempt.
      for (const [site, peer] of [
        [SITE_B, SITE_A],
        [SITE_A, SITE_B],
      ] as const) {
        pair.#gateways.unshift(await pair.#startGateway(site, peer, psk, options));
      }
      return pair;
    } catch (error) {
      if (pair === undefined) folder.remove();
      else await pair.stop();
      throw error;
    }
  }

  /** Site a, then site b. */
  get gateways(): readonly GatewayProcess[] {
    return this.#gateways;
  }

  /** Rejects when a gateway ends by itself. */
  get lost(): Promise<never> {
    return Promise.race(this.#gateways.map((gateway) => gateway.lost));
  }

  statuses(): Promise<StatusDocument[]> {
    return Promise.all(this.#gateways.map((gateway) => gateway.control.status()));
  }

  /** @returns milliseconds it took from now. @throws CliError when the tunnel is not up at both ends in time */
  async waitUntilUp(): Promise<number> {
    const start = performance.now();
    for (;;) {
      const statuses = await this.statuses();
      if (statuses.every(isUp)) return performance.now() - start;
      if (performance.now() - start > UP_TIMEOUT_MS) {
        throw new CliError(`the tunnel is not up after ${UP_TIMEOUT_MS / 1000} s`);
      }
      await pause(LOOK_EVERY_MS);
    }
  }

  /** Stops the gateways in order, then takes everything away. @returns what did not go as it should */
  async stop(): Promise<string[]> {
    try {
      const outcomes = await Promise.all(this.#gateways.map((gateway) => gateway.stop()));
      return outcomes.filter((outcome) => outcome !== undefined);
    } catch (error) {
      return [messageOf(error)];
    } finally {
      await this.lab.dispose();
      this.#folder.remove();
    }
  }

  #startGateway(site: Site, peer: Site, pskFile: string, options: PairOptions): Promise<GatewayProcess> {
    const control = this.#folder.file(`${site.name}.sock`);
    const text = pairGatewayFile(site, peer, {
      control,
      pskFile,
      suite: options.suite,
      ikeVersion: options.ikeVersion,
      establishMode: site === SITE_A ? 'bidirectional' : 'peer_only',
    });
    return GatewayProcess.start(this.lab, {
      name: site.name,
      node: site.gateway,
      configFile: this.#folder.write(`${site.name}.yaml`, text),
      control,
      ...(options.metrics === true ? { metrics: this.#folder.file(`${site.name}-metrics.sock`) } : {}),
      log: options.keepLogs === undefined ? undefined : logFile(options.keepLogs, site.name),
    });
  }
}

function isUp(document: StatusDocument): boolean {
  return document.connections.every((connection) => connection.status === 'up');
}

function logFile(folder: string, name: string) {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new CliError(`the log folder ${folder} cannot be made: ${messageOf(error)}`);
  }
  const stream = createWriteStream(join(folder, `${name}.log`), { flags: 'w', mode: 0o600 });
  stream.on('error', (error) => process.stderr.write(`culvert: log of ${name}: ${error.message}\n`));
  return stream;
}
