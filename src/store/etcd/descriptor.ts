import type { fromJSON } from '@grpc/proto-loader';

/*
 * The messages of etcd's API that are used, by their numbers in etcd's `rpc.proto` and `kv.proto` (API of 3.4 and later).
 * Fields that are not here are skipped when they come.
 */

type Descriptor = Parameters<typeof fromJSON>[0];

const bytes = (id: number) => ({ type: 'bytes', id });
const int64 = (id: number) => ({ type: 'int64', id });
const bool = (id: number) => ({ type: 'bool', id });
const string = (id: number) => ({ type: 'string', id });
const message = (type: string, id: number) => ({ type, id });
const method = (requestType: string, responseType: string) => ({ requestType, responseType, comment: '' });
const repeated = (type: string, id: number) => ({ rule: 'repeated', type, id });

const kv: Descriptor = {
  nested: {
    KeyValue: { fields: { key: bytes(1), modRevision: int64(3), value: bytes(5) } },
    Event: { fields: { type: { type: 'int32', id: 1 }, kv: message('KeyValue', 2) } },
  },
};

const rpc: Descriptor = {
  nested: {
    ResponseHeader: { fields: { revision: int64(3) } },
    RangeRequest: {
      fields: { key: bytes(1), rangeEnd: bytes(2), limit: int64(3), revision: int64(4) },
    },
    RangeResponse: {
      fields: {
        ...{ header: message('ResponseHeader', 1), kvs: repeated('mvccpb.KeyValue', 2), more: bool(3) },
      },
    },
    PutRequest: { fields: { key: bytes(1), value: bytes(2) } },
    DeleteRangeRequest: { fields: { key: bytes(1), rangeEnd: bytes(2) } },
    RequestOp: {
      fields: {
        requestRange: message('RangeRequest', 1),
        requestPut: message('PutRequest', 2),
        requestDeleteRange: message('DeleteRangeRequest', 3),
      },
    },
    ResponseOp: { fields: { responseRange: message('RangeResponse', 1) } },
    // EQUAL is 0; of the targets MOD is 2.
    Compare: {
      fields: {
        ...{ result: { type: 'int32', id: 1 }, target: { type: 'int32', id: 2 } },
        ...{ key: bytes(3), modRevision: int64(6) },
      },
      oneofs: { targetUnion: { oneof: ['modRevision'] } },
    },
    TxnRequest: {
      fields: {
        compare: repeated('Compare', 1),
        success: repeated('RequestOp', 2),
        failure: repeated('RequestOp', 3),
      },
    },
    TxnResponse: {
      fields: {
        header: message('ResponseHeader', 1),
        succeeded: bool(2),
        responses: repeated('ResponseOp', 3),
      },
    },
    WatchCreateRequest: { fields: { key: bytes(1), rangeEnd: bytes(2), startRevision: int64(3) } },
    WatchProgressRequest: { fields: {} },
    WatchRequest: {
      fields: {
        createRequest: message('WatchCreateRequest', 1),
        progressRequest: message('WatchProgressRequest', 3),
      },
    },
    WatchResponse: {
      fields: {
        ...{ canceled: bool(4), compactRevision: int64(5), cancelReason: string(6) },
        events: repeated('mvccpb.Event', 11),
      },
    },
    AuthenticateRequest: { fields: { name: string(1), password: string(2) } },
    AuthenticateResponse: { fields: { token: string(2) } },
    KV: {
      methods: {
        Range: method('RangeRequest', 'RangeResponse'),
        Txn: method('TxnRequest', 'TxnResponse'),
      },
    },
    Watch: {
      methods: {
        Watch: { ...method('WatchRequest', 'WatchResponse'), requestStream: true, responseStream: true },
      },
    },
    Auth: { methods: { Authenticate: method('AuthenticateRequest', 'AuthenticateResponse') } },
  },
};

/** For proto-loader. */
export const ETCD_DESCRIPTOR: Descriptor = { nested: { mvccpb: kv, etcdserverpb: rpc } };
