import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a shell, `nsenter` and `setpriv` exit with when there is no such program. */
const NOT_FOUND = 127;
const STEP = 20;

/**
 * A program that a test runs beside itself and waits for. No wait outlasts it: where it cannot be started or ends
 * first, the wait rejects at once and says why.
 */
export class HelperProgram {
  readonly #what: string;
  readonly #child: ChildProcess;
  #said = '';
  #end: string | undefined;
  /** Resolves at its end, however that came. */
  readonly ended: Promise<void>;

  /** To be made in the same turn as the process. `what`: its name, for the reason. */
  constructor(what: string, child: ChildProcess) {
    this.#what = what;
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = `${this.#said}${text}`.slice(-2000);
    });
    this.ended = new Promise((resolve) => {
      const end = (why: string): void => {
        this.#end ??= why;
        resolve();
      };
      child.once('error', (error) => end(`cannot be started: ${error.message}`));
      child.once('close', (code, signal) => {
        const hint = code === NOT_FOUND ? ': is it installed?' : '';
        end(`ended with ${signal ?? code}${hint} ${this.#said.trim()}`.trimEnd());
      });
    });
  }

  /** Its first output. @throws Error when there is none */
  async firstOutput(): Promise<string> {
    const output = once(this.#child.stdout!, 'data').then(([chunk]) => String(chunk));
    return await Promise.race([output, this.ended.then(() => this.#fail())]);
  }

  /** Resolves when `reached` says so. @throws Error when it has ended before */
  async until(reached: () => boolean): Promise<void> {
    while (!reached()) {
      if (this.#end !== undefined) this.#fail();
      await sleep(STEP);
    }
  }

  /** Ends it in good order. @throws Error when it has ended already: what it was to do all the while was not done */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    if (this.#end !== undefined) this.#fail();
    this.#child.kill(signal);
    await this.ended;
  }

  #fail(): never {
    throw new Error(`${this.#what} ${this.#end}`);
  }
}
