import { isAbsolute } from 'node:path';
import { linuxError } from './errors.js';
import { checked, lastErrno, libc } from './ffi.js';

const O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** The file that represents a network namespace: a name as in `ip netns`, or an absolute path. */
export function namespacePath(namespace: string): string {
  return isAbsolute(namespace) ? namespace : `/run/netns/${namespace}`;
}

/**
 * Calls `work` with this thread in another network namespace: sockets that it opens belong there (setns(2)). Other
 * threads stay where they are, so `work` has to be synchronous, and no thread may be made in it.
 * @throws LinuxError when the namespace is not there or may not be entered, and whatever `work` throws
 */
export function inNamespace<T>(namespace: string, work: () => T): T {
  const calls = libc();
  const doing = `entering the network namespace ${namespace}`;
  const own = checked(calls.open('/proc/thread-self/ns/net', O_CLOEXEC), doing);
  try {
    const path = namespacePath(namespace);
    const there = checked(calls.open(path, O_CLOEXEC), doing, `make it with \`ip netns add ${namespace}\``);
    try {
      checked(calls.setns(there, CLONE_NEWNET), doing);
      try {
        return work();
      } finally {
        // A thread that stayed there would open its next sockets in the wrong network.
        if (calls.setns(own, CLONE_NEWNET) < 0) leaveForGood(lastErrno(), namespace);
      }
    } finally {
      calls.close(there);
    }
  } finally {
    calls.close(own);
  }
}

function leaveForGood(errno: number, namespace: string): never {
  console.error(linuxError(errno, `coming back from the network namespace ${namespace}`).message);
  process.abort();
}
