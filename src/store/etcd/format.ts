import type { AtRest } from '../at-rest.js';
import type { ObjectImage } from '../object-image.js';
import { type Revision, type StoredObject, StoreError, type StoreEvent } from '../store.js';
import { type KvChange, type KvEntry, type KvRange, withPrefix } from './kv.js';

/*
 * What the store keeps in etcd, below `culvert/<cluster>/s/`; all values are JSON:
 *
 *   head               which commit was the last one: every commit compares and changes it
 *   meta               format, and a text sealed with the key of all hosts
 *   o/<kind>/<id>      one object
 *   n/<revision>       which commit has this revision, and its note
 *   m/<revision>/<commit>/<part>   a note that is too long for one key
 *   x/<commit>/<part>  the changes of a commit that is too large for one transaction, until they are made
 *   probe              written to find out whether it can be
 *
 * Revisions are those of the store, not those of etcd, which counts the writes of everything in it.
 */

/** The format that this program writes. One that knows a lower number only must not write into the store. */
export const ETCD_FORMAT = 1;

/** The last commit. */
export interface Head {
  readonly n: Revision;
  /** The revision before it: an image that is not at it has missed something. */
  readonly prev: Revision;
  /** Drawn for each attempt of a commit, and so known to be one's own. */
  readonly commit: string;
  /** Changes of a commit that objects do not have yet. */
  readonly staged?: { readonly commit: string; readonly parts: number };
  /** Its changes were staged and were made by transactions before this one: this one has nothing of them. */
  readonly folded?: true;
  /** A copy into the store has begun and is not done. */
  readonly filling?: true;
}

/** The format of a store, and a proof of its sealing key. */
export interface Meta {
  readonly format: number;
  /** Base64 of what the sealer writes. */
  readonly check: string;
}

/** What `n/<revision>` has: the note itself, or how many parts it is in. */
export interface NoteRecord {
  readonly commit: string;
  readonly note?: unknown;
  readonly parts?: number;
}

/** One object as a commit leaves it. */
export type ObjectChange =
  | { readonly type: 'put'; readonly object: StoredObject }
  | { readonly type: 'delete'; readonly kind: string; readonly id: string };

interface ObjectRecord {
  readonly created: Revision;
  readonly revision: Revision;
  readonly value: unknown;
  /** Base64 of what the sealer writes. */
  readonly sealed?: string;
}

/** An entry of a staged part. */
type StagedRecord = { readonly kind: string; readonly id: string } & (
  | ({ readonly gone?: undefined } & ObjectRecord)
  | { readonly gone: true }
);

/** Digits of a revision in a key: keys are in the order of their revisions. */
const DIGITS = 16;
/** Notes that are kept, the newest ones. */
export const MAX_NOTES = 20_000;
/** Of one transaction; etcd takes 128 unless it is configured otherwise. */
export const MAX_CHANGES = 100;
/** Characters of one transaction or part. etcd takes requests of 1.5 MiB, and a character can be three octets. */
export const MAX_TEXT = 384 * 1024;

/** Keys and values of one store. */
export class EtcdFormat {
  readonly all: Required<KvRange>;
  readonly objects: Required<KvRange>;
  readonly staged: Required<KvRange>;
  readonly headKey: string;
  readonly metaKey: string;
  readonly probeKey: string;
  readonly #prefix: string;
  readonly #atRest: AtRest;

