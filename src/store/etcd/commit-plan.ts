import type { Commit, Revision } from '../store.js';
import {
  cut,
  type EtcdFormat,
  grouped,
  type Head,
  MAX_CHANGES,
  MAX_TEXT,
  type NoteRecord,
  type ObjectChange,
} from './format.js';
import type { KvChange, KvCondition, KvTransaction } from './kv.js';

/** Characters of a note that is kept beside its commit, so that many of them can be read at once. */
const MAX_NOTE = 16 * 1024;

/** A commit as transactions of etcd. */
export interface CommitPlan {
  /** Put first, one after the other, where nothing looks before the commit is made. */
  readonly before: readonly KvChange[];
  /** Makes the commit. When it was not made, it has read who has made the commit of its revision. */
  readonly transaction: KvTransaction;
  readonly head: Head;
}

/** What a commit is planned from. */
export interface CommitDraft {
  readonly commit: Commit;
  /** The revision before it. */
  readonly prev: Revision;
  /** Drawn for this plan. */
  readonly id: string;
  readonly note: unknown;
  readonly conditions: readonly KvCondition[];
  /** Notes that are kept, the newest ones. */
  readonly maxNotes: number;
}

/**
 * A commit that fits into one transaction is one. A larger one is staged: its changes are put aside in parts, then its head
 * makes it, and afterwards `planFolding` moves them to where they belong.
 */
export function planCommit(format: EtcdFormat, draft: CommitDraft): CommitPlan {
  const { commit, prev, id, note, conditions, maxNotes } = draft;
  const { revision } = commit;
  const changes = format.changesOf(commit.events);
  const direct = changes.map((change) => format.objectChange(change));
  const fits = direct.length <= MAX_CHANGES && sum(direct.map(lengthOf)) <= MAX_TEXT;
  const parts = fits ? [] : stagedParts(format, changes);
  const staged = fits ? {} : { staged: { commit: id, parts: parts.length } };
  const head: Head = { n: revision, prev, commit: id, ...staged };
  const noted = planNote(format, { revision, id, note });
  const trimmed = revision > maxNotes ? revision - maxNotes + 1 : 0;
  return {
    before: [...format.inParts(format.stagedOf(id), parts), ...noted.before],
    transaction: {
      conditions,
      changes: [format.putHead(head), noted.change, ...(fits ? direct : []), ...trim(format, trimmed)],
      otherwise: [format.noteKey(revision)],
    },
    head,
  };
}

/** Makes the changes of a staged commit where its objects are; with the last transaction the store is as after any other. */
export function planFolding(
  format: EtcdFormat,
  head: Head,
  changes: readonly ObjectChange[],
  conditions: readonly KvCondition[],
): KvTransaction[] {
  const groups = grouped(
    changes.map((change) => format.objectChange(change)),
    lengthOf,
  );
  const last: KvChange[] = [
    format.putHead(foldedHead(head)),
    // Those of commits that were given up, too: their transactions compare a head that is no more.
    { type: 'delete', range: format.staged },
  ];
  return [...groups, last].map((group) => ({ conditions, changes: group }));
}

/** The head of a commit whose changes are where they belong. */
export function foldedHead({ n, prev, commit }: Head): Head {
  return { n, prev, commit, folded: true };
}

/** The record of a commit, and what is to be put before it where its note is long. */
export function planNote(
  format: EtcdFormat,
  { revision, id, note }: { readonly revision: Revision; readonly id: string; readonly note: unknown },
): { readonly before: readonly KvChange[]; readonly change: KvChange } {
  const text = note === undefined ? '' : JSON.stringify(note);
  const pieces = text.length <= MAX_NOTE ? [] : cut(text);
  const record: NoteRecord =
    note === undefined
      ? { commit: id }
      : pieces.length === 0
        ? { commit: id, note }
        : { commit: id, parts: pieces.length };
  return {
    before: format.inParts(format.longNoteOf(revision, id), pieces),
    change: { type: 'put', key: format.noteKey(revision), value: JSON.stringify(record) },
  };
}

function stagedParts(format: EtcdFormat, changes: readonly ObjectChange[]): string[] {
  const records = changes.map((change) => format.stagedRecord(change));
  return grouped(records, ({ length }) => length).map((group) => `[${group.join(',')}]`);
}

function trim(format: EtcdFormat, before: Revision): KvChange[] {
  if (before === 0) return [];
  return [
    { type: 'delete', range: format.notes(0, before) },
    { type: 'delete', range: format.longNotes(0, before) },
  ];
}

/** Characters of a change, for the limits of a transaction. */
export function lengthOf(change: KvChange): number {
  return change.type === 'put' ? change.key.length + change.value.length : change.range.from.length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
