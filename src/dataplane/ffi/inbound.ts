import { readInner, refusedBecause } from '../../esp/trailer.js';
import { Errno } from '../../linux/errors.js';
import { sockaddrAddress, sockaddrPort } from '../../linux/sockaddr.js';
import { readU32 } from '../../util/bytes.js';
import { classifyPort4500, NON_ESP_MARKER_LENGTH } from '../../wire/esp.js';
import { createPacketView } from '../../wire/ip.js';
import { At, BURST, MMSGHDR_LENGTH, MMSGHDR_SIZE, NAME_SIZE, rxPacket } from './arena.js';
import type { Child } from './child.js';
import { Counter, Drop, monotonicMillis } from './counters.js';
import { type Path, survivable } from './path.js';

const MSG_DONTWAIT = 0x40;

/** No reason to drop the packet. */
const PASSED = -1;

/** From the peers to TUN. */
export class Inbound {
  readonly #path: Path;
  readonly #view = createPacketView();
  /** Time of the burst: the packets within it came a few microseconds apart. */
  #now = 0;

  constructor(path: Path) {
    this.#path = path;
  }

  /**
   * Takes up to one burst from the ESP socket `socket`. False when there was nothing.
   * @throws LinuxError when the socket or TUN is gone
   */
  turn(socket: number): boolean {
    const path = this.#path;
    const { arena, calls } = path;
    const { u32 } = arena;
    // The kernel replaced the room for the address by its length.
    for (let i = 0; i < BURST; i++) u32[(At.rxHeaders + i * MMSGHDR_SIZE + 8) >>> 2] = NAME_SIZE;
    const fd = path.espFds[socket]!;
    const packets = calls.recvmmsg(fd, arena.base + At.rxHeaders, BURST, MSG_DONTWAIT, 0);
    if (packets < 0) {
      // EAGAIN, or an error of an earlier datagram that is now fetched and gone.
      survivable('receiving ESP');
      return false;
    }
    this.#now = monotonicMillis();
    for (let i = 0; i < packets; i++) {
      this.#datagram(socket, i, u32[(At.rxHeaders + i * MMSGHDR_SIZE + MMSGHDR_LENGTH) >>> 2]!);
    }
    return packets > 0;
  }

  #datagram(socket: number, slot: number, length: number): void {
    const path = this.#path;
    const { bytes } = path.arena;
    const at = rxPacket(slot);
    const kind = classifyPort4500(bytes, at, length);
    if (kind === 'esp') {
      const child = path.bySpi.get(readU32(bytes, at) | 0);
      if (child === undefined) {
        path.drop(Drop.unknown_spi);
      } else {
        const reason = this.#esp(child, slot, at, length);
        if (reason !== PASSED) child.count(Counter.DROPS + reason, 1);
      }
    } else if (kind === 'ike') {
      if (path.orders.admitIke()) this.#ike(socket, slot, at, length);
      else path.drop(Drop.queue_full);
    } else if (kind === 'runt') {
      path.drop(Drop.malformed);
    }
  }

  /** Steering sends these elsewhere; where it cannot, they are handed over. */
  #ike(socket: number, slot: number, at: number, length: number): void {
    const path = this.#path;
    const { bytes } = path.arena;
    const name = At.rxNames + slot * NAME_SIZE;
    path.report({
      kind: 'ike',
      socket,
      address: sockaddrAddress(bytes, name),
      port: sockaddrPort(bytes, name),
      bytes: Uint8Array.from(bytes.subarray(at + NON_ESP_MARKER_LENGTH, at + length)),
    });
  }

  /** RFC 4303 §3.4: replay, ICV, window, then the plaintext. Answers with the reason of a drop, or `PASSED`. */
  #esp(child: Child, slot: number, at: number, length: number): number {
    const { arena } = this.#path;
    const { bytes } = arena;
    const { layout } = child.opener;
    const body = length - layout.bodyOffset - layout.icvLength;
    if (body < layout.alignment || (body & (layout.alignment - 1)) !== 0) return Drop.malformed;
    const sequence = readU32(bytes, at + 4);
    if (!child.window.check(sequence)) return Drop.replay;
    if (child.opener.open(at, length, At.plain) !== body) return Drop.auth_failed;
    const newest = sequence > child.window.highest;
    if (!child.window.advance(sequence)) return Drop.replay;
    arena.f64[child.counters + Counter.LAST_INBOUND] = this.#now;
    // Only the newest packet says where the peer is: an older one may have been held back and sent again
    // from elsewhere (RFC 7296 §2.23).
    const name = At.rxNames + slot * NAME_SIZE;
    if (newest && child.movedTo(name)) this.#moved(child, name);
    const inner = readInner(bytes, At.plain, At.plain + body, child.selectors, this.#view);
    if (inner < 0) {
      bytes.fill(0, At.plain, At.plain + body);
      return Drop[refusedBecause(inner)];
    }
    return this.#deliver(child, inner);
  }

  #deliver(child: Child, length: number): number {
    const { arena, calls, tunFd } = this.#path;
    while (calls.write(tunFd, arena.base + At.plain, length) !== length) {
      if (survivable('writing to TUN') !== Errno.EINTR) return Drop.tun_write;
    }
    child.count(Counter.PACKETS_IN, 1);
    child.count(Counter.BYTES_IN, length);
    return PASSED;
  }

  #moved(child: Child, name: number): void {
    const { bytes } = this.#path.arena;
    const address = sockaddrAddress(bytes, name);
    this.#path.report({ kind: 'moved', id: child.id, address, port: sockaddrPort(bytes, name) });
  }
}
