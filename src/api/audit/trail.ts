import { type Note, type Revision, type Store, StoreError } from '../../store/store.js';
import type { Logger } from '../../telemetry/log.js';
import type { Principal } from '../auth/principal.js';

/** Who did something, as far as that is known. */
export interface Initiator {
  /** Absent where a login was refused. */
  readonly name?: string;
  readonly role?: Principal['role'];
  readonly by?: Principal['by'];
  /** Where the request came from; absent for the Unix socket and for the server itself. */
  readonly address?: string;
}

/** One entry of the audit trail. It never contains a secret: neither values of objects nor bodies of requests. */
export interface AuditEntry {
  /** RFC 3339, UTC. */
  readonly at: string;
  /** `is.vpn.<object>.<verb>`, or `culvert.<object>.<verb>` for what the VPC documents do not have. */
  readonly action: string;
  readonly outcome: 'success' | 'failure';
  readonly initiator: Initiator;
  readonly target?: { readonly kind: string; readonly id: string; readonly name?: string };
  /** Why it failed. */
  readonly reason?: { readonly status: number; readonly code: string };
  readonly requestId?: string;
  /** How many of its kind it sums up, since the entry before it; left out for an entry of one. */
  readonly repeats?: number;
}

/** What the store's note of a commit contains, see `WriteQueue`. */
export interface AuditNote {
  readonly at: string;
  readonly who: string;
  readonly role: Principal['role'];
  readonly by: Principal['by'];
  readonly address?: string;
  readonly request_id: string;
  readonly changes: readonly {
    readonly action: string;
    readonly kind: string;
    readonly id: string;
    readonly before: unknown;
    readonly after: unknown;
  }[];
}

/** An entry in its place: later ones have greater numbers. */
export interface NumberedEntry {
  readonly number: number;
  readonly entry: AuditEntry;
}

/** Reads of one page that is open are one entry for so long, in milliseconds, with their number. */
const PAGE_FOLD_MS = 600_000;
/** Reads that are distinguished for that; the oldest go first. */
const MAX_PAGE_READS = 1000;

/** Entries that are kept of each class, so that many of one kind push out none of another. */
const KEPT = { change: 5000, request: 5000, login: 1000 } as const;
type Class = keyof typeof KEPT;

/** Notes that are read from the store at once. */
const PAGE = 1000;

/**
 * The newest entries of who did what: changes, which the store keeps too, so that they are there again after a restart
 * and on every server that has the same store; reads and refused requests; refused logins. It is bounded, and delays
 * nothing: the oldest entries are removed.
 */
export class AuditTrail {
  readonly #store: Store;
  readonly #kept: Readonly<Record<Class, NumberedEntry[]>> = { change: [], request: [], login: [] };
  #last = 0;
  readonly #pageReads = new Map<string, { readonly number: number; entry: AuditEntry }>();
  /** Changes up to this revision are among the entries. */
  #known: Revision = 0;
  #reading: Promise<void> | undefined;
  #end: () => void = () => undefined;

  private constructor(store: Store) {
    this.#store = store;
  }

  /** The trail with the changes that the store remembers. A store that cannot be read now leaves them out. */
  static async open(store: Store, logger: Logger): Promise<AuditTrail> {
    const trail = new AuditTrail(store);
    try {
      const { revision } = await store.snapshot();
      trail.#known = Math.max(0, revision - KEPT.change);
      trail.#end = store.watch(revision, (commit) => trail.#committed(commit.revision));
      await trail.#read();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn(`the audit trail starts without earlier changes: ${error.message}`);
    }
    return trail;
  }

  /** Follows the store no longer. */
  close(): void {
    this.#end();
  }

  /** All entries, in the order in which they came. */
  entries(): readonly NumberedEntry[] {
    const { change, request, login } = this.#kept;
    return [...change, ...request, ...login].sort((a, b) => a.number - b.number);
  }

  /** The changes of a commit of this server, one entry for each object. They come after those of commits before it. */
  async committed(note: AuditNote, revision: Revision): Promise<void> {
    // Others have written in between, or a restore has raised the revision.
    if (revision > this.#known + 1) await this.#catchUp().catch(() => undefined);
    if (revision > this.#known) this.#remember({ revision, note });
  }

  /** A request that changed nothing: it read, or was refused. */
  requested(entry: AuditEntry): void {
    this.#add('request', entry);
  }

  /**
   * A page of the console read something, which it does every few seconds as long as it is open, or asked whether what
   * is being typed would be taken: summed up, so that it pushes out nothing else.
   */
  askedByPage(entry: AuditEntry): void {
    const { action, initiator, target, reason } = entry;
    const key = [action, reason?.code, target?.id, initiator.by, initiator.name, initiator.address].join(' ');
    const last = this.#pageReads.get(key);
    if (last !== undefined && Date.parse(entry.at) - Date.parse(last.entry.at) < PAGE_FOLD_MS) {
      last.entry = { ...last.entry, repeats: (last.entry.repeats ?? 1) + 1 };
      return;
    }
    this.#pageReads.delete(key);
    const [oldest] = this.#pageReads.keys();
    if (oldest !== undefined && this.#pageReads.size >= MAX_PAGE_READS) this.#pageReads.delete(oldest);
    this.#pageReads.set(key, this.#add('request', entry));
  }

  login(entry: AuditEntry): void {
    this.#add('login', entry);
  }

  /** Of a server with the same store, unless it is one's own and known. */
  #committed(revision: Revision): void {
    // What cannot be read now is read after the next commit.
    if (revision > this.#known) this.#catchUp().catch(() => undefined);
  }

  /** Resolves when the trail has what the store had at the call. */
  async #catchUp(): Promise<void> {
    await this.#reading?.catch(() => undefined);
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(): Promise<void> {
    for (;;) {
      const notes = await this.#store.notes(this.#known, PAGE);
      for (const note of notes) if (note.revision > this.#known) this.#remember(note);
      if (notes.length < PAGE) return;
    }
  }

  #remember({ revision, note }: Note): void {
    this.#known = revision;
    if (!isAuditNote(note)) return;
    for (const entry of entriesOf(note)) this.#add('change', entry);
  }

  #add(kind: Class, entry: AuditEntry): { readonly number: number; entry: AuditEntry } {
    const kept = this.#kept[kind];
    const numbered = { number: ++this.#last, entry };
    kept.push(numbered);
    // A tenth at a time: moving all of them for each new one would be costly.
    if (kept.length > KEPT[kind] * 1.1) kept.splice(0, kept.length - KEPT[kind]);
    return numbered;
  }
}

function isAuditNote(note: unknown): note is AuditNote {
  return typeof note === 'object' && note !== null && Array.isArray((note as { changes?: unknown }).changes);
}

function entriesOf(note: AuditNote): readonly AuditEntry[] {
  const { at, who: name, role, by, address, request_id: requestId, changes } = note;
  const initiator = { name, role, by, ...(address === undefined ? {} : { address }) };
  return changes.map(({ action, kind, id, before, after }) => {
    const named = (after ?? before) as { readonly name?: unknown } | null;
    const target = { kind, id, ...(typeof named?.name === 'string' ? { name: named.name } : {}) };
    return { at, action, outcome: 'success', initiator, target, requestId };
  });
}
