import type {
  Kv,
  KvBatch,
  KvEntry,
  KvEvent,
  KvFound,
  KvListener,
  KvOutcome,
  KvRange,
  KvRead,
  KvTransaction,
} from '../../src/store/etcd/kv.js';
import { StoreError } from '../../src/store/store.js';
import type { SeededRandom } from './seeded-random.js';
import type { VirtualTime } from './virtual-time.js';

interface Version {
  readonly revision: number;
  /** Undefined when it was deleted. */
  readonly value: string | undefined;
}

/** The limits that etcd has unless it is configured otherwise. */
const MAX_OPERATIONS = 128;
const MAX_REQUEST = 1.5 * 1024 * 1024;

/** What a cluster of etcd does, without the cluster. */
export class ModelEtcd {
  revision = 1;
  /** Every transaction that changed something. */
  log: KvBatch[] = [];
  compacted = 0;
  readonly #versions = new Map<string, Version[]>();
  readonly #watchers = new Set<() => void>();

  read({ from, to, limit = Number.POSITIVE_INFINITY, at }: KvRead): KvFound {
    const revision = at ?? this.revision;
    if (revision < this.compacted) throw compacted();
    const keys = [...this.#versions.keys()].filter((key) =>
      isIn(key, { from, ...(to === undefined ? {} : { to }) }),
    );
    const entries = keys.sort().flatMap((key) => this.#at(key, revision) ?? []);
    return { revision: this.revision, entries: entries.slice(0, limit), more: entries.length > limit };
  }

  transact({ conditions, changes, otherwise = [] }: KvTransaction): KvOutcome {
    checkLimits(changes);
    const holds = conditions.every(
      ({ key, changed }) => (this.#at(key, this.revision)?.changed ?? 0) === changed,
    );
    if (!holds) {
      const found = otherwise.flatMap((key) => this.#at(key, this.revision) ?? []);
      return { made: false, revision: this.revision, found };
    }
    const revision = this.revision + 1;
    const events: KvEvent[] = [];
    const touched = new Set<string>();
    const put = (key: string, value: string | undefined): void => {
      if (touched.has(key)) throw new Error(`duplicate key given in txn request: ${key}`);
      touched.add(key);
      this.#versions.set(key, [...(this.#versions.get(key) ?? []), { revision, value }]);
      events.push(
        value === undefined
          ? { type: 'delete', key }
          : { type: 'put', entry: { key, value, changed: revision } },
      );
    };
    for (const change of changes) {
      if (change.type === 'put') put(change.key, change.value);
      else for (const { key } of this.read(change.range).entries) put(key, undefined);
    }
    if (events.length > 0) {
      this.revision = revision;
      this.log.push({ revision, events });
    }
    for (const notify of [...this.#watchers]) notify();
    return { made: true, revision: this.revision, found: [] };
  }

  /** Calls it after each transaction. */
  subscribe(notify: () => void): () => void {
    this.#watchers.add(notify);
    return () => void this.#watchers.delete(notify);
  }

  compact(revision: number): void {
    this.compacted = Math.max(this.compacted, revision);
  }

  /** As from a snapshot that was taken at an earlier revision. */
  restore(revision: number): void {
    for (const [key, versions] of this.#versions) {
      this.#versions.set(
        key,
        versions.filter((one) => one.revision <= revision),
      );
    }
    this.log = this.log.filter((batch) => batch.revision <= revision);
    this.revision = revision;
    this.compacted = Math.min(this.compacted, revision);
  }

  #at(key: string, revision: number): KvEntry | undefined {
    const version = this.#versions.get(key)?.findLast((one) => one.revision <= revision);
    if (version?.value === undefined) return undefined;
    return { key, value: version.value, changed: version.revision };
  }
}

/** How likely each fault is, from 0 to 1. */
export interface ModelFaults {
  /** A request that never arrives, and is known not to have. */
  readonly refused: number;
  /** A write whose answer is lost; it is made at once, later, or not at all. */
  readonly unknown: number;
  /** A write that arrives twice, the second answer being the one that counts. */
  readonly doubled: number;
  /** A read that answers from the past. */
  readonly stale: number;
  /** A watch that loses a transaction. */
  readonly gap: number;
  /** A watch that ends, or one that says nothing any more. */
  readonly ended: number;
  readonly mute: number;
}

/** Nothing goes wrong. */
export const NO_FAULTS: ModelFaults = {
  ...{ refused: 0, unknown: 0, doubled: 0, stale: 0, gap: 0, ended: 0, mute: 0 },
};

/** The way of one host to the model. */
export class ModelKv implements Kv {
  faults: ModelFaults = NO_FAULTS;
  /** Until this moment nothing comes through. */
  cutUntil = 0;
  readonly #etcd: ModelEtcd;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #watches = new Set<() => void>();

  constructor(etcd: ModelEtcd, time: VirtualTime, random: SeededRandom) {
    this.#etcd = etcd;
    this.#time = time;
    this.#random = random;
  }

  async read(request: KvRead): Promise<KvFound> {
    await this.#way();
    if (this.#isCut() || this.#happens('refused')) throw refused();
    if (request.at !== undefined || !this.#happens('stale')) return this.#etcd.read(request);
    const oldest = Math.max(1, this.#etcd.compacted);
    const past = oldest + this.#random.below(this.#etcd.revision - oldest + 1);
    return { ...this.#etcd.read({ ...request, at: past }), revision: past };
  }

  async transact(request: KvTransaction): Promise<KvOutcome> {
    await this.#way();
    if (this.#happens('refused')) throw refused();
    if (this.#isCut() || this.#happens('unknown')) {
      const fate = this.#random.below(3);
      const late = (): void => void this.#etcd.transact(request);
      if (fate === 0) late();
      if (fate === 1) this.#time.after(this.#random.below(8000), late);
      await this.#time.wait(this.#random.below(2000));
      throw new StoreError('uncertain', 'the answer was lost', 'read first');
    }
    if (this.#happens('doubled')) {
      this.#etcd.transact(request);
      await this.#way();
    }
    const outcome = this.#etcd.transact(request);
    await this.#way();
    return outcome;
  }

  watch(range: KvRange, from: number, listener: KvListener): () => void {
    let next = from;
    let isMute = false;
    let isOver = false;
    let isWaiting = false;
    const end = (error: Error): void => {
      stop();
      listener.ended(error);
    };
    const deliver = (): void => {
      isWaiting = false;
      if (isOver || isMute) return;
      if (next <= this.#etcd.compacted) end(compacted());
      else if (this.#isCut()) end(refused());
      for (const batch of this.#etcd.log.filter(({ revision }) => revision >= next)) {
        isMute ||= this.#happens('mute');
        if (isOver || isMute) return;
        next = batch.revision + 1;
        const events = batch.events.filter((event) => isIn(keyOf(event), range));
        if (this.#happens('ended')) end(refused());
        else if (events.length > 0 && !this.#happens('gap')) listener.batch({ ...batch, events });
      }
    };
    const later = (): void => {
      if (isWaiting) return;
      isWaiting = true;
      this.#time.after(1 + this.#random.below(30), deliver);
    };
    const forget = this.#etcd.subscribe(later);
    const stop = (): void => {
      isOver = true;
      forget();
      this.#watches.delete(stop);
    };
    this.#watches.add(stop);
    later();
    return stop;
  }

  async close(): Promise<void> {
    for (const stop of this.#watches) stop();
  }

  #happens(fault: keyof ModelFaults): boolean {
    return this.#random.fraction() < this.faults[fault];
  }

  #isCut(): boolean {
    return this.#time.now() < this.cutUntil;
  }

  #way(): Promise<void> {
    return this.#time.wait(this.#random.below(10));
  }
}

function checkLimits(changes: KvTransaction['changes']): void {
  const size = changes.reduce(
    (sum, change) => sum + (change.type === 'put' ? Buffer.byteLength(change.key + change.value) : 0),
    0,
  );
  if (changes.length > MAX_OPERATIONS) throw new Error('etcdserver: too many operations in txn request');
  if (size > MAX_REQUEST) throw new Error('etcdserver: request is too large');
}

function keyOf(event: KvEvent): string {
  return event.type === 'put' ? event.entry.key : event.key;
}

function isIn(key: string, { from, to }: KvRange): boolean {
  return to === undefined ? key === from : key >= from && key < to;
}

function refused(): StoreError {
  return new StoreError('unavailable', 'etcd is not there', 'wait for it');
}

function compacted(): StoreError {
  return new StoreError('compacted', 'that revision is gone', 'read the newest state');
}
