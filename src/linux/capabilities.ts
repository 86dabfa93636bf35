import { accessSync, constants, readFileSync } from 'node:fs';
import { errnoName, tunError } from './errors.js';
import { ffiAvailable } from './ffi.js';

const CAP_NET_ADMIN = 12;

/** One thing the machine must allow, with the reason and the remedy when it does not. */
export interface Capability {
  readonly name: 'ffi' | 'net_admin' | 'tun';
  readonly ok: boolean;
  readonly reason?: string;
}

/**
 * What the FFI packet path needs and whether it is there, for `culvert check` and error messages. Nothing is
 * opened or changed.
 */
export function capabilities(): Capability[] {
  return [ffi(), netAdmin(), tun()];
}

function ffi(): Capability {
  const support = ffiAvailable();
  return support.ok ? { name: 'ffi', ok: true } : { name: 'ffi', ok: false, reason: support.reason };
}

function netAdmin(): Capability {
  if (hasEffectiveCapability(CAP_NET_ADMIN)) return { name: 'net_admin', ok: true };
  return {
    name: 'net_admin',
    ok: false,
    reason:
      'the process lacks CAP_NET_ADMIN: run as root, or inside a user namespace (`unshare --user --map-root-user --net`)',
  };
}

/** Whether a bit of the effective set in /proc/self/status (capabilities(7)) is set. */
export function hasEffectiveCapability(bit: number, status = readStatus()): boolean {
  const digits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return digits !== undefined && ((BigInt(`0x${digits}`) >> BigInt(bit)) & 1n) === 1n;
}

function readStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8');
  } catch {
    return '';
  }
}

function tun(): Capability {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return { name: 'tun', ok: true };
  } catch (error) {
    const errno = -((error as { errno?: number }).errno ?? 0);
    const { message, remedy } = tunError(errno, 'culvert0');
    return { name: 'tun', ok: false, reason: errno === 0 ? errnoName(0)[1] : `${message}: ${remedy}` };
  }
}
