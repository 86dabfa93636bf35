import { libc } from './ffi.js';

/** Events of poll(2). */
export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;

/** Octets of one struct pollfd: int fd, short events, short revents. */
export const POLLFD_SIZE = 8;

/** Writes one struct pollfd at `at`. */
export function writePollFd(view: DataView, at: number, fd: number, events: number): void {
  view.setInt32(at, fd, true);
  view.setInt16(at + 4, events, true);
  view.setInt16(at + 6, 0, true);
}

/** What happened on the descriptor of the struct pollfd at `at`. */
export function pollEvents(view: DataView, at: number): number {
  return view.getInt16(at + 6, true);
}

/** poll(2) for `count` structures at `address`; `timeout` in milliseconds, -1 for none. */
export function poll(address: number, count: number, timeout: number): number {
  return libc().poll(address, count, timeout);
}
