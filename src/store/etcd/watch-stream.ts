import type { ClientDuplexStream, Metadata, ServiceError } from '@grpc/grpc-js';
import type { Millis } from '../../util/units.js';
import { StoreError } from '../store.js';
import type { Endpoint } from './endpoint.js';
import type { KvBatch, KvEvent, KvListener } from './kv.js';
import { RPC, RPC_PUT, type RpcWatchRequest, type RpcWatchResponse } from './rpc.js';
import { failureOf } from './rpc-failure.js';

/** How often a member is asked for a sign of life. */
const ASK_MS: Millis = 2000;
/** A member that is silent for longer is treated as dead. */
const SILENCE_MS: Millis = 5000;

/**
 * One watch at one member. It ends by itself when the member says so, sees no majority, or is silent: a member that was
 * stopped, or a connection that was cut, would otherwise keep it waiting without an error.
 */
export class WatchStream {
  readonly #request: Extract<RpcWatchRequest, { createRequest: object }>['createRequest'];
  readonly #listener: KvListener;
  #stream: ClientDuplexStream<RpcWatchRequest, RpcWatchResponse> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #heard = performance.now();
  #over = false;

  constructor(
    request: Extract<RpcWatchRequest, { createRequest: object }>['createRequest'],
    listener: KvListener,
  ) {
    this.#request = request;
    this.#listener = listener;
  }

  /** @throws RpcFailure, StoreError when the member cannot be reached */
  async open(endpoint: Endpoint, metadata: Metadata): Promise<void> {
    const stream = await endpoint.stream(RPC.watch, metadata);
    if (this.#over) return void stream.cancel();
    this.#stream = stream;
    this.#heard = performance.now();
    const broken = (error: ServiceError): void => this.fail(failureOf(error, endpoint.url));
    stream.on('error', broken);
    stream.on('end', () => this.fail(new Error(`${endpoint.url} has ended the watch`)));
    stream.on('data', (response: RpcWatchResponse) => this.#receive(response));
    stream.write({ createRequest: this.#request });
    this.#timer = setInterval(() => this.#ask(endpoint.url), ASK_MS);
    this.#timer.unref();
  }

  /** Ends it without a report. */
  stop(): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#stream?.cancel();
  }

  /** Ends it with a report of why. */
  fail(error: unknown): void {
    if (this.#over) return;
    this.stop();
    this.#listener.ended(error instanceof Error ? error : new Error(String(error)));
  }

  #ask(url: string): void {
    if (performance.now() - this.#heard > SILENCE_MS) this.fail(new Error(`${url} is silent`));
    else this.#stream?.write({ progressRequest: {} });
  }

  #receive({ canceled, compactRevision, cancelReason, events }: RpcWatchResponse): void {
    if (this.#over) return;
    this.#heard = performance.now();
    if (Number(compactRevision) > 0) {
      const message = `etcd has compacted what was to be watched, up to revision ${compactRevision}`;
      this.fail(new StoreError('compacted', message, 'read the newest state'));
    } else if (canceled) {
      this.fail(new Error(cancelReason || 'etcd has cancelled the watch'));
    }
    for (const batch of batchesOf(events)) {
      if (this.#over) return;
      this.#listener.batch(batch);
    }
  }
}

/** Events by their transactions: etcd never divides one between two responses unless it is asked to. */
function batchesOf(events: RpcWatchResponse['events']): KvBatch[] {
  const batches: { revision: number; events: KvEvent[] }[] = [];
  for (const { type, kv } of events) {
    const revision = Number(kv.modRevision);
    const key = kv.key.toString();
    const event: KvEvent =
      type === RPC_PUT
        ? { type: 'put', entry: { key, value: kv.value.toString(), changed: revision } }
        : { type: 'delete', key };
    const last = batches.at(-1);
    if (last?.revision === revision) last.events.push(event);
    else batches.push({ revision, events: [event] });
  }
  return batches;
}
