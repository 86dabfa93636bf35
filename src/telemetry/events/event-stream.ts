import { type EventLevel, isStreamedKind } from '../../connection/event-catalogue.js';
import type { IkeEvent } from '../../ike/events.js';
import type { HeldEvent, LineSink, ReportedEvent } from '../event-lines.js';
import type { PublishEvent } from './event-document.js';

/** Publishes the engine's events: what the log says, without what is for debugging only. */
export class EventStream implements LineSink {
  readonly #publish: PublishEvent;

  constructor(publish: PublishEvent) {
    this.#publish = publish;
  }

  wants(kind: IkeEvent['kind']): boolean {
    return isStreamedKind(kind);
  }

  report({ kind, level, text, fields, connection, repeats }: ReportedEvent): void {
    this.#publish({
      ...{ kind, level: shown(level), message: text },
      ...(connection === undefined ? {} : { connection }),
      fields: repeats === 0 ? fields : { ...fields, repeats },
    });
  }

  reportHeld({ repeats, ...event }: HeldEvent): void {
    const more = repeats === 0 ? '' : ` (and ${repeats} more)`;
    this.report({ ...event, text: `${event.text}${more}`, repeats });
  }
}

/** For who follows the stream nothing of it is for debugging. */
function shown(level: EventLevel): EventLevel {
  return level === 'debug' ? 'info' : level;
}
