import { ApiFailure, own, send } from './client.ts';
import type { CulvertEvent } from './types.ts';

/** What follows the stream of events. */
export interface StreamListener {
  event(event: CulvertEvent): void;
  /** The stream is open: `resumed` when nothing was missed since it was open before. */
  opened(resumed: boolean): void;
  lost(): void;
}

/** The server gives a sign of life every 15 s. */
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10_000;

/**
 * Follows the server's events, and comes back after every interruption where it was. `EventSource` is no way: it cannot
 * send the header without which the cookie does not count, and does not say why it fails.
 */
export async function followEvents(listener: StreamListener, signal: AbortSignal): Promise<void> {
  let last: string | undefined;
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      await readOnce(
        last,
        signal,
        () => {
          pause = FIRST_PAUSE_MS;
          listener.opened(last !== undefined);
        },
        (id, event) => {
          last = id;
          if (event !== undefined) listener.event(event);
        },
      );
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 400) last = undefined;
    }
    if (signal.aborted) return;
    listener.lost();
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(MAX_PAUSE_MS, pause * 2);
  }
}

/** Reads until the stream ends, or is silent for too long. */
async function readOnce(
  last: string | undefined,
  signal: AbortSignal,
  opened: () => void,
  take: (id: string, event: CulvertEvent | undefined) => void,
): Promise<void> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), SILENCE_MS);
  try {
    const query: Record<string, string> = last === undefined ? {} : { last_event_id: last };
    const both = AbortSignal.any([signal, silent.signal]);
    const { body } = await send('GET', own('/events'), { query, signal: both });
    opened();
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      const frames = (rest + value).split('\n\n');
      rest = frames.pop()!;
      for (const frame of frames) readFrame(frame, take);
    }
  } finally {
    clearTimeout(timer);
  }
}

function readFrame(frame: string, take: (id: string, event: CulvertEvent | undefined) => void): void {
  let id: string | undefined;
  let data: string | undefined;
  for (const line of frame.split('\n')) {
    if (line.startsWith('id: ')) id = line.slice(4);
    else if (line.startsWith('data: ')) data = line.slice(6);
  }
  if (id !== undefined) take(id, data === undefined ? undefined : (JSON.parse(data) as CulvertEvent));
}

/** The events that the server keeps and that fit, oldest first. @throws ApiFailure */
export async function keptEvents(
  query: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<readonly CulvertEvent[]> {
  const options = { query: { ...query, follow: 'false' }, ...(signal ? { signal } : {}) };
  const text = await (await send('GET', own('/events'), options)).text();
  const events: CulvertEvent[] = [];
  for (const frame of text.split('\n\n')) {
    readFrame(frame, (_id, event) => {
      if (event !== undefined) events.push(event);
    });
  }
  return events;
}
