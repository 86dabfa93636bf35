import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventDocument } from '../../telemetry/events/event-document.js';
import { CliError } from '../errors.js';
import { type ApiClient, RefusedError } from './api-client.js';
import { MessageReader } from './message-reader.js';

/** The server gives a sign of life every 15 s. */
const SILENT_MS = 50_000;
const RETURN_MS = 2000;

/** What is read of the events of a server. */
export interface EventReading {
  readonly query: URLSearchParams;
  /** Goes on after this one. */
  readonly lastEventId?: string;
  readonly follow: boolean;
  readonly signal: AbortSignal;
  take(event: EventDocument): void;
  /** The connection was lost: it is opened again, and nothing is lost unless a gap says so. */
  lost(): void;
}

/**
 * Reads events until the signal is aborted, or, without `follow`, until there are no more.
 * @throws CliError when the server cannot be reached at first, or refuses
 */
export async function readEvents(api: ApiClient, reading: EventReading): Promise<void> {
  const { query, follow, signal } = reading;
  const place = { id: reading.lastEventId };
  let isOpen = false;
  while (!signal.aborted) {
    try {
      const headers = place.id === undefined ? {} : { 'last-event-id': place.id };
      const answer = await api.stream(`/culvert/v1/events?${query}`, headers);
      isOpen = true;
      await readAnswer(answer, place, reading);
      if (!follow) return;
    } catch (error) {
      if (signal.aborted) return;
      const isLost = isOpen && follow && !(error instanceof RefusedError);
      if (!isLost) throw error instanceof CliError ? error : lostError();
    }
    if (signal.aborted) return;
    reading.lost();
    await sleep(RETURN_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function readAnswer(
  answer: IncomingMessage,
  place: { id: string | undefined },
  { take, signal }: EventReading,
): Promise<void> {
  const stop = (): void => void answer.destroy();
  signal.addEventListener('abort', stop, { once: true });
  answer.setTimeout(SILENT_MS, stop);
  const reader = new MessageReader();
  try {
    for await (const text of answer.setEncoding('utf8')) {
      for (const { id, data } of reader.push(text as string)) {
        if (id !== undefined) place.id = id;
        if (data !== undefined) take(JSON.parse(data) as EventDocument);
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function lostError(): CliError {
  return new CliError('the connection to the server was lost before the last event: try again');
}
