import { fromHex } from '../util/bytes.js';
import { callableAt, openLibrary } from './ffi.js';

/**
 * Several C functions by one call from JavaScript. The way from JavaScript into C and back costs as much as a
 * short packet's cipher, and a packet takes five to eight functions; so the functions and their arguments are
 * written down in memory, and some seventy octets of machine code carry them out one after the other.
 *
 * One call is 64 octets: the function's address, six arguments (all of 64 bits), then the result that is
 * wanted and a mask (32 bits each). When result and wanted differ in a bit of the mask, the rest is not done.
 */
export const CALL_SIZE = 64;
export const CALL_ARGUMENTS = 8;
export const CALL_WANTED = 56;
export const CALL_MASK = 60;

/** Carries out the `count` calls from the address `list` on; answers how many gave the wanted result. */
export type CallRunner = (list: number, count: number) => number;

/**
 * `long run(struct call *rdi, long rsi)` in the System V ABI for x86-64. rbx: the call in hand, r12: the end,
 * r13: the beginning. Three pushes leave the stack aligned to 16 octets for the functions called.
 */
const X86_64 = fromHex(
  [
    'f30f1efa', //            endbr64
    '53 4154 4155', //        push rbx; push r12; push r13
    '4889fb 4989fd', //       mov rbx, rdi; mov r13, rdi
    '4989f4 49c1e406', //     mov r12, rsi; shl r12, 6
    '4901fc', //              add r12, rdi
    '4c39e3 7328', //   next: cmp rbx, r12; jae done
    '488b7b08 488b7310', //   mov rdi, [rbx+8]; mov rsi, [rbx+16]
    '488b5318 488b4b20', //   mov rdx, [rbx+24]; mov rcx, [rbx+32]
    '4c8b4328 4c8b4b30', //   mov r8, [rbx+40]; mov r9, [rbx+48]
    'ff13', //                call [rbx]
    '334338 23433c', //       xor eax, [rbx+56]; and eax, [rbx+60]
    '7506', //                jnz done
    '4883c340 ebd3', //       add rbx, 64; jmp next
    '4889d8 4c29e8', // done: mov rax, rbx; sub rax, r13
    '48c1e806', //            shr rax, 6
    '415d 415c 5b c3', //     pop r13; pop r12; pop rbx; ret
  ].join(''),
);

const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 0x02;
const MAP_ANONYMOUS = 0x20;
const PAGE = 4096;

/** Threads do not share it: a page for each is less than a lock. */
let made: { readonly runner: CallRunner | null } | undefined;

/**
 * The runner of this thread, or null where there is none: on other processors than x86-64, and where
 * the system forbids memory that was written to become executable. The page is never writable and executable
 * at a time, and it is given back only when the process ends.
 */
export function callRunner(): CallRunner | null {
  made ??= { runner: process.arch === 'x64' ? makeRunner() : null };
  return made.runner;
}

function makeRunner(): CallRunner | null {
  const P = 'uintptr_t';
  const library = openLibrary(null);
  const mmap = library.bind<(a: number, n: number, p: number, f: number, d: number, o: number) => number>(
    'mmap',
    P,
    [P, 'size_t', 'int', 'int', 'int', 'long'],
  );
  const mprotect = library.bind<(a: number, n: number, p: number) => number>('mprotect', 'int', [
    P,
    'size_t',
    'int',
  ]);
  const munmap = library.bind<(a: number, n: number) => number>('munmap', 'int', [P, 'size_t']);
  const page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // MAP_FAILED is all ones.
  if (page === 0 || page >= 2 ** 63) return null;
  const copy = library.bind<(to: number, from: Uint8Array, n: number) => number>('memcpy', P, [
    P,
    'const uint8_t *',
    'size_t',
  ]);
  copy(page, X86_64, X86_64.length);
  if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) !== 0) {
    munmap(page, PAGE);
    return null;
  }
  return callableAt<CallRunner>(page, 'long', [P, 'long']);
}
