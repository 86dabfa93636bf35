import type { QueryClient } from '@tanstack/react-query';
import { Observed, useObserved } from './observed.ts';
import { followEvents, type StreamListener } from './stream.ts';
import type { CulvertEvent } from './types.ts';

/** Whether what is shown follows the server; `since`: when it ceased to. */
export type Liveness =
  | { readonly state: 'live' | 'connecting' }
  | { readonly state: 'lost'; readonly since: Date };

type Message =
  | { readonly event: CulvertEvent }
  | { readonly opened: boolean }
  | { readonly lost: true }
  /** Of a tab that was just opened: it asks how things are. */
  | { readonly hello: true };

const CHANNEL = 'culvert-events';
/** Changes that come together are read together. */
const GATHER_MS = 500;
/** Events that a list of them shows. */
export const MAX_EVENTS = 200;
/** A pause that is not worth a word: the server ends every stream now and then. */
const PATIENCE_MS = 3000;

const current = new Observed<Liveness>({ state: 'connecting' });

/** Whether what is shown follows the server. */
export function useLiveness(): Liveness {
  return useObserved(current);
}

/**
 * Keeps what was read in step with the server until `signal` ends it. Of several tabs one reads the stream and passes
 * it on: browsers open six connections to a server, and an open stream takes one.
 */
export function liveUpdates(client: QueryClient, signal: AbortSignal): void {
  const changes = new Changes(client);
  let lostTimer: ReturnType<typeof setTimeout> | undefined;
  let reads = false;
  const take = (message: Message): void => {
    if ('hello' in message) {
      if (reads) channel.postMessage(current.value.state === 'live' ? { opened: true } : { lost: true });
      return;
    }
    if ('event' in message) {
      changes.note(message.event);
      return;
    }
    clearTimeout(lostTimer);
    if ('opened' in message) {
      current.value = { state: 'live' };
      if (!message.opened) void client.invalidateQueries();
    } else if (current.value.state !== 'lost') {
      const since = new Date();
      lostTimer = setTimeout(() => {
        current.value = { state: 'lost', since };
      }, PATIENCE_MS);
    }
  };
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<Message>) => take(data);
  const pass = (message: Message): void => {
    take(message);
    channel.postMessage(message);
  };
  const listener: StreamListener = {
    event: (event) => pass({ event }),
    opened: (resumed) => pass({ opened: resumed }),
    lost: () => pass({ lost: true }),
  };
  signal.addEventListener('abort', () => {
    clearTimeout(lostTimer);
    channel.close();
  });
  const follow = (): Promise<void> => {
    reads = true;
    return followEvents(listener, signal);
  };
  // Locks are there on pages from HTTPS and from this machine; elsewhere every tab reads for itself.
  if (navigator.locks === undefined) void follow();
  else {
    channel.postMessage({ hello: true } satisfies Message);
    navigator.locks.request(CHANNEL, { signal }, follow).catch(() => undefined);
  }
}

/** Which of the things that were read an event makes out of date. */
class Changes {
  readonly #client: QueryClient;
  readonly #keys = new Map<string, readonly string[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: QueryClient) {
    this.#client = client;
  }

  note(event: CulvertEvent): void {
    this.#append(event);
    for (const key of keysOf(event)) this.#keys.set(key.join(' '), key);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const queryKey of this.#keys.values()) void this.#client.invalidateQueries({ queryKey });
      this.#keys.clear();
    }, GATHER_MS);
  }

  /** Lists of events get it without asking: the server would send all that it keeps. */
  #append(event: CulvertEvent): void {
    for (const { queryKey } of this.#client.getQueryCache().findAll({ queryKey: ['events'] })) {
      const { gateway } = (queryKey[1] ?? {}) as { readonly gateway?: string };
      if (gateway !== undefined && event.gateway?.id !== gateway) continue;
      this.#client.setQueryData<readonly CulvertEvent[]>(queryKey, (before) =>
        before === undefined ? before : [event, ...before].slice(0, MAX_EVENTS),
      );
    }
  }
}

function keysOf({ kind, gateway, connection, fields }: CulvertEvent): readonly (readonly string[])[] {
  if (kind === 'gap' || kind === 'server-started' || kind === 'server-reloaded') return [[]];
  const keys: string[][] = [];
  const { resource_type: type } = fields as { readonly resource_type?: string };
  if (kind.startsWith('object-')) keys.push(['audit']);
  if (type === 'ike_policy' || type === 'ipsec_policy') keys.push([type]);
  if (type === 'route' || type === 'routing_table') keys.push(['routing']);
  if (gateway !== undefined && (kind.startsWith('gateway-') || kind.startsWith('object-')))
    keys.push(['gateways']);
  if (gateway?.id === undefined) return keys;
  if (connection === undefined) return [...keys, ['connections', gateway.id], ['diagnosis', gateway.id]];
  if (kind.startsWith('object-') || kind === 'connection-status') {
    keys.push(['connections', gateway.id], ['routing'], ['ike_policy'], ['ipsec_policy']);
  }
  return [...keys, ['diagnosis', gateway.id, connection.id]];
}
