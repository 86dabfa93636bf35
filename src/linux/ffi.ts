import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { err, ok, type Result } from '../util/result.js';
import { LinuxError, linuxError } from './errors.js';

/**
 * Calls into libc by koffi. Addresses are plain numbers (declared `uintptr_t`; they fit 2^53), so that the
 * packet path makes no BigInt and wraps no Buffer. Every function is synchronous: koffi's asynchronous calls
 * are not used anywhere, since this code runs in worker threads too.
 */

/** The part of koffi that is used. Typed here, because koffi itself may be absent. */
interface Koffi {
  load(path: string | null): KoffiLibrary;
  address(view: Uint8Array): bigint;
  errno(): number;
  proto(name: null, result: string, parameters: readonly string[]): unknown;
  decode(address: bigint, prototype: unknown): unknown;
  readonly version?: string;
}

interface KoffiLibrary {
  func(name: string, result: string, parameters: readonly string[]): (...args: never[]) => unknown;
  symbol(name: string): unknown;
}

/** Whether functions of libc can be called here, or why not. */
export type FfiSupport = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** The libc calls, by their C names. All but memcpy answer -1 and set errno on failure. */
export interface Libc {
  read(fd: number, address: number, length: number): number;
  write(fd: number, address: number, length: number): number;
  open(path: string, flags: number): number;
  close(fd: number): number;
  poll(address: number, count: number, timeout: number): number;
  ioctl(fd: number, request: number, address: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  eventfd(initial: number, flags: number): number;
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: number, length: number): number;
  connect(fd: number, address: number, length: number): number;
  getsockname(fd: number, address: number, lengthAddress: number): number;
  setsockopt(fd: number, level: number, option: number, address: number, length: number): number;
  getsockopt(fd: number, level: number, option: number, address: number, lengthAddress: number): number;
  sendto(fd: number, a: number, n: number, flags: number, sockaddr: number, sockaddrLength: number): number;
  recvfrom(fd: number, a: number, n: number, flags: number, sockaddr: number, lengthAddress: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  recvmsg(fd: number, message: number, flags: number): number;
  recvmmsg(fd: number, messages: number, count: number, flags: number, timeout: number): number;
  /** Of the calling thread alone. */
  setns(fd: number, type: number): number;
  /** Between memories that no view spans. The runs must not overlap. */
  memcpy(to: number, from: number, length: number): void;
}

const ADDRESS = 'uintptr_t';

/** koffi does not know ssize_t; on Linux it is a long. */
const SIGNATURES: Readonly<Record<keyof Libc, readonly [result: string, ...parameters: string[]]>> = {
  read: ['long', 'int', ADDRESS, 'size_t'],
  write: ['long', 'int', ADDRESS, 'size_t'],
  open: ['int', 'str', 'int'],
  close: ['int', 'int'],
  poll: ['int', ADDRESS, 'unsigned long', 'int'],
  ioctl: ['int', 'int', 'unsigned long', ADDRESS],
  fcntl: ['int', 'int', 'int', 'int'],
  eventfd: ['int', 'unsigned int', 'int'],
  socket: ['int', 'int', 'int', 'int'],
  bind: ['int', 'int', ADDRESS, 'unsigned int'],
  connect: ['int', 'int', ADDRESS, 'unsigned int'],
  getsockname: ['int', 'int', ADDRESS, ADDRESS],
  setsockopt: ['int', 'int', 'int', 'int', ADDRESS, 'unsigned int'],
  getsockopt: ['int', 'int', 'int', 'int', ADDRESS, ADDRESS],
  sendto: ['long', 'int', ADDRESS, 'size_t', 'int', ADDRESS, 'unsigned int'],
  recvfrom: ['long', 'int', ADDRESS, 'size_t', 'int', ADDRESS, ADDRESS],
  sendmmsg: ['int', 'int', ADDRESS, 'unsigned int', 'int'],
  recvmsg: ['long', 'int', ADDRESS, 'int'],
  recvmmsg: ['int', 'int', ADDRESS, 'unsigned int', 'int', ADDRESS],
  setns: ['int', 'int', 'int'],
  memcpy: ['void', ADDRESS, ADDRESS, 'size_t'],
};

interface Loaded {
  readonly koffi: Koffi;
  readonly libc: Libc;
}

let loaded: Result<Loaded, string> | undefined;

function load(): Result<Loaded, string> {
  if (process.platform !== 'linux') return err(`the platform is ${process.platform}, not linux`);
  // Kernel structures are written in host order by code that assumes the order of x86-64 and arm64.
  if (endianness() !== 'LE') return err('the machine is big-endian');
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    return err(`the package koffi cannot be loaded: ${firstLine(error)}`);
  }
  try {
    const library = koffi.load(null);
    const bound = Object.entries(SIGNATURES).map(([name, [result, ...parameters]]) => [
      name,
      library.func(name, result, parameters),
    ]);
    return ok({ koffi, libc: Object.fromEntries(bound) as Libc });
  } catch (error) {
    return err(`libc cannot be reached by koffi: ${firstLine(error)}`);
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0]!;
}

