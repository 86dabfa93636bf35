import { concat, copyOf } from '../../util/bytes.js';
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
const MOST_FRAGMENTS = 255;

/**
 * Puts the fragments of one message together. They are not protected one by one, only the message is: a
 * forged fragment costs one reassembly, which the sender's next repetition makes up for.
 */
export class FragmentBuffer {
  readonly #most: ByteCount;
  #id = -1;
  #parts = new Map<number, Uint8Array>();
  #last = 0;
  #bytes = 0;

  constructor(most: ByteCount) {
    this.#most = most;
  }

  /** Octets held. */
  get size(): number {
    return this.#bytes;
  }

  /** The whole message once its last missing part is there. */
  add(fragment: V1FragmentPayload): Uint8Array | undefined {
    if (fragment.id !== this.#id) this.#restart(fragment.id);
    if (this.#parts.has(fragment.number)) return undefined;
    if (this.#bytes + fragment.data.length > this.#most || (this.#last > 0 && fragment.number > this.#last)) {
      this.#restart(-1);
      return undefined;
    }
    this.#parts.set(fragment.number, copyOf(fragment.data));
    this.#bytes += fragment.data.length;
    if (fragment.last) this.#last = fragment.number;
    if (this.#last === 0 || this.#parts.size < this.#last) return undefined;
    const parts: Uint8Array[] = [];
    for (let number = 1; number <= this.#last; number++) {
      const part = this.#parts.get(number);
      if (part === undefined) return undefined;
      parts.push(part);
    }
    this.#restart(-1);
    return concat(...parts);
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
  if (bytes.length <= WHOLE_BYTES || count > MOST_FRAGMENTS) return [bytes];
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
