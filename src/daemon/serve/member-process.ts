import { isDeepStrictEqual } from 'node:util';
import type { GatewayFault } from '../../api/runner.js';
import type { StatusDocument } from '../../connection/status.js';
import type { EventDocument, PublishEvent } from '../../telemetry/events/event-document.js';
import { describeOperatorEvent, type OperatorEvent } from '../../telemetry/events/operator-events.js';
import type { Logger } from '../../telemetry/log.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { oneLine } from '../../util/operator-error.js';
import type { ControlClient } from '../control/client.js';
import { ControlError } from '../control/protocol.js';
import type { DesiredState } from '../supervised/desired-state.js';
import {
  cleanUp,
  endLeftover,
  endProcess,
  endSilent,
  type LaunchedProcess,
  type LaunchOptions,
  obtainProcess,
  SilentProcessError,
  STOP_SIGNAL,
} from './launch.js';
import { PULSE_PACE, Pulse, type PulsePace } from './pulse.js';

/** See `GatewayObservation`; a member is never degraded. A `silent` one runs and does not answer. */
export type MemberState = 'starting' | 'running' | 'silent' | 'down' | 'failed';

/** How the process of a gateway's member is launched and watched. */
export interface MemberOptions {
  readonly launch: LaunchOptions;
  readonly logger: Logger;
  /** Called when state, status or reason may have changed. */
  readonly changed: () => void;
  /** Takes what happens to the process, and the events of its gateway. */
  readonly publish: PublishEvent;
  /** `PULSE_PACE` when left out. */
  readonly pace?: PulsePace;
}

/** Pause before a start is tried again; doubled with every further one. */
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 30_000;
/** A process that ran this long was healthy: its crash begins a new count. */
const HEALTHY_MS = 60_000;
/** Crashes of a process that had come to run, in a row, after which it is started again at once. */
const FREE_RESTARTS = 10;
/** Attempts after which a gateway that never ran counts as failed; further ones follow all the same. */
const ATTEMPTS = 3;
/** How long a process may take to say its metrics: who asks for them waits for ten seconds or so. */
const METRICS_MS = 5000;
/** Between two looks at the status, whose counters move without an event; in beats of the pulse. */
const LOOK_BEATS = 8;

/** One member of a gateway: a process that is kept running in the desired state until `stop`. */
export class MemberProcess {
  readonly #options: MemberOptions;
  readonly #pace: PulsePace;
  #desired: DesiredState;
  #state: MemberState = 'starting';
  #status: StatusDocument | undefined;
  #reason: string | undefined;
  #fault: GatewayFault['kind'] = 'starting';
  #process: LaunchedProcess | undefined;
  /** The desired state that the process has been given. */
  #given: DesiredState | undefined;
  #configuring: Promise<void> = Promise.resolve();
  #failures = 0;
  #restarts = 0;
  /** Of the failures in a row, those of a process that had come to run. */
  #crashes = 0;
  #everRan = false;
  /** When a process was first found that listens and never answered. */
  #unansweredAt: number | undefined;
  /** Called when the process stops answering. */
  readonly #onSilence = new Set<() => void>();
  readonly #stopping = new AbortController();
  /** The process is left to itself when this one stops following it. */
  #released = false;
  #loop: Promise<void> | undefined;

