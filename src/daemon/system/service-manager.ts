import { sendUnixDatagram } from '../../linux/unix-datagram.js';
import type { HealthSource } from '../../telemetry/health.js';
import type { Logger } from '../../telemetry/log.js';
import { utf8 } from '../../util/bytes.js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';

/** What systemd puts into the environment of a service (sd_notify(3), sd_watchdog_enabled(3)). */
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/** Between two looks whether a service that starts is ready. */
const READY_LOOK: Millis = 200;
/** The shortest time between two texts for `systemctl status`. */
const STATUS_PAUSE: Millis = 5000;
/** Making the text takes this share of the time at most: that of many connections is dear. */
const STATUS_SHARE = 0.01;

/** A service as its manager sees it. */
export interface ManagedService {
  readonly health: HealthSource;
  /** One line for `systemctl status`. */
  describe(): string;
  /** Calls the listener when the line may have changed. Returns the way to stop. */
  changed(listener: () => void): () => void;
}

/** What tests put in the place of the system. */
export interface ServiceManagerOptions {
  readonly logger: Logger;
  /** Sends a datagram to a Unix socket; by libc when left out. */
  readonly send?: (socket: string, datagram: Uint8Array) => void;
}

/**
 * The service manager that started this process, by the protocol of sd_notify(3): it is informed when the service is
 * ready, reloads and stops, and how it is; and its watchdog is fed as long as the service works. Without one nothing is
 * done.
 */
export class ServiceManager {
  readonly #socket: string | undefined;
  /** Undefined without a watchdog. */
  readonly #watchdog: Millis | undefined;
  readonly #options: ServiceManagerOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  #unfollow: () => void = () => undefined;
  #text = '';
  #isReady = false;
  #failed = false;

  private constructor(
    socket: string | undefined,
    watchdog: Millis | undefined,
    options: ServiceManagerOptions,
  ) {
    this.#socket = socket;
    this.#watchdog = watchdog;
    this.#options = options;
  }

  /**
   * The manager that this environment names. The variables are taken out of it: processes that are started from here
   * are no services of its own.
   */
  static of(environment: NodeJS.ProcessEnv, options: ServiceManagerOptions): ServiceManager {
    const [socket, period, pid] = VARIABLES.map((name) => environment[name] || undefined);
    for (const name of VARIABLES) delete environment[name];
    if (socket !== undefined && !/^[/@]/.test(socket)) {
      options.logger.warn('NOTIFY_SOCKET names no Unix socket: nobody is told that the service is ready');
      return new ServiceManager(undefined, undefined, options);
    }
    const mine = pid === undefined || Number(pid) === process.pid;
    const micros = Number(period);
    return new ServiceManager(socket, mine && micros > 0 ? micros / 1000 : undefined, options);
  }

  /** Follows a service that has been started: reports when it is ready, and from then on how it is. */
  attend(service: ManagedService): void {
    if (this.#socket === undefined) return;
    const look = setInterval(() => void check(), READY_LOOK).unref();
    const check = async (): Promise<void> => {
      const { ok } = await service.health.ready();
      if (!ok || !this.#timers.delete(look)) return;
      clearInterval(look);
      this.#isReady = true;
      this.#text = service.describe();
      this.#tell('READY=1', `STATUS=${lineOf(this.#text)}`);
      this.#followStatus(service);
      this.#feed(service.health);
    };
    this.#timers.add(look);
    void check();
  }

  /** It reads its configuration again by `work`. */
  async reload(work: () => void | Promise<void>): Promise<void> {
    // sd_notify(3): Type=notify-reload wants the time of the monotonic clock along with it.
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    try {
      await work();
    } finally {
      if (this.#isReady) this.#tell('READY=1');
    }
  }

  /** It ends in good order. The watchdog is left alone from here on, which systemd does not expect to be fed any more. */
  stopping(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
    this.#unfollow();
    this.#tell('STOPPING=1', 'STATUS=ending');
  }

  #followStatus(service: ManagedService): void {
    let stale = false;
    let notBefore: Millis = 0;
    this.#unfollow = service.changed(() => {
      stale = true;
    });
    const look = setInterval(() => {
      const begun = performance.now();
      if (!stale || begun < notBefore) return;
      stale = false;
      const text = service.describe();
      notBefore = begun + (performance.now() - begun) / STATUS_SHARE;
      if (text === this.#text) return;
      this.#text = text;
      this.#tell(`STATUS=${lineOf(text)}`);
    }, STATUS_PAUSE);
    this.#timers.add(look.unref());
  }

  /** sd_watchdog_enabled(3): twice as often as it bites. A main loop that is blocked feeds nothing. */
  #feed(health: HealthSource): void {
    if (this.#watchdog === undefined) return;
    let asking = false;
    const feed = async (): Promise<void> => {
      if (asking) return;
      asking = true;
      try {
        const { ok } = await health.health();
        if (ok) this.#tell('WATCHDOG=1');
      } finally {
        asking = false;
      }
    };
    this.#timers.add(setInterval(() => void feed(), this.#watchdog / 2).unref());
    void feed();
  }

  #tell(...lines: readonly string[]): void {
    if (this.#socket === undefined) return;
    const { send = sendUnixDatagram, logger } = this.#options;
    try {
      send(this.#socket, utf8(lines.join('\n')));
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) logger.warn(`the service manager cannot be told: ${oneLine(error)}`);
      this.#failed = true;
    }
  }
}

/** sd_notify separates variables by line breaks. */
function lineOf(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ');
}
