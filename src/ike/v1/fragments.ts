import { concat, copyOf, equalBytes } from '../../util/bytes.js';
import type { ByteCount } from '../../util/units.js';
import { encodeV1Message } from '../../wire/ike/v1/message.js';
import type { V1FragmentPayload, V1Header } from '../../wire/ike/v1/payloads.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';

/**
 * Octets of a message in one fragment: with IP, UDP, marker, header and payload header a datagram stays
 * within 1280 octets, the least that IPv6 carries everywhere.
 */
const FRAGMENT_BYTES = 1180;
/** Messages up to this length go in one piece. */
const WHOLE_BYTES = 1220;
const MAX_FRAGMENTS = 255;

/**
 * Puts the fragments of one message together. They are not protected one by one, only the message is: a
 * forged fragment costs one reassembly, which the sender's next repetition makes up for.
 *
 * Senders may give every message the same fragment id, so that the id alone does not show whether a fragment belongs
 * to the message that is done or to the next one: its octets do.
 */
export class FragmentBuffer {
  readonly #most: ByteCount;
  #id = -1;
  #parts = new Map<number, Uint8Array>();
  #last = 0;
  #bytes = 0;
  /** The parts of the last message that was whole, in their order, and those of them that came again since. */
  #done: readonly Uint8Array[] = [];
  #again = new Set<number>();

  constructor(most: ByteCount) {
    this.#most = most;
  }

  /** Octets held. */
  get size(): number {
    return this.#done.reduce((sum, part) => sum + part.length, this.#bytes);
  }

  /**
   * The whole message once its last missing part is there. A part of the message that is done is dropped; when all
   * of them have come again the sender repeats the message, as it does for want of an answer.
   */
  add(fragment: V1FragmentPayload): Uint8Array | undefined {
    const { id, number, last, data } = fragment;
    if (id !== this.#id) this.#restart(id);
    if (this.#parts.size === 0 && this.#isDone(fragment)) return this.#repeated(number);
    const known = this.#parts.get(number);
    if (known !== undefined && equalBytes(known, data)) return undefined;
    // Another message under the same id: what is here of the one before it will not become whole.
    if (known !== undefined || (this.#last > 0 && (number > this.#last || last))) this.#restart(id);
    if (this.#bytes + data.length > this.#most) {
      this.#restart(-1);
      return undefined;
    }
    this.#parts.set(number, copyOf(data));
    this.#bytes += data.length;
    if (last) this.#last = number;
    if (this.#last === 0 || this.#parts.size < this.#last) return undefined;
    const parts: Uint8Array[] = [];
    for (let n = 1; n <= this.#last; n++) {
      const part = this.#parts.get(n);
      if (part === undefined) return undefined;
      parts.push(part);
    }
    this.#done = parts;
    this.#again.clear();
    this.#restart(id);
    return concat(...parts);
  }

  #isDone({ number, last, data }: V1FragmentPayload): boolean {
    const part = this.#done[number - 1];
    return part !== undefined && last === (number === this.#done.length) && equalBytes(part, data);
  }

  #repeated(number: number): Uint8Array | undefined {
    this.#again.add(number);
    if (this.#again.size < this.#done.length) return undefined;
    this.#again.clear();
    return concat(...this.#done);
  }

  #restart(id: number): void {
    this.#id = id;
    this.#parts = new Map();
    this.#last = 0;
    this.#bytes = 0;
  }
}

/** The datagrams of a message: itself when it is short enough, else its fragments, all with the number `id`. */
export function fragmentsOf(bytes: Uint8Array, header: V1Header, id: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / FRAGMENT_BYTES);
  if (bytes.length <= WHOLE_BYTES || count > MAX_FRAGMENTS) return [bytes];
  // As other gateways do it: fragments carry no message id and the exchange type of phase 1.
  const outer: V1Header = {
    ...header,
    exchangeType: V1Exchange.MAIN_MODE,
    encrypted: false,
    commit: false,
    messageId: 0,
  };
  return Array.from({ length: count }, (_, index) =>
    encodeV1Message(outer, [
      {
        kind: 'fragment',
        id,
        number: index + 1,
        last: index + 1 === count,
        data: bytes.subarray(index * FRAGMENT_BYTES, (index + 1) * FRAGMENT_BYTES),
      },
    ]),
  );
}
