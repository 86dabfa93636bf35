import type { SaChange } from '../../connection/ledger.js';
import type { EventConsumer } from '../../connection/projection.js';
import type { IkeEvent } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';

/** Follows the events one by one, and acts on those of a step together. */
export interface Actor extends EventConsumer {
  /** All events of the step have been taken. */
  act(): void;
}

/**
 * Who gets the events of a step, in the order in which they get them:
 *
 * 1. `ledger`: which SAs are established. All others read it, and get what the event changed in it.
 * 2. `state`: who keeps what is done later: where to send keepalives.
 * 3. `records`: what people read of it: status, history, log.
 * 4. `actors`: who draws conclusions when the step is over, since only all its events together say why something was
 *    lost: the reconciler. Its commands are the next steps.
 * 5. `settled`: who waits for a change, and has collected the events of it as a record. Told when the actors have
 *    acted, so that one look shows the step and its consequences.
 *
 * Each event passes through the first four before the next one; within a stage the order is that of the list. A new
 * consumer (metrics, a stream of events) is one file and one entry of `records`.
 */
export interface EventStages {
  readonly ledger: { apply(event: IkeEvent): SaChange };
  readonly state: readonly EventConsumer[];
  readonly records: readonly EventConsumer[];
  /** Not told to act on a step without events. */
  readonly actors: readonly Actor[];
  /** Called for every step: a status may change without an event. */
  readonly settled: readonly (() => void)[];
}

/** Fans the events of each step out to their consumers, in the order of `EventStages`. */
export class EventBus {
  readonly #each: readonly EventConsumer[];
  readonly #stages: EventStages;

  constructor(stages: EventStages) {
    this.#each = [...stages.state, ...stages.records, ...stages.actors];
    this.#stages = stages;
  }

  publish(events: readonly IkeEvent[], now: Millis): void {
    const { ledger, actors, settled } = this.#stages;
    for (const event of events) {
      const change = ledger.apply(event);
      for (const consumer of this.#each) consumer.on(event, now, change);
    }
    if (events.length > 0) for (const actor of actors) actor.act();
    for (const look of settled) look();
  }
}
