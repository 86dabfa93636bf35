import {
  CALL_ARGUMENTS,
  CALL_MASK,
  CALL_SIZE,
  CALL_WANTED,
  type CallRunner,
  callRunner,
} from '../../../linux/call-runner.js';
import type { NativeFunction } from '../../../linux/ffi.js';
import { type Arena, MAX_CALLS } from '../memory/arena.js';

const HIGH = 2 ** 32;

const OWNER_AT = MAX_CALLS * CALL_SIZE;

let users = 0;

/** A number for an owner of lists: never 0, and unique within this thread. */
export function listUser(): number {
  users = (users % (HIGH - 1)) + 1;
  return users;
}

/**
 * The C functions that one packet takes, written down in the vault and carried out together: one way from
 * JavaScript into C where there would be five to eight. Users of a list that others use too write all of it
 * when it is not theirs, and only what differs from packet to packet after that.
 */
export class CallList {
  readonly #u32: Arena['u32'];
  readonly #base: number;
  readonly #at: number;
  readonly #address: number;
  readonly #run: CallRunner | null;
  readonly #functions: (NativeFunction | undefined)[] = new Array(MAX_CALLS).fill(undefined);

  /** A list at the vault's offset `at`. Without a runner (null), JavaScript makes the calls one by one. */
  constructor(arena: Arena, at: number, run: CallRunner | null = callRunner()) {
    this.#u32 = arena.vault.u32;
    this.#base = arena.base;
    this.#at = at;
    this.#address = arena.vault.base + at;
    this.#run = run;
  }

  /**
   * Call `i`: the function and its arguments, integers or whole addresses from 0 on. It must return `wanted`;
   * the result is ignored when that is undefined.
   */
  set(i: number, fn: NativeFunction, wanted: number | undefined, args: readonly number[]): void {
    const at = this.#at + i * CALL_SIZE;
    this.#functions[i] = fn;
    this.#write(at, fn.address);
    args.forEach((value, n) => {
      this.#write(at + CALL_ARGUMENTS + 8 * n, value);
    });
    this.#u32[(at + CALL_WANTED) >>> 2] = wanted ?? 0;
    this.#u32[(at + CALL_MASK) >>> 2] = wanted === undefined ? 0 : HIGH - 1;
  }

  /** Argument `n` of call `i` becomes the address of the arena's offset `target`. */
  point(i: number, n: number, target: number): void {
    this.#write(this.#at + i * CALL_SIZE + CALL_ARGUMENTS + 8 * n, this.#base + target);
  }

  /** Argument `n` of call `i` becomes `value`, less than 2^32. */
  put(i: number, n: number, value: number): void {
    const at = (this.#at + i * CALL_SIZE + CALL_ARGUMENTS + 8 * n) >>> 2;
    this.#u32[at] = value;
    this.#u32[at + 1] = 0;
  }

  /** Makes the first `count` calls; returns how many returned the expected value. The one after that did not. */
  run(count: number): number {
    return this.#run === null ? this.#interpret(count) : this.#run(this.#address, count);
  }

  /** Whether `user`, a number of `listUser()`, wrote the list last. Kept in the vault, with the list. */
  isOf(user: number): boolean {
    return this.#u32[(this.#at + OWNER_AT) >>> 2] === user;
  }

  /** `user` has written the list. */
  claim(user: number): void {
    this.#u32[(this.#at + OWNER_AT) >>> 2] = user;
  }

  /** `user` will not run it any more. */
  leave(user: number): void {
    if (this.isOf(user)) this.claim(0);
  }

  #write(at: number, value: number): void {
    this.#u32[at >>> 2] = value;
    this.#u32[(at >>> 2) + 1] = value / HIGH;
  }

  #interpret(count: number): number {
    const u32 = this.#u32;
    for (let i = 0; i < count; i++) {
      const at = this.#at + i * CALL_SIZE;
      const fn = this.#functions[i]!;
      const args: number[] = [];
      for (let n = 0; n < fn.parameters; n++) {
        const word = (at + CALL_ARGUMENTS + 8 * n) >>> 2;
        args.push(u32[word]! + u32[word + 1]! * HIGH);
      }
      const result = fn.call(...args);
      const mask = u32[(at + CALL_MASK) >>> 2]!;
      if (((result ^ u32[(at + CALL_WANTED) >>> 2]!) & mask) !== 0) return i;
    }
    return count;
  }
}
