import {
  describeEvent,
  type EventLevel,
  type EventLine,
  initiatingKey,
  levelOf,
  SILENT_CAUSES,
  silentKey,
} from '../connection/event-catalogue.js';
import { subjectOf } from '../ike/event-subject.js';
import type { IkeEvent } from '../ike/events.js';
import type { ConnectionId } from '../util/ids.js';
import type { Millis } from '../util/units.js';
import { RepeatFolder } from './repeats.js';

/** How long repeats of one kind are held back. */
const FOLD_INTERVAL: Millis = 10_000;
/** The same for a peer that stays silent, which may be switched off for days while every attempt fails alike. */
const SILENCE_INTERVAL: Millis = 3_600_000;
/** Connections whose silence is folded one by one. */
const MAX_SILENT = 4096;

/** A connection as lines name it. */
export interface LineConnection {
  readonly id: ConnectionId;
  readonly name: string;
}

/** An event as it is reported to people, repeats left out. */
export interface ReportedEvent {
  readonly kind: IkeEvent['kind'];
  readonly level: EventLevel;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly connection?: LineConnection;
  /** How many like it were left out before it. */
  readonly repeats: number;
}

/** The last of several repeats that were left out, reported when their time is over. */
export interface HeldEvent extends ReportedEvent {
  /** What was folded: the kind of the event and what else its repeats have in common. */
  readonly key: string;
}

/** Who takes lines. */
export interface LineSink {
  /** Events that no sink wants are not described. */
  wants(kind: IkeEvent['kind'], level: EventLevel): boolean;
  report(event: ReportedEvent): void;
  reportHeld(event: HeldEvent): void;
}

/** The names that people know connections by. */
interface Names {
  named(event: IkeEvent): IkeEvent;
}

const UNNAMED: Names = { named: (event) => event };

/** Makes of the engine's events what people read: described by the catalogue, with names, floods folded. */
export class EventLines {
  readonly #sinks: readonly LineSink[];
  readonly #names: Names;
  readonly #folder = new RepeatFolder<HeldEvent>(FOLD_INTERVAL);
  /** Attempts to reach a silent peer, until something else is heard of the connection. */
  readonly #silence = new RepeatFolder<HeldEvent>(SILENCE_INTERVAL, MAX_SILENT);

  constructor(sinks: readonly LineSink[], names: Names = UNNAMED) {
    this.#sinks = sinks;
    this.#names = names;
  }

  on(event: IkeEvent, now: Millis): void {
    const named = this.#names.named(event);
    const { connection: name } = subjectOf(named);
    if (name !== undefined && endsSilence(event)) this.#endSilence(name);
    const level = levelOf(event);
    if (!this.#sinks.some((sink) => sink.wants(event.kind, level))) return;
    const id = subjectOf(event).connection;
    const { fold, ...line } = describeEvent(named);
    const about = id === undefined || name === undefined ? {} : { connection: { id, name } };
    const reported = { kind: event.kind, repeats: 0, ...line, ...about };
    if (fold === undefined) this.#report(reported);
    else this.#fold(reported, fold, now);
  }

  /** Reports what was held back and is due. Call it every second or so, and before the end with `Infinity`. */
  flush(now: Millis): void {
    for (const { line, repeats } of [...this.#folder.due(now), ...this.#silence.due(now)]) {
      for (const sink of this.#wanting(line)) sink.reportHeld({ ...line, repeats: repeats - 1 });
    }
  }

  #fold(reported: ReportedEvent, { key, silence }: NonNullable<EventLine['fold']>, now: Millis): void {
    const folder = silence === true ? this.#silence : this.#folder;
    const { write, repeats } = folder.admit(`${reported.level} ${key}`, { ...reported, key }, now);
    if (write) this.#report(repeats === 0 ? reported : { ...reported, repeats });
  }

  #report(reported: ReportedEvent): void {
    for (const sink of this.#wanting(reported)) sink.report(reported);
  }

  #wanting({ kind, level }: ReportedEvent): readonly LineSink[] {
    return this.#sinks.filter((sink) => sink.wants(kind, level));
  }

  /** The next attempt of the connection is news. */
  #endSilence(connection: string): void {
    this.#silence.forget(`info ${initiatingKey(connection)}`);
    for (const cause of SILENT_CAUSES) this.#silence.forget(`warn ${silentKey(cause, connection)}`);
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
