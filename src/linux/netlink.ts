import { Errno, linuxError } from './errors.js';
import { addressOf, checked, hostBuffer, lastErrno, libc } from './ffi.js';

/** netlink(7): requests about links, addresses and routes (rtnetlink(7)), and packet filters. */

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;

const NLM_F_REQUEST = 0x001;
/** Flags of nlmsghdr (linux/netlink.h). */
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;

/** The protocol of rtnetlink(7). */
const NETLINK_ROUTE = 0;

/** The largest message the kernel sends on a dump (it uses 8 to 32 KiB). */
const RECEIVE = 65536;

/** One attribute: struct rtattr and its value. */
export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** An answer: the fixed structure after the header, and the attributes by type. */
export interface NetlinkAnswer {
  readonly type: number;
  readonly fixed: DataView;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
}

/** A value of four octets in host order. */
export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

/** A text with its final zero. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

/** The number in a value of four octets. */
export function readHostU32(value: Uint8Array): number {
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, true);
}

const align = (length: number): number => (length + 3) & ~3;

/** A whole request: struct nlmsghdr, the fixed structure, the attributes. */
export function encodeRequest(
  type: number,
  flags: number,
  fixed: Uint8Array,
  attributes: readonly Attribute[],
): Uint8Array {
  let length = HEADER + align(fixed.length);
  for (const attribute of attributes) length += align(4 + attribute.value.length);
  const out = hostBuffer(length);
  const view = new DataView(out.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags | NLM_F_REQUEST, true);
  view.setUint32(8, 1, true);
  out.set(fixed, HEADER);
  let at = HEADER + align(fixed.length);
  for (const attribute of attributes) {
    view.setUint16(at, 4 + attribute.value.length, true);
    view.setUint16(at + 2, attribute.type, true);
    out.set(attribute.value, at + 4);
    at += align(4 + attribute.value.length);
  }
  return out;
}

/** The attributes of `bytes` from `start` on. The values are copies. */
export function decodeAttributes(bytes: Uint8Array, start: number): Map<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Map<number, Uint8Array>();
  for (let at = start; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    // The two top bits are flags (nested, network order).
    out.set(view.getUint16(at + 2, true) & 0x3fff, bytes.slice(at + 4, at + length));
    at += align(length);
  }
  return out;
}

/**
 * Sends one request and gathers the answers up to the acknowledgement or the end of the dump. `fixedSize` is
 * the length of the structure in the answers. A refusal gives its errno to `refused`, which makes the error.
 * @throws the error of `refused`, or LinuxError when the socket itself fails
 */
export function netlinkRequest(
  type: number,
  flags: number,
  fixed: Uint8Array,
  attributes: readonly Attribute[],
  fixedSize: number,
  refused: (errno: number) => Error,
): NetlinkAnswer[] {
  const dump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
  const request = encodeRequest(type, dump ? flags : flags | NLM_F_ACK, fixed, attributes);
  const { answers, errno } = netlinkExchange(NETLINK_ROUTE, request, fixedSize);
  if (errno !== 0) throw refused(errno);
  return answers;
}

/**
 * Sends one encoded request over a socket of this netlink protocol, and gathers the answers up to the
 * acknowledgement or the end of the dump.
 * @returns the answers, and the errno of a refusal or 0
 * @throws LinuxError when the socket itself fails
 */
export function netlinkExchange(
  protocol: number,
  request: Uint8Array,
  fixedSize: number,
): { readonly answers: NetlinkAnswer[]; readonly errno: number } {
  return withNetlinkSocket(protocol, (fd) => {
    const calls = libc();
    checked(calls.sendto(fd, addressOf(request), request.length, 0, 0, 0), 'netlink request');
    const buffer = hostBuffer(RECEIVE);
    const address = addressOf(buffer);
    const answers: NetlinkAnswer[] = [];
    for (;;) {
      const length = calls.recvfrom(fd, address, RECEIVE, 0, 0, 0);
      if (length < 0) {
        const errno = lastErrno();
        if (errno === Errno.EINTR) continue;
        throw linuxError(errno, 'netlink answer');
      }
      const errno = decodeAnswers(buffer.subarray(0, length), fixedSize, answers);
      if (errno !== undefined) return { answers, errno };
    }
  });
}

/** A netlink socket for the time of `use`. @throws LinuxError */
export function withNetlinkSocket<T>(protocol: number, use: (fd: number) => T): T {
  const calls = libc();
  const fd = checked(calls.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), 'netlink socket');
  try {
    return use(fd);
  } finally {
    calls.close(fd);
  }
}

/** Appends the messages of one datagram. Returns the final errno (0: done), or undefined when more follow. */
export function decodeAnswers(
  bytes: Uint8Array,
  fixedSize: number,
  answers: NetlinkAnswer[],
): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) return Errno.EIO;
    const type = view.getUint16(at + 4, true);
    if (type === NLMSG_DONE) return 0;
    if (type === NLMSG_ERROR) return length >= HEADER + 4 ? -view.getInt32(at + HEADER, true) : Errno.EIO;
    const message = bytes.slice(at + HEADER, at + length);
    if (message.length >= fixedSize) {
      answers.push({
        type,
        fixed: new DataView(message.buffer, 0, fixedSize),
        attributes: decodeAttributes(message, align(fixedSize)),
      });
    }
    at += align(length);
  }
  return undefined;
}
