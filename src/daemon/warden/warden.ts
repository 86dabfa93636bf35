import type { Millis } from '../../util/units.js';
import type { LeaderRecord, PlaceId, StoredRecord, TakeReason } from './leader-record.js';

/** What a warden does for its gateway at its place. */
export type WardenState =
  /** The gateway is not to run here. */
  | 'idle'
  /** The process is being started and made ready. */
  | 'syncing'
  /** It is ready and does not speak. */
  | 'standby'
  /** The record is being written. */
  | 'claiming'
  /** The process begins to speak. */
  | 'taking'
  /** It speaks, and the other place is not ready to take over. */
  | 'active-solo'
  /** It speaks, and the other place is ready. */
  | 'active-pair'
  /** It is to stop speaking, for the other place. */
  | 'draining'
  /** It must not speak and is being ended. */
  | 'fenced';

/** What a warden learns. */
export type WardenInput =
  /** The gateway is to run here; `first`: this place begins when neither speaks yet. */
  | { readonly kind: 'placed'; readonly first: boolean }
  | { readonly kind: 'removed' }
  /** The record as it is stored now. */
  | { readonly kind: 'record'; readonly stored: StoredRecord }
  /** The write that was asked for was refused, or nothing is known of it. */
  | { readonly kind: 'unwritten' }
  /** Our process is ready and does not speak. */
  | { readonly kind: 'ready' }
  /** Our process speaks: it has taken over, or it has spoken since before this warden began. */
  | { readonly kind: 'live' }
  /** Our process is gone, and with it whatever it had open. */
  | { readonly kind: 'ended' }
  /** The other place is ready to take over, or not any more. */
  | { readonly kind: 'peer'; readonly isReady: boolean }
  /** Who speaks in this term does not answer, or does again. */
  | { readonly kind: 'silent'; readonly term: number }
  | { readonly kind: 'answers'; readonly term: number }
  /**
   * Who spoke in this term speaks no more and never will: on one host its process is gone, on two its permit is over.
   */
  | { readonly kind: 'fenced'; readonly term: number; readonly reason: TakeReason }
  /** The other place is to take over. */
  | { readonly kind: 'switch' }
  | { readonly kind: 'timer' };

/** What a warden asks for. */
export type WardenOutput =
  /** Start a process and make it ready; it sends nothing. Answered by `ready` or `ended`. */
  | { readonly kind: 'prepare' }
  /** Write this record if the stored one is of this revision. Answered by `record` or `unwritten`. */
  | { readonly kind: 'write'; readonly expect: number; readonly record: LeaderRecord }
  /** Let the process that is ready speak. Answered by `live` or `ended`. */
  | { readonly kind: 'take'; readonly term: number; readonly reason: TakeReason }
  /** Let the process end at once, without a farewell to those that will hear from the other place. */
  | { readonly kind: 'release' }
  /** End the process, whatever it does. Answered by `ended`. */
  | { readonly kind: 'kill' }
  /** Make sure that who speaks in this term speaks no more. Answered by `fenced`. */
  | { readonly kind: 'fence'; readonly term: number };

/** How long things may take, in milliseconds. */
export interface WardenPatience {
  /** How long the place that is not the first waits for the first to begin. */
  readonly first: Millis;
  /** How long a place whose process has ended leaves it to the other one, which is ready. */
  readonly yield: Millis;
  /** How long a process may take to stop speaking when it is released. */
  readonly drain: Millis;
  /** How long a process may take to begin to speak. */
  readonly take: Millis;
  /** Pause before a write is tried again. */
  readonly retry: Millis;
}

/** The patience of `culvert serve`. */
const WARDEN_PATIENCE: WardenPatience = {
  first: 3000,
  yield: 2000,
  drain: 500,
  take: 10_000,
  retry: 100,
};

type ProcessState = 'none' | 'starting' | 'ready' | 'taking' | 'live' | 'draining' | 'killed';

/**
 * Whether a gateway may speak at this place: one of two that agree by the leader record alone. It speaks when its claim
 * was written, and claims only when it knows that who spoke before speaks no more. How that is known is not said here:
 * on one host by the death of a process, between hosts by a promise that is kept. Sans-IO: inputs and a time in,
 * outputs out.
 */
