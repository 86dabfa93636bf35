import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { addAddress, type InterfaceAddress, listAddresses, removeAddress } from '../../linux/addresses.js';
import { findLink, setLink } from '../../linux/links.js';
import { formatIp, type IpBytes, parseIp } from '../../util/ip.js';

/** What of the machine's addresses this looks at and changes. */
export interface AddressTable {
  list(): readonly (InterfaceAddress & { readonly device: string })[];
  /** Brings the device up when it is down: an address on a device that is down answers no packet. */
  add(device: string, address: string): void;
  remove(device: string, address: string): void;
}

const linuxAddresses: AddressTable = {
  list: () => listAddresses().map((one) => ({ ...one, device: findLink(one.index)?.name ?? '' })),
  add(device, address) {
    if (findLink(device)?.up === false) setLink(device, { up: true });
    addAddress(device, address);
  },
  remove: removeAddress,
};

/** The loopback device answers for its addresses on every link of the namespace (arp_ignore 0). */
const ANYWHERE = 'lo';

/**
 * Gives this network namespace the gateway's address, unless the operator has configured it already. It goes to the
 * device on whose network it lies, and to the loopback device when there is none. A file at `mark` says that the
 * address is ours, so that a successor of a process that was killed takes it over and removes it in the end.
 * @returns takes the address away again, if it is ours
 * @throws LinuxError
 */
export function ensureAddress(
  address: string,
  mark: string,
  table: AddressTable = linuxAddresses,
): () => void {
  const ip = parseIp(address);
  if (ip === undefined) throw new RangeError(`"${address}" is no IP address`);
  const present = table.list();
  const holder = present.find((one) => formatIp(one.address) === address);
  if (holder === undefined) {
    const device = deviceFor(ip, present);
    // The mark first: at no moment is there an address that no process would remove.
    writeFileSync(mark, `${device} ${address}\n`, { mode: 0o600 });
    table.add(device, `${address}/${ip.length * 8}`);
  }
  return () => removeMarked(mark, table);
}

/** Removes the address that a mark names, and the mark. Without a mark there is nothing of ours. */
export function removeMarked(mark: string, table: AddressTable = linuxAddresses): void {
  const [device, address] = readMark(mark);
  if (device === undefined || address === undefined) return;
  const ip = parseIp(address);
  const here = table.list().some((one) => one.device === device && formatIp(one.address) === address);
  if (here && ip !== undefined) table.remove(device, `${address}/${ip.length * 8}`);
  rmSync(mark, { force: true });
}

function readMark(mark: string): string[] {
  try {
    return readFileSync(mark, 'utf8').trim().split(' ');
  } catch {
    return [];
  }
}

/** The device on whose network the address lies; the most specific network wins. */
function deviceFor(ip: IpBytes, present: ReturnType<AddressTable['list']>): string {
  let best: { readonly device: string; readonly prefix: number } | undefined;
  for (const { address, prefix, device } of present) {
    if (device === '' || address.length !== ip.length || prefix === address.length * 8) continue;
    if (!sameNetwork(address, ip, prefix)) continue;
    if (best === undefined || prefix > best.prefix) best = { device, prefix };
  }
  return best?.device ?? ANYWHERE;
}

function sameNetwork(a: IpBytes, b: IpBytes, prefix: number): boolean {
  for (let bit = 0; bit < prefix; bit++) {
    const mask = 0x80 >> (bit & 7);
    if ((a[bit >> 3]! & mask) !== (b[bit >> 3]! & mask)) return false;
  }
  return true;
}
