import { Errno } from '../../../linux/errors.js';
import { lastErrno } from '../../../linux/ffi.js';
import { POLLFD_SIZE, POLLOUT, writePollFd } from '../../../linux/poll.js';
import type { Child } from '../loop/child.js';
import { type Path, survivable } from '../loop/path.js';
import {
  At,
  MMSGHDR_SIZE,
  prepareSend,
  RUN_SEGMENTS,
  type SendArea,
  setRun,
  TX_RUNS,
  txPacket,
} from '../memory/arena.js';
import { Counter, Drop, monotonicMillis } from '../memory/counters.js';
import { droppedTap, Tap } from '../memory/tap-ring.js';
import { CONTROL_SPACE, writeSendControl } from './control-message.js';

/** The longest UDP payload over IPv4: 65,535 less IP and UDP header. */
export const MAX_PAYLOAD = 65507;

/** Where the wait for room in the socket has its struct pollfd: after those of the loop. */
const WAIT_AT = At.pollFds + 32 * POLLFD_SIZE;
const WAIT_MILLIS = 20;
const MAX_WAITS = 3;

/**
 * After this long of refused runs, while single packets pass, UDP GSO is disabled for the socket, in milliseconds: a
 * path that has become narrower is learned sooner.
 */
const PATIENCE = 3000;

/**
 * Sealed packets on their way into one socket. Packets of one child SA, size and traffic class that follow
 * each other form a run: one message, which the kernel cuts into datagrams (UDP_SEGMENT). All runs leave by
 * one call. Packets of one SA never change places: a packet joins the newest run of its SA or begins a new one.
 */
export class SendQueue {
  readonly #path: Path;
  readonly #fd: number;
  readonly #area: SendArea;
  /** Whether the socket cuts runs; otherwise each packet is a run. */
  #segments: boolean;
  /** When the first of the refusals in a row was, 0 for none. */
  #refusedSince = 0;
  #runs = 0;
  readonly #children: (Child | undefined)[] = new Array(TX_RUNS).fill(undefined);
  readonly #size = new Int32Array(TX_RUNS);
  readonly #length = new Int32Array(TX_RUNS);
  readonly #count = new Int32Array(TX_RUNS);
  readonly #trafficClass = new Int32Array(TX_RUNS);
  /** Octets of the inner packets: of a run, and of each packet in it. */
  readonly #inner = new Int32Array(TX_RUNS * RUN_SEGMENTS);
  /** The run that `reserve` chose. */
  #reserved = 0;

  constructor(path: Path, fd: number, area: SendArea, segments: boolean) {
    this.#path = path;
    this.#fd = fd;
    this.#area = area;
    this.#segments = segments;
    prepareSend(path.arena, area);
  }

