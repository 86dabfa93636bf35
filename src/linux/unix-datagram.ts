import { addressOf, checked, hostBuffer, libc } from './ffi.js';
import { MAX_SOCKET_PATH } from './unix-listener.js';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** A write to a socket whose other end is gone is an error, and no signal. */
const MSG_NOSIGNAL = 0x4000;

/**
 * Sends one datagram to a Unix socket, which Node cannot. A name that begins with "@" is in the abstract namespace
 * (unix(7)). Never waits: a receiver whose queue is full gets nothing.
 * @throws LinuxError ENOENT or ECONNREFUSED when no process listens there, EAGAIN when the queue is full, ENOSYS without FFI
 * @throws RangeError when the name is longer than 107 octets
 */
export function sendUnixDatagram(name: string, datagram: Uint8Array): void {
  const { bytes, length } = unixAddress(name);
  const calls = libc();
  const fd = checked(calls.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'Unix socket');
  try {
    const data = hostBuffer(datagram.length);
    data.set(datagram);
    const sent = calls.sendto(fd, addressOf(data), data.length, MSG_NOSIGNAL, addressOf(bytes), length);
    checked(sent, `sending to ${name}`);
  } finally {
    calls.close(fd);
  }
}

/** struct sockaddr_un: the family in host order, then the name; an abstract one begins with a zero octet, not "@". */
function unixAddress(name: string): { readonly bytes: Uint8Array; readonly length: number } {
  const octets = Buffer.from(name);
  if (octets.length > MAX_SOCKET_PATH) {
    throw new RangeError(`the name of a Unix socket has ${octets.length} octets: ${MAX_SOCKET_PATH} at most`);
  }
  const bytes = hostBuffer(2 + MAX_SOCKET_PATH + 1);
  bytes[0] = AF_UNIX;
  bytes.set(octets, 2);
  const isAbstract = name.startsWith('@');
  if (isAbstract) bytes[2] = 0;
  // The length of an abstract name counts; a path ends with a zero octet.
  return { bytes, length: 2 + octets.length + (isAbstract ? 0 : 1) };
}
