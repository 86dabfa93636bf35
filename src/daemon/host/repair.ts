import { backoffDelay } from '../../connection/backoff.js';
import type { ConnectionProblem } from '../../connection/document.js';
import type { GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { Millis } from '../../util/units.js';
import type { Clock } from '../system/clock.js';

/** Problems of this host by the connection whose traffic they keep back. */
export type HostProblems = ReadonlyMap<ConnectionId, readonly ConnectionProblem[]>;

/** How missing parts of the host are tried again, and who hears of the result. */
export interface HostRepairDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Opens devices and lays routes that are missing for this configuration. @returns what is missing still */
  arrange(file: GatewayFile): HostProblems;
  /** Problems as they are now, each with the time of the next attempt. */
  changed(problems: HostProblems): void;
}

/**
 * Tries again what this host refused: a route or a device that another program had in the way is taken as soon as
 * it is free, without a reload. Waits grow to a minute.
 */
export class HostRepair {
  readonly #deps: HostRepairDeps;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(deps: HostRepairDeps) {
    this.#deps = deps;
  }

  /** Makes of the host what a configuration needs, now and again later. @returns what it refuses for now */
  arrange(file: GatewayFile): HostProblems {
    const problems = this.#deps.arrange(file);
    this.note(file, problems);
    return problems;
  }

  /** Reports what this host refuses the configuration, and tries again later while there is anything. */
  note(file: GatewayFile, problems: HostProblems): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (problems.size === 0) {
      this.#failures = 0;
      this.#deps.changed(problems);
      return;
    }
    this.#failures++;
    const wait = Math.max(MIN_WAIT, backoffDelay(this.#failures, this.#deps.random));
    const retryAt = this.#deps.clock.now() + wait;
    this.#deps.changed(
      new Map([...problems].map(([id, list]) => [id, list.map((one) => ({ ...one, retryAt }))])),
    );
    this.#timer = setTimeout(() => this.arrange(file), wait);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const MIN_WAIT: Millis = 1000;
