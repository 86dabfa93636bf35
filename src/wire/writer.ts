/** Appends big-endian fields to a buffer that grows. Values out of range are bugs of the caller. */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  /** @param capacity first guess of the final length in octets */
  constructor(capacity = 512) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Octets written so far: where the next one goes. */
  get length(): number {
    return this.#length;
  }

  /** @throws RangeError when `value` does not fit into one octet */
  u8(value: number): void {
    check(value, 0xff);
    this.grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** @throws RangeError when `value` does not fit into two octets */
  u16(value: number): void {
    check(value, 0xffff);
    this.grow(2);
    this.#bytes[this.#length++] = value >>> 8;
    this.#bytes[this.#length++] = value;
  }

  /** @throws RangeError when `value` does not fit into three octets */
  u24(value: number): void {
    check(value, 0xffffff);
    this.u8(value >>> 16);
    this.u16(value & 0xffff);
  }

  /** @throws RangeError when `value` does not fit into four octets */
  u32(value: number): void {
    check(value, 0xffffffff);
    this.u16(value >>> 16);
    this.u16(value & 0xffff);
  }

  bytes(value: Uint8Array): void {
    this.grow(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** Overwrites two octets written earlier. @throws RangeError when `value` does not fit */
  setU16(at: number, value: number): void {
    check(value, 0xffff);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  /** Overwrites four octets written earlier. @throws RangeError when `value` does not fit */
  setU32(at: number, value: number): void {
    check(value, 0xffffffff);
    this.setU16(at, value >>> 16);
    this.setU16(at + 2, value & 0xffff);
  }

  /** Overwrites one octet written earlier. @throws RangeError when `value` does not fit */
  setU8(at: number, value: number): void {
    check(value, 0xff);
    this.#bytes[at] = value;
  }

  /** What was written. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  private grow(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

function check(value: number, most: number): void {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new RangeError(`cannot write ${value}: the field holds whole numbers from 0 to ${most}`);
  }
}
