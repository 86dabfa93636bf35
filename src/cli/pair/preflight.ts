import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { networkLabSupport } from '../../linux/namespaces.js';
import { CliError } from '../errors.js';

/** Debian package of each tool the private network is made with. */
const TOOLS: readonly (readonly [tool: string, packageName: string])[] = [
  ['ip', 'iproute2'],
  ['unshare', 'util-linux'],
  ['nsenter', 'util-linux'],
];

/**
 * Finds out before anything is started whether two gateways can run in namespaces here.
 * @throws CliError that names the first thing missing and the remedy
 */
export function checkPairPossible(): void {
  // An ordinary user's PATH often lacks the folders where some distributions keep these tools.
  process.env.PATH = searchPath().join(delimiter);
  for (const [tool, packageName] of TOOLS) {
    if (findProgram(tool) === undefined) {
      throw new CliError(`the program "${tool}" is missing; install the package ${packageName}`);
    }
  }
  const support = networkLabSupport();
  if (!support.ok) throw new CliError(support.reason);
  checkTun();
}

/** Path of a program, searched where shells and administrators' shells look; undefined when there is none. */
export function findProgram(name: string): string | undefined {
  for (const folder of searchPath()) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

function searchPath(): string[] {
  const usual = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
  return [...new Set([...(process.env.PATH ?? '').split(delimiter), ...usual])].filter((f) => f !== '');
}

function checkTun(): void {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') {
      throw new CliError(
        '/dev/net/tun is missing; load the module (modprobe tun), or give it to the container (--device /dev/net/tun)',
      );
    }
    if (code === 'EACCES' || code === 'EPERM') {
      throw new CliError(
        '/dev/net/tun may not be opened by this user; run as root, or let everybody open it (chmod 0666 /dev/net/tun)',
      );
    }
    throw new CliError(`/dev/net/tun cannot be opened (${code ?? String(error)}); see dmesg`);
  }
}
