import { type IpBytes, parseIp } from '../util/ip.js';
import { Errno, linuxError } from './errors.js';
import { linkIndex } from './links.js';
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, netlinkRequest, u32 } from './netlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;

/** Skip duplicate address detection: on a TUN there is no neighbour to ask, and the address must work at once. */
const IFA_F_NODAD = 0x02;

/** struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8, index u32. */
const IFADDR_SIZE = 8;

/** An address of a device, with the prefix length of its network. */
export interface InterfaceAddress {
  readonly address: IpBytes;
  readonly prefix: number;
  readonly index: number;
}

/** `address/prefix`, host bits allowed. @throws RangeError when the text is something else */
function parseInterfaceAddress(value: string): { address: IpBytes; prefix: number } {
  const [host = '', digits = '', ...rest] = value.split('/');
  const address = parseIp(host);
  const prefix = Number(digits);
  if (
    address === undefined ||
    rest.length > 0 ||
    !/^[0-9]{1,3}$/.test(digits) ||
    prefix > address.length * 8
  ) {
    throw new RangeError(`interface address "${value}": write address/prefix, for example 10.1.0.1/24`);
  }
  return { address, prefix };
}

function fixed(family: number, prefix: number, index: number): Uint8Array {
  const out = new Uint8Array(IFADDR_SIZE);
  out[0] = family;
  out[1] = prefix;
  new DataView(out.buffer).setUint32(4, index, true);
  return out;
}

function change(type: number, flags: number, device: string, value: string, doing: string): void {
  const { address, prefix } = parseInterfaceAddress(value);
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const attributes = [
    { type: IFA_LOCAL, value: address },
    { type: IFA_ADDRESS, value: address },
  ];
  if (type === RTM_NEWADDR && family === AF_INET6) {
    attributes.push({ type: IFA_FLAGS, value: u32(IFA_F_NODAD) });
  }
  const head = fixed(family, prefix, linkIndex(device));
  netlinkRequest(type, flags, head, attributes, IFADDR_SIZE, (errno) =>
    linuxError(
      errno,
      `${doing} address ${value} on device "${device}"`,
      errno === Errno.EEXIST ? `the device already has it: see \`ip address show ${device}\`` : undefined,
    ),
  );
}

/** Gives the device an address, `a.b.c.d/n` or `x::y/n`. @throws LinuxError, EEXIST when it is there */
export function addAddress(device: string, value: string): void {
  change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, device, value, 'adding');
}

/** Takes an address from the device. @throws LinuxError, EADDRNOTAVAIL when it is not there */
export function removeAddress(device: string, value: string): void {
  change(RTM_DELADDR, 0, device, value, 'removing');
}

/** The addresses of one device, or of all. @throws LinuxError */
export function listAddresses(device?: string): InterfaceAddress[] {
  const only = device === undefined ? undefined : linkIndex(device);
  const answers = netlinkRequest(RTM_GETADDR, NLM_F_DUMP, fixed(0, 0, 0), [], IFADDR_SIZE, (errno) =>
    linuxError(errno, 'listing addresses'),
  );
  const out: InterfaceAddress[] = [];
  for (const answer of answers) {
    const index = answer.fixed.getUint32(4, true);
    // On a point-to-point device IFA_ADDRESS is the peer's; IFA_LOCAL is absent for IPv6.
    const address = answer.attributes.get(IFA_LOCAL) ?? answer.attributes.get(IFA_ADDRESS);
    if (address === undefined || (only !== undefined && index !== only)) continue;
    out.push({ address, prefix: answer.fixed.getUint8(1), index });
  }
  return out;
}