/** Whether libc can be called from here, with the reason when not. The answer is remembered. */
export function ffiAvailable(): FfiSupport {
  loaded ??= load();
  return loaded.ok ? { ok: true } : { ok: false, reason: loaded.error };
}

function required(): Loaded {
  loaded ??= load();
  if (!loaded.ok) {
    throw new LinuxError(
      'ENOSYS',
      38,
      `no foreign function interface: ${loaded.error}`,
      'install with optional dependencies (`npm ci` without --omit=optional) on Linux x86-64 or arm64',
    );
  }
  return loaded.value;
}

/** @throws LinuxError ENOSYS when there is no FFI */
export function libc(): Libc {
  return required().libc;
}

/** Error number of the last failed call of this thread. Read it at once: the next call overwrites it. */
export function lastErrno(): number {
  return required().koffi.errno();
}

/** Passes the result of a call through. @throws LinuxError when it is negative */
export function checked(result: number, doing: string, remedy?: string): number {
  if (result < 0) throw linuxError(lastErrno(), doing, remedy);
  return result;
}

/**
 * The arrays whose addresses were taken last. An address does not keep memory alive: without this the
 * collector could free an array between the taking and the call it is for.
 */
const recent: (Uint8Array | undefined)[] = new Array(16).fill(undefined);
let taken = 0;

/**
 * Address of the first octet of `bytes`. Valid while the array is reachable: enough for a call that follows at
 * once; a caller that keeps the address keeps the array, too. Only for arrays that own memory outside of the
 * JavaScript heap: those of `hostBuffer` or of a WebAssembly.Memory.
 */
export function addressOf(bytes: Uint8Array): number {
  recent[taken++ & 15] = bytes;
  return Number(required().koffi.address(bytes));
}

/** Zeroed memory whose address stays the same as long as it is reachable. */
export function hostBuffer(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A function in both forms: to call from JavaScript, and its address for C code that calls it. */
export interface NativeFunction {
  readonly address: number;
  /** Number of its parameters, all of them integers or addresses. */
  readonly parameters: number;
  /** A function that returns nothing gives undefined, whatever the type here says. */
  readonly call: (...args: number[]) => number;
}

/** Calls the machine code at `address`, which stays there. */
export function callableAt<F extends (...args: never[]) => unknown>(
  address: number,
  result: string,
  parameters: readonly string[],
): F {
  const { koffi } = required();
  return koffi.decode(BigInt(address), koffi.proto(null, result, parameters)) as F;
}

/** A function of the Node binary itself or of another shared library (`null` is the binary). */
export function openLibrary(path: string | null): {
  has(symbol: string): boolean;
  /** @throws Error when the library lacks it */
  native(name: string, result: string, parameters: readonly string[]): NativeFunction;
  bind<F extends (...args: never[]) => unknown>(
    name: string,
    result: string,
    parameters: readonly string[],
  ): F;
} {
  const library = required().koffi.load(path);
  return {
    has(symbol) {
      try {
        library.symbol(symbol);
        return true;
      } catch {
        return false;
      }
    },
    native: (name, result, parameters) => ({
      address: Number(library.symbol(name)),
      parameters: parameters.length,
      call: library.func(name, result, parameters) as never,
    }),
    bind: (name, result, parameters) => library.func(name, result, parameters) as never,
  };
}
