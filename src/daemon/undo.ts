import type { Logger } from '../telemetry/log.js';

/** What was done to the machine, to be undone in the opposite order: at a clean stop and at a failed start. */
export class UndoStack {
  readonly #steps: { readonly name: string; readonly undo: () => unknown }[] = [];

  push(name: string, undo: () => unknown): void {
    this.#steps.push({ name, undo });
  }

  /** Undoes everything. A step that fails is logged and does not keep the others from being undone. */
  async run(logger: Logger): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        logger.warn({ err: error }, `could not undo: ${step.name}`);
      }
    }
  }
}
