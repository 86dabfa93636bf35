import { openLibrary } from '../../src/linux/ffi.js';

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this thread, and the processes and threads it starts from now on, into a network namespace of its
 * own, which ends with the process. A test calls it from the main thread before it opens anything.
 */
export function enterOwnNamespace(): void {
  const unshare = openLibrary(null).bind<(flags: number) => number>('unshare', 'int', ['int']);
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('unshare(CLONE_NEWNET) was refused');
}
