import { readFileSync, rmSync, writeFileSync } from 'node:fs';

/* What is beside the control socket of a gateway. A server reads it without the rest of a gateway's program. */

/** The file beside a control socket that names the address its gateway has added to the machine. */
export function addressMark(control: string): string {
  return `${control}.address`;
}

/** The file beside a control socket that names the TUN device of its gateway, as long as something outlives that. */
export function deviceMark(control: string): string {
  return `${control}.device`;
}

/**
 * A file beside a control socket names the TUN device of its gateway: by it what outlives a process that was killed,
 * or that left its networks closed, is found by the server that takes it away.
 */
export function writeDeviceMark(mark: string, device: string): void {
  writeFileSync(mark, `${device}\n`, { mode: 0o600 });
}

/** The device that a mark names; undefined when there is none. */
export function readDeviceMark(mark: string): string | undefined {
  try {
    return readFileSync(mark, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Removes the mark; it is no error when there is none. */
export function removeDeviceMark(mark: string): void {
  rmSync(mark, { force: true });
}
