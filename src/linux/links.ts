import { Errno, linuxError } from './errors.js';
import { netlinkRequest, readHostU32, text, u32 } from './netlink.js';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;

const IFF_UP = 1;

/** struct ifinfomsg: family u8, pad, type u16, index i32, flags u32, change u32. */
const IFINFO_SIZE = 16;

/** A network device. `mtu` in octets. */
export interface Link {
  readonly name: string;
  readonly index: number;
  readonly up: boolean;
  readonly mtu: number;
  readonly txQueueLength: number;
}

/** What to change; what is left out stays. */
export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly txQueueLength?: number;
}

function info(index: number, flags = 0, change = 0): Uint8Array {
  const out = new Uint8Array(IFINFO_SIZE);
  const view = new DataView(out.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return out;
}

/** The device of this name, or of this number, or undefined. @throws LinuxError */
export function findLink(wanted: string | number): Link | undefined {
  const named = typeof wanted === 'string' ? [{ type: IFLA_IFNAME, value: text(wanted) }] : [];
  const head = info(typeof wanted === 'number' ? wanted : 0);
  try {
    const answers = netlinkRequest(RTM_GETLINK, 0, head, named, IFINFO_SIZE, (errno) =>
      linuxError(errno, `device "${wanted}"`),
    );
    const answer = answers[0];
    if (answer === undefined) return undefined;
    const { attributes, fixed } = answer;
    const name = attributes.get(IFLA_IFNAME) ?? new Uint8Array();
    return {
      name: new TextDecoder().decode(name).replace(/\0.*$/, ''),
      index: fixed.getInt32(4, true),
      up: (fixed.getUint32(8, true) & IFF_UP) !== 0,
      mtu: readHostU32(attributes.get(IFLA_MTU) ?? u32(0)),
      txQueueLength: readHostU32(attributes.get(IFLA_TXQLEN) ?? u32(0)),
    };
  } catch (error) {
    if ((error as { errno?: number }).errno === Errno.ENODEV) return undefined;
    throw error;
  }
}

/**
 * The names of devices by their numbers, for a list of what has only these: each is asked for once. Empty for a device
 * that is gone, and for 0, which is none. @throws LinuxError when called
 */
export function linkNames(): (index: number) => string {
  const names = new Map([[0, '']]);
  return (index) => {
    const name = names.get(index) ?? findLink(index)?.name ?? '';
    names.set(index, name);
    return name;
  };
}

/** Number of the device. @throws LinuxError ENODEV when there is none of this name */
export function linkIndex(name: string): number {
  const link = findLink(name);
  if (link === undefined) throw linuxError(Errno.ENODEV, `device "${name}"`);
  return link.index;
}

/** @throws LinuxError naming the device */
export function setLink(name: string, change: LinkChange): void {
  const attributes = [];
  if (change.mtu !== undefined) attributes.push({ type: IFLA_MTU, value: u32(change.mtu) });
  if (change.txQueueLength !== undefined) {
    attributes.push({ type: IFLA_TXQLEN, value: u32(change.txQueueLength) });
  }
  const mask = change.up === undefined ? 0 : IFF_UP;
  const fixed = info(linkIndex(name), change.up === true ? IFF_UP : 0, mask);
  netlinkRequest(RTM_NEWLINK, 0, fixed, attributes, IFINFO_SIZE, (errno) =>
    linuxError(errno, `changing device "${name}"`),
  );
}

/** Brings the device up with an MTU of `mtu` octets. @throws LinuxError naming the device */
export function setLinkUp(name: string, mtu: number): void {
  setLink(name, { up: true, mtu });
}

/** Removes a virtual device. @throws LinuxError naming the device */
export function removeLink(name: string): void {
  netlinkRequest(RTM_DELLINK, 0, info(linkIndex(name)), [], IFINFO_SIZE, (errno) =>
    linuxError(errno, `removing device "${name}"`),
  );
}
