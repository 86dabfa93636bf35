import { readFileSync } from 'node:fs';

/**
 * What the processor can do, by the names of /proc/cpuinfo; empty where that cannot be read. OpenSSL's public
 * functions ask by themselves, those below them do not.
 */
export function processorFlags(): ReadonlySet<string> {
  try {
    const text = readFileSync('/proc/cpuinfo', 'latin1');
    return new Set(/^flags\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' '));
  } catch {
    return new Set();
  }
}
