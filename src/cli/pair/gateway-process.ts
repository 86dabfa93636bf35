import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { NetworkLab } from '../../linux/namespaces.js';
import { type Control, openControl } from '../control.js';
import { CliError } from '../errors.js';
import { programPath } from '../program-path.js';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5000;
const KEPT_LINES = 40;

/** How a gateway of the pair is started. */
export interface GatewayProcessOptions {
  /** Name for messages. */
  readonly name: string;
  /** Namespace it runs in. */
  readonly node: string;
  readonly configFile: string;
  readonly control: string;
  /** Path of the Unix socket where it is to serve metrics. */
  readonly metrics?: string;
  /** Receives every line of its log. */
  readonly log?: WriteStream | undefined;
}

/** One `culvert run` in a namespace, and the connection to its control socket. */
export class GatewayProcess {
  readonly name: string;
  readonly controlPath: string;
  readonly metricsPath: string | undefined;
  /** Rejects when the process ends before `stop` was called; never resolves. */
  readonly lost: Promise<never>;
  readonly #child: ChildProcess;
  readonly #tail: string[] = [];
  #control: Control | undefined;
  #stopping = false;

  private constructor(lab: NetworkLab, options: GatewayProcessOptions) {
    this.name = options.name;
    this.controlPath = options.control;
    this.metricsPath = options.metrics;
    const command = [process.execPath, programPath, 'run', '--config', options.configFile];
    if (options.metrics !== undefined) command.push('--metrics', options.metrics);
    this.#child = lab.spawn(options.node, command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Not in our process group: an interrupt from the keyboard is for us, who then stop it in order.
      detached: true,
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        options.log?.write(`${line}\n`);
        this.#tail.push(line);
        if (this.#tail.length > KEPT_LINES) this.#tail.shift();
      });
    }
    this.lost = new Promise((_, reject) => {
      this.#child.once('error', (error) => reject(new CliError(`gateway ${this.name}: ${error.message}`)));
      this.#child.once('close', (code, signal) => {
        if (!this.#stopping)
          reject(new CliError(`gateway ${this.name} ${ending(code, signal)}${this.#why()}`));
      });
    });
    // A caller that waits for it handles it; until then it is no unhandled rejection.
    this.lost.catch(() => {});
  }

  /** Starts the daemon and waits until its control socket answers. */
  static async start(lab: NetworkLab, options: GatewayProcessOptions): Promise<GatewayProcess> {
    const gateway = new GatewayProcess(lab, options);
    await Promise.race([gateway.#connect(), gateway.lost]);
    return gateway;
  }

  get control(): Control {
    if (this.#control === undefined) throw new CliError(`gateway ${this.name} is not connected`);
    return this.#control;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Last lines of the log. */
  get tail(): readonly string[] {
    return this.#tail;
  }

  /** SIGTERM, so that the SAs are deleted at the peer. @returns what went wrong, or undefined */
  async stop(): Promise<string | undefined> {
    this.#stopping = true;
    this.#control?.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'close');
      this.#child.kill('SIGTERM');
      const late = pause(STOP_TIMEOUT_MS, 'late' as const, { ref: false });
      if ((await Promise.race([ended, late])) === 'late') {
        this.#child.kill('SIGKILL');
        await ended;
        return `gateway ${this.name} did not stop within ${STOP_TIMEOUT_MS / 1000} s`;
      }
    }
    const { exitCode, signalCode } = this.#child;
    return exitCode === 0 ? undefined : `gateway ${this.name} ${ending(exitCode, signalCode)}${this.#why()}`;
  }

  async #connect(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      if (existsSync(this.controlPath)) {
        try {
          const control = await openControl({ control: this.controlPath });
          this.#control = control;
          await control.status();
          return;
        } catch (error) {
          // The socket is there a moment before it listens, and listens a moment before it answers.
          this.#control?.close();
          if (performance.now() > deadline) throw error;
        }
      }
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
      if (performance.now() > deadline) {
        throw new CliError(
          `gateway ${this.name} did not start within ${START_TIMEOUT_MS / 1000} s${this.#why()}`,
        );
      }
      await pause(20);
    }
  }

  /** The line in which the daemon says why, or its last one. */
  #why(): string {
    const line = this.#tail.findLast(isReason) ?? this.#tail.at(-1);
    return line === undefined ? '' : `: ${logMessage(line).replace(/^culvert: /, '')}`;
  }
}

/** pino's number for `fatal`, which is how a daemon says that it cannot start or go on. */
const FATAL = 60;

function isReason(line: string): boolean {
  return line.startsWith('culvert: ') || logRecord(line)?.level === FATAL;
}

function logMessage(line: string): string {
  return logRecord(line)?.msg ?? line;
}

function logRecord(line: string): { readonly level?: number; readonly msg?: string } | undefined {
  try {
    return JSON.parse(line) as { level?: number; msg?: string };
  } catch {
    return undefined;
  }
}

function ending(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
}
