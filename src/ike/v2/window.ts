import { copyOf, equalBytes } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { Retransmission } from '../sa/retransmission.js';
import type { Exchange } from './tasks.js';

/** A request of ours that is not answered yet. */
export interface SentRequest {
  readonly task: Exchange;
  readonly exchangeType: number;
  readonly messageId: number;
  /** The message, or all its fragments (RFC 7383 §2.6.1: a request is repeated as a whole). */
  readonly datagrams: readonly Uint8Array[];
  readonly sentAt: Millis;
  readonly retransmission: Retransmission;
}

/** The window of the peer's requests as data. */
export interface WindowRecord {
  readonly next: number;
  /** The last request, or its first fragment, and the datagrams it was answered by. */
  readonly request: Uint8Array | undefined;
  readonly answer: readonly Uint8Array[] | undefined;
}

/** What a request of the peer is, by its message id alone. */
export type RequestPlace =
  /** The next one: to be handled. */
  | 'new'
  /** The last one handled: its answer may have been lost. */
  | 'last'
  /** Older, or ahead of the window. */
  | 'outside';

/**
 * The peer's requests on one IKE SA, window size 1 (RFC 7296 §2.2, §2.3): message ids count up from 0, and
 * the answer to the last request is kept until the next one arrives.
 */
export class RequestWindow {
  #next = 0;
  #request: Uint8Array | undefined;
  #answer: readonly Uint8Array[] | undefined;

  /** Goes on where another one was. */
  static from({ next, request, answer }: WindowRecord): RequestWindow {
    const made = new RequestWindow();
    made.#next = next;
    made.#request = request && copyOf(request);
    made.#answer = answer?.map(copyOf);
    return made;
  }

  get record(): WindowRecord {
    const request = this.#request && copyOf(this.#request);
    return { next: this.#next, request, answer: this.#answer?.map(copyOf) };
  }

  /** The message id of the next request. */
  get next(): number {
    return this.#next;
  }

  place(messageId: number): RequestPlace {
    if (messageId === this.#next) return 'new';
    return messageId === this.#next - 1 && this.#answer !== undefined ? 'last' : 'outside';
  }

  /**
   * The answer to the last request, when `request` repeats it octet by octet (RFC 7296 §2.1). Anything else
   * under the same id is no repetition, and it need not be opened to see that. Of a fragmented request the
   * first fragment represents all: it is answered once, not once per fragment (RFC 7383 §2.6.1).
   */
  answerTo(request: Uint8Array): readonly Uint8Array[] | undefined {
    return this.#request !== undefined && equalBytes(this.#request, request) ? this.#answer : undefined;
  }

  /** The last request, or its first fragment; it must not be changed. */
  get lastRequest(): Uint8Array | undefined {
    return this.#request;
  }

  /** The answer to the last request, which was found authentic under its id in other octets. */
  get lastAnswer(): readonly Uint8Array[] | undefined {
    return this.#answer;
  }

  /** The next request has this id: those before were another member's of the peer (RFC 6311 §5.1). */
  jumpTo(next: number): void {
    this.#next = next;
    this.#request = undefined;
    this.#answer = undefined;
  }

  /**
   * The request with the id `next` was handled and is answered by the datagrams `answer`. Returns the copy it keeps.
   */
  answered(request: Uint8Array, answer: readonly Uint8Array[]): Uint8Array {
    this.#next++;
    this.#request = copyOf(request);
    this.#answer = answer;
    return this.#request;
  }
}
