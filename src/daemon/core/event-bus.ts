import type { IkeEvent } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';

/** Follows the events of the engine, one by one. */
export interface EventConsumer {
  handle(event: IkeEvent, now: Millis): void;
}

/**
 * Who gets the events of a step, in the order in which they get them:
 *
 * 1. `state`: who keeps what the others look up: which SAs are established, where to send keepalives.
 * 2. `records`: what people read of it: status, history, log.
 * 3. `actors`: who draws conclusions, from all events of the step together, since only together they say why
 *    something was lost: the reconciler. It reads the state as it is after the step, and its commands are the next
 *    steps.
 * 4. `settled`: who waits for a change, and has collected the events of it as a record. Told when the actors have
 *    done what they do, so that one look shows the step and what came of it.
 *
 * The first two take each event through all of them before the next event; within a stage the order is that of the
 * list.
 */
export interface EventStages {
  readonly state: readonly EventConsumer[];
  readonly records: readonly EventConsumer[];
  /** Not called for a step without events. */
  readonly actors: readonly ((events: readonly IkeEvent[]) => void)[];
  /** Called for every step: a status may change without an event. */
  readonly settled: readonly (() => void)[];
}

/** Fans the events of each step out to their consumers, in the order of `EventStages`. */
export class EventBus {
  readonly #each: readonly EventConsumer[];
  readonly #stages: EventStages;

  constructor(stages: EventStages) {
    this.#each = [...stages.state, ...stages.records];
    this.#stages = stages;
  }

  publish(events: readonly IkeEvent[], now: Millis): void {
    for (const event of events) for (const consumer of this.#each) consumer.handle(event, now);
    if (events.length > 0) for (const act of this.#stages.actors) act(events);
    for (const look of this.#stages.settled) look();
  }
}