  constructor(cluster: string, atRest: AtRest) {
    this.#prefix = `culvert/${cluster}/s/`;
    this.#atRest = atRest;
    this.all = withPrefix(this.#prefix);
    this.objects = withPrefix(`${this.#prefix}o/`);
    this.staged = withPrefix(`${this.#prefix}x/`);
    this.headKey = `${this.#prefix}head`;
    this.metaKey = `${this.#prefix}meta`;
    this.probeKey = `${this.#prefix}probe`;
  }

  noteKey(revision: Revision): string {
    return `${this.#prefix}n/${padded(revision)}`;
  }

  /** The revision that a key of `notes` has. */
  revisionOf(key: string): Revision {
    return Number(key.slice(-DIGITS));
  }

  /** Commits and notes from one revision up to but not including another, or to the end. */
  notes(from: Revision, to?: Revision): Required<KvRange> {
    const end = to === undefined ? withPrefix(`${this.#prefix}n/`).to : this.noteKey(to);
    return { from: this.noteKey(from), to: end };
  }

  /** The parts of long notes, as `notes`. */
  longNotes(from: Revision, to?: Revision): Required<KvRange> {
    const prefix = `${this.#prefix}m/`;
    const end = to === undefined ? withPrefix(prefix).to : `${prefix}${padded(to)}`;
    return { from: `${prefix}${padded(from)}`, to: end };
  }

  longNoteOf(revision: Revision, commit: string): Required<KvRange> {
    return withPrefix(`${this.#prefix}m/${padded(revision)}/${commit}/`);
  }

  stagedOf(commit: string): Required<KvRange> {
    return withPrefix(`${this.#prefix}x/${commit}/`);
  }

  /** The commit that a key of a staged part belongs to; undefined for other keys. */
  stagedCommit(key: string): string | undefined {
    if (!key.startsWith(this.staged.from)) return undefined;
    return key.slice(this.staged.from.length).split('/')[0];
  }

  putHead(head: Head): KvChange {
    return { type: 'put', key: this.headKey, value: JSON.stringify(head) };
  }

  /** A text in numbered keys of a range that has them alone. */
  inParts(range: KvRange, texts: readonly string[]): KvChange[] {
    return texts.map((value, index) => ({
      type: 'put',
      key: `${range.from}${padded(index)}`,
      value,
    }));
  }

  /** A value sealed with the key of this host, for others to find out whether theirs is the same. */
  makeMeta(): string {
    const check = this.#atRest.sealer.seal('culvert', 'meta').toString('base64');
    return JSON.stringify({ format: ETCD_FORMAT, check } satisfies Meta);
  }

  /** @throws StoreError `newer_schema`, `sealed`, `damaged` */
  checkMeta(entry: KvEntry): void {
    const { format, check } = parse<Meta>(entry);
    if (format > ETCD_FORMAT) {
      throw new StoreError(
        'newer_schema',
        `the store in etcd has format ${format}: this program knows formats up to ${ETCD_FORMAT}`,
        'use the program that wrote it, or a newer one',
      );
    }
    const sealed = Buffer.from(check, 'base64');
    if (this.#atRest.sealer.keyId !== undefined && sealed[0] === 0) {
      throw new StoreError(
        'sealed',
        'the store in etcd was made without a sealing key',
        'leave the key out, or copy the store into an empty one with "culvert store copy"',
      );
    }
    this.#atRest.sealer.open(sealed, 'meta');
  }

  /** What a commit does to each object in the end, in the order of its changes. */
  changesOf(events: readonly StoreEvent[]): ObjectChange[] {
    const last = new Map<string, ObjectChange>();
    for (const event of events) {
      const { kind, id } = event.type === 'put' ? event.object : event.before;
      const change: ObjectChange =
        event.type === 'put' ? { type: 'put', object: event.object } : { type: 'delete', kind, id };
      last.set(this.keyed(change).key, change);
    }
    return [...last.values()];
  }

  /** The key of the object that a change is about, and what it is afterwards. */
  keyed(change: ObjectChange): { readonly key: string; readonly object?: StoredObject } {
    if (change.type === 'delete') return { key: this.#objectKey(change.kind, change.id) };
    const { object } = change;
    return { key: this.#objectKey(object.kind, object.id), object };
  }

  objectChange(change: ObjectChange): KvChange {
    const { key, object } = this.keyed(change);
    if (object === undefined) return { type: 'delete', range: { from: key } };
    return { type: 'put', key, value: JSON.stringify(this.#recordOf(object)) };
  }

  stagedRecord(change: ObjectChange): string {
    if (change.type === 'delete') {
      const { kind, id } = change;
      return JSON.stringify({ kind, id, gone: true } satisfies StagedRecord);
    }
    const { kind, id } = change.object;
    return JSON.stringify({ kind, id, ...this.#recordOf(change.object) } satisfies StagedRecord);
  }

  /** The changes in the parts of a commit. @throws StoreError `damaged`, `sealed` */
  readStaged(parts: readonly KvEntry[]): ObjectChange[] {
    return parts.flatMap((part) =>
      parse<readonly StagedRecord[]>(part).map((record): ObjectChange => {
        const { kind, id } = record;
        if (record.gone === true) return { type: 'delete', kind, id };
        return { type: 'put', object: this.#objectOf(kind, id, record) };
      }),
    );
  }

  /** The object in an entry of `objects`. @throws StoreError `damaged`, `sealed` */
  readObject(entry: KvEntry): StoredObject {
    const [kind, id] = this.#named(entry.key);
    return this.#objectOf(kind, id, parse<ObjectRecord>(entry));
  }

  /** What an event of `objects` did; undefined for an event of another key. */
  readEvent(key: string, entry: KvEntry | undefined): ObjectChange | undefined {
    if (!key.startsWith(this.objects.from)) return undefined;
    if (entry !== undefined) return { type: 'put', object: this.readObject(entry) };
    const [kind, id] = this.#named(key);
    return { type: 'delete', kind, id };
  }

  #recordOf({ kind, id, created, revision, value }: StoredObject): ObjectRecord {
    const { open, secrets } = this.#atRest.divide(kind, id, value);
    const record = { created, revision, value: open };
    return secrets === null ? record : { ...record, sealed: secrets.toString('base64') };
  }

  #objectOf(kind: string, id: string, { created, revision, value, sealed }: ObjectRecord): StoredObject {
    const secrets = sealed === undefined ? null : Buffer.from(sealed, 'base64');
    return { kind, id, created, revision, value: this.#atRest.join(kind, id, { open: value, secrets }) };
  }

  #objectKey(kind: string, id: string): string {
    return `${this.objects.from}${encodeURIComponent(kind)}/${encodeURIComponent(id)}`;
  }

  #named(key: string): [kind: string, id: string] {
    const [kind = '', id = ''] = key.slice(this.objects.from.length).split('/');
    return [decodeURIComponent(kind), decodeURIComponent(id)];
  }
}

/** The value of an entry. @throws StoreError `damaged` */
export function parse<T>({ key, value }: KvEntry): T {
  try {
    return JSON.parse(value) as T;
  } catch {
    // The error quotes the text.
    throw new StoreError(
      'damaged',
      `the key "${key}" in etcd is damaged: its value is no JSON`,
      'restore etcd from a snapshot, or run "culvert restore" with a backup in an empty cluster',
    );
  }
}

/** Texts in groups of at most so many texts and characters; one that is longer alone is a group of its own. */
export function grouped<T>(items: readonly T[], lengthOf: (item: T) => number): T[][] {
  const groups: T[][] = [];
  let length = 0;
  for (const item of items) {
    const group = groups.at(-1);
    const more = lengthOf(item);
    if (group === undefined || group.length === MAX_CHANGES || length + more > MAX_TEXT) {
      groups.push([item]);
      length = more;
    } else {
      group.push(item);
      length += more;
    }
  }
  return groups;
}

/** A text cut into pieces that etcd takes. */
export function cut(text: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + MAX_TEXT, text.length);
    // Half of a pair of surrogates has no UTF-8 of its own.
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

function padded(n: number): string {
  return String(n).padStart(DIGITS, '0');
}

/** The image with the changes made, and as one commit what they are for watchers. */
export function imageAfter(image: ObjectImage, revision: Revision, changes: readonly ObjectChange[]) {
  return image.after(
    changes.map((change) => {
      if (change.type === 'delete') return change;
      const { kind, id, value, created } = change.object;
      // Given only where it does not follow, since it costs putting the kind in order again.
      const follows = image.get(kind, id)?.created ?? revision;
      return { type: 'put', kind, id, value, ...(created === follows ? {} : { created }) } as const;
    }),
    { above: revision - 1 },
  );
}
