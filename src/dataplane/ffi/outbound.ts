import { NO_POLICY, NO_SA } from '../../esp/policy-table.js';
import { Errno } from '../../linux/errors.js';
import { POLLFD_SIZE, POLLOUT, writePollFd } from '../../linux/poll.js';
import { createPacketView, destinationOf, IpProtocol, readPacket } from '../../wire/ip.js';
import { At, BURST, MAX_PACKET, MMSGHDR_SIZE, setMessage, txPacket } from './arena.js';
import type { Child } from './child.js';
import { Counter, Drop, monotonicMillis } from './counters.js';
import { type Path, survivable } from './path.js';

/** The longest UDP payload over IPv4: 65,535 less IP and UDP header. */
const MAX_PAYLOAD = 65507;

/**
 * Pause between two requests for an SA to one destination, in milliseconds: the sender repeats itself anyway.
 * Destinations share this many clocks, so that a flood to one does not hide the others, nor a flood to many
 * keeps main busy.
 */
const ACQUIRE_PAUSE = 1000;
const ACQUIRE_CLOCKS = 64;

/** No reason to drop the packet. */
const QUEUED = -1;

/** Where the wait for room in the socket has its struct pollfd: behind those of the loop. */
const WAIT_AT = At.pollFds + 32 * POLLFD_SIZE;
const WAIT_MILLIS = 20;

/** From TUN to the peers. */
export class Outbound {
  readonly #path: Path;
  readonly #view = createPacketView();
  /** Whose packet each send slot holds, and how long the inner packet was. */
  readonly #owners: (Child | undefined)[] = new Array(BURST).fill(undefined);
  readonly #inner = new Int32Array(BURST);
  #count = 0;
  readonly #nextAcquire = new Float64Array(ACQUIRE_CLOCKS);

  constructor(path: Path) {
    this.#path = path;
  }

  /** Takes up to one burst from TUN and sends it. False when TUN had nothing. @throws LinuxError when TUN is gone */
  turn(): boolean {
    const { arena, calls, tunFd } = this.#path;
    const inner = arena.base + At.inner;
    let packets = 0;
    while (packets < BURST) {
      const length = calls.read(tunFd, inner, MAX_PACKET);
      if (length <= 0) {
        // EAGAIN is the usual end of a burst. Anything else that is not fatal comes again with the next poll.
        if (length < 0 && survivable('reading from TUN') === Errno.EINTR) continue;
        break;
      }
      packets++;
      this.#seal(length);
    }
    this.#flush();
    return packets > 0;
  }

  #seal(length: number): void {
    const path = this.#path;
    const view = this.#view;
    if (!readPacket(path.arena.bytes, At.inner, length, view)) {
      path.drop(Drop.malformed);
      return;
    }
    const id = path.table.lookup(view);
    if (id === NO_POLICY) {
      path.drop(Drop.no_policy);
      // Without any SA there is no policy here either; the daemon knows which networks are wanted.
      this.#acquire();
    } else if (id === NO_SA) {
      path.drop(Drop.no_sa);
      this.#acquire();
    } else {
      const child = path.byId.get(id)!;
      const reason = this.#queue(child);
      if (reason !== QUEUED) child.count(Counter.DROPS + reason, 1);
    }
  }

  /** Seals the packet in view into the next send slot. Answers with the reason of a drop, or `QUEUED`. */
  #queue(child: Child): number {
    const { arena } = this.#path;
    const { totalLength, version } = this.#view;
    const { sealer } = child;
    const { bodyOffset, icvLength, alignment } = sealer.layout;
    if (bodyOffset + totalLength + alignment + 1 + icvLength > MAX_PAYLOAD) return Drop.too_big;
    const sequence = child.nextSequence();
    if (sequence === 0) return Drop.sequence_exhausted;
    const slot = this.#count;
    const nextHeader = version === 4 ? IpProtocol.IPV4 : IpProtocol.IPV6;
    const sealed = sealer.seal(At.inner, totalLength, nextHeader, sequence, txPacket(slot));
    setMessage(arena, slot, child.peerAt, child.peerLength, sealed);
    this.#owners[slot] = child;
    this.#inner[slot] = totalLength;
    this.#count = slot + 1;
    return QUEUED;
  }

  #acquire(): void {
    const path = this.#path;
    const now = monotonicMillis();
    const { bytes, destinationOffset, addressLength } = this.#view;
    let hash = 0;
    for (let i = 0; i < addressLength; i++) hash = (hash * 31 + bytes[destinationOffset + i]!) | 0;
    const clock = hash & (ACQUIRE_CLOCKS - 1);
    if (now < this.#nextAcquire[clock]!) return;
    this.#nextAcquire[clock] = now + ACQUIRE_PAUSE;
    path.report({ kind: 'acquire', destination: Uint8Array.from(destinationOf(this.#view)) });
  }

  /** Sends what is sealed, in order. */
  #flush(): void {
    const { arena, calls, espFds } = this.#path;
    const headers = arena.base + At.txHeaders;
    let done = 0;
    let waits = 0;
    while (done < this.#count) {
      const sent = calls.sendmmsg(espFds[0]!, headers + done * MMSGHDR_SIZE, this.#count - done, 0);
      if (sent > 0) {
        for (const end = done + sent; done < end; done++) {
          const child = this.#owners[done]!;
          child.count(Counter.PACKETS_OUT, 1);
          child.count(Counter.BYTES_OUT, this.#inner[done]!);
        }
        continue;
      }
      const errno = survivable('sending ESP');
      if (errno === Errno.EINTR) continue;
      if (errno === Errno.EAGAIN && waits++ < 3 && this.#waitForRoom()) continue;
      const reason =
        errno === Errno.EMSGSIZE ? Drop.too_big : errno === Errno.EAGAIN ? Drop.queue_full : Drop.send_error;
      this.#owners[done]!.count(Counter.DROPS + reason, 1);
      done++;
    }
    this.#owners.fill(undefined, 0, this.#count);
    this.#count = 0;
  }

  /** Whether the full socket took something within a moment. The sender's packets wait in TUN meanwhile. */
  #waitForRoom(): boolean {
    const { arena, calls, espFds } = this.#path;
    writePollFd(arena.view, WAIT_AT, espFds[0]!, POLLOUT);
    return calls.poll(arena.base + WAIT_AT, 1, WAIT_MILLIS) > 0;
  }
}
