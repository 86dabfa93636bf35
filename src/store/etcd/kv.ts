/**
 * The part of etcd that the store uses. `EtcdClient` has it of a cluster; tests have it of a model that fails on demand.
 *
 * Errors are StoreErrors: `unavailable`, `refused` and `full` when the request certainly had no effect, `uncertain` when it may have
 * had one or may still have one, `compacted` when the revision that was asked for is no longer known.
 */

/** Counts the transactions of an etcd cluster, those of others included: never shown to users. */
export type KvRevision = number;

/** A key with its value. */
export interface KvEntry {
  readonly key: string;
  readonly value: string;
  /** The transaction that put it. */
  readonly changed: KvRevision;
}

/** The keys from `from` up to but not including `to`; without `to` the key `from` alone. */
export interface KvRange {
  readonly from: string;
  readonly to?: string;
}

/** A read: linearizable unless it is `at` a revision of the past. Entries are in the order of their keys. */
export interface KvRead extends KvRange {
  readonly limit?: number;
  readonly at?: KvRevision;
}

/** What a read found. */
export interface KvFound {
  /** Of the cluster, when it was read. */
  readonly revision: KvRevision;
  readonly entries: readonly KvEntry[];
  /** The limit left entries out. */
  readonly more: boolean;
}

/** Holds when the key was put last by this transaction; 0: when it is not there. */
export interface KvCondition {
  readonly key: string;
  readonly changed: KvRevision;
}

/** One effect of a transaction, which may name each key once. */
export type KvChange =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'delete'; readonly range: KvRange };

/** Changes that are made together when all conditions hold; when one does not, the keys in `otherwise` are read. */
export interface KvTransaction {
  readonly conditions: readonly KvCondition[];
  readonly changes: readonly KvChange[];
  readonly otherwise?: readonly string[];
}

/** What became of a transaction. */
export interface KvOutcome {
  readonly made: boolean;
  readonly revision: KvRevision;
  /**
   * Of the keys in `otherwise` those that were there. Read within the transaction, and so never stale, which a read of
   * etcd can be after a pause (etcd issue 20418).
   */
  readonly found: readonly KvEntry[];
}

/** What one transaction did within a range, in the order in which it did it. */
export interface KvBatch {
  readonly revision: KvRevision;
  readonly events: readonly KvEvent[];
}

/** One key of a batch. */
export type KvEvent =
  | { readonly type: 'put'; readonly entry: KvEntry }
  | { readonly type: 'delete'; readonly key: string };

/** Hears of a range. After `ended` nothing comes any more. */
export interface KvListener {
  batch(batch: KvBatch): void;
  ended(error: Error): void;
}

/** A cluster of etcd. */
export interface Kv {
  read(request: KvRead): Promise<KvFound>;
  transact(request: KvTransaction): Promise<KvOutcome>;
  /** Every transaction from the revision `from` on that touches the range. Returns the way to stop. */
  watch(range: KvRange, from: KvRevision, listener: KvListener): () => void;
  close(): Promise<void>;
}

/** All keys that begin with the prefix, which ends with an ASCII character. */
export function withPrefix(prefix: string): Required<KvRange> {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { from: prefix, to: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}
