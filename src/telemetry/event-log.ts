import {
  describeEvent,
  type EventLevel,
  initiatingKey,
  levelOf,
  SILENT_CAUSES,
  silentKey,
} from '../connection/event-catalogue.js';
import { subjectOf } from '../ike/event-subject.js';
import type { IkeEvent } from '../ike/events.js';
import type { ConnectionId } from '../util/ids.js';
import type { Millis } from '../util/units.js';
import type { Logger } from './log.js';
import { RepeatFolder } from './repeats.js';

/** How long repeats of one kind are held back. */
const FOLD_INTERVAL: Millis = 10_000;
/** The same for a peer that stays silent, which may be switched off for days while every attempt fails alike. */
const SILENCE_INTERVAL: Millis = 3_600_000;
/** Connections whose silence is folded one by one. */
const MAX_SILENT = 4096;

/** One log line for each change of state that the engine reports; messages and retransmissions for debugging. */
export class EventLog {
  readonly #logger: Logger;
  readonly #folder = new RepeatFolder(FOLD_INTERVAL);
  /** Attempts to reach a silent peer, until something else is heard of the connection. */
  readonly #silence = new RepeatFolder(SILENCE_INTERVAL, MAX_SILENT);

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  on(event: IkeEvent, now: Millis): void {
    const { connection } = subjectOf(event);
    if (connection !== undefined && endsSilence(event)) this.#endSilence(connection);
    if (!this.#logger.isLevelEnabled(levelOf(event))) return;
    const { level, text, fields, fold } = describeEvent(event);
    if (fold === undefined) {
      this.#write(level, text, event, fields);
      return;
    }
    const folder = fold.silence === true ? this.#silence : this.#folder;
    const { write, repeats } = folder.admit(`${level} ${fold.key}`, text, now);
    if (!write) return;
    this.#write(level, text, event, repeats === 0 ? fields : { ...fields, repeats });
  }

  /** Writes what was held back and is due. Call it every second or so, and before the end with `Infinity`. */
  flush(now: Millis): void {
    for (const { kind, line, repeats } of [...this.#folder.due(now), ...this.#silence.due(now)]) {
      const level = kind.split(' ', 1)[0] as EventLevel;
      const more = repeats === 1 ? '' : ` (and ${repeats - 1} more)`;
      const fields = { event: kind.slice(level.length + 1), repeats: repeats - 1 };
      this.#logger[level](fields, `${line}${more}`);
    }
  }

  /** The next attempt of the connection is news. */
  #endSilence(connection: ConnectionId): void {
    this.#silence.forget(`info ${initiatingKey(connection)}`);
    for (const cause of SILENT_CAUSES) this.#silence.forget(`warn ${silentKey(cause, connection)}`);
  }

  #write(level: EventLevel, text: string, event: IkeEvent, fields: Readonly<Record<string, unknown>>): void {
    const { connection } = subjectOf(event);
    const named = connection === undefined ? {} : { connection };
    this.#logger[level]({ event: event.kind, ...named, ...fields }, text);
  }
}

/** Whether the peer has answered, or an operator intervened. */
function endsSilence(event: IkeEvent): boolean {
  switch (event.kind) {
    case 'ike-established':
    case 'ike-closed':
      return true;
    case 'ike-failed':
      return event.role === 'initiator' && !SILENT_CAUSES.includes(event.failure.cause);
    default:
      return false;
  }
}
