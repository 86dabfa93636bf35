import { concat, copyOf } from '../../util/bytes.js';
import type { SkfPayload } from '../../wire/ike/payloads.js';

/** Fragments that one message may have. 64 of 1280 octets are more than any message that is read here. */
const MAX_FRAGMENTS = 64;

/** What becomes of an authentic fragment. */
export type Placed =
  /** The last one that was missing: the whole text, and the datagram of fragment number 1. */
  | {
      readonly kind: 'complete';
      readonly first: number;
      readonly text: Uint8Array;
      readonly firstDatagram: Uint8Array;
    }
  | { readonly kind: 'stored' }
  | { readonly kind: 'refused'; readonly why: string };

/**
 * Puts the fragments of one message together (RFC 7383 §2.6): one message at a time, in bounded memory. Only
 * authentic fragments may be given to `place`; `wants` says beforehand which ones are worth opening.
 */
export class Reassembly {
  readonly #mostBytes: number;
  #messageId = -1;
  #total = 0;
  #first = 0;
  #firstDatagram: Uint8Array | undefined;
  #bytes = 0;
  readonly #pieces = new Map<number, Uint8Array>();

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Octets that are held. */
  get size(): number {
    return this.#bytes;
  }

  /** Undefined when the fragment is wanted, else why it is not. Costs no arithmetic. */
  refuses(messageId: number, skf: SkfPayload): string | undefined {
    if (skf.total > MAX_FRAGMENTS) return `${skf.total} fragments, ${MAX_FRAGMENTS} are the limit`;
    if ((skf.fragment === 1) !== (skf.first !== 0))
      return `fragment ${skf.fragment} begins with ${skf.first}`;
    if (messageId !== this.#messageId) return undefined;
    // RFC 7383 §2.6: a smaller total belongs to an older try of the sender.
    if (skf.total < this.#total) return `one of ${skf.total} fragments, ${this.#total} are being collected`;
    if (skf.total === this.#total && this.#pieces.has(skf.fragment)) return 'the fragment is here already';
    return undefined;
  }

  /** Stores an authentic fragment. `text` is what it contains, `datagram` the whole of it. */
  place(messageId: number, skf: SkfPayload, text: Uint8Array, datagram: Uint8Array): Placed {
    const refused = this.refuses(messageId, skf);
    if (refused !== undefined) return { kind: 'refused', why: refused };
    // Another message, or the same one in smaller pieces, which replace those that came before.
    if (messageId !== this.#messageId || skf.total > this.#total) {
      this.clear();
      this.#messageId = messageId;
      this.#total = skf.total;
    }
    if (this.#bytes + text.length > this.#mostBytes) {
      this.clear();
      return { kind: 'refused', why: `more than ${this.#mostBytes} octets in fragments` };
    }
    this.#pieces.set(skf.fragment, copyOf(text));
    this.#bytes += text.length;
    if (skf.fragment === 1) {
      this.#first = skf.first;
      this.#firstDatagram = copyOf(datagram);
    }
    if (this.#pieces.size < this.#total || this.#firstDatagram === undefined) return { kind: 'stored' };
    const inOrder = [...this.#pieces].sort(([a], [b]) => a - b).map(([, piece]) => piece);
    const whole = { kind: 'complete', first: this.#first, firstDatagram: this.#firstDatagram } as const;
    const joined = concat(...inOrder);
    this.clear();
    return { ...whole, text: joined };
  }

  /** Forgets what is held. */
  clear(): void {
    for (const piece of this.#pieces.values()) piece.fill(0);
    this.#pieces.clear();
    this.#bytes = 0;
    this.#messageId = -1;
    this.#total = 0;
    this.#firstDatagram = undefined;
  }
}
