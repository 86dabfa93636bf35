import { describeEvent } from '../../connection/event-catalogue.js';
import type { EventConsumer } from '../../connection/projection.js';
import type { ConnectionStatusDocument } from '../../connection/status.js';
import { subjectOf } from '../../ike/event-subject.js';
import type { IkeEvent } from '../../ike/events.js';
import type { ConnectionId } from '../../util/ids.js';
import { err, ok, type Result } from '../../util/result.js';

/** What watchers look at. */
export interface Watched {
  /** Changes whenever a status other than its counters may have changed. */
  revision(): number;
  /** Undefined when there is no such connection. */
  status(connection: ConnectionId): ConnectionStatusDocument | undefined;
  /** Failed attempts in a row. */
  failures(connection: ConnectionId): number;
}

/** Called after each step that changed a status, with the events since the last call. */
export type Watcher = (events: readonly IkeEvent[]) => void;

/** Who waits for a change of status: streams of it, and operators who wait until a connection is up. */
export class Watchers implements EventConsumer {
  readonly #watched: Watched;
  readonly #watchers = new Set<Watcher>();
  /** Events that watchers have not been given. */
  #pending: IkeEvent[] = [];
  #revision = -1;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  /** Collects an event for the next `notify`. */
  on(event: IkeEvent): void {
    this.#pending.push(event);
  }

  /** Calls the watchers if a status has changed since the last time. */
  notify(): void {
    const events = this.#pending;
    this.#pending = [];
    const revision = this.#watched.revision();
    if (revision === this.#revision) return;
    this.#revision = revision;
    for (const watcher of this.#watchers) watcher(events);
  }

  /** @returns what ends it */
  subscribe(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * Waits until a connection is up, another attempt of it has failed, or `signal` ends the wait. `progress` gets what
   * happens meanwhile, in words.
   * @returns its status, or why it is not up
   */
  waitUp(
    connection: ConnectionId,
    progress: (line: string) => void,
    signal: AbortSignal,
  ): Promise<Result<ConnectionStatusDocument, string>> {
    const before = this.#watched.failures(connection);
    const name = this.#watched.status(connection)?.name ?? connection;
    return new Promise((resolve) => {
      const end = (result: Result<ConnectionStatusDocument, string>): void => {
        unsubscribe();
        signal.removeEventListener('abort', over);
        resolve(result);
      };
      const over = (): void => end(err(whyNot(name, this.#watched.status(connection))));
      const look = (): void => {
        const document = this.#watched.status(connection);
        if (document?.status === 'up') end(ok(document));
        else if (document === undefined || this.#watched.failures(connection) > before) over();
      };
      const unsubscribe = this.subscribe((events) => {
        for (const line of progressOf(connection, events)) progress(line);
        look();
      });
      signal.addEventListener('abort', over, { once: true });
      look();
    });
  }
}

function whyNot(name: string, document: ConnectionStatusDocument | undefined): string {
  if (document === undefined) return `${name} is no longer configured`;
  const reasons = document.status_reasons.map((reason) => reason.message);
  return `${name} is not up. ${reasons.join(' ')}`.trim();
}

function progressOf(connection: ConnectionId, events: readonly IkeEvent[]): string[] {
  return events.flatMap((event) => {
    if (subjectOf(event).connection !== connection) return [];
    const { level, text } = describeEvent(event);
    return level === 'debug' ? [] : [text];
  });
}
