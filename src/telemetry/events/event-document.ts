import type { EventLevel } from '../../connection/event-catalogue.js';
import type { EventKind } from './kinds.js';

/** The gateway that an event is about. */
export interface EventGateway {
  readonly name: string;
  /** Absent for a gateway with a file of its own. */
  readonly id?: string;
  /** Which of its processes, from 1; absent where the event is about all of them. */
  readonly member?: number;
}

/** The connection that an event is about. */
export interface EventConnection {
  readonly id: string;
  readonly name: string;
}

/** What filters look at. */
export interface EventSubject {
  readonly kind: EventKind;
  readonly level: EventLevel;
  /** Absent for what concerns the whole server. */
  readonly gateway?: EventGateway;
  readonly connection?: EventConnection;
}

/** An event that a hub has not numbered yet. It contains no secret. */
export interface NewEvent extends EventSubject {
  /** RFC 3339, UTC; the time of publication when left out. */
  readonly time?: string;
  /** The words of the catalogue. */
  readonly message: string;
  /** What programs read of it: cause, evidence and so on. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One event as it is streamed, a JSON document. */
export interface EventDocument extends NewEvent {
  /** Later ones are greater, as text; see `EventHub`. */
  readonly id: string;
  readonly time: string;
}

/** Takes events as they happen. */
export type PublishEvent = (event: NewEvent) => void;
