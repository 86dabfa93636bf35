import type { IkeEvent } from '../../ike/events.js';
import type { Input } from '../../ike/inputs.js';
import type { Output } from '../../ike/outputs.js';
import type { Logger } from '../../telemetry/log.js';
import type { Millis } from '../../util/units.js';
import type { Clock } from '../system/clock.js';
import { type Effects, perform } from './effects.js';

/** The sans-IO engine, as far as the daemon sees it. */
export interface EngineLike {
  handle(input: Input, now: Millis): Output[];
  nextDeadline(): Millis | undefined;
  /** Whether a DELETE of ours is still unanswered. */
  readonly closing?: boolean;
}

/** Another holder of deadlines, which the timer of the engine serves as well. */
export interface Sleeper {
  nextDeadline(): Millis | undefined;
  /** Its deadline has come. */
  wake(): void;
}

/** What the driver needs: the engine, who carries out its outputs, and who hears of its events. */
export interface EngineDriverDeps {
  readonly engine: EngineLike;
  readonly effects: Effects;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  /**
   * The events of one step, in order, when all its other outputs have been carried out; none when it had none. Inputs
   * given meanwhile are handled after it.
   */
  publish(events: readonly IkeEvent[]): void;
  readonly sleeper: Sleeper;
}

/** setTimeout takes no more. */
const MAX_TIMER: Millis = 2 ** 31 - 1;
/** Back-off after an exception of the engine on a timer. */
const AFTER_BUG: Millis = 1000;

/**
 * Feeds the engine one input after the other and carries out what it asks for, in its order. A step (one input, its
 * outputs, its events) is never interrupted by another. One timer wakes the engine and the sleeper.
 */
export class EngineDriver {
  readonly #deps: EngineDriverDeps;
  readonly #queue: Input[] = [];
  #draining = false;
  #timer: NodeJS.Timeout | undefined;
  #notBefore: Millis = 0;
  #ended = false;

  constructor(deps: EngineDriverDeps) {
    this.#deps = deps;
  }

  /** One input, with all that follows from it; after the present step when there is one. */
  input(input: Input): void {
    if (this.#ended) return;
    this.#queue.push(input);
    this.drain();
  }

  /** Leaves an input for the next `input` or `drain`. */
  enqueue(input: Input): void {
    this.#queue.push(input);
  }

  /** Handles all inputs that wait, and sets the timer. Does nothing inside a step, which handles them at its end. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let input = this.#queue.shift(); input !== undefined; input = this.#queue.shift())
        this.#step(input);
    } finally {
      this.#draining = false;
    }
    this.arm();
  }

  /** Sets the timer to whatever is due next: for who changed the deadline of the sleeper outside of a step. */
  arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#ended) return;
    const { engine, sleeper, clock } = this.#deps;
    const next = Math.min(
      engine.nextDeadline() ?? Number.POSITIVE_INFINITY,
      sleeper.nextDeadline() ?? Number.POSITIVE_INFINITY,
    );
    if (next === Number.POSITIVE_INFINITY) return;
    const wait = Math.max(next, this.#notBefore) - clock.now();
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(MAX_TIMER, Math.max(1, wait)));
  }

  /** Takes no input any more: a late datagram must not arm a timer that keeps the process alive. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #step(input: Input): void {
    const { engine, clock, logger } = this.#deps;
    let outputs: Output[];
    try {
      outputs = engine.handle(input, clock.now());
    } catch (error) {
      logger.error(
        { err: error, input: input.kind },
        'the engine failed on an input, which is dropped: this is a bug',
      );
      if (input.kind === 'timer') this.#notBefore = clock.now() + AFTER_BUG;
      return;
    }
    this.#carryOut(outputs);
  }

  /** Outputs of earlier steps, which had to wait for a standby. */
  release(outputs: readonly Output[]): void {
    if (this.#ended) return;
    this.#carryOut(outputs);
    this.drain();
  }

  #carryOut(outputs: readonly Output[]): void {
    const { publish } = this.#deps;
    const events: IkeEvent[] = [];
    for (const output of outputs) {
      if (output.kind === 'event') events.push(output.event);
      else this.#perform(output);
    }
    publish(events);
  }

  #perform(output: Exclude<Output, { kind: 'event' }>): void {
    const { effects, logger } = this.#deps;
    try {
      const refusal = perform(output, effects);
      if (refusal === undefined || output.kind !== 'install-child') return;
      this.#queue.push({ kind: 'install-failed', childId: output.child.id, reason: refusal });
    } catch (error) {
      logger.error({ err: error, output: output.kind }, 'an output of the engine could not be carried out');
    }
  }

  #onTimer(): void {
    const { engine, sleeper, clock } = this.#deps;
    const now = clock.now();
    const own = engine.nextDeadline();
    if (own !== undefined && own <= now && now >= this.#notBefore) this.input({ kind: 'timer' });
    const other = sleeper.nextDeadline();
    if (other !== undefined && other <= now) sleeper.wake();
    this.arm();
  }
}
