import { setTimeout as pause } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';
import { readSecretFile } from '../secret-file.js';
import { StoreError } from '../store.js';
import { Endpoint } from './endpoint.js';
import { inTurn } from './in-turn.js';
import type { Kv, KvChange, KvFound, KvListener, KvOutcome, KvRange, KvRead, KvTransaction } from './kv.js';
import type { EtcdPlace } from './place.js';
import {
  RPC,
  RPC_CHANGED_IS,
  type RpcKeyValue,
  type RpcMethod,
  type RpcOperation,
  type RpcRangeRequest,
} from './rpc.js';
import { RpcFailure } from './rpc-failure.js';
import { WatchStream } from './watch-stream.js';

/** How long a call may take at all endpoints together. */
const CALL_MS: Millis = 2000;
/** An endpoint that has not answered for so long may be gone: the next one is asked, too. */
const HEDGE_MS: Millis = 300;
/** Between two rounds over all endpoints. */
const ROUND_MS: Millis = 50;
/** Octets of a file with a password. */
const MAX_PASSWORD = 4096;

/**
 * A cluster of etcd over gRPC. Calls go to the first endpoint, and to the others when it fails or is slow. A transaction
 * may thereby reach the cluster twice, so its conditions have to let only one of them be made.
 */
export class EtcdClient implements Kv {
  readonly #place: EtcdPlace;
  readonly #endpoints: readonly Endpoint[];
  readonly #watches = new Set<WatchStream>();
  /** The endpoint that calls begin with: the last one that answered first. */
  #preferred = 0;
  #nextWatch = 0;
  #token: Promise<string> | undefined;

  constructor(place: EtcdPlace) {
    this.#place = place;
    this.#endpoints = place.endpoints.map((url) => new Endpoint(url, place.tls));
  }

  async read({ limit, at, ...range }: KvRead): Promise<KvFound> {
    const request: RpcRangeRequest = {
      ...rangeOf(range),
      ...(limit === undefined ? {} : { limit }),
      ...(at === undefined ? {} : { revision: at }),
    };
    const answer = await this.#call(RPC.range, request, 'a read');
    return {
      revision: Number(answer.header.revision),
      entries: answer.kvs.map(entryOf),
      more: answer.more,
    };
  }

  async transact({ conditions, changes, otherwise = [] }: KvTransaction): Promise<KvOutcome> {
    const request = {
      compare: conditions.map(({ key, changed }) => ({
        ...RPC_CHANGED_IS,
        key: Buffer.from(key),
        modRevision: changed,
      })),
      success: changes.map(operationOf),
      failure: otherwise.map((from) => ({ requestRange: rangeOf({ from }) })),
    };
    const answer = await this.#call(RPC.transact, request, 'a write');
    const found = answer.responses.flatMap(({ responseRange }) => responseRange?.kvs ?? []);
    return {
      made: answer.succeeded,
      revision: Number(answer.header.revision),
      found: answer.succeeded ? [] : found.map(entryOf),
    };
  }

