import type { WireError, WireErrorCode } from './error.js';

/**
 * What a decoder throws to its front door, which turns it into a `Result`. It is not an `Error` on purpose:
 * a stack trace for every malformed datagram would be work that a stranger can order.
 */
export class WireFault {
  readonly error: WireError;

  constructor(error: WireError) {
    this.error = error;
  }
}

/**
 * Reads a part of a datagram from front to back and never beyond its end. A reader made by `sub` knows the
 * structure that it reads; the text of the path to it is only built when something fails.
 */
export class Reader {
  readonly bytes: Uint8Array;
  /** Position of the next octet in `bytes`. */
  at: number;
  /** Position after the last octet that may be read. */
  readonly end: number;
  readonly #base: number;
  readonly #parent: Reader | undefined;
  readonly #label: string;
  readonly #index: number;

  /**
   * @param label static name of the structure
   * @param index number shown after the label; 0 for none
   * @param base where `bytes` begins in the datagram, for error offsets
   */
  constructor(
    bytes: Uint8Array,
    label: string,
    base = 0,
    at = 0,
    end = bytes.length,
    parent?: Reader,
    index = 0,
  ) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.#base = base;
    this.#parent = parent;
    this.#label = label;
    this.#index = index;
  }

  /** Octets not read yet. */
  get left(): number {
    return this.end - this.at;
  }

  /** Where the next octet is in the datagram. */
  get offset(): number {
    return this.#base + this.at;
  }

  /** The path to this structure below the whole, for example `SA payload > proposal 2 > transform 1`. */
  get context(): string {
    const name = this.#index === 0 ? this.#label : `${this.#label} ${this.#index}`;
    const parent = this.#parent;
    return parent === undefined || parent.#parent === undefined ? name : `${parent.context} > ${name}`;
  }

  /** One octet. @throws WireFault `truncated` */
  u8(field: string): number {
    if (this.at >= this.end) this.short(1, field);
    return this.bytes[this.at++]!;
  }

  /** Two octets, big-endian. @throws WireFault `truncated` */
  u16(field: string): number {
    const at = this.at;
    if (at + 2 > this.end) this.short(2, field);
    this.at = at + 2;
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  /** Three octets, big-endian. @throws WireFault `truncated` */
  u24(field: string): number {
    const at = this.at;
    if (at + 3 > this.end) this.short(3, field);
    this.at = at + 3;
    return (this.bytes[at]! << 16) | (this.bytes[at + 1]! << 8) | this.bytes[at + 2]!;
  }

  /** Four octets, big-endian, unsigned. @throws WireFault `truncated` */
  u32(field: string): number {
    const at = this.at;
    if (at + 4 > this.end) this.short(4, field);
    this.at = at + 4;
    const b = this.bytes;
    return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
  }

  /** A view of the next `length` octets. @throws WireFault `truncated` */
  take(length: number, field: string): Uint8Array {
    const at = this.at;
    if (at + length > this.end) this.short(length, field);
    this.at = at + length;
    return this.bytes.subarray(at, at + length);
  }

  /** A view of all octets that are left. */
  rest(): Uint8Array {
    const at = this.at;
    this.at = this.end;
    return this.bytes.subarray(at, this.end);
  }

  /** Passes over `length` octets that the receiver ignores. @throws WireFault `truncated` */
  skip(length: number, field: string): void {
    if (this.at + length > this.end) this.short(length, field);
    this.at += length;
  }

  /** A reader for the next `length` octets, which are passed over here. @throws WireFault `truncated` */
  sub(length: number, label: string, index = 0): Reader {
    const at = this.at;
    if (at + length > this.end) this.short(length, label);
    this.at = at + length;
    return new Reader(this.bytes, label, this.#base, at, at + length, this, index);
  }

  /** @throws WireFault `trailing_octets` when octets are left */
  done(): void {
    if (this.at < this.end) this.fail('trailing_octets', `${this.left} octets left over at the end`);
  }

  /** Ends the decoding. `offset` counts in the datagram and defaults to the next octet to be read. */
  fail(code: WireErrorCode, message: string, offset = this.offset, payloadType?: number): never {
    const error = { code, offset, context: this.context, message };
    throw new WireFault(payloadType === undefined ? error : { ...error, payloadType });
  }

  private short(needed: number, field: string): never {
    return this.fail('truncated', `${field} needs ${needed} octets, ${this.left} are left`);
  }
}
