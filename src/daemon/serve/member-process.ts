import { isDeepStrictEqual } from 'node:util';
import type { StatusDocument } from '../../connection/status.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../start-error.js';
import type { DesiredState } from '../supervised/desired-state.js';
import {
  cleanUp,
  endLeftover,
  endProcess,
  type LaunchedProcess,
  type LaunchOptions,
  obtainProcess,
  STOP_SIGNAL,
} from './launch.js';

/** See `GatewayObservation`; a member is never degraded. */
export type MemberState = 'starting' | 'running' | 'down' | 'failed';

export interface MemberOptions {
  readonly launch: LaunchOptions;
  readonly logger: Logger;
  /** Called when state, status or reason may have changed. */
  readonly changed: () => void;
}

/** Pause before a start is tried again; doubled with every further one. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** A process that ran this long was healthy: its crash begins a new count. */
const HEALTHY_MS = 60_000;
/** Crashes of a process that had come to run, in a row, after which it is started again at once. */
const FREE_RESTARTS = 10;
/** Attempts after which a gateway that never ran counts as failed; further ones follow all the same. */
const ATTEMPTS = 3;
/** Between two looks at whether it still answers, and the patience with an answer. */
const PULSE_MS = 15_000;
const DEAD_MS = 60_000;

/** One member of a gateway: a process that is kept running in the desired state until it is told to stop. */
export class MemberProcess {
  readonly #options: MemberOptions;
  #desired: DesiredState;
  #state: MemberState = 'starting';
  #status: StatusDocument | undefined;
  #reason: string | undefined;
  #process: LaunchedProcess | undefined;
  /** The desired state that the process has been given. */
  #given: DesiredState | undefined;
  #configuring: Promise<void> = Promise.resolve();
  #failures = 0;
  /** Of the failures in a row, those of a process that had come to run. */
  #crashes = 0;
  #everRan = false;
  readonly #stopping = new AbortController();
  /** The process is left to itself when this one stops following it. */
  #released = false;
  #loop: Promise<void> | undefined;

  constructor(desired: DesiredState, options: MemberOptions) {
    this.#desired = desired;
    this.#options = options;
  }

  get state(): MemberState {
    return this.#state;
  }

  /** As long as it runs. */
  get status(): StatusDocument | undefined {
    return this.#status;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  start(): void {
    this.#loop ??= this.#keepRunning();
  }

  /** Resolves when a running process has taken it over; one that does not run begins with it. */
  async patch(desired: DesiredState): Promise<void> {
    this.#desired = desired;
    const launched = this.#process;
    try {
      await this.#configure();
    } catch (error) {
      // One that ended meanwhile is started again, with the newest desired state.
      if (this.#process === launched) throw error;
    }
  }

  /** Resolves when nothing is left of it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    const { launch } = this.#options;
    await endLeftover(launch.control);
    await cleanUp(launch);
    this.#status = undefined;
  }

  /** Follows its process no longer and leaves it running. Resolves when its connection is closed. */
  async release(): Promise<void> {
    this.#released = true;
    this.#stopping.abort();
    await this.#loop;
  }

  async #keepRunning(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const since = performance.now();
      try {
        await this.#runOnce(signal);
        this.#reason = 'The gateway process has ended; it is being started again.';
      } catch (error) {
        this.#reason = oneLine(error);
      }
      const crashed = this.#state === 'running';
      this.#status = undefined;
      this.#given = undefined;
      this.#process = undefined;
      if (signal.aborted) return;
      if (performance.now() - since > HEALTHY_MS) this.#failures = this.#crashes = 0;
      const wait = this.#pauseAfter(crashed);
      this.#become(this.#everRan ? 'down' : this.#failures >= ATTEMPTS ? 'failed' : 'starting');
      this.#options.logger.error(
        { gateway_id: this.#options.launch.id, retry_ms: wait },
        `gateway ${this.#options.launch.id}: ${this.#reason}`,
      );
      await sleep(wait, signal);
    }
  }

  /** Milliseconds to wait: its tunnels are down until it runs again, so what did run is not kept waiting at first. */
  #pauseAfter(crashed: boolean): number {
    this.#failures++;
    if (crashed && ++this.#crashes <= FREE_RESTARTS) return 0;
    return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
  }

  /** From start to end of one process. @throws the reason when it does not come to run */
  async #runOnce(signal: AbortSignal): Promise<void> {
    const launched = await obtainProcess(this.#options.launch);
    const released = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => this.#released && resolve(), { once: true });
      if (this.#released) resolve();
    });
    const stop = (): void => {
      if (!this.#released) void endProcess(launched, 'open');
    };
    this.#process = launched;
    try {
      if (signal.aborted) return;
      if (launched.adopted) {
        const { id } = this.#options.launch;
        this.#options.logger.info({ gateway_id: id, pid: launched.pid }, `gateway ${id} is running already`);
      }
      await this.#configure();
      const seen = (status: StatusDocument): void => {
        if (this.#process !== launched) return;
        this.#status = status;
        this.#options.changed();
      };
      this.#status = await launched.client.watch(seen);
      this.#everRan = true;
      this.#reason = undefined;
      this.#become('running');
      const end = watchPulse(launched, seen);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      await Promise.race([launched.exited, released]);
      end();
    } finally {
      signal.removeEventListener('abort', stop);
      if (this.#released) launched.release();
      else await endProcess(launched, signal.aborted ? 'open' : 'closed');
    }
  }

  /** Brings the process to the newest desired state, one change after the other. */
  #configure(): Promise<void> {
    const done = this.#configuring.then(async () => {
      const launched = this.#process;
      const desired = this.#desired;
      // Most changes of objects around a gateway are none of its own.
      if (launched === undefined || isDeepStrictEqual(this.#given, desired)) return;
      const answer = await launched.client.configure(desired);
      this.#given = desired;
      if (answer.ok) return;
      this.#options.logger.warn(
        { gateway_id: this.#options.launch.id },
        `gateway ${this.#options.launch.id} cannot be changed while it runs: it is started anew`,
      );
      launched.kill(STOP_SIGNAL.closed);
    });
    this.#configuring = done.catch(() => undefined);
    return done;
  }

  #become(state: MemberState): void {
    this.#state = state;
    this.#options.changed();
  }
}

/** A process that lives and does not answer any more is ended, so that another one takes its place. */
function watchPulse({ client, kill }: LaunchedProcess, seen: (status: StatusDocument) => void): () => void {
  let last = performance.now();
  const timer = setInterval(() => {
    client.status().then(
      (status) => {
        last = performance.now();
        seen(status);
      },
      () => undefined,
    );
    if (performance.now() - last > DEAD_MS) kill('SIGKILL');
  }, PULSE_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
}
