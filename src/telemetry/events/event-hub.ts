import type { EventDocument, EventSubject, NewEvent, PublishEvent } from './event-document.js';
import { type EventFilter, fitsFilter } from './event-filter.js';
import { describeOperatorEvent, type OperatorEventOf } from './operator-events.js';

/** How much a hub keeps. */
export interface HubLimits {
  readonly events: number;
  /** Characters of all of them as JSON. */
  readonly characters: number;
}

/** What a hub keeps: `gateway` in the process of one, `server` for all gateways together. */
export const HUB_LIMITS = {
  gateway: { events: 2048, characters: 1024 * 1024 },
  server: { events: 16_384, characters: 8 * 1024 * 1024 },
} as const satisfies Record<string, HubLimits>;

/** Characters of the longest event as JSON; of a longer one the fields are left out. */
const MAX_EVENT = 16 * 1024;
/** Characters of the longest message. */
const MAX_MESSAGE = 4096;

/** An event as subscribers get it. */
export interface StreamedEvent {
  readonly id: string;
  readonly kind: EventSubject['kind'];
  /** The whole document as JSON, in one line. */
  readonly text: string;
}

/** Where a stream begins: with what comes, with all that is kept, after the event of an id, or at a time. */
export type EventStart = 'now' | 'oldest' | { readonly after: string } | { readonly since: string };

/** What a subscriber asks for. */
export interface SubscribeOptions {
  readonly filter: EventFilter;
  readonly from: EventStart;
  /** Called when there is something to read again, after `next` had nothing. */
  wake(): void;
}

/** A place in the stream of a hub. It holds no events: for what is overwritten before it is read there is a gap. */
export interface EventSubscription {
  /** The next event that fits, or the gap before it; undefined when there is none yet. */
  next(): StreamedEvent | undefined;
  /** The id to go on after. */
  readonly position: string;
  close(): void;
}

interface Kept {
  readonly sequence: number;
  readonly time: string;
  readonly subject: EventSubject;
  readonly text: string;
}

/** Digits of the parts of an id. */
const DIGITS = { origin: 13, sequence: 12 } as const;
const ID_PATTERN = /^([0-9]{13})-([0-9]{12})$/;

/** Whether a text has the form of an event's id. */
export function isEventId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/**
 * The newest events, and who follows them. An id is the time at which the hub began, milliseconds since 1970, and a
 * number that counts from 1: ids of a later hub are greater, and one of another hub is recognised as such, so that a
 * client that resumes after a restart learns of the gap. What is kept is bounded, and there is no queue: a subscriber is
 * a place among what is kept, and reads at its own pace.
 */
export class EventHub {
  readonly #origin: string;
  readonly #now: () => number;
  readonly #limits: HubLimits;
  /** Oldest first; those before `#begin` are gone. */
  #kept: (Kept | undefined)[] = [];
  #begin = 0;
  /** Number of the first of `#kept`. */
  #base = 1;
  #characters = 0;
  readonly #subscribers = new Set<Subscriber>();

  /** @param now milliseconds since 1970 (UTC) */
  constructor(limits: HubLimits, now: () => number = Date.now) {
    this.#limits = limits;
    this.#now = now;
    this.#origin = String(Math.max(0, Math.floor(now()))).padStart(DIGITS.origin, '0');
  }

  /** Number of those who follow. */
  get subscribers(): number {
    return this.#subscribers.size;
  }

  /** The id of the newest event; one before the first when there was none. */
  get position(): string {
    return this.idOf(this.last);
  }

  /** Number of the oldest event that is kept; one after the last when there is none. */
  get first(): number {
    return this.#base + this.#begin;
  }

  /** Number of the newest event, 0 before the first. */
  get last(): number {
    return this.#base + this.#kept.length - 1;
  }

