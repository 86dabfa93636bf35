import { Coalescer } from '../../../esp/offload/coalesce.js';
import type { CoalesceSwitches } from '../../../esp/offload/mergeable.js';
import { Splitter } from '../../../esp/offload/split.js';
import { clearVirtioHeader } from '../../../esp/offload/virtio.js';
import { Errno } from '../../../linux/errors.js';
import type { PacketView } from '../../../wire/ip.js';
import { type Path, survivable } from '../loop/path.js';
import { At, TUN_ITEMS } from '../memory/arena.js';
import { Drop } from '../memory/counters.js';

/** Writes what came out of the tunnel to TUN: collected over a burst, merged, and never held back after it. */
export class TunWriter {
  readonly #path: Path;
  readonly #coalescer: Coalescer;
  readonly #splitter: Splitter;
  readonly #switches: CoalesceSwitches;

  constructor(path: Path, switches: CoalesceSwitches) {
    this.#path = path;
    this.#switches = path.virtioLength === 0 ? { tcp: false, udp: false } : switches;
    this.#coalescer = new Coalescer(path.memory, At.coalescer, TUN_ITEMS, this.#switches);
    this.#splitter = new Splitter(path.memory, At.split);
  }

  /** Where the next packet is to be decrypted: `room` octets from there may be written. */
  target(room: number): number {
    const at = this.#coalescer.target(room);
    if (at >= 0) return at;
    this.flush();
    return this.#coalescer.target(room);
  }

  /** Takes the packet at the target. */
  accept(view: PacketView): void {
    this.#coalescer.accept(view);
  }

  /** Wipes `written` octets at the target. */
  reject(written: number): void {
    this.#coalescer.reject(written);
  }

  /** Whether the packet accepted last may be merged with what comes next. */
  get goesOn(): boolean {
    return this.#coalescer.goesOn;
  }

  /** @throws LinuxError when TUN is gone */
  flush(): void {
    const coalescer = this.#coalescer;
    if (coalescer.count === 0) return;
    const { virtioLength } = this.#path;
    coalescer.finish();
    for (let i = 0; i < coalescer.count; i++) {
      const at = coalescer.packetAt(i) - virtioLength;
      const length = coalescer.itemLength(i) - (coalescer.packetAt(i) - coalescer.itemAt(i)) + virtioLength;
      const errno = this.#write(at, length);
      if (errno === 0) continue;
      if (coalescer.segments(i) > 1) this.#writeSegments(coalescer.itemAt(i), coalescer.itemLength(i), errno);
      else this.#path.drop(Drop.tun_write);
    }
    coalescer.clear();
  }

  /** A packet of our own, not from a peer: `length` octets at `at`, with room for a header in front. */
  writeOwn(at: number, length: number): void {
    const { memory, virtioLength } = this.#path;
    if (virtioLength > 0) clearVirtioHeader(memory.bytes, at - virtioLength);
    if (this.#write(at - virtioLength, length + virtioLength) !== 0) this.#path.drop(Drop.tun_write);
  }

  /** A kernel that refuses a merged packet gets its segments, and no merged ones any more. */
  #writeSegments(at: number, length: number, errno: number): void {
    const path = this.#path;
    if (errno === Errno.EINVAL) {
      if (this.#switches.tcp) path.report({ kind: 'offload', name: 'coalesce', errno });
      this.#switches.tcp = false;
      this.#switches.udp = false;
    }
    if (this.#splitter.begin(at, length) === 0) path.drop(Drop.tun_write);
    while (this.#splitter.next()) this.writeOwn(this.#splitter.at, this.#splitter.length);
  }

  /** Zero, or the error number. */
  #write(at: number, length: number): number {
    const { arena, calls, tunFd } = this.#path;
    while (calls.write(tunFd, arena.base + at, length) !== length) {
      const errno = survivable('writing to TUN');
      if (errno !== Errno.EINTR) return errno;
    }
    return 0;
  }
}
