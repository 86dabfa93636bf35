import { setImmediate as turn } from 'node:timers/promises';
import type { Timers } from '../../src/store/etcd/timers.js';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
}

/** Time that passes only while `until` waits, from timer to timer. */
export class VirtualTime implements Timers {
  #now = 0;
  #order = 0;
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Lets time pass until the promise is settled, and gives what it resolves to. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = (): void => {
      isSettled = true;
    };
    promise.then(settled, settled);
    for (;;) {
      await turn();
      if (isSettled) return promise;
      const next = this.#timers.reduce<Timer | undefined>(
        (first, one) =>
          first === undefined || one.at < first.at || (one.at === first.at && one.order < first.order)
            ? one
            : first,
        undefined,
      );
      if (next === undefined) throw new Error('nothing is left that could settle it');
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#now = next.at;
      next.work();
    }
  }
}