export class Warden {
  readonly #place: PlaceId;
  readonly #patience: WardenPatience;
  #isPlaced = false;
  #process: ProcessState = 'none';
  #stored: StoredRecord = { revision: 0, record: undefined };
  /** The write under way. */
  #writing: { readonly expect: number; readonly record: LeaderRecord } | undefined;
  /** The highest term that was ever seen: none is given twice. */
  #highest = 0;
  /** The term in which our process speaks, or spoke last. */
  #term = 0;
  /** From the order to take until it is gone. */
  #speaks = false;
  #peerReady = false;
  #fenced: { readonly term: number; readonly reason: TakeReason } | undefined;
  /** The term whose holder does not answer, and the one whose fencing was asked for. */
  #silent = 0;
  #fencing = 0;
  /** Until then the first place is waited for. */
  #beginAt: Millis = 0;
  /** Until then the other place may take over before our next process does. */
  #yieldUntil: Millis = 0;
  /** Until then the process is to have carried out its order. */
  #processDue: Millis = Number.POSITIVE_INFINITY;
  #retryAt: Millis = 0;
  /** Why our process stopped speaking. */
  #lastEnd: TakeReason = 'start';

  constructor(place: PlaceId, patience: WardenPatience = WARDEN_PATIENCE) {
    this.#place = place;
    this.#patience = patience;
  }

