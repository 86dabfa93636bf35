import { Errno } from './errors.js';
import { addressOf, checked, hostBuffer, lastErrno, libc } from './ffi.js';

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** A kernel counter that wakes a thread blocked in poll(2), which worker.postMessage() cannot do. */
export interface EventFd {
  readonly fd: number;
  /** The eight octets of the calls: held here, since an address alone does not keep memory from being freed. */
  readonly memory: Uint8Array;
  /** Makes the descriptor readable. Never blocks. */
  signal(): void;
  /** Makes it unreadable again. */
  clear(): void;
  close(): void;
}

/** @throws LinuxError */
export function openEventFd(): EventFd {
  return useEventFd(checked(libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd'));
}

/** The functions on a descriptor that another thread opened; only one side may close it. */
export function useEventFd(fd: number): EventFd {
  const calls = libc();
  const value = hostBuffer(16);
  const address = addressOf(value);
  new DataView(value.buffer).setUint32(0, 1, true);
  let open = true;
  return {
    fd,
    memory: value,
    signal() {
      // EAGAIN: the counter is at its top, so it is readable already.
      if (calls.write(fd, address, 8) < 0 && lastErrno() !== Errno.EAGAIN) checked(-1, 'eventfd write');
    },
    clear() {
      if (calls.read(fd, address + 8, 8) < 0 && lastErrno() !== Errno.EAGAIN) checked(-1, 'eventfd read');
    },
    close() {
      if (open) calls.close(fd);
      open = false;
    },
  };
}
