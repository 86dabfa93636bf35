/**
 * Starts that are not urgent, one after the other: each keeps a processor busy that a gateway without a process may need.
 */
export class SpareStarts {
  #last: Promise<unknown> = Promise.resolve();

  /** Calls `start` when those before it have come to an end; its own end is when what it returns is settled. */
  add(start: () => Promise<unknown>): void {
    this.#last = this.#last.then(start).catch(() => undefined);
  }
}