  get state(): WardenState {
    if (!this.#isPlaced) return 'idle';
    switch (this.#process) {
      case 'none':
      case 'starting':
        return 'syncing';
      case 'ready':
        return this.#isClaiming ? 'claiming' : 'standby';
      case 'live':
        return this.#stored.record?.guard === 'pair' ? 'active-pair' : 'active-solo';
      case 'killed':
        return 'fenced';
      default:
        return this.#process;
    }
  }

  /** The term in which this place speaks, or may have begun to; undefined when it does not. */
  get term(): number | undefined {
    return this.#speaks ? this.#term : undefined;
  }

  /** When it wants to be called with `timer`; infinite when nothing waits. */
  nextDeadline(): Millis {
    if (!this.#isPlaced) return Number.POSITIVE_INFINITY;
    const waits = this.#process === 'ready' && this.#writing === undefined;
    return Math.min(
      this.#processDue,
      this.#retryAt || Number.POSITIVE_INFINITY,
      waits ? this.#beginAt || Number.POSITIVE_INFINITY : Number.POSITIVE_INFINITY,
      waits ? this.#yieldUntil || Number.POSITIVE_INFINITY : Number.POSITIVE_INFINITY,
    );
  }

  handle(input: WardenInput, now: Millis): readonly WardenOutput[] {
    const out: WardenOutput[] = [];
    this.#note(input, now, out);
    if (now >= this.#retryAt) this.#retryAt = 0;
    if (now >= this.#beginAt) this.#beginAt = 0;
    if (now >= this.#yieldUntil) this.#yieldUntil = 0;
    this.#decide(now, out);
    return out;
  }

  get #isClaiming(): boolean {
    return this.#writing?.record.holder === this.#place && this.#writing.record.term > this.#term;
  }

  get #isHolder(): boolean {
    return this.#stored.record?.holder === this.#place;
  }

  #note(input: WardenInput, now: Millis, out: WardenOutput[]): void {
    switch (input.kind) {
      case 'placed':
        this.#isPlaced = true;
        this.#beginAt = input.first ? 0 : now + this.#patience.first;
        return;
      case 'removed':
        this.#remove(out);
        return;
      case 'record':
        this.#take(input.stored, now, out);
        return;
      case 'unwritten':
        this.#writing = undefined;
        this.#retryAt = now + this.#patience.retry;
        return;
      case 'ready':
        if (this.#process === 'starting') this.#process = 'ready';
        return;
      case 'live':
        this.#lives();
        return;
      case 'ended':
        this.#ended(now);
        return;
      case 'peer':
        this.#peerReady = input.isReady;
        return;
      case 'silent':
        this.#silent = Math.max(this.#silent, input.term);
        return;
      case 'answers':
        if (this.#silent === input.term && this.#fencing !== input.term) this.#silent = 0;
        return;
      case 'fenced':
        if (input.term >= (this.#fenced?.term ?? 0))
          this.#fenced = { term: input.term, reason: input.reason };
        return;
      case 'switch':
        this.#switch(now, out);
    }
  }

  #remove(out: WardenOutput[]): void {
    this.#isPlaced = false;
    this.#writing = undefined;
    this.#processDue = Number.POSITIVE_INFINITY;
    if (this.#process !== 'none' && this.#process !== 'killed') out.push({ kind: 'kill' });
    if (this.#process !== 'none') this.#process = 'killed';
  }

  /** Another record is stored: that of our write, or of the other place's. */
  #take(stored: StoredRecord, now: Millis, out: WardenOutput[]): void {
    if (stored.revision < this.#stored.revision) return;
    this.#stored = stored;
    const { record } = stored;
    this.#highest = Math.max(this.#highest, record?.term ?? 0);
    const writing = this.#writing;
    if (writing === undefined || stored.revision <= writing.expect) return;
    const isClaim = this.#isClaiming;
    this.#writing = undefined;
    // One that was written after all, of which we had heard nothing, is not acted on: a later claim has its own term.
    const won = record?.holder === this.#place && record.term === writing.record.term;
    if (!isClaim || !won || this.#process !== 'ready') return;
    this.#term = record.term;
    this.#speaks = true;
    this.#process = 'taking';
    this.#processDue = now + this.#patience.take;
    out.push({ kind: 'take', term: record.term, reason: record.reason });
  }

  #lives(): void {
    if (this.#process === 'taking') this.#processDue = Number.POSITIVE_INFINITY;
    // One that is found speaking, from before this warden, speaks in the term of the record.
    if (this.#process === 'none' || this.#process === 'starting') this.#term = this.#stored.record?.term ?? 0;
    else if (this.#process !== 'taking') return;
    this.#speaks = true;
    this.#process = 'live';
  }

  #ended(now: Millis): void {
    if (this.#speaks) {
      this.#yieldUntil = now + this.#patience.yield;
      this.#lastEnd =
        this.#process === 'draining' ? 'switch' : this.#process === 'killed' ? 'silent' : 'ended';
    }
    this.#speaks = false;
    this.#process = 'none';
    this.#processDue = Number.POSITIVE_INFINITY;
  }

  #switch(now: Millis, out: WardenOutput[]): void {
    if (this.state !== 'active-pair' || !this.#peerReady) return;
    this.#process = 'draining';
    this.#processDue = now + this.#patience.drain;
    out.push({ kind: 'release' });
  }

  /** What follows from all that is known, whichever of it came last. */
  #decide(now: Millis, out: WardenOutput[]): void {
    if (!this.#isPlaced) return;
    if (this.#process === 'none') {
      this.#process = 'starting';
      out.push({ kind: 'prepare' });
    }
    const isLate = now >= this.#processDue;
    // It does not carry out its order, or speaks in a term that is over.
    if (isLate || (this.#speaks && this.#highest > this.#term)) this.#kill(out);
    else if (this.#process === 'live') this.#guard(out);
    else if (this.#process === 'ready') this.#claim(out);
  }

  #kill(out: WardenOutput[]): void {
    this.#processDue = Number.POSITIVE_INFINITY;
    if (this.#process === 'killed') return;
    this.#process = 'killed';
    out.push({ kind: 'kill' });
  }

  /** Writes down whether the other place is ready to take over. */
  #guard(out: WardenOutput[]): void {
    const { record } = this.#stored;
    const guard = this.#peerReady ? 'pair' : 'store';
    if (record === undefined || !this.#isHolder || record.guard === guard) return;
    this.#write({ ...record, guard }, out);
  }

  /** Begins to speak when the other place does not. */
  #claim(out: WardenOutput[]): void {
    const reason = this.#mayClaim(out);
    if (reason === undefined) return;
    const term = Math.max(this.#highest, this.#stored.record?.term ?? 0) + 1;
    this.#write({ term, holder: this.#place, guard: 'store', reason }, out);
  }

  /** Why this place may begin to speak; undefined when it may not. */
  #mayClaim(out: WardenOutput[]): TakeReason | undefined {
    const { record } = this.#stored;
    if (record === undefined) return this.#beginAt === 0 ? 'start' : undefined;
    if (record.holder === this.#place) {
      // The process that spoke for us is gone, else there were none that is ready.
      const left = record.guard === 'pair' && this.#peerReady && this.#yieldUntil !== 0;
      return left ? undefined : this.#lastEnd;
    }
    if (this.#fenced !== undefined && this.#fenced.term >= record.term) return this.#fenced.reason;
    if (this.#silent >= record.term && this.#fencing !== record.term) {
      this.#fencing = record.term;
      out.push({ kind: 'fence', term: record.term });
    }
    return undefined;
  }

  #write(record: LeaderRecord, out: WardenOutput[]): void {
    if (this.#writing !== undefined || this.#retryAt !== 0) return;
    const expect = this.#stored.revision;
    this.#writing = { expect, record };
    out.push({ kind: 'write', expect, record });
  }
}
