import { clampMss, isSyn } from '../../../esp/offload/mss.js';
import { decapsulateEcn } from '../../../esp/offload/tos.js';
import type { EspForm } from '../../../esp/params.js';
import { readInner, refusedBecause } from '../../../esp/trailer.js';
import { AF_INET, sockaddrAddress, sockaddrPort } from '../../../linux/sockaddr.js';
import { readU32 } from '../../../util/bytes.js';
import type { DeviceNumber, Spi } from '../../../util/ids.js';
import { classifyPort4500, ESP_HEADER_LENGTH, NON_ESP_MARKER_LENGTH } from '../../../wire/esp.js';
import { createPacketView } from '../../../wire/ip.js';
import { showsPeer } from '../../peer-watch.js';
import { CONTROL_SPACE, type ReceiveControl, readReceiveControl } from '../io/control-message.js';
import type { TunWriter } from '../io/tun-writer.js';
import {
  At,
  MMSGHDR_LENGTH,
  MMSGHDR_SIZE,
  NAME_SIZE,
  prepareReceive,
  RX_BURST,
  rearmReceive,
  rxPacket,
} from '../memory/arena.js';
import { Counter, Drop, GlobalCounter } from '../memory/counters.js';
import { Handed, type HandoverReader } from '../memory/handover-ring.js';
import { droppedTap, Tap } from '../memory/tap-ring.js';
import type { Child } from './child.js';
import { type Arrival, type Path, survivable } from './path.js';

const MSG_DONTWAIT = 0x40;

/** In place of the number of a UDP socket: the raw one. */
export const RAW = -1;

/** No reason to drop the packet. */
const PASSED = -1;

/** Messages asked for while they are trains of datagrams: more would not stay in the processor's cache. */
const TRAINS = 4;
/** Octets of a message, on the average of a burst, from which on it counts as a train. */
const TRAIN_OCTETS = 8192;

/**
 * Polls of the socket per turn, at most. A super-packet does not fit one train of ESP packets: its end comes
 * in a second one, microseconds after the first. When that is decrypted the end is there, and both become one
 * write to TUN, one wake-up and one acknowledgment instead of two.
 */
const LOOKS = 3;

/** How a capture marks what comes in. */
const FLAGS: Readonly<Record<EspForm, number>> = { udp: 0, esp: Tap.RAW };

/** Where the sender's socket address of a message is. */
function nameAt(slot: number): number {
  return At.rxNames + slot * NAME_SIZE;
}

/** From the peers to TUN. */
export class Inbound {
  readonly #path: Path;
  /** The writers of all TUN devices, by number. They share one memory, so one at a time has packets. */
  readonly #writers: readonly (TunWriter | undefined)[];
  /** The device that the last packet went to, and its writer. */
  #device = 0;
  #tun: TunWriter;
  readonly #view = createPacketView();
  readonly #control: ReceiveControl = { segment: 0, trafficClass: 0 };
  #burst = RX_BURST;
  /** Time of the burst: the packets within it came a few microseconds apart. */
  #now = 0;

  constructor(path: Path, writers: readonly (TunWriter | undefined)[]) {
    this.#path = path;
    this.#writers = writers;
    this.#tun = writers[0]!;
    prepareReceive(path.arena);
  }

