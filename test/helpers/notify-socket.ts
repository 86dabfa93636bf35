import { setTimeout as sleep } from 'node:timers/promises';
import { addressOf, checked, hostBuffer, libc } from '../../src/linux/ffi.js';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;
/** Longest datagram that is read. */
const ROOM = 4096;

/** A Unix datagram socket as systemd listens on, with its address written down by hand from unix(7). */
export class NotifySocket {
  readonly #fd: number;
  readonly received: string[] = [];

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** `name` begins with "@" for the abstract namespace, else it is a path. */
  static open(name: string): NotifySocket {
    const fd = checked(libc().socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0), 'socket');
    const path = name.startsWith('@') ? `\0${name.slice(1)}` : `${name}\0`;
    const address = hostBuffer(110);
    address.set([AF_UNIX, 0]);
    address.set(Buffer.from(path), 2);
    checked(libc().bind(fd, addressOf(address), 2 + Buffer.byteLength(path)), 'bind');
    return new NotifySocket(fd);
  }

  /** Reads what has come. */
  poll(): readonly string[] {
    const memory = hostBuffer(ROOM);
    for (;;) {
      const length = libc().recvfrom(this.#fd, addressOf(memory), ROOM, 0, 0, 0);
      if (length < 0) return this.received;
      this.received.push(Buffer.from(memory.subarray(0, length)).toString());
    }
  }

  /** Resolves when a datagram that fits has come. @throws Error after ten seconds */
  async until(wanted: RegExp): Promise<string> {
    for (let tries = 0; tries < 1000; tries++) {
      const found = this.poll().find((one) => wanted.test(one));
      if (found !== undefined) return found;
      await sleep(10);
    }
    throw new Error(`${wanted} did not come: ${JSON.stringify(this.received)}`);
  }

  close(): void {
    libc().close(this.#fd);
  }
}
