import type { ChildSaInfo, IkeEvent, IkeSaInfo } from '../ike/events.js';
import type { ChildId, ConnectionId, IkeId } from '../util/ids.js';
import type { EventOf } from './event-catalogue.js';

/** A negotiation of ours that is under way. */
export interface Attempt {
  readonly version: 1 | 2;
  /** How often its last request has been sent again. */
  readonly retransmits: number;
}

/** The SAs of one connection. */
export interface ConnectionSas {
  readonly ikes: ReadonlyMap<IkeId, IkeSaInfo>;
  readonly children: ReadonlyMap<ChildId, ChildSaInfo>;
  /** Child SAs that a newer one takes over from (RFC 7296 §2.8). */
  readonly superseded: ReadonlySet<ChildId>;
  readonly attempts: ReadonlyMap<IkeId, Attempt>;
}

/** What an event changed among the SAs of its connection. */
export interface SaChange {
  /** The IKE SA the event is about, as it is now, or as it was when it is gone. */
  readonly ike?: IkeSaInfo | undefined;
  /** The child SA likewise. */
  readonly child?: ChildSaInfo | undefined;
  /** Our attempt that the event belongs to, as it was before. */
  readonly attempt?: Attempt | undefined;
  /** The child SA that is gone had a successor. */
  readonly superseded?: true | undefined;
  /** An SA is gone, and it was the last one of its connection. */
  readonly emptied?: true | undefined;
}

/** Which SAs are established, for all who only look. */
export interface SaView {
  /** Number of IKE SAs. */
  readonly ikeCount: number;
  ike(id: IkeId): IkeSaInfo | undefined;
  child(id: ChildId): ChildSaInfo | undefined;
  /** The SAs of a connection as they are at this moment: a live view, not to be kept. */
  of(connection: ConnectionId): ConnectionSas;
}

interface Book extends ConnectionSas {
  readonly ikes: Map<IkeId, IkeSaInfo>;
  readonly children: Map<ChildId, ChildSaInfo>;
  readonly superseded: Set<ChildId>;
  readonly attempts: Map<IkeId, Attempt>;
}

/** Attempts of one connection that are remembered. There is one as a rule, and some whose end has no event. */
const MAX_ATTEMPTS = 8;

const NO_SAS: ConnectionSas = {
  ikes: new Map(),
  children: new Map(),
  superseded: new Set(),
  attempts: new Map(),
};

const NO_CHANGE: SaChange = {};

/**
 * The one record of the SAs that are established and of the attempts under way, by connection, IKE SA and child SA. It
 * takes the engine's events, each once and before anybody else; all others read it.
 */
export class SaLedger implements SaView {
  readonly #books = new Map<ConnectionId, Book>();
  readonly #ikes = new Map<IkeId, IkeSaInfo>();
  readonly #children = new Map<ChildId, ChildSaInfo>();

  get ikeCount(): number {
    return this.#ikes.size;
  }

  ike(id: IkeId): IkeSaInfo | undefined {
    return this.#ikes.get(id);
  }

  child(id: ChildId): ChildSaInfo | undefined {
    return this.#children.get(id);
  }

  of(connection: ConnectionId): ConnectionSas {
    return this.#books.get(connection) ?? NO_SAS;
  }

  /** Takes an event. @returns what it changed, which is of use while the event is passed on and no longer */
  apply(event: IkeEvent): SaChange {
    switch (event.kind) {
      case 'ike-initiating':
        return this.#initiating(event);
      case 'retransmit':
        return this.#retransmitted(event);
      case 'ike-established':
        return this.#ikeEstablished(event);
      case 'ike-closed':
        return this.#ikeClosed(event);
      case 'ike-failed':
        return this.#ikeFailed(event);
      case 'child-established':
        return this.#childEstablished(event);
      case 'child-closed':
        return this.#childClosed(event);
      case 'child-failed':
        return { ike: this.of(event.connection).ikes.get(event.ikeId) };
      case 'peer-moved': {
        const ike = this.of(event.connection).ikes.get(event.ikeId);
        return this.#updateIke(event.connection, ike && { ...ike, peer: event.to });
      }
      case 'rescheduled':
        return this.#rescheduled(event);
      default:
        return NO_CHANGE;
    }
  }

