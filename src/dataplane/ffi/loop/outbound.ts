import { espLength } from '../../../esp/layout.js';
import { Fragmenter } from '../../../esp/offload/fragment.js';
import { writeTooBig } from '../../../esp/offload/icmp-too-big.js';
import { clampMss, isSyn } from '../../../esp/offload/mss.js';
import { Splitter } from '../../../esp/offload/split.js';
import { outerTrafficClass } from '../../../esp/offload/tos.js';
import { NO_POLICY, NO_SA } from '../../../esp/policy-table.js';
import { Errno } from '../../../linux/errors.js';
import { createPacketView, destinationOf, IpProtocol, readPacket } from '../../../wire/ip.js';
import { AcquireLimit } from '../../acquire-limit.js';
import { MAX_PAYLOAD, type SendQueue } from '../io/send-queue.js';
import type { TunWriter } from '../io/tun-writer.js';
import { At, innerPacket, MAX_PACKET } from '../memory/arena.js';
import { Counter, Drop, GlobalCounter, monotonicMillis } from '../memory/counters.js';
import { Handed, type HandoverReader } from '../memory/handover-ring.js';
import { droppedTap, Tap } from '../memory/tap-ring.js';
import type { Child } from './child.js';
import { type Path, survivable } from './path.js';

/** Packets and octets read from TUN before the other direction has its turn. */
const MAX_READS = 64;
const MAX_OCTETS = 4 * 65536;

/** Answers to packets that are too big: so many in so many milliseconds (RFC 1812 §4.3.2.8). */
const ANSWERS = 100;
const ANSWER_PERIOD = 1000;

/** Octets in front of an answer, for the virtio-net header. */
const ANSWER_FRONT = 64;

/** How a capture marks packets from the host. */
const INNER_OUT = Tap.INNER | Tap.OUT;

/** The packet of `length` octets at `at` is dropped, which a child SA would have taken. */
function dropOf(child: Child, reason: number, at: number, length: number): void {
  child.count(Counter.DROPS + reason, 1);
  child.tap?.put(droppedTap(INNER_OUT, reason), child.id, at, length, -1);
}

/** From TUN to the peers. */
export class Outbound {
  readonly #path: Path;
  readonly #queue: SendQueue;
  /** For ESP without UDP, where there is a socket for it. */
  readonly #raw: SendQueue | undefined;
  readonly #tun: TunWriter;
  readonly #splitter: Splitter;
  readonly #fragmenter: Fragmenter;
  readonly #view = createPacketView();
  readonly #acquires = new AcquireLimit();
  #answers = 0;
  #answerPeriod = 0;

  constructor(path: Path, queue: SendQueue, raw: SendQueue | undefined, tun: TunWriter) {
    this.#path = path;
    this.#queue = queue;
    this.#raw = raw;
    this.#tun = tun;
    this.#splitter = new Splitter(path.memory, At.split);
    this.#fragmenter = new Fragmenter(path.memory);
  }

  /** Takes up to one burst from TUN and sends it. False when TUN had nothing. @throws LinuxError when TUN is gone */
  turn(): boolean {
    const { arena, calls, tunFd, virtioLength } = this.#path;
    const at = innerPacket() - virtioLength;
    let packets = 0;
    let octets = 0;
    while (packets < MAX_READS && octets < MAX_OCTETS) {
      const length = calls.read(tunFd, arena.base + at, MAX_PACKET + virtioLength);
      if (length <= 0) {
        // EAGAIN is the usual end of a burst. Anything else that is not fatal comes again with the next poll.
        if (length < 0 && survivable('reading from TUN') === Errno.EINTR) continue;
        break;
      }
      packets++;
      octets += length;
      this.#packet(at, length);
    }
    this.flush();
    return packets > 0;
  }

  /** Takes what another worker has read from its queue of TUN. `flush` follows after the last one. */
  adopt(reader: HandoverReader): void {
    const { arena, virtioLength } = this.#path;
    const at = innerPacket() - virtioLength;
    reader.copyPacket(arena.base + at);
    this.#packet(at, reader.length);
  }

  /** Sends what is sealed. */
  flush(): void {
    this.#queue.flush();
    this.#raw?.flush();
  }

