import { addCounters, type ReadCounters } from '../connection/traffic-totals.js';
import type { CryptoBackend } from '../crypto/types.js';
import { DropCounter } from '../esp/drop-counter.js';
import type { DropCounts, DropReason } from '../esp/drops.js';
import { EarlyPackets } from '../esp/early-packets.js';
import type { EspPair } from '../esp/params.js';
import { createOutboundTable, NO_POLICY, NO_SA, type OutboundTable } from '../esp/policy-table.js';
import { type EspStart, FRESH_START } from '../esp/start.js';
import { copyOf, readU32 } from '../util/bytes.js';
import type { DeviceNumber, Spi, WorkerIndex } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Random } from '../util/random.js';
import { wipeSecrets } from '../util/secret.js';
import { NO_TERM, type Term } from '../util/term.js';
import type { Millis } from '../util/units.js';
import { ESP_HEADER_LENGTH } from '../wire/esp.js';
import { createPacketView, destinationOf, type PacketView, readPacket } from '../wire/ip.js';
import { AcquireLimit } from './acquire-limit.js';
import { admit, checkPeer, checkSkip, checkStart, laterTerm } from './admission.js';
import type { ChildCounters, DataPlane, DataPlaneListener, WorkerState } from './dataplane.js';
import type { SendEsp } from './esp-sender.js';
import type { PacketDevice } from './packet-device.js';
import type { PacketTap, TapOptions } from './packet-tap.js';
import { showsPeer } from './peer-watch.js';
import { PortableChild } from './portable-child.js';
import { PortableTap } from './portable-tap.js';

/** What the portable data plane is made with. The caller has the sockets, and brings ESP to `espDatagram`. */
export interface PortableOptions {
  readonly crypto: CryptoBackend;
  readonly random: Random;
  readonly device: PacketDevice;
  /** Sends an ESP packet in UDP. */
  readonly send: SendEsp;
  /** Sends an ESP packet as IP protocol 50; left out where there is no raw socket. */
  readonly sendRaw?: SendEsp;
  /** Opens a further device of this name; `close` ends it. */
  readonly openDevice?: (name: string) => ClosablePacketDevice;
  readonly listener: DataPlaneListener;
  /** The daemon's clock, for `lastInbound`. */
  readonly now: () => Millis;
}

/** The data plane of the main thread, whose sockets the caller reads. */
export interface PortableDataPlane extends DataPlane {
  readonly kind: 'portable';
  /** An ESP packet, from the SPI on, that arrived as IP protocol 50. Nothing in it can make this throw. */
  rawEsp(bytes: Uint8Array): void;
}

/** A packet device that was opened for the data plane. */
export interface ClosablePacketDevice extends PacketDevice {
  close(): unknown;
}

interface Lane {
  readonly device: PacketDevice;
  readonly table: OutboundTable;
  close(): unknown;
}

/** A data plane on the main thread: any crypto backend, any packet device. */
export function createPortableDataPlane(options: PortableOptions): PortableDataPlane {
  return new Portable(options);
}

class Portable implements PortableDataPlane {
  readonly kind = 'portable';
  readonly #deps: PortableOptions;
  readonly #children = new Map<number, PortableChild>();
  readonly #bySpi = new Map<number, PortableChild>();
  /** Outbound tables and devices by number; 0 is the device it was made with. */
  readonly #lanes = new Map<number, Lane>();
  readonly #drops = new DropCounter();
  /** Where a packet came from: undefined for one without UDP. */
  readonly #early = new EarlyPackets<Endpoint | undefined>((packets) => this.#drops.add('early', packets));
  readonly #acquires = new AcquireLimit();
  readonly #view = createPacketView();
  /** One packet each: this path reads no more at a time. */
  #burstsIn = 0;
  #burstsOut = 0;
  /** The capture that runs, if one does. */
  #tap: PortableTap | undefined;
  #term: Term = NO_TERM;
  #closed = false;

  constructor(options: PortableOptions) {
    this.#deps = options;
    this.#openLane(0, options.device, () => undefined);
  }

  #openLane(number: number, device: PacketDevice, close: () => unknown): void {
    this.#lanes.set(number, { device, table: createOutboundTable(), close });
    device.onPacket((packet) => this.#outbound(packet, number));
  }