  /**
   * Where an ESP packet of `length` octets is to be sealed; `commit` follows. Sends what is there first when
   * there is no room.
   */
  reserve(child: Child, length: number, trafficClass: number): number {
    const open = this.#segments ? this.#openRun(child, length, trafficClass) : -1;
    if (open >= 0) {
      this.#reserved = open;
      return txPacket(open, this.#area) + this.#length[open]!;
    }
    if (this.#runs === TX_RUNS) this.flush();
    const run = this.#runs++;
    this.#children[run] = child;
    this.#size[run] = length;
    this.#length[run] = 0;
    this.#count[run] = 0;
    this.#trafficClass[run] = trafficClass;
    child.run = run;
    this.#reserved = run;
    return txPacket(run, this.#area);
  }

  /** The newest run of this SA when the packet may join it: no longer than the others, which are all equal. */
  #openRun(child: Child, length: number, trafficClass: number): number {
    const { run } = child;
    if (run < 0 || run >= this.#runs || this.#children[run] !== child) return -1;
    const size = this.#size[run]!;
    const count = this.#count[run]!;
    const total = this.#length[run]!;
    if (length > size || count === RUN_SEGMENTS || total + length > MAX_PAYLOAD) return -1;
    if (trafficClass !== this.#trafficClass[run]) return -1;
    // A shorter one was the last.
    return total === size * count ? run : -1;
  }

  /** The packet is where `reserve` said. `inner` are the octets of the packet within. */
  commit(length: number, inner: number): void {
    const run = this.#reserved;
    const count = this.#count[run]!;
    this.#length[run] = this.#length[run]! + length;
    this.#inner[run * RUN_SEGMENTS + count] = inner;
    this.#count[run] = count + 1;
    // A full run leaves while its octets are in the cache.
    if (this.#length[run]! + this.#size[run]! > MAX_PAYLOAD) this.flush();
  }

  /** Takes back what `reserve` gave. */
  cancel(): void {
    const run = this.#reserved;
    if (this.#count[run] === 0 && run === this.#runs - 1) this.#runs = run;
  }

  /** Sends what is sealed, in order. */
  flush(): void {
    const runs = this.#runs;
    if (runs === 0) return;
    this.#runs = 0;
    const { arena, calls } = this.#path;
    const area = this.#area;
    for (let i = 0; i < runs; i++) {
      this.#children[i]!.sealer.complete();
      this.#describe(i);
    }
    let done = 0;
    let waits = 0;
    while (done < runs) {
      const sent = calls.sendmmsg(this.#fd, arena.base + area.headers + done * MMSGHDR_SIZE, runs - done, 0);
      if (sent > 0) {
        waits = 0;
        for (const end = done + sent; done < end; done++) this.#sent(done);
        continue;
      }
      const errno = survivable('sending ESP');
      if (errno === Errno.EINTR) continue;
      if (errno === Errno.EAGAIN && waits++ < MAX_WAITS && this.#waitForRoom()) continue;
      if (this.#count[done]! > 1 && isRefusal(errno)) {
        this.#singly(done, errno);
      } else if (isOld(errno) && waits++ < MAX_WAITS) {
        // News of an earlier datagram; this one has not been tried.
        continue;
      } else {
        this.#lost(done, errno);
      }
      done++;
    }
    this.#children.fill(undefined, 0, runs);
  }

  #describe(run: number): void {
    const { arena } = this.#path;
    const area = this.#area;
    const child = this.#children[run]!;
    const trafficClass = this.#trafficClass[run]!;
    const segment = this.#count[run]! > 1 ? this.#size[run]! : 0;
    let control = 0;
    if (segment !== 0 || trafficClass !== 0) {
      const at = area.controls + run * CONTROL_SPACE;
      control = writeSendControl(arena, at, segment, trafficClass, child.peerLength > 16);
    }
    setRun(arena, area, run, child.peerAt, child.peerLength, this.#length[run]!, control);
  }

  #sent(run: number): void {
    const child = this.#children[run]!;
    const count = this.#count[run]!;
    if (count > 1) this.#refusedSince = 0;
    let octets = 0;
    for (let i = 0, at = run * RUN_SEGMENTS; i < count; i++, at++) octets += this.#inner[at]!;
    child.count(Counter.PACKETS_OUT, count);
    child.count(Counter.BYTES_OUT, octets);
    if (child.tap !== undefined) this.#copy(run, Tap.OUT);
  }

  #lost(run: number, errno: number): void {
    const child = this.#children[run]!;
    child.count(Counter.DROPS + dropReason(errno), this.#count[run]!);
    if (child.tap !== undefined) this.#copy(run, droppedTap(Tap.OUT, dropReason(errno)));
    if (errno === Errno.EMSGSIZE) this.#path.pathHint(child);
  }

  /** For a capture: the packets of a run, or one of them. `what`: see `TapWriter.put`. */
  #copy(run: number, what: number, only = -1): void {
    const child = this.#children[run]!;
    const first = txPacket(run, this.#area);
    const size = this.#size[run]!;
    const total = this.#length[run]!;
    const flags = child.encapsulation === 'udp' ? what : what | Tap.RAW;
    for (let i = Math.max(0, only), offset = i * size; offset < total; offset += size) {
      child.tap?.put(flags, child.id, first + offset, Math.min(size, total - offset), child.peerAt);
      if (only >= 0) return;
    }
  }

  /**
   * The kernel does not cut this run: EIO when the device cannot, EINVAL or EMSGSIZE when a datagram is
   * longer than the path. Its packets leave one by one, and a socket that always refuses is not asked again.
   */
  #singly(run: number, errno: number): void {
    const { arena } = this.#path;
    const area = this.#area;
    const child = this.#children[run]!;
    const total = this.#length[run]!;
    const size = this.#size[run]!;
    const iovec = area.iovecs + run * 16;
    const trafficClass = this.#trafficClass[run]!;
    const at = area.controls + run * CONTROL_SPACE;
    const control =
      trafficClass === 0 ? 0 : writeSendControl(arena, at, 0, trafficClass, child.peerLength > 16);
    const first = txPacket(run, area);
    let lost = 0;
    for (let offset = 0, i = 0; offset < total; offset += size, i++) {
      setRun(arena, area, run, child.peerAt, child.peerLength, Math.min(size, total - offset), control);
      this.#path.pointTo(iovec, first + offset);
      const error = this.#sendOne(run);
      if (error === 0) {
        child.count(Counter.PACKETS_OUT, 1);
        child.count(Counter.BYTES_OUT, this.#inner[run * RUN_SEGMENTS + i]!);
      } else {
        lost++;
        child.count(Counter.DROPS + dropReason(error), 1);
      }
      if (child.tap !== undefined) {
        this.#copy(run, error === 0 ? Tap.OUT : droppedTap(Tap.OUT, dropReason(error)), i);
      }
    }
    this.#path.pointTo(iovec, first);
    this.#path.pathHint(child);
    const now = monotonicMillis();
    if (this.#refusedSince === 0) this.#refusedSince = now;
    if (errno === Errno.EIO || (lost === 0 && now - this.#refusedSince > PATIENCE)) {
      this.#segments = false;
      this.#path.report({ kind: 'offload', name: 'segment', errno });
    }
  }

  /** Zero, or the error number. */
  #sendOne(run: number): number {
    const { arena, calls } = this.#path;
    const header = arena.base + this.#area.headers + run * MMSGHDR_SIZE;
    for (let tries = 0; ; tries++) {
      if (calls.sendmmsg(this.#fd, header, 1, 0) === 1) return 0;
      const errno = lastErrno();
      if (errno === Errno.EINTR || (isOld(errno) && tries < MAX_WAITS)) continue;
      if (errno === Errno.EAGAIN && tries < MAX_WAITS && this.#waitForRoom()) continue;
      return errno;
    }
  }

  /** Whether the full socket took something within a moment. The sender's packets wait in TUN meanwhile. */
  #waitForRoom(): boolean {
    const { arena, calls } = this.#path;
    writePollFd(arena.view, WAIT_AT, this.#fd, POLLOUT);
    return calls.poll(arena.base + WAIT_AT, 1, WAIT_MILLIS) > 0;
  }
}

function isRefusal(errno: number): boolean {
  return errno === Errno.EIO || errno === Errno.EINVAL || errno === Errno.EMSGSIZE;
}

/** What ICMP said about datagrams sent before. */
function isOld(errno: number): boolean {
  return errno === Errno.ECONNREFUSED || errno === Errno.EHOSTUNREACH || errno === Errno.EHOSTDOWN;
}

function dropReason(errno: number): number {
  if (errno === Errno.EMSGSIZE) return Drop.too_big;
  return errno === Errno.EAGAIN ? Drop.queue_full : Drop.send_error;
}
