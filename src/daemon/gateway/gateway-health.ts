import type { ThreadPulse } from '../../dataplane/dataplane.js';
import {
  checkOf,
  type HealthCheck,
  type HealthReport,
  type HealthSource,
  reportOf,
} from '../../telemetry/health.js';
import type { Logger } from '../../telemetry/log.js';
import type { WorkerIndex } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';

/** Between two questions to the packet threads. */
const BEAT: Millis = 2000;
/**
 * Questions in a row without an answer after which a thread counts as stuck. Beats are counted and not the time: when
 * the whole process was stopped, no thread is to blame.
 */
const PATIENCE = 3;

/** What the health of a gateway is made of. */
export interface GatewayHealthDeps {
  readonly plane: { pulse(): readonly ThreadPulse[] };
  readonly logger: Logger;
}

/**
 * Whether a gateway works: its packet threads move packets. That the main thread works shows in that it answers at all.
 * Nothing here is about peers, nor names any.
 */
export class GatewayHealth implements HealthSource {
  readonly #deps: GatewayHealthDeps;
  /** By worker, questions in a row without an answer. */
  readonly #missed: number[] = [];
  #pulses: readonly ThreadPulse[] = [];
  #timer: NodeJS.Timeout | undefined;
  #state: 'starting' | 'running' | 'ending' = 'starting';

  constructor(deps: GatewayHealthDeps) {
    this.#deps = deps;
  }

  /** The gateway listens, and its configuration is in force. */
  start(): void {
    this.#state = 'running';
    this.#timer = setInterval(() => this.beat(), BEAT);
    this.#timer.unref();
    this.beat();
  }

  /** It says farewell to its peers. */
  ending(): void {
    this.#state = 'ending';
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Asks every packet thread for a sign of life. */
  beat(): void {
    this.#pulses = this.#deps.plane.pulse();
    this.#pulses.forEach((pulse, worker) => {
      const missed = this.#missed[worker] ?? 0;
      this.#missed[worker] = pulse === 'silent' ? missed + 1 : 0;
      if (pulse === 'silent' && missed + 1 === PATIENCE) this.#tell(worker, 'does not answer');
      else if (pulse !== 'silent' && missed >= PATIENCE) this.#tell(worker, 'answers again');
    });
  }

  health(): HealthReport {
    return reportOf([this.#threads()]);
  }

  ready(): HealthReport {
    // A thread may have begun since the last beat.
    if (this.#state === 'running' && this.#pulses.includes('starting')) this.beat();
    const starting = this.#state === 'starting' || this.#pulses.includes('starting');
    const problem = starting
      ? 'the gateway is still starting'
      : this.#state === 'ending'
        ? 'the gateway is ending'
        : undefined;
    return reportOf([checkOf('gateway', problem), this.#threads()]);
  }

  #threads(): HealthCheck {
    const stuck = this.#missed.flatMap((missed, worker) => (missed >= PATIENCE ? [worker] : []));
    const which = stuck.length === 1 ? `packet thread ${stuck[0]} does` : `packet threads ${stuck} do`;
    return checkOf('packet_threads', stuck.length === 0 ? undefined : `${which} not answer`);
  }

  #tell(worker: WorkerIndex, what: string): void {
    const { logger } = this.#deps;
    if (what === 'answers again') logger.info({ worker }, `packet thread ${worker} ${what}`);
    else logger.error({ worker }, `packet thread ${worker} ${what}`);
  }
}