  watch(range: KvRange, from: number, listener: KvListener): () => void {
    // Each watch begins at the next endpoint: the one before may have been at one that is cut off.
    const endpoint = this.#endpoints[this.#nextWatch++ % this.#endpoints.length]!;
    const stream = new WatchStream(
      { ...rangeOf(range), startRevision: from },
      {
        batch: (batch) => listener.batch(batch),
        ended: (error) => {
          this.#watches.delete(stream);
          listener.ended(asStoreError([error], 'a watch'));
        },
      },
    );
    this.#watches.add(stream);
    void this.#signed(endpoint, (metadata) => stream.open(endpoint, metadata)).catch((error: unknown) =>
      stream.fail(error),
    );
    return () => {
      this.#watches.delete(stream);
      stream.stop();
    };
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    this.#watches.clear();
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  /** Asks in rounds until one endpoint answers or the time is over. */
  async #call<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    what: 'a read' | 'a write',
  ): Promise<Response> {
    const began = performance.now();
    const failures: unknown[] = [];
    for (;;) {
      const left = CALL_MS - (performance.now() - began);
      try {
        return await this.#round(method, request, Math.max(left, 1));
      } catch (error) {
        failures.push(...(error as AggregateError).errors);
      }
      if (failures.some(isFinal) || performance.now() - began + ROUND_MS >= CALL_MS) break;
      await pause(ROUND_MS);
    }
    throw asStoreError(failures, what);
  }

  #round<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    within: Millis,
  ): Promise<Response> {
    const count = this.#endpoints.length;
    const first = this.#preferred;
    const attempts = this.#endpoints.map((_, offset) => async () => {
      const index = (first + offset) % count;
      const endpoint = this.#endpoints[index]!;
      const answer = await this.#signed(endpoint, (metadata) =>
        endpoint.ask(method, request, { metadata, within }),
      );
      this.#preferred = index;
      return answer;
    });
    return inTurn(attempts, { hedgeAfter: HEDGE_MS, isFinal });
  }

  /** Does it as the user who is configured; once more with a new token when the one in use has expired. */
  async #signed<T>(endpoint: Endpoint, work: (metadata: Metadata) => Promise<T>): Promise<T> {
    const token = this.#place.login === undefined ? undefined : this.#tokenFrom(endpoint);
    try {
      return await work(metadataWith(await token));
    } catch (error) {
      if (!(error instanceof RpcFailure) || error.kind !== 'login') throw error;
      if (token === undefined) {
        throw new StoreError(
          'refused',
          `etcd wants to know who asks (${error.message})`,
          'name "store.etcd.user" with its password file, or a client certificate',
        );
      }
      if (this.#token === token) this.#token = undefined;
      return work(metadataWith(await this.#tokenFrom(endpoint)));
    }
  }

  #tokenFrom(endpoint: Endpoint): Promise<string> {
    if (this.#token !== undefined) return this.#token;
    const token = this.#login(endpoint);
    this.#token = token;
    token.catch(() => {
      if (this.#token === token) this.#token = undefined;
    });
    return token;
  }

  async #login(endpoint: Endpoint): Promise<string> {
    const { user, passwordFile } = this.#place.login!;
    const password = readPassword(passwordFile);
    const request = { name: user, password };
    const { token } = await endpoint.ask(RPC.authenticate, request, {
      metadata: metadataWith(undefined),
      within: CALL_MS,
    });
    return token;
  }
}

/** With `hasleader` a member that sees no majority refuses at once instead of keeping the call until its deadline. */
function metadataWith(token: string | undefined): Metadata {
  const metadata = new Metadata();
  metadata.set('hasleader', 'true');
  if (token !== undefined) metadata.set('token', token);
  return metadata;
}

/** @throws StoreError */
function readPassword(path: string): string {
  const read = readSecretFile(path, MAX_PASSWORD, 'a password');
  if (!read.ok) {
    const message = `the password file "${path}" ${read.error}`;
    throw new StoreError('refused', message, 'correct "store.etcd.password_file"');
  }
  const password = read.value.toString('utf8').replace(/\r?\n$/, '');
  read.value.fill(0);
  return password;
}

/** Refused for a reason that is the same at every endpoint. */
function isFinal(error: unknown): boolean {
  return error instanceof StoreError || (error instanceof RpcFailure && error.kind === 'final');
}

/** What all attempts together mean. Of a write that may have been made nothing else can be said. */
function asStoreError(failures: readonly unknown[], what: 'a read' | 'a write' | 'a watch'): StoreError {
  const unknown = failures.find((one) => !isFinal(one) && !isUnreachable(one));
  if (unknown !== undefined && what === 'a write') {
    return new StoreError(
      'uncertain',
      `etcd has not said whether a write was made (${oneLine(unknown)})`,
      'read before you write again',
      { cause: unknown },
    );
  }
  for (const failure of failures) {
    if (failure instanceof StoreError) return failure;
    if (failure instanceof RpcFailure && failure.refusal !== undefined) return failure.refusal;
  }
  const said = [...new Set(failures.map(oneLine))].join('; ');
  return new StoreError(
    'unavailable',
    `etcd cannot be asked (${said})`,
    'check that most of its members run and that this host reaches them',
    { cause: failures[0] },
  );
}

function isUnreachable(error: unknown): boolean {
  return error instanceof RpcFailure && error.kind === 'unreachable';
}

function rangeOf({ from, to }: KvRange): { readonly key: Buffer; readonly rangeEnd?: Buffer } {
  return { key: Buffer.from(from), ...(to === undefined ? {} : { rangeEnd: Buffer.from(to) }) };
}

function operationOf(change: KvChange): RpcOperation {
  if (change.type === 'delete') return { requestDeleteRange: rangeOf(change.range) };
  return { requestPut: { key: Buffer.from(change.key), value: Buffer.from(change.value) } };
}

function entryOf({ key, value, modRevision }: RpcKeyValue) {
  return { key: key.toString(), value: value.toString(), changed: Number(modRevision) };
}