  constructor(desired: DesiredState, options: MemberOptions) {
    this.#desired = desired;
    this.#options = options;
    this.#pace = options.pace ?? PULSE_PACE;
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

  /** Why it gives no status; undefined as long as it does. */
  get fault(): GatewayFault | undefined {
    if (this.#status !== undefined) return undefined;
    return { kind: this.#fault, ...(this.#reason === undefined ? {} : { message: this.#reason }) };
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts of its process after one that ended, failed to start or fell silent. */
  get restarts(): number {
    return this.#restarts;
  }

  /** The metrics of the process; undefined when it does not answer in time. */
  async metrics(): Promise<GatewaySnapshot | undefined> {
    const launched = this.#process;
    if (launched === undefined || this.#state !== 'running') return undefined;
    const late = new AbortController();
    const patience = sleep(METRICS_MS, late.signal).then(() => undefined);
    try {
      return await Promise.race([launched.client.metrics(), patience]);
    } catch (error) {
      const { id } = this.#options.launch;
      this.#options.logger.warn({ gateway_id: id }, `gateway ${id} gives no metrics: ${oneLine(error)}`);
      return undefined;
    } finally {
      late.abort();
    }
  }

  start(): void {
    this.#loop ??= this.#keepRunning();
  }

  /**
   * Resolves when a running process has taken it over; one that does not run begins with it. One that does not answer
   * takes it over when it answers again, which nothing waits for.
   */
  async patch(desired: DesiredState): Promise<void> {
    this.#desired = desired;
    const launched = this.#process;
    try {
      await this.#unlessSilent(this.#configure());
    } catch (error) {
      // One that ended meanwhile is started again, with the newest desired state.
      if (this.#process === launched) throw error;
    }
  }

  /**
   * Asks its process something. Undefined when there is none that runs, when it ends or falls silent meanwhile, and
   * when it answers in the negative.
   */
  async ask<T>(question: (client: ControlClient) => Promise<T>): Promise<T | undefined> {
    const client = this.#process?.client;
    if (this.#state !== 'running' || client === undefined) return undefined;
    const answer = question(client).catch((error: unknown) => {
      if (error instanceof ControlError) return undefined;
      throw error;
    });
    return await this.#unlessSilent(answer);
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
        this.#fault = 'ended';
      } catch (error) {
        this.#reason = oneLine(error);
        this.#fault = faultOf(error);
        if (error instanceof SilentProcessError) await this.#unanswered(error);
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
      this.#report({ kind: 'gateway-ended', reason: this.#reason, retryMs: wait });
      await sleep(wait, signal);
      if (!signal.aborted) this.#restarts++;
    }
  }

  /** Milliseconds to wait: its tunnels are down until it runs again, so what did run is not kept waiting at first. */
  #pauseAfter(crashed: boolean): number {
    this.#failures++;
    if (crashed && ++this.#crashes <= FREE_RESTARTS) return 0;
    return Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
  }

  /** From start to end of one process. @throws the reason when it does not come to run */
  async #runOnce(signal: AbortSignal): Promise<void> {
    const launched = await obtainProcess(this.#options.launch);
    this.#unansweredAt = undefined;
    const released = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => this.#released && resolve(), { once: true });
      if (this.#released) resolve();
    });
    const stop = (): void => {
      if (!this.#released) void endProcess(launched, 'open');
    };
    this.#process = launched;
    const endPulse = this.#watchPulse(launched);
    try {
      if (signal.aborted) return;
      if (launched.adopted) {
        const { id } = this.#options.launch;
        this.#options.logger.info({ gateway_id: id, pid: launched.pid }, `gateway ${id} is already running`);
      }
      signal.addEventListener('abort', stop, { once: true });
      await Promise.race([this.#bringUp(launched), released]);
      if (this.#released) return;
      if (signal.aborted) stop();
      await Promise.race([launched.exited, released]);
    } finally {
      endPulse();
      signal.removeEventListener('abort', stop);
      if (this.#released) launched.release();
      else await endProcess(launched, signal.aborted ? 'open' : 'closed');
    }
  }

  async #bringUp(launched: LaunchedProcess): Promise<void> {
    await this.#configure();
    this.#status = await launched.client.watch({}, (status) => this.#seen(launched, status));
    this.#everRan = true;
    this.#reason = undefined;
    this.#report({ kind: 'gateway-started', pid: launched.pid, adopted: launched.adopted });
    // The events of one that was started by this server have not been read by any other.
    const from = launched.reported ?? 'oldest';
    await launched.client.events({ from, follow: true }, (event) => this.#pass(launched, event));
    this.#become('running');
  }

  #seen(launched: LaunchedProcess, status: StatusDocument): void {
    if (this.#process !== launched || this.#state === 'silent') return;
    this.#status = status;
    this.#options.changed();
  }

  /**
   * Follows whether the process answers. One that lives and does not answer any more is reported within seconds, and
   * ended after a minute, so that another one takes its place.
   */
  #watchPulse(launched: LaunchedProcess): () => void {
    const { client, kill, pid } = launched;
    const { logger, launch } = this.#options;
    const about = { gateway_id: launch.id, pid };
    let before = this.#state;
    const look = (): void => {
      client.status().then(
        (status) => this.#seen(launched, status),
        () => undefined,
      );
    };
    const silent = (since: number): void => {
      const patience = this.#pace.dead / 1000;
      this.#reason = `The gateway process ${pid} has not answered since ${new Date(since).toISOString()}; it will be killed if that lasts for ${patience} s.`;
      logger.error(about, `gateway ${launch.id}: ${this.#reason}`);
      this.#report({ kind: 'gateway-silent', reason: this.#reason, pid });
      before = this.#state;
      this.#fault = 'silent';
      this.#status = undefined;
      for (const tell of this.#onSilence) tell();
      this.#become('silent');
    };
    const answered = (): void => {
      if (this.#process !== launched) return;
      logger.info(about, `gateway ${launch.id} answers again`);
      this.#report({ kind: 'gateway-answers', pid });
      this.#reason = undefined;
      if (this.#state === 'silent') this.#become(before);
      look();
    };
    const dead = (): void => kill('SIGKILL');
    const pulse = new Pulse({ ask: () => client.ping(), silent, answered, dead }, this.#pace);
    let beats = 0;
    const timer = setInterval(() => {
      pulse.beat();
      beats++;
      if (beats % LOOK_BEATS === 0 && this.#state === 'running') look();
    }, this.#pace.beat);
    timer.unref();
    return () => clearInterval(timer);
  }

  /** A process from before that never answered: it is given as long as one that falls silent. */
  async #unanswered({ pid }: SilentProcessError): Promise<void> {
    this.#unansweredAt ??= performance.now();
    if (performance.now() - this.#unansweredAt < this.#pace.dead || pid === undefined) return;
    this.#unansweredAt = undefined;
    await endSilent(pid, this.#options.launch.control);
  }

  /** Resolves with `done`, or with nothing when the process does not answer. */
  async #unlessSilent<T>(done: Promise<T>): Promise<T | undefined> {
    let silent = (): void => undefined;
    const silence = new Promise<undefined>((resolve) => {
      silent = () => resolve(undefined);
      if (this.#state === 'silent') silent();
    });
    this.#onSilence.add(silent);
    try {
      return await Promise.race([done, silence]);
    } finally {
      this.#onSilence.delete(silent);
    }
  }

  /** Brings the process to the newest desired state, one change after the other. */
  #configure(): Promise<void> {
    const done = this.#configuring.then(async () => {
      const launched = this.#process;
      const desired = this.#desired;
      // Most changes of objects around a gateway are none of its own. Whether what is sent is the same is all that is
      // asked here: what a difference means is the process's to say.
      if (launched === undefined || isDeepStrictEqual(this.#given, desired)) return;
      const answer = await launched.client.configure(desired);
      this.#given = desired;
      if (answer.ok) return;
      this.#options.logger.warn(
        { gateway_id: this.#options.launch.id },
        `gateway ${this.#options.launch.id} cannot be changed while it runs: it is restarted`,
      );
      launched.kill(STOP_SIGNAL.closed);
    });
    this.#configuring = done.catch(() => undefined);
    return done;
  }

  #report(event: OperatorEvent): void {
    this.#options.publish(describeOperatorEvent(event));
  }

  /** Passes on an event of the gateway, which gets another id here. */
  #pass(launched: LaunchedProcess, { id: _, ...event }: EventDocument): void {
    if (this.#process === launched) this.#options.publish(event);
  }

  #become(state: MemberState): void {
    this.#state = state;
    this.#options.changed();
  }
}

function faultOf(error: unknown): GatewayFault['kind'] {
  if (error instanceof SilentProcessError) return 'silent';
  return error instanceof ControlError && error.code === 'no_address' ? 'address' : 'start';
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
