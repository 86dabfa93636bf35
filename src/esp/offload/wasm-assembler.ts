/**
 * As much of a WebAssembly assembler as the packet path needs: the binary format of the Core Specification
 * 2.0 §5 for modules that import one memory and export functions over it.
 */

/** Value types (§5.3.1, §5.3.2). */
export const ValueType = { I32: 0x7f, V128: 0x7b } as const;

/** An instruction or a run of them, as octets. */
export type Code = readonly number[];

/** Unsigned LEB128 (§5.2.2). */
export function unsigned(value: number): Code {
  const out: number[] = [];
  let rest = value >>> 0;
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
  return out;
}

/** Signed LEB128 (§5.2.2). */
export function signed(value: number): Code {
  const out: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
      out.push(low);
      return out;
    }
    out.push(low | 0x80);
  }
}

/** Octets are read without asking for alignment: packets begin anywhere. */
const UNALIGNED = 0;

const EMPTY_BLOCK = 0x40;

const vector = (opcode: number, ...rest: Code): Code => [0xfd, ...unsigned(opcode), ...rest];
const access = (offset: number): Code => [UNALIGNED, ...unsigned(offset)];

/** Instructions (§5.4), by their names in the text format. */
export const asm = {
  get: (local: number): Code => [0x20, ...unsigned(local)],
  set: (local: number): Code => [0x21, ...unsigned(local)],
  const: (value: number): Code => [0x41, ...signed(value)],
  add: [0x6a] as Code,
  and: [0x71] as Code,
  or: [0x72] as Code,
  shl: [0x74] as Code,
  shrU: [0x76] as Code,
  ltU: [0x49] as Code,
  load8U: (offset = 0): Code => [0x2d, ...access(offset)],
  load16U: (offset = 0): Code => [0x2f, ...access(offset)],
  memoryCopy: [0xfc, 10, 0, 0] as Code,
  /** Runs `body` while the condition that it leaves on the stack is true. */
  repeatWhile: (...body: Code[]): Code => [0x03, EMPTY_BLOCK, ...body.flat(), 0x0d, 0, 0x0b],
  /** Runs `body` when the value on the stack is not zero. */
  when: (...body: Code[]): Code => [0x04, EMPTY_BLOCK, ...body.flat(), 0x0b],
  v128Load: (offset = 0): Code => vector(0, ...access(offset)),
  v128Load32Zero: (offset = 0): Code => vector(92, ...access(offset)),
  v128Load64Zero: (offset = 0): Code => vector(93, ...access(offset)),
  i32x4ExtractLane: (lane: number): Code => vector(27, lane),
  i32x4Add: vector(174),
  i32x4ExtaddPairwiseI16x8U: vector(127),
} as const;

/** A function over the memory. Parameters are i32; locals follow them in the numbering. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: number;
  /** Whether it returns one i32. */
  readonly result: boolean;
  /** Types of its locals. */
  readonly locals: readonly number[];
  readonly body: readonly Code[];
}

/** §5.5.2: a section is its number, its size and its contents. */
function section(id: number, entries: readonly Code[]): Code {
  const contents = [...unsigned(entries.length), ...entries.flat()];
  return [id, ...unsigned(contents.length), ...contents];
}

function text(value: string): Code {
  const octets = [...value].map((character) => character.charCodeAt(0));
  return [...unsigned(octets.length), ...octets];
}

/** The largest memory in pages of 64 KiB: any memory fits an import with this upper limit. */
const MAX_PAGES = 65536;

/**
 * A module that imports the memory `env.memory` and exports `functions`.
 * @param shared whether that memory is shared (Threads proposal: limits flag 3)
 */
export function assembleModule(functions: readonly WasmFunction[], shared: boolean): Uint8Array<ArrayBuffer> {
  const limits = [shared ? 3 : 1, ...unsigned(1), ...unsigned(MAX_PAGES)];
  const types = functions.map((f): Code => {
    const parameters = new Array<number>(f.parameters).fill(ValueType.I32);
    const results = f.result ? [1, ValueType.I32] : [0];
    return [0x60, ...unsigned(f.parameters), ...parameters, ...results];
  });
  const bodies = functions.map((f): Code => {
    const locals = f.locals.flatMap((type) => [1, type]);
    const code = [...unsigned(f.locals.length), ...locals, ...f.body.flat(), 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, ...limits]]),
    ...section(
      3,
      functions.map((_, i) => unsigned(i)),
    ),
    ...section(
      7,
      functions.map((f, i): Code => [...text(f.name), 0x00, ...unsigned(i)]),
    ),
    ...section(10, bodies),
  ]);
}
