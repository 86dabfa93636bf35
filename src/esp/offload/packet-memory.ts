import { swapHalves } from './ones-complement.js';
import { simdModule } from './simd-module.js';

/** A WebAssembly.Memory, or anything else that has a buffer. */
export interface LinearMemory {
  readonly buffer: ArrayBufferLike;
}

/**
 * Memory that packets are in, addressed by offsets, with the two operations that touch many octets. The
 * caller has checked that the octets are within the memory.
 */
export interface PacketMemory {
  readonly bytes: Uint8Array;
  /** Whether `sum` and `copy` run as WebAssembly SIMD. */
  readonly simd: boolean;
  /**
   * The one's complement sum of `length` octets as big-endian words, folded to 16 bits and not complemented.
   * An odd last octet is the upper half of a word (RFC 1071 §4.1). At most 131,070 octets.
   */
  readonly sum: (at: number, length: number) => number;
  /** Copies `length` octets; the runs may overlap. */
  readonly copy: (to: number, from: number, length: number) => void;
}

interface WasmExports {
  sum(at: number, length: number): number;
  copy(to: number, from: number, length: number): void;
}

/** What is used of the WebAssembly interface; the standard library without the DOM does not name it. */
interface WasmApi {
  readonly Memory: abstract new () => LinearMemory;
  readonly Module: new (octets: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: WasmExports };
  validate(octets: Uint8Array<ArrayBuffer>): boolean;
}

const wasm = (globalThis as { readonly WebAssembly?: WasmApi }).WebAssembly;

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/**
 * The operations over `memory`: SIMD when it is a WebAssembly.Memory and the engine has SIMD, else loops over
 * typed arrays.
 * @param options.simd false leaves SIMD out
 */
export function createPacketMemory(memory: LinearMemory, options: { simd?: boolean } = {}): PacketMemory {
  const bytes = new Uint8Array(memory.buffer);
  if (options.simd !== false) {
    const found = instantiate(memory);
    if (found !== undefined) return { bytes, simd: true, sum: found.sum, copy: found.copy };
  }
  return {
    bytes,
    simd: false,
    sum: plainSum(bytes),
    copy: (to, from, length) => {
      bytes.copyWithin(to, from, from + length);
    },
  };
}

function instantiate(memory: LinearMemory): WasmExports | undefined {
  if (wasm === undefined || !(memory instanceof wasm.Memory)) return undefined;
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const octets = simdModule(shared);
  // An engine without SIMD, bulk memory or threads says no here.
  if (!wasm.validate(octets)) return undefined;
  return new wasm.Instance(new wasm.Module(octets), { env: { memory } }).exports;
}

/** Sums 32 bits at a time where they are aligned. */
function plainSum(bytes: Uint8Array): (at: number, length: number) => number {
  const words = new Int32Array(bytes.buffer, 0, bytes.length >>> 2);
  return (at, length) => {
    let sum = 0;
    let i = at;
    let left = length;
    // Octet by octet up to an address that is a multiple of 4, by the octet's place in the words of the
    // memory and not of the packet; an odd beginning swaps the halves of the whole sum (RFC 1071 §2 B).
    for (; left > 0 && (i & 3) !== 0; i++, left--) {
      sum += (i & 1) === (LITTLE_ENDIAN ? 1 : 0) ? bytes[i]! << 8 : bytes[i]!;
    }
    let word = i >>> 2;
    // A packet's sum of halves stays below 2^31, a small integer to the engine.
    for (; left >= 16; left -= 16, word += 4) {
      const a = words[word]!;
      const b = words[word + 1]!;
      const c = words[word + 2]!;
      const d = words[word + 3]!;
      sum += (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
      sum += (c & 0xffff) + (c >>> 16) + (d & 0xffff) + (d >>> 16);
    }
    for (i = word << 2; left > 0; i++, left--) {
      sum += (i & 1) === (LITTLE_ENDIAN ? 1 : 0) ? bytes[i]! << 8 : bytes[i]!;
    }
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = (sum & 0xffff) + (sum >>> 16);
    // `sum` is in host order as seen from even addresses.
    return ((at & 1) === 1) === LITTLE_ENDIAN ? sum : swapHalves(sum);
  };
}
