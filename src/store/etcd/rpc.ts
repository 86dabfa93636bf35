import type { MethodDefinition } from '@grpc/grpc-js';
import { fromJSON, type ServiceDefinition } from '@grpc/proto-loader';
import { ETCD_DESCRIPTOR } from './descriptor.js';

/** A key and its value; numbers of 64 bits are texts. */
export interface RpcKeyValue {
  readonly key: Buffer;
  readonly modRevision: string;
  readonly value: Buffer;
}

interface Header {
  readonly header: { readonly revision: string };
}

/** Without etcd's `serializable`: every read asks the majority. */
export interface RpcRangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
}

/** What a range holds. */
export interface RpcRangeResponse extends Header {
  readonly kvs: readonly RpcKeyValue[];
  readonly more: boolean;
}

/** One operation of a transaction. */
export type RpcOperation =
  | { readonly requestRange: RpcRangeRequest }
  | { readonly requestPut: { readonly key: Buffer; readonly value: Buffer } }
  | { readonly requestDeleteRange: { readonly key: Buffer; readonly rangeEnd?: Buffer } };

/** `success` is done when every comparison is true, else `failure`. */
export interface RpcTransaction {
  readonly compare: readonly {
    readonly result: number;
    readonly target: number;
    readonly key: Buffer;
    readonly modRevision: number;
  }[];
  readonly success: readonly RpcOperation[];
  readonly failure: readonly RpcOperation[];
}

/** Which of the two it was, and what its operations found. */
export interface RpcTransactionResponse extends Header {
  readonly succeeded: boolean;
  readonly responses: readonly { readonly responseRange?: RpcRangeResponse | null }[];
}

/** The first request of a stream makes its watch; later ones ask for a sign of life. */
export type RpcWatchRequest =
  | {
      readonly createRequest: {
        readonly key: Buffer;
        readonly rangeEnd?: Buffer;
        readonly startRevision: number;
      };
    }
  | { readonly progressRequest: object };

/** Events of whole transactions, or the end of the watch. */
export interface RpcWatchResponse {
  readonly canceled: boolean;
  /** Above 0: the revision to start from is no longer known. */
  readonly compactRevision: string;
  readonly cancelReason: string;
  readonly events: readonly { readonly type: number; readonly kv: RpcKeyValue }[];
}

/** A method with its codecs. */
export type RpcMethod<Request, Response> = Pick<
  MethodDefinition<Request, Response>,
  'path' | 'requestSerialize' | 'responseDeserialize'
>;

/** Kinds of event in a watch response. */
export const RPC_PUT = 0;
/** Comparison of a key's modification revision with a number for equality. */
export const RPC_CHANGED_IS = { result: 0, target: 2 } as const;

/** The methods of etcd that are used. */
export const RPC = methods();

function methods() {
  const definition = fromJSON(ETCD_DESCRIPTOR, { longs: String, defaults: true, arrays: true });
  const method = <Request, Response>(service: string, name: string): RpcMethod<Request, Response> =>
    (definition[`etcdserverpb.${service}`] as ServiceDefinition)[name] as unknown as RpcMethod<
      Request,
      Response
    >;
  return {
    range: method<RpcRangeRequest, RpcRangeResponse>('KV', 'Range'),
    transact: method<RpcTransaction, RpcTransactionResponse>('KV', 'Txn'),
    watch: method<RpcWatchRequest, RpcWatchResponse>('Watch', 'Watch'),
    authenticate: method<{ readonly name: string; readonly password: string }, { readonly token: string }>(
      'Auth',
      'Authenticate',
    ),
  };
}
