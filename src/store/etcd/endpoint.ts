import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import {
  Client,
  type ClientDuplexStream,
  connectivityState,
  credentials,
  type Metadata,
} from '@grpc/grpc-js';
import type { Millis } from '../../util/units.js';
import { StoreError } from '../store.js';
import type { EtcdTls } from './place.js';
import type { RpcMethod } from './rpc.js';
import { failureOf, RpcFailure } from './rpc-failure.js';

/** Shorter than the patience of a call, so that a machine that is gone is not all that was tried. */
const CONNECT_MS: Millis = 1000;

const CHANNEL = {
  // Without pings a connection to a machine that is gone hangs until TCP gives up. etcd refuses more than one in 5 s.
  'grpc.keepalive_time_ms': 5500,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // What is sent again, and when, is decided by those who know what it means.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
  // A watch that was away gets up to a thousand transactions in one message.
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
} as const;

/** One member of etcd, with a connection that is made when it is needed. */
export class Endpoint {
  /** As in the configuration. */
  readonly url: string;
  readonly #tls: EtcdTls;
  #client: Client | undefined;
  #closed = false;

  constructor(url: string, tls: EtcdTls) {
    this.url = url;
    this.#tls = tls;
  }

  /** @throws RpcFailure; StoreError when a file of TLS cannot be used */
  async ask<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    { metadata, within }: { readonly metadata: Metadata; readonly within: Millis },
  ): Promise<Response> {
    const deadline = Date.now() + within;
    const client = await this.#ready(within);
    return new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = method;
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, value) => {
          if (error === null && value !== undefined) resolve(value);
          else if (error !== null) reject(failureOf(error, this.url));
          else reject(new RpcFailure('unknown', `${this.url} sent no answer`));
        },
      );
    });
  }

  /** Opens a stream. @throws as `ask` */
  async stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    metadata: Metadata,
  ): Promise<ClientDuplexStream<Request, Response>> {
    const client = await this.#ready(CONNECT_MS);
    return client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  /** A call is sent on a connection that is up or not at all: only so is it known that it was not. */
  async #ready(within: Millis): Promise<Client> {
    if (this.#closed) throw new RpcFailure('unreachable', `${this.url} was closed`);
    this.#client ??= this.#open();
    const client = this.#client;
    if (client.getChannel().getConnectivityState(true) === connectivityState.READY) return client;
    const patience = Math.min(within, CONNECT_MS);
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + patience, (error) => {
        if (error === undefined) resolve();
        else reject(new RpcFailure('unreachable', `${this.url} cannot be reached`));
      });
    }).catch((error: unknown) => {
      // The next one reads the files of TLS again, which may have been renewed.
      if (this.#client === client) this.#drop();
      throw error;
    });
    return client;
  }

  #open(): Client {
    const { host, hostname, protocol } = new URL(this.url);
    if (protocol === 'http:') return new Client(host, credentials.createInsecure(), CHANNEL);
    const { ca, certificate, key } = this.#tls;
    const files = [read(ca), read(key), read(certificate)] as const;
    const address = hostname.replace(/^\[(.*)\]$/, '$1');
    if (isIP(address) === 0) return new Client(host, credentials.createSsl(...files), CHANNEL);
    // An address is no server name (RFC 6066 section 3): another one is sent, and the address is what is verified.
    const verified = {
      checkServerIdentity: (_name: string, cert: PeerCertificate) => checkServerIdentity(address, cert),
    };
    return new Client(host, credentials.createSsl(...files, verified), {
      ...CHANNEL,
      'grpc.ssl_target_name_override': 'etcd',
    });
  }

  #drop(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

function read(path: string | undefined): Buffer | null {
  if (path === undefined) return null;
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StoreError(
      'refused',
      `the file ${path} cannot be read (${code})`,
      'correct "store.etcd.tls" or its rights',
      { cause: error },
    );
  }
}
