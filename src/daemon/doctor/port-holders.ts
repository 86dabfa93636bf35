import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A socket on a UDP port, and the process that has it as far as this user may see. */
export interface PortHolder {
  readonly port: number;
  /** In the order of the kernel's table, in text; `0.0.0.0` and `::` for all. */
  readonly address: string;
  readonly program: string | undefined;
  readonly pid: number | undefined;
}

/** Sockets in /proc/net/udp or udp6 (proc(5)) that are bound to one of these ports. */
function parseUdpSockets(
  text: string,
  ports: readonly number[],
): { readonly port: number; readonly address: string; readonly inode: string }[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [address = '', port = ''] = (fields[1] ?? '').split(':');
    const number = Number.parseInt(port, 16);
    const inode = fields[9];
    if (inode === undefined || !ports.includes(number)) return [];
    return [{ port: number, address: addressText(address), inode }];
  });
}

/** Hexadecimal words in the byte order of the machine, which is little-endian wherever this runs. */
function addressText(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const octets = words.flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((two) => Number.parseInt(two, 16)),
  );
  if (octets.length === 4) return octets.join('.');
  if (octets.every((octet) => octet === 0)) return '::';
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((octets[2 * i]! << 8) | octets[2 * i + 1]!).toString(16),
  );
  return groups.join(':');
}

const readText = (path: string): string => readFileSync(path, 'utf8');

/**
 * Who listens on these UDP ports in this network namespace.
 * @param read the text of a file
 * @throws the error of reading /proc
 */
export function portHolders(ports: readonly number[], read = readText): PortHolder[] {
  const sockets = ['udp', 'udp6'].flatMap((name) => {
    try {
      return parseUdpSockets(read(`/proc/net/${name}`), ports);
    } catch (error) {
      if (name === 'udp') throw error;
      return []; // A kernel without IPv6.
    }
  });
  if (sockets.length === 0) return [];
  const owners = ownersOf(new Set(sockets.map(({ inode }) => inode)));
  return sockets.map(({ port, address, inode }) => {
    const owner = owners.get(inode);
    return { port, address, program: owner?.program, pid: owner?.pid };
  });
}

function ownersOf(
  inodes: ReadonlySet<string>,
): Map<string, { readonly pid: number; readonly program: string }> {
  const out = new Map<string, { pid: number; program: string }>();
  for (const entry of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    // A process that ends, a descriptor that it closes meanwhile and a process of another user are alike:
    // each of them is passed over by itself, so that what stays open is found.
    for (const fd of orElse([], () => readdirSync(`/proc/${entry}/fd`))) {
      const link = orElse('', () => readlinkSync(`/proc/${entry}/fd/${fd}`));
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
      if (inode === undefined || !inodes.has(inode) || out.has(inode)) continue;
      const program = orElse(undefined, () => readFileSync(`/proc/${entry}/comm`, 'utf8').trim());
      if (program !== undefined) out.set(inode, { pid: Number(entry), program });
    }
  }
  return out;
}

function orElse<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
