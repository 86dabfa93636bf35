import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { ffiAvailable } from '../../src/linux/ffi.js';
import { networkLabSupport } from '../../src/linux/namespaces.js';

/*
 * For tap's `skip` option: each answers why this machine or user cannot have what a test needs, or false when it
 * can. They are joined by `||`.
 */

/** Calls into libc. */
export function skipWithoutFfi(): string | false {
  const ffi = ffiAvailable();
  return ffi.ok ? false : ffi.reason;
}

/** Calls into libc with root's rights, as `enterOwnNamespace` makes them. */
export function skipWithoutRoot(): string | false {
  return skipWithoutFfi() || (process.getuid?.() === 0 ? false : 'needs root');
}

/** Gateways with TUN devices in namespaces, in processes of their own. */
export function skipWithoutTun(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for TUN and namespaces';
  return existsSync('/dev/net/tun') ? false : 'there is no /dev/net/tun';
}

/** A program, looked for in PATH. */
export function skipWithoutProgram(name: string): string | false {
  const { status } = spawnSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
  return status === 0 ? false : `${name} is not installed`;
}

/** A `NetworkLab`. */
export function skipWithoutLab(): string | false {
  const support = networkLabSupport();
  return support.ok ? false : support.reason;
}