  addDevice(name: string, worker: WorkerIndex = 0): number {
    const { openDevice } = this.#deps;
    if (worker !== 0) throw new RangeError(`there is no packet worker ${worker}`);
    if (openDevice === undefined) throw new RangeError('this data plane has one packet device only');
    let number = 1;
    while (this.#lanes.has(number)) number++;
    const device = openDevice(name);
    this.#openLane(number, device, () => device.close());
    return number;
  }

  removeDevice(device: DeviceNumber): void {
    const lane = this.#lanes.get(device);
    if (device === 0 || lane === undefined) return;
    this.#lanes.delete(device);
    lane.device.onPacket(undefined);
    lane.close();
  }

  expect(spi: Spi): void {
    if (!this.#bySpi.has(spi)) this.#early.expect(spi);
  }

  forget(spi: Spi): void {
    this.#early.forget(spi);
  }

  /** @throws RangeError as `admit`, and for a suite the crypto backend lacks. The keys are wiped then, too */
  install(pair: EspPair): void {
    let child: PortableChild | undefined;
    try {
      admit(pair, pair.local, {
        closed: this.#closed,
        sendsRaw: this.#deps.sendRaw !== undefined,
        hasChild: (id) => this.#children.has(id),
        hasSpi: (spi) => this.#bySpi.has(spi),
        deviceFault: (device) => (this.#lanes.has(device) ? undefined : `there is no device ${device}`),
      });
      child = new PortableChild(pair, this.#deps.crypto, this.#deps.random, this.#term);
      this.#lanes.get(child.device)!.table.insert(pair);
      this.#children.set(child.id, child);
      this.#bySpi.set(child.spiIn, child);
    } catch (error) {
      child?.wipe();
      wipeSecrets([pair.keysIn, pair.keysOut]);
      throw error;
    }
    for (const { bytes, from } of this.#early.take(child.spiIn, this.#deps.now())) this.#esp(bytes, from);
  }

  activateOutbound(id: number): void {
    const child = this.#children.get(id);
    if (child !== undefined) this.#lanes.get(child.device)?.table.activate(id);
  }

  updatePeer(id: number, peer: Endpoint): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    checkPeer(id, peer, child.local);
    child.peer = peer;
    child.reports.forget();
  }

  enterTerm(term: Term): void {
    this.#term = laterTerm(term, this.#term);
    for (const { outbound } of this.#children.values()) outbound.enterTerm(term);
  }

  reserve(id: number, limit: number): void {
    checkStart(id, { ...FRESH_START, limit });
    this.#children.get(id)?.outbound.reserve(limit);
  }

  resume(id: number, start: EspStart): void {
    checkStart(id, start);
    const child = this.#children.get(id);
    child?.outbound.resume(start);
    child?.inbound.startAt(start.highest);
  }

  skipOutbound(id: number, packets: number): void {
    checkSkip(id, packets);
    this.#children.get(id)?.outbound.skip(packets);
  }

  retire(id: number): void {
    const child = this.#children.get(id);
    if (child !== undefined) this.#lanes.get(child.device)?.table.remove(id);
  }

  remove(id: number): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    this.#lanes.get(child.device)?.table.remove(id);
    this.#children.delete(id);
    this.#bySpi.delete(child.spiIn);
    this.#tap?.forget(id);
    child.wipe();
  }

  counters(): readonly ChildCounters[] {
    return [...this.#children.values()].map((child) => child.counters());
  }

  readonly addCounters: ReadCounters = (totalOf) => {
    for (const child of this.#children.values()) addCounters(totalOf(child.id), child.counters());
  };

  countersOf(id: number): ChildCounters | undefined {
    return this.#children.get(id)?.counters();
  }

  drops(): DropCounts {
    this.#early.expire(this.#deps.now());
    return this.#drops.snapshot();
  }

  /** The main thread alone. */
  workers(): readonly WorkerState[] {
    const [burstsIn, burstsOut] = [this.#burstsIn, this.#burstsOut];
    const alone = { handedOver: 0, takenOver: 0, queueFull: 0, cpuSeconds: 0 };
    return [{ children: this.#children.size, burstsIn, burstsOut, ...alone }];
  }

  /** The caller is the thread that moves packets. */
  pulse(): readonly [] {
    return [];
  }

  tap(options: TapOptions): PacketTap {
    if (this.#tap !== undefined) throw new RangeError('packets are being captured already');
    if (this.#closed) throw new RangeError('the data plane is closed');
    this.#tap = new PortableTap(options, () => {
      this.#tap = undefined;
    });
    return this.#tap;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#tap?.close();
    this.#deps.device.onPacket(undefined);
    for (const device of [...this.#lanes.keys()]) this.removeDevice(device);
    this.#early.clear();
    for (const id of [...this.#children.keys()]) this.remove(id);
  }

  espDatagram(_local: Endpoint, remote: Endpoint, bytes: Uint8Array): void {
    this.#esp(bytes, remote);
  }

  rawEsp(bytes: Uint8Array): void {
    this.#esp(bytes, undefined);
  }

  /** Both forms are taken on every SA (RFC 7296 §2.23); `remote` is undefined for a packet without UDP. */
  #esp(bytes: Uint8Array, remote: Endpoint | undefined): void {
    if (this.#closed) return;
    this.#burstsIn++;
    if (bytes.length < ESP_HEADER_LENGTH) {
      this.#drops.add('malformed');
      return;
    }
    const spi = readU32(bytes, 0);
    const child = this.#bySpi.get(spi);
    if (child === undefined) {
      if (this.#early.hold(spi, bytes, remote, this.#deps.now())) return;
      this.#drops.add('unknown_spi');
      this.#tap?.put(arrived(undefined, remote, 'unknown_spi'), bytes);
      return;
    }
    const { inbound } = child;
    const authentic = inbound.authenticPackets;
    const highest = inbound.highestSequence;
    const opened = inbound.open(bytes);
    if (inbound.authenticPackets !== authentic) {
      child.lastInbound = this.#deps.now();
      const newest = inbound.highestSequence !== highest;
      if (remote !== undefined && showsPeer(newest, 'udp', child.encapsulation))
        this.#watchPeer(child, remote);
    }
    this.#tap?.put(arrived(child.id, remote, opened.ok ? undefined : opened.error), bytes);
    if (!opened.ok) {
      child.drops.add(opened.error);
      return;
    }
    this.#tap?.put({ ...IN, childId: child.id, drop: undefined }, opened.value);
    if (this.#lanes.get(child.device)?.device.write(opened.value) !== true) {
      child.drops.add('tun_write');
    } else {
      child.packetsIn++;
      child.bytesIn += opened.value.length;
    }
  }

  #watchPeer(child: PortableChild, remote: Endpoint): void {
    const { peer, reportedPeer, reports } = child;
    if (!reports.isNews(sameEndpoint(peer, remote), sameEndpoint(reportedPeer, remote))) return;
    child.reportedPeer = remote;
    this.#deps.listener.peerMoved?.(child.id, remote);
  }

  #outbound(packet: Uint8Array, device: DeviceNumber): void {
    this.#burstsOut++;
    const view = this.#view;
    if (!readPacket(packet, 0, packet.length, view)) {
      this.#drops.add('malformed');
      return;
    }
    const child = this.#children.get(this.#route(view, device));
    if (child === undefined) return;
    const inner = packet.subarray(0, view.totalLength);
    const sealed = child.outbound.seal(inner);
    const drop = sealed.ok ? undefined : sealed.error;
    this.#tap?.put({ ...OUT, childId: child.id, drop }, inner);
    if (!sealed.ok) {
      child.drops.add(sealed.error);
      return;
    }
    child.packetsOut++;
    child.bytesOut += view.totalLength;
    this.#send(child, sealed.value);
  }

  #send(child: PortableChild, packet: Uint8Array): void {
    const { id: childId, encapsulation: form, local, peer } = child;
    const send = form === 'udp' ? this.#deps.send : this.#deps.sendRaw!;
    const remote = form === 'udp' ? peer : { ...peer, port: 0 };
    const copy = (drop?: DropReason) =>
      this.#tap?.put({ layer: 'outer', direction: 'out', childId, form, remote, drop }, packet);
    let kept = true;
    send(local, peer, packet, (reason) => {
      child.drops.add(reason);
      kept = false;
      copy(reason);
    });
    // What the kernel refuses only later has been copied by then, and is a second time, with the reason.
    if (kept) copy();
  }

  /** The child SA for an outbound packet; below 0 when it was dropped for want of one. */
  #route(view: PacketView, device: DeviceNumber): number {
    const id = this.#lanes.get(device)?.table.lookup(view) ?? NO_POLICY;
    if (id >= 0) return id;
    const drop = id === NO_SA ? 'no_sa' : 'no_policy';
    this.#drops.add(drop);
    const { bytes, offset, totalLength } = view;
    this.#tap?.put({ ...OUT, childId: undefined, drop }, bytes.subarray(offset, offset + totalLength));
    // Without any SA there is no policy here either: the daemon knows which networks are wanted.
    const { listener, now } = this.#deps;
    if (listener.acquire !== undefined && this.#acquires.allows(view, now())) {
      listener.acquire(copyOf(destinationOf(view)), device);
    }
    return id;
  }
}

const IN = { layer: 'inner', direction: 'in' } as const;
const OUT = { layer: 'inner', direction: 'out' } as const;

/** For a capture: an ESP packet that came in; `remote` is undefined for one without UDP. */
function arrived(childId: number | undefined, remote: Endpoint | undefined, drop: DropReason | undefined) {
  const form = remote === undefined ? ('esp' as const) : ('udp' as const);
  return { layer: 'outer' as const, direction: 'in' as const, childId, form, remote, drop };
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}
