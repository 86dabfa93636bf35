import type { ServerResponse } from 'node:http';
import type { EventFilter } from '../telemetry/events/event-filter.js';
import type { EventHub, EventStart, StreamedEvent } from '../telemetry/events/event-hub.js';
import { EventPump } from '../telemetry/events/event-pump.js';
import { ApiError } from './errors.js';

/** Streams at once, and those of one principal. */
const MAX_STREAMS = 64;
const MAX_STREAMS_EACH = 16;

/** How streams are kept alive and ended, in milliseconds. */
export interface StreamPace {
  /** Between two signs of life. */
  readonly heartbeat: number;
  /** A reader that takes nothing for so long is hung up on. */
  readonly patience: number;
  /** A stream is ended after so long, so that who may not read any more does not; the client comes back. */
  readonly life: number;
}

const PACE: StreamPace = { heartbeat: 15_000, patience: 60_000, life: 3_600_000 };

/** What a client waits before it comes back, in milliseconds. */
const RETRY_MS = 2000;

/** One stream as it is asked for. */
export interface StreamWish {
  /** Who reads it. */
  readonly who: string;
  readonly filter: EventFilter;
  readonly from: EventStart;
  readonly follow: boolean;
}

interface Stream {
  readonly who: string;
  end(): void;
}

/** The event streams of the API, as server-sent events (HTML Living Standard, section 9.2). */
export class EventStreams {
  readonly #hub: EventHub;
  readonly #pace: StreamPace;
  readonly #streams = new Set<Stream>();

  constructor(hub: EventHub, pace: StreamPace = PACE) {
    this.#hub = hub;
    this.#pace = pace;
  }

  /** Makes sure that there is room for one more. @throws ApiError 429 */
  admit(who: string): void {
    const own = [...this.#streams].filter((stream) => stream.who === who).length;
    if (this.#streams.size < MAX_STREAMS && own < MAX_STREAMS_EACH) return;
    const [count, whose] = own < MAX_STREAMS_EACH ? [MAX_STREAMS, ''] : [MAX_STREAMS_EACH, ` of ${who}`];
    const message = `there are ${count} streams of events${whose} already: end one first`;
    throw new ApiError(429, 'too_many_streams', message, undefined, { 'retry-after': '10' });
  }

  /** Streams into an answer whose head was sent, until one of both ends. */
  open(answer: ServerResponse, { who, filter, from, follow }: StreamWish): void {
    const pump = new EventPump(this.#hub, answer, {
      ...{ filter, from, follow, frame },
      drained: () => void answer.end(),
    });
    const stream: Stream = { who, end: () => endSoon(answer) };
    answer.write(`retry: ${RETRY_MS}\nid: ${pump.position}\n\n`);
    const bornAt = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - (pump.blockedSince ?? now) >= this.#pace.patience) answer.destroy();
      else if (now - bornAt >= this.#pace.life) endSoon(answer);
      // The id, so that who wants few events does not come back with one that is long overwritten.
      else if (pump.blockedSince === undefined) answer.write(`: still here\nid: ${pump.position}\n\n`);
    }, this.#pace.heartbeat);
    timer.unref();
    this.#streams.add(stream);
    answer.once('close', () => {
      clearInterval(timer);
      pump.close();
      this.#streams.delete(stream);
    });
  }

  /** Ends all of them: clients that still may come back and go on where they were. */
  endAll(): void {
    for (const stream of this.#streams) stream.end();
  }
}

/** Time that the last of a stream has to leave, in milliseconds. */
const FAREWELL_MS = 1000;

/** One that is not read would never end by itself. */
function endSoon(answer: ServerResponse): void {
  answer.end();
  setTimeout(() => answer.destroy(), FAREWELL_MS).unref();
}

function frame({ id, text }: StreamedEvent): string {
  return `id: ${id}\ndata: ${text}\n\n`;
}
