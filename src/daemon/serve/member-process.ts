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
import { StartError } from '../start-error.js';
import type { DesiredState } from '../supervised/desired-state.js';
import {
  cleanUp,
  endLeftover,
  endProcess,
  endSilent,
  type LaunchedProcess,
  type LaunchOptions,
  SilentProcessError,
  STOP_SIGNAL,
} from './launch.js';
import { type MemberTurn, obtainProcess } from './member-turn.js';
import { beating, PULSE_PACE, Pulse, type PulsePace } from './pulse.js';
import { RestartPace } from './restart-pace.js';
import { Silence, sleep, within } from './silence.js';

/**
 * See `GatewayObservation`; a member is never degraded. A `silent` one runs and does not answer, a `standby` is ready
 * and does not speak.
 */
export type MemberState = 'starting' | 'running' | 'standby' | 'silent' | 'down' | 'failed';

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
  /** Of one that has its turn with another process; it speaks from the start when left out. */
  readonly turn?: MemberTurn;
}

/** How long a process may take to say its metrics: who asks for them waits for ten seconds or so. */
const METRICS_MS = 5000;

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
  /** What it is given only makes it ready. */
  #prepares = false;
  readonly #restartPace = new RestartPace();
  #restarts = 0;
  #everRan = false;
  /** When a process was first found that listens and never answered. */
  #unansweredAt: number | undefined;
  readonly #silence = new Silence();
  /** Its process was released for another one, so its end is no trouble. */
  #isReleased = false;
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

  /** As long as there is one. */
  get process(): LaunchedProcess | undefined {
    return this.#process;
  }

  /** Has its process end at once for another one, which is ready. */
  async handOver(): Promise<void> {
    const launched = this.#process;
    this.#isReleased = true;
    await launched?.client.release().catch(() => undefined);
    // It has sent all that is to be sent: its end by itself would take longer.
    launched?.kill('SIGKILL');
  }

  /** Starts of its process after one that ended, failed to start or fell silent. */
  get restarts(): number {
    return this.#restarts;
  }

  /** The metrics of the process; undefined when it does not answer in time. */
  async metrics(): Promise<GatewaySnapshot | undefined> {
    const launched = this.#process;
    if (launched === undefined || this.#state !== 'running') return undefined;
    try {
      return await within(METRICS_MS, launched.client.metrics());
    } catch (error) {
      const { id } = this.#options.launch;
      this.#options.logger.warn({ gateway_id: id }, `gateway ${id} gives no metrics: ${oneLine(error)}`);
      return undefined;
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
      await this.#silence.unless(this.#configure());
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
    return await this.#silence.unless(answer);
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
      const crashed = this.#state === 'running' || this.#state === 'standby';
      this.#status = undefined;
      this.#given = undefined;
      this.#process = undefined;
      this.#prepares = false;
      this.#silence.end();
      if (signal.aborted) return;
      this.#options.turn?.ended();
      if (this.#isReleased) {
        this.#isReleased = false;
        this.#reason = undefined;
        this.#fault = 'starting';
        this.#become('starting');
        continue;
      }
      const wait = this.#restartPace.ended(performance.now() - since, crashed);
      this.#become(this.#everRan ? 'down' : this.#restartPace.isHopeless ? 'failed' : 'starting');
      this.#options.logger.error(
        { gateway_id: this.#options.launch.id, retry_ms: wait },
        `gateway ${this.#options.launch.id}: ${this.#reason}`,
      );
      this.#report({ kind: 'gateway-ended', reason: this.#reason, retryMs: wait });
      await sleep(wait, signal);
      if (!signal.aborted) this.#restarts++;
    }
  }

  /** From start to end of one process. @throws the reason when it does not come to run */
  async #runOnce(signal: AbortSignal): Promise<void> {
    const launched = await obtainProcess(this.#options.launch, signal, this.#options.turn);
    this.#unansweredAt = undefined;
    if (launched === undefined) return;
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
    const { turn } = this.#options;
    if (turn !== undefined && launched.term === undefined) await this.#waitForTurn(launched, turn);
    // One of another version may not know all that is wanted, and the other process will take over from it.
    if (!launched.isOutdated) await this.#configure();
    this.#status = await launched.client.watch({}, (status) => this.#seen(launched, status));
    this.#everRan = true;
    this.#reason = undefined;
    this.#report({ kind: 'gateway-started', pid: launched.pid, adopted: launched.adopted });
    // The events of one that was started by this server have not been read by any other.
    const from = launched.reported ?? 'oldest';
    await launched.client.events({ from, follow: true }, (event) => this.#pass(launched, event));
    this.#become('running');
  }

  /** Makes the process ready, and resolves when it speaks. */
  async #waitForTurn(launched: LaunchedProcess, turn: MemberTurn): Promise<void> {
    this.#prepares = true;
    await this.#configure();
    this.#everRan = true;
    this.#reason = undefined;
    this.#become('standby');
    const term = await Promise.race([turn.ready(), launched.exited]);
    if (term === undefined) throw new StartError('the standby process has ended', 'it is started again');
    const taken = this.#configuring.then(async () => {
      this.#prepares = false;
      await launched.client.take({ term });
    });
    this.#configuring = taken.catch(() => undefined);
    await taken;
    turn.live();
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
      this.#silence.begin();
      this.#become('silent');
    };
    const answered = (): void => {
      if (this.#process !== launched) return;
      logger.info(about, `gateway ${launch.id} answers again`);
      this.#report({ kind: 'gateway-answers', pid });
      this.#reason = undefined;
      this.#silence.end();
      if (this.#state === 'silent') this.#become(before);
      look();
    };
    const dead = (): void => kill('SIGKILL');
    return beating(
      new Pulse({ ask: () => client.ping(), silent, answered, dead }, this.#pace),
      this.#pace,
      () => {
        if (this.#state === 'running') look();
      },
    );
  }

  /** A process from before that never answered: it is given as long as one that falls silent. */
  async #unanswered({ pid }: SilentProcessError): Promise<void> {
    this.#unansweredAt ??= performance.now();
    // Where another process is to speak it must not be left alive.
    const patience = this.#options.turn === undefined ? this.#pace.dead : 0;
    if (performance.now() - this.#unansweredAt < patience || pid === undefined) return;
    this.#unansweredAt = undefined;
    await endSilent(pid, this.#options.launch.control);
  }

  /** Brings the process to the newest desired state, one change after the other. */
  #configure(): Promise<void> {
    const done = this.#configuring.then(async () => {
      const launched = this.#process;
      const desired = this.#desired;
      // Most changes of objects around a gateway are none of its own. Whether what is sent is the same is all that is
      // asked here: what a difference means is the process's to say.
      if (launched === undefined || isDeepStrictEqual(this.#given, desired)) return;
      const { client } = launched;
      const answer = this.#prepares
        ? await client.prepare(desired).then(() => ({ ok: true }))
        : await client.configure(desired);
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