  /** Numbers an event, keeps it as long as there is room, and wakes those who follow. */
  readonly publish: PublishEvent = (event) => {
    const sequence = this.last + 1;
    const time = event.time ?? new Date(this.#now()).toISOString();
    const { kind, level, gateway, connection } = event;
    const subject: EventSubject = {
      kind,
      level,
      ...(gateway === undefined ? {} : { gateway }),
      ...(connection === undefined ? {} : { connection }),
    };
    const kept: Kept = { sequence, time, subject, text: textOf(this.idOf(sequence), time, event) };
    this.#kept.push(kept);
    this.#characters += kept.text.length;
    while (this.#isFull()) this.#dropOldest();
    for (const subscriber of this.#subscribers) subscriber.published(kept);
  };

  /** A place in the stream, which also gets what comes from now on. */
  subscribe(options: SubscribeOptions): EventSubscription {
    const { next, isResumed } = this.#startOf(options.from);
    const subscriber = new Subscriber(this, options, next, {
      restarted: !isResumed,
      left: (one) => this.#subscribers.delete(one),
    });
    this.#subscribers.add(subscriber);
    return subscriber;
  }

  /** The event of a number that is kept. */
  at(sequence: number): Kept | undefined {
    return this.#kept[sequence - this.#base];
  }

  /** The id of the event with this number. */
  idOf(sequence: number): string {
    return `${this.#origin}-${String(sequence).padStart(DIGITS.sequence, '0')}`;
  }

  /** The time of day, RFC 3339. */
  timeNow(): string {
    return new Date(this.#now()).toISOString();
  }

  #startOf(from: EventStart): { readonly next: number; readonly isResumed: boolean } {
    if (from === 'now') return { next: this.last + 1, isResumed: true };
    if (from === 'oldest') return { next: this.first, isResumed: true };
    if ('since' in from) {
      let next = this.first;
      // What is kept is in the order of its coming, which is nearly that of its times.
      while (next <= this.last && this.at(next)!.time < from.since) next++;
      return { next, isResumed: true };
    }
    const [, origin, digits] = ID_PATTERN.exec(from.after) ?? [];
    const sequence = Number(digits);
    if (origin !== this.#origin || sequence > this.last) return { next: this.first, isResumed: false };
    return { next: sequence + 1, isResumed: true };
  }

  #isFull(): boolean {
    const count = this.#kept.length - this.#begin;
    return count > this.#limits.events || (this.#characters > this.#limits.characters && count > 1);
  }

  #dropOldest(): void {
    this.#characters -= this.#kept[this.#begin]!.text.length;
    this.#kept[this.#begin++] = undefined;
    // Half of it at a time: moving all of them for each new one would be costly.
    if (this.#begin < this.#kept.length / 2) return;
    this.#kept = this.#kept.slice(this.#begin);
    this.#base += this.#begin;
    this.#begin = 0;
  }
}

interface SubscriberState {
  /** It asked to go on where this hub never was. */
  readonly restarted: boolean;
  left(subscriber: Subscriber): void;
}

class Subscriber implements EventSubscription {
  readonly #hub: EventHub;
  readonly #options: SubscribeOptions;
  readonly #left: (subscriber: Subscriber) => void;
  #next: number;
  #restarted: boolean;
  /** It has read everything and waits. */
  #isIdle = false;

  constructor(hub: EventHub, options: SubscribeOptions, next: number, { restarted, left }: SubscriberState) {
    this.#hub = hub;
    this.#options = options;
    this.#next = next;
    this.#restarted = restarted;
    this.#left = left;
  }

  get position(): string {
    return this.#hub.idOf(this.#next - 1);
  }

  next(): StreamedEvent | undefined {
    if (this.#restarted) {
      this.#restarted = false;
      this.#next = this.#hub.first;
      return this.#gap({ kind: 'gap', reason: 'restarted' });
    }
    const lost = this.#hub.first - this.#next;
    if (lost > 0) {
      this.#next = this.#hub.first;
      return this.#gap({ kind: 'gap', reason: 'overwritten', lost });
    }
    while (this.#next <= this.#hub.last) {
      const { sequence, subject, text } = this.#hub.at(this.#next++)!;
      if (fitsFilter(this.#options.filter, subject)) {
        return { id: this.#hub.idOf(sequence), kind: subject.kind, text };
      }
    }
    this.#isIdle = true;
    return undefined;
  }

  /** Something new is kept. */
  published({ sequence, subject }: Kept): void {
    if (!this.#isIdle) return;
    if (fitsFilter(this.#options.filter, subject)) {
      this.#isIdle = false;
      this.#options.wake();
    } else {
      // Else there would be a gap where only what it does not want was overwritten.
      this.#next = sequence + 1;
    }
  }

  close(): void {
    this.#left(this);
  }

  #gap(event: OperatorEventOf<'gap'>): StreamedEvent {
    const id = this.position;
    return { id, kind: 'gap', text: textOf(id, this.#hub.timeNow(), describeOperatorEvent(event)) };
  }
}

function textOf(id: string, time: string, event: NewEvent): string {
  const { kind, level, gateway, connection, fields } = event;
  const message = event.message.slice(0, MAX_MESSAGE);
  const document: EventDocument = {
    ...{ id, time, kind, level, message, fields },
    ...(gateway === undefined ? {} : { gateway }),
    ...(connection === undefined ? {} : { connection }),
  };
  const text = JSON.stringify(document);
  if (text.length <= MAX_EVENT) return text;
  return JSON.stringify({ ...document, fields: { left_out: `more than ${MAX_EVENT} characters` } });
}
