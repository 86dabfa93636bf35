import { readFileSync, readlinkSync } from 'node:fs';

/** The unit of processor times in /proc: USER_HZ, which is 100 in every kernel's interface (proc(5)). */
const TICKS_PER_SECOND = 100;

/** The number that the kernel has for the calling thread; undefined where /proc does not say. */
export function ownThread(): number | undefined {
  try {
    const number = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    return Number.isInteger(number) ? number : undefined;
  } catch {
    return undefined;
  }
}

/** Processor time that a thread of this process has used, in seconds; 0 when it is gone or /proc does not say. */
export function threadSeconds(thread: number | undefined): number {
  if (thread === undefined) return 0;
  try {
    const text = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
    // The name in parentheses may hold anything; user and system time are the 14th and 15th field (proc(5)).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}
