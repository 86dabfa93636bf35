import { ffiAvailable, openLibrary } from '../../src/linux/ffi.js';

const CLONE_NEWNET = 0x40000000;

/** For tap's `skip` option: false when `enterOwnNamespace` will work, else the reason. */
export function skipWithoutRoot(): string | false {
  const ffi = ffiAvailable();
  if (!ffi.ok) return ffi.reason;
  return process.getuid?.() === 0 ? false : 'needs root';
}

/**
 * Moves this thread, and the processes and threads it starts from now on, into a network namespace of its
 * own, which ends with the process. A test calls it from the main thread before it opens anything.
 */
export function enterOwnNamespace(): void {
  const unshare = openLibrary(null).bind<(flags: number) => number>('unshare', 'int', ['int']);
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('unshare(CLONE_NEWNET) was refused');
}