  #initiating({ connection, ikeId, version }: EventOf<'ike-initiating'>): SaChange {
    const { attempts } = this.#book(connection);
    attempts.set(ikeId, { version, retransmits: 0 });
    if (attempts.size > MAX_ATTEMPTS) attempts.delete(attempts.keys().next().value!);
    return NO_CHANGE;
  }

  #retransmitted({ connection, ikeId, attempt: retransmits }: EventOf<'retransmit'>): SaChange {
    if (connection === undefined) return NO_CHANGE;
    const attempt = this.of(connection).attempts.get(ikeId);
    if (attempt === undefined) return NO_CHANGE;
    this.#book(connection).attempts.set(ikeId, { ...attempt, retransmits });
    return { attempt };
  }

  #ikeEstablished({ connection, ike }: EventOf<'ike-established'>): SaChange {
    const book = this.#book(connection);
    book.attempts.delete(ike.ikeId);
    book.ikes.set(ike.ikeId, ike);
    this.#ikes.set(ike.ikeId, ike);
    // A rekeyed IKE SA hands its child SAs over (RFC 7296 §2.18).
    if (ike.replaces !== undefined) {
      for (const child of book.children.values())
        if (child.ikeId === ike.replaces) this.#setChild(book, { ...child, ikeId: ike.ikeId });
    }
    return { ike };
  }

  #ikeClosed({ connection, ikeId }: EventOf<'ike-closed'>): SaChange {
    const book = this.#book(connection);
    const ike = book.ikes.get(ikeId);
    book.ikes.delete(ikeId);
    book.attempts.delete(ikeId);
    this.#ikes.delete(ikeId);
    // A child SA does not outlive its IKE SA (RFC 7296 §1.4.1). In version 1 ESP SAs go on alone (RFC 2408 §2.1), and
    // have events of their own when they end.
    if (book.ikes.size === 0 && ike?.version !== 1) {
      for (const id of book.children.keys()) this.#children.delete(id);
      book.children.clear();
    }
    return { ike, emptied: this.#settle(connection, book) };
  }

  #ikeFailed({ connection, ikeId }: EventOf<'ike-failed'>): SaChange {
    if (connection === undefined || ikeId === undefined) return NO_CHANGE;
    const book = this.#book(connection);
    const attempt = book.attempts.get(ikeId);
    book.attempts.delete(ikeId);
    this.#settle(connection, book);
    return { attempt };
  }

  #childEstablished({ connection, child }: EventOf<'child-established'>): SaChange {
    const book = this.#book(connection);
    this.#setChild(book, child);
    if (child.replaces !== undefined) book.superseded.add(child.replaces);
    return { child };
  }

  #childClosed({ connection, childId }: EventOf<'child-closed'>): SaChange {
    const book = this.#book(connection);
    const child = book.children.get(childId);
    const ike = child && book.ikes.get(child.ikeId);
    book.children.delete(childId);
    this.#children.delete(childId);
    const superseded = book.superseded.delete(childId) || undefined;
    return { child, ike, superseded, emptied: this.#settle(connection, book) };
  }

  #rescheduled({ connection, ikeId, childId, rekeyAt }: EventOf<'rescheduled'>): SaChange {
    const { ikes, children } = this.of(connection);
    if (childId === undefined) {
      const ike = ikes.get(ikeId);
      return this.#updateIke(connection, ike && { ...ike, rekeyAt });
    }
    const known = children.get(childId);
    if (known === undefined) return NO_CHANGE;
    const child = { ...known, rekeyAt };
    this.#setChild(this.#book(connection), child);
    return { child };
  }

  #updateIke(connection: ConnectionId, ike: IkeSaInfo | undefined): SaChange {
    if (ike === undefined) return NO_CHANGE;
    this.#book(connection).ikes.set(ike.ikeId, ike);
    this.#ikes.set(ike.ikeId, ike);
    return { ike };
  }

  #setChild(book: Book, child: ChildSaInfo): void {
    book.children.set(child.childId, child);
    this.#children.set(child.childId, child);
  }

  #book(connection: ConnectionId): Book {
    let book = this.#books.get(connection);
    if (book === undefined) {
      book = { ikes: new Map(), children: new Map(), superseded: new Set(), attempts: new Map() };
      this.#books.set(connection, book);
    }
    return book;
  }

  /** After an SA or an attempt ended. @returns whether no SA is left */
  #settle(connection: ConnectionId, book: Book): true | undefined {
    if (book.ikes.size > 0 || book.children.size > 0) return undefined;
    book.superseded.clear();
    if (book.attempts.size === 0) this.#books.delete(connection);
    return true;
  }
}
