import { readdirSync, readFileSync } from 'node:fs';

/** A process for as long as the machine runs: its number alone is used again after its end. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In ticks since the machine began. */
  readonly startedAt: number;
}

/** What the main thread of a process does. */
export interface ThreadWork {
  /** Whether it runs, waits for a processor or for a disk, or is looked at by a debugger. */
  readonly isBusy: boolean;
  /** Whether a signal has stopped it, until another one lets it go on. */
  readonly isStopped: boolean;
  /** Time that it has run, in nanoseconds. */
  readonly ran: number;
}

/** The process that has this number now; undefined when there is none. */
export function processOf(pid: number): ProcessIdentity | undefined {
  const stat = readStat(`/proc/${pid}/stat`);
  return stat && { pid, startedAt: stat.startedAt };
}

/**
 * Whether anything of a process is left. One that ends closes its files before its last thread is gone: when this says
 * no, nothing that it had open is there any more.
 */
export function isThere({ pid, startedAt }: ProcessIdentity): boolean {
  const stat = readStat(`/proc/${pid}/stat`);
  if (stat?.startedAt !== startedAt) return false;
  return !'ZX'.includes(stat.state) || threadsOf(pid) > 1;
}

/** What the main thread of a process does now; undefined when it is gone or /proc does not say. */
export function mainThreadWork(pid: number): ThreadWork | undefined {
  const folder = `/proc/${pid}/task/${pid}`;
  const stat = readStat(`${folder}/stat`);
  if (stat === undefined) return undefined;
  try {
    const [ran = ''] = readFileSync(`${folder}/schedstat`, 'latin1').split(' ', 1);
    // States as in proc(5): running, in an uninterruptible wait, stopped by a tracer.
    return { isBusy: 'RDt'.includes(stat.state), isStopped: stat.state === 'T', ran: Number(ran) };
  } catch {
    return undefined;
  }
}

/** The main thread of a process is listed until its parent has waited for it (wait(2)). */
function threadsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}

function readStat(path: string): { readonly state: string; readonly startedAt: number } | undefined {
  try {
    const text = readFileSync(path, 'latin1');
    // The name in parentheses may hold anything; what follows are the fields from the third on (proc(5)).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, startedAt: Number(fields[19]) };
  } catch {
    return undefined;
  }
}