  /**
   * Takes up to one burst from the ESP socket `socket`, and what goes on with it. False when there was nothing.
   * @throws LinuxError when the socket or TUN is gone
   */
  turn(socket: number): boolean {
    let looks = 0;
    while (this.#receive(socket) && ++looks < LOOKS && this.#tun.goesOn) {}
    if (looks === 0) return false;
    this.#tun.flush();
    return true;
  }

  /** One burst. False when there was nothing. */
  #receive(socket: number): boolean {
    const path = this.#path;
    const { arena, calls } = path;
    const { u32 } = arena;
    const raw = socket === RAW;
    const fd = raw ? path.rawFd : path.espFds[socket]!;
    const messages = calls.recvmmsg(fd, arena.base + At.rxHeaders, this.#burst, MSG_DONTWAIT, 0);
    if (messages < 0) {
      // EAGAIN, or an error of an earlier datagram that is now fetched and gone.
      survivable('receiving ESP');
      return false;
    }
    this.#now = path.now();
    let octets = 0;
    for (let i = 0; i < messages; i++) {
      const header = At.rxHeaders + i * MMSGHDR_SIZE;
      const length = u32[(header + MMSGHDR_LENGTH) >>> 2]!;
      octets += length;
      const controlLength = u32[(header + 40) >>> 2]!;
      if (raw) this.#rawPacket(i, length, controlLength);
      else this.#message(socket, i, length, controlLength);
    }
    rearmReceive(arena, messages);
    this.#burst = octets > messages * TRAIN_OCTETS ? TRAINS : RX_BURST;
    return messages > 0;
  }

  /** A datagram, or a train of them from one peer: of several SAs perhaps, and with IKE between. */
  #message(socket: number, slot: number, length: number, controlLength: number): void {
    const control = this.#control;
    readReceiveControl(this.#path.arena, At.rxControls + slot * CONTROL_SPACE, controlLength, control);
    const { segment, trafficClass } = control;
    const at = rxPacket(slot);
    if (segment === 0 || segment >= length) {
      this.#datagram(socket, slot, at, length, trafficClass);
      return;
    }
    for (let offset = 0; offset < length; offset += segment) {
      this.#datagram(socket, slot, at + offset, Math.min(segment, length - offset), trafficClass);
    }
  }

  /** An IP packet of protocol 50: over IPv4 with its header, over IPv6 without. */
  #rawPacket(slot: number, length: number, controlLength: number): void {
    const path = this.#path;
    const { bytes } = path.arena;
    const control = this.#control;
    readReceiveControl(path.arena, At.rxControls + slot * CONTROL_SPACE, controlLength, control);
    let at = rxPacket(slot);
    let size = length;
    if (bytes[At.rxNames + slot * NAME_SIZE] === AF_INET) {
      const header = (bytes[at]! & 0x0f) << 2;
      at += header;
      size -= header;
    }
    if (size < ESP_HEADER_LENGTH) path.drop(Drop.malformed);
    else this.#lookUp(slot, at, size, control.trafficClass, 'esp');
  }

  /**
   * The SA of an ESP packet. Both forms are taken on every SA, whichever this end sends (RFC 7296 §2.23): `form` is
   * how it came.
   */
  #lookUp(slot: number, at: number, length: number, trafficClass: number, form: EspForm): void {
    const path = this.#path;
    const child = path.bySpi.get(readU32(path.arena.bytes, at));
    if (child === undefined) {
      // Raw sockets get the SPIs of their own worker only.
      if (form === 'udp' && this.#handOver(slot, at, length, trafficClass)) return;
      if (this.#hold(slot, at, length, trafficClass, form)) return;
      path.drop(Drop.unknown_spi);
      path.capture.tap?.put(droppedTap(FLAGS[form], Drop.unknown_spi), -1, at, length, nameAt(slot));
      return;
    }
    const reason = this.#esp(child, slot, at, length, trafficClass, form);
    if (reason === PASSED) return;
    child.count(Counter.DROPS + reason, 1);
    child.tap?.put(droppedTap(FLAGS[form], reason), child.id, at, length, nameAt(slot));
  }

  /** Keeps a packet whose SA is still being agreed on. False when no SA of this SPI is expected. */
  #hold(slot: number, at: number, length: number, trafficClass: number, form: EspForm): boolean {
    const { arena, early } = this.#path;
    const { bytes } = arena;
    const spi = readU32(bytes, at);
    const name = nameAt(slot);
    const from = { form, trafficClass, name: bytes.slice(name, name + NAME_SIZE) };
    return early.hold(spi, bytes.subarray(at, at + length), from, this.#now);
  }

  /** Opens what came before the SA of this SPI was installed. */
  openEarly(spi: Spi): void {
    const packets = this.#path.early.take(spi, this.#path.now());
    for (const { bytes, from } of packets) this.takeIn(bytes, from);
    if (packets.length > 0) this.flush();
  }

  /** An ESP packet that does not come from a socket of this worker now. `flush` follows after the last one. */
  takeIn(packet: Uint8Array, { name, trafficClass, form }: Arrival): void {
    const { bytes } = this.#path.arena;
    const at = rxPacket(0);
    bytes.set(name, At.rxNames);
    bytes.set(packet, at);
    this.#now = this.#path.now();
    this.#lookUp(0, at, packet.length, trafficClass, form);
  }

  /**
   * Gives an ESP packet to the worker that its SPI belongs to: steering sees only the first datagram of a train.
   * False when that is this one.
   */
  #handOver(slot: number, at: number, length: number, trafficClass: number): boolean {
    const { arena, handover } = this.#path;
    if (handover === undefined) return false;
    const owner = handover.ownerOfSpi(readU32(arena.bytes, at));
    if (owner === handover.index) return false;
    const name = arena.base + nameAt(slot);
    if (handover.give(owner, Handed.ESP, arena.base + at, length, trafficClass, name)) {
      this.#path.count(GlobalCounter.HANDED_OVER, 1);
    } else {
      this.#path.drop(Drop.queue_full);
      this.#path.capture.tap?.put(droppedTap(0, Drop.queue_full), -1, at, length, nameAt(slot));
    }
    return true;
  }