  /** Gives a packet to the worker that owns its SA: only there are the keys and the sequence number. */
  #handOver(id: number, at: number, length: number): void {
    const path = this.#path;
    const owner = path.handover?.owners.get(id);
    if (owner === undefined) this.#drop(Drop.no_sa);
    else if (path.handover!.give(owner, Handed.INNER, path.arena.base + at, length, 0, 0)) {
      path.count(GlobalCounter.HANDED_OVER, 1);
    } else this.#drop(Drop.queue_full);
  }

  /** What one read gave: a packet or a super-packet, of one flow either way. */
  #packet(at: number, length: number): void {
    const path = this.#path;
    const { bytes } = path.arena;
    const view = this.#view;
    const { virtioLength } = path;
    if (length <= virtioLength || !readPacket(bytes, at + virtioLength, length - virtioLength, view)) {
      path.drop(Drop.malformed);
      return;
    }
    const id = path.table.lookup(view);
    if (id === NO_POLICY || id === NO_SA) {
      this.#drop(id === NO_POLICY ? Drop.no_policy : Drop.no_sa);
      // Without any SA there is no policy here either; the daemon knows which networks are wanted.
      this.#acquire();
      return;
    }
    const child = path.byId.get(id);
    if (child === undefined) {
      this.#handOver(id, at, length);
      return;
    }
    if (virtioLength === 0) {
      this.#whole(child);
      return;
    }
    const splitter = this.#splitter;
    const segments = splitter.begin(at, length);
    if (segments === 0) {
      path.drop(Drop.malformed);
    } else if (segments === 1 || splitter.longest > child.innerMtu) {
      // The view of a single packet is still valid; that of a super-packet was changed in place.
      while (splitter.next()) {
        if (segments === 1 || readPacket(bytes, splitter.at, splitter.length, view)) this.#whole(child);
      }
    } else {
      const { version } = view;
      const trafficClass = outerTrafficClass(view.trafficClass);
      const nextHeader = version === 4 ? IpProtocol.IPV4 : IpProtocol.IPV6;
      while (splitter.next()) this.#seal(child, splitter.at, splitter.length, nextHeader, trafficClass);
    }
  }

  /** The one packet in view, its checksums complete. */
  #whole(child: Child): void {
    const view = this.#view;
    if (isSyn(view)) clampMss(view, view.version === 4 ? child.mss4 : child.mss6);
    if (view.totalLength > child.innerMtu) {
      this.#tooBig(child);
      return;
    }
    const nextHeader = view.version === 4 ? IpProtocol.IPV4 : IpProtocol.IPV6;
    this.#seal(child, view.offset, view.totalLength, nextHeader, outerTrafficClass(view.trafficClass));
  }

  /** Fragments what may be fragmented (RFC 4301 §8.2), and sends ICMP errors about the rest. */
  #tooBig(child: Child): void {
    const path = this.#path;
    const view = this.#view;
    const slot = At.answer + ANSWER_FRONT;
    const mtu = child.innerMtu;
    if (view.version === 4 && !view.dontFragment) {
      const trafficClass = outerTrafficClass(view.trafficClass);
      const fragments = this.#fragmenter.begin(view, mtu);
      for (let i = 0; i < fragments; i++) {
        this.#seal(child, slot, this.#fragmenter.next(slot), IpProtocol.IPV4, trafficClass);
      }
      if (fragments > 0) return;
    }
    // No IPv6 host sends less than 1280 (RFC 8200 §5): such a packet is left to the kernel to fragment.
    if (view.version === 6 && view.totalLength <= 1280) {
      this.#seal(child, view.offset, view.totalLength, IpProtocol.IPV6, outerTrafficClass(view.trafficClass));
      return;
    }
    dropOf(child, Drop.too_big, view.offset, view.totalLength);
    if (!this.#mayAnswer()) return;
    // Sourced from the destination address: the kernel would refuse a packet from one of its own addresses.
    const length = writeTooBig(path.memory, view, slot, mtu, destinationOf(view));
    if (length > 0) this.#tun.writeOwn(slot, length);
  }

  #mayAnswer(): boolean {
    const now = monotonicMillis();
    if (now - this.#answerPeriod > ANSWER_PERIOD) {
      this.#answerPeriod = now;
      this.#answers = 0;
    }
    return this.#answers++ < ANSWERS;
  }

  /** Seals the packet at `at` into the send queue. */
  #seal(child: Child, at: number, length: number, nextHeader: number, trafficClass: number): void {
    const { sealer } = child;
    const sealed = espLength(sealer.layout, length);
    if (sealed > MAX_PAYLOAD) {
      dropOf(child, Drop.too_big, at, length);
      return;
    }
    const sequence = child.nextSequence();
    if (sequence === 0) {
      dropOf(child, child.noSequence, at, length);
      return;
    }
    if (child.tap !== undefined) child.tap.put(INNER_OUT, child.id, at, length, -1);
    const queue = child.encapsulation === 'udp' ? this.#queue : this.#raw!;
    const out = queue.reserve(child, sealed, trafficClass);
    sealer.seal(at, length, nextHeader, sequence, out);
    queue.commit(sealed, length);
  }

  /** The packet in view is dropped, which no child SA of this worker takes. */
  #drop(reason: number): void {
    const path = this.#path;
    path.drop(reason);
    const { offset, totalLength } = this.#view;
    path.capture.tap?.put(droppedTap(INNER_OUT, reason), -1, offset, totalLength, -1);
  }

  #acquire(): void {
    const path = this.#path;
    if (!this.#acquires.allows(this.#view, path.now())) return;
    const destination = Uint8Array.from(destinationOf(this.#view));
    path.report({ kind: 'acquire', destination, device: path.device });
  }
}
