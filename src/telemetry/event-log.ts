import type { EventLevel } from '../connection/event-catalogue.js';
import type { IkeEvent } from '../ike/events.js';
import type { HeldEvent, LineSink, ReportedEvent } from './event-lines.js';
import type { Logger } from './log.js';

/** One log line for each change of state that the engine reports; messages and retransmissions for debugging. */
export class EventLog implements LineSink {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  wants(_kind: IkeEvent['kind'], level: EventLevel): boolean {
    return this.#logger.isLevelEnabled(level);
  }

  report({ kind, level, text, fields, connection, repeats }: ReportedEvent): void {
    const named = connection === undefined ? {} : { connection: connection.name };
    const folded = repeats === 0 ? {} : { repeats };
    this.#logger[level]({ event: kind, ...named, ...fields, ...folded }, text);
  }

  reportHeld({ key, level, text, repeats }: HeldEvent): void {
    const more = repeats === 0 ? '' : ` (and ${repeats} more)`;
    this.#logger[level]({ event: key, repeats }, `${text}${more}`);
  }
}