  /** Takes an ESP packet that came to another worker's socket. `flush` follows after the last one. */
  adopt(reader: HandoverReader): void {
    const { base } = this.#path.arena;
    const at = rxPacket(0);
    reader.copyPacket(base + at);
    reader.copyName(base + At.rxNames);
    this.#now = this.#path.now();
    this.#lookUp(0, at, reader.length, reader.trafficClass, 'udp');
  }

  /** Writes to TUN what is collected. */
  flush(): void {
    this.#tun.flush();
  }

  #datagram(socket: number, slot: number, at: number, length: number, trafficClass: number): void {
    const path = this.#path;
    const { bytes } = path.arena;
    const kind = classifyPort4500(bytes, at, length);
    if (kind === 'esp') {
      this.#lookUp(slot, at, length, trafficClass, 'udp');
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
    const name = nameAt(slot);
    path.report({
      kind: 'ike',
      socket,
      address: sockaddrAddress(bytes, name),
      port: sockaddrPort(bytes, name),
      bytes: Uint8Array.from(bytes.subarray(at + NON_ESP_MARKER_LENGTH, at + length)),
    });
  }

  /** RFC 4303 §3.4: replay, ICV, window, then the plaintext. Returns the reason of a drop, or `PASSED`. */
  #esp(child: Child, slot: number, at: number, length: number, trafficClass: number, form: EspForm): number {
    const { arena } = this.#path;
    const { bytes } = arena;
    const view = this.#view;
    if (child.device !== this.#device && !this.#turnTo(child.device)) return Drop.tun_write;
    const tun = this.#tun;
    const { layout } = child.opener;
    const body = length - layout.bodyOffset - layout.icvLength;
    if (body < layout.alignment || (body & (layout.alignment - 1)) !== 0) return Drop.malformed;
    const sequence = readU32(bytes, at + 4);
    if (!child.window.check(sequence)) return Drop.replay;
    const target = tun.target(body);
    if (child.opener.open(at, length, target) !== body) {
      tun.reject(body);
      return Drop.auth_failed;
    }
    const newest = sequence > child.window.highest;
    if (!child.window.advance(sequence)) {
      tun.reject(body);
      return Drop.replay;
    }
    arena.f64[child.counters + Counter.LAST_INBOUND] = this.#now;
    if (newest) arena.f64[child.counters + Counter.HIGHEST_IN] = sequence;
    const name = nameAt(slot);
    if (showsPeer(newest, form, child.encapsulation) && child.movedTo(name)) this.#moved(child, name);
    const inner = readInner(bytes, target, target + body, child.selectors, view);
    if (inner < 0) {
      tun.reject(body);
      return Drop[refusedBecause(inner)];
    }
    if (!decapsulateEcn(view, trafficClass)) {
      tun.reject(body);
      return Drop.congestion;
    }
    if (isSyn(view)) clampMss(view, view.version === 4 ? child.mss4 : child.mss6);
    if (child.tap !== undefined) {
      child.tap.put(FLAGS[form], child.id, at, length, name);
      child.tap.put(Tap.INNER, child.id, target, inner, -1);
    }
    tun.accept(view);
    child.count(Counter.PACKETS_IN, 1);
    child.count(Counter.BYTES_IN, inner);
    return PASSED;
  }

  /** False when the device is not there any more. */
  #turnTo(device: DeviceNumber): boolean {
    const writer = this.#writers[device];
    if (writer === undefined) return false;
    this.#tun.flush();
    this.#tun = writer;
    this.#device = device;
    return true;
  }

  /** The device is removed: what is collected for it is written now. */
  leave(device: DeviceNumber): void {
    if (this.#device === device) this.#turnTo(0);
  }

  #moved(child: Child, name: number): void {
    const { bytes } = this.#path.arena;
    const address = sockaddrAddress(bytes, name);
    this.#path.report({ kind: 'moved', id: child.id, address, port: sockaddrPort(bytes, name) });
  }
}
