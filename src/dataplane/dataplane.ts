import type { ReadCounters } from '../connection/traffic-totals.js';
import type { DropCounts } from '../esp/drops.js';
import type { EspPair } from '../esp/params.js';
import type { EspStart } from '../esp/start.js';
import type { DeviceNumber, Spi, WorkerIndex } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Term } from '../util/term.js';
import type { Millis } from '../util/units.js';
import type { PacketTap, TapOptions } from './packet-tap.js';

/** Traffic of one child SA since its installation. Octets are those of inner packets. */
export interface ChildCounters {
  readonly id: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  /** Last authentic inbound packet on the daemon's clock, 0 when there was none. */
  readonly lastInbound: Millis;
  /** Next outbound sequence number minus one: packets under this key, and numbers that were left out. */
  readonly sequenceOut: number;
  /** The last outbound sequence number allowed: what `reserve` ordered holds when it is here. */
  readonly reservedOut?: number;
  /** The highest inbound sequence number: the right edge of the anti-replay window. */
  readonly highestIn?: number;
  readonly drops: DropCounts;
  /** Number of its worker, where there are several. */
  readonly worker?: WorkerIndex;
  /** Octets of the longest outer packet on the way to the peer; left out when it is not known. */
  readonly pathMtu?: number;
  /** Octets of the longest inner packet that fits the path under this suite; left out when it is not known. */
  readonly innerMtu?: number;
}

/** What one thread of the packet path does. */
export interface WorkerState {
  /** Child SAs that belong to it. */
  readonly children: number;
  /** Packets that came to it and went on to the worker that owns their SA. */
  readonly handedOver: number;
  /** Packets that other workers gave it. */
  readonly takenOver: number;
  /** Packets that it dropped since the queue to another worker was full. */
  readonly queueFull: number;
  /** Times it found packets waiting, at its sockets and at its TUN devices. */
  readonly burstsIn: number;
  readonly burstsOut: number;
  /** Processor time of its thread, in seconds; 0 for the main thread, and where the kernel does not say. */
  readonly cpuSeconds: number;
}

/**
 * Whether a thread of the packet path lives: it is `starting` until it moves packets for the first time, `answers`, or
 * is `silent`: it has not answered the last question yet.
 */
export type ThreadPulse = 'starting' | 'answers' | 'silent';

/**
 * The packet path of one gateway. `install`, `remove` and the others may be carried out a moment later in another thread,
 * but always in the order of the calls. Ids that are not there are no error. What all implementations do alike is tested
 * by test/dataplane/contract.ts, for packets, and control-contract.ts, for these calls.
 */
export interface DataPlane {
  /** `ffi`: worker threads on TUN and sockets; `portable`: node:dgram and an injected packet device. */
  readonly kind: 'ffi' | 'portable';
  /**
   * This end has given out an inbound SPI whose SA is still being agreed on: a few packets that come for it before
   * are kept for 100 ms, and opened when the SA is installed. Until `install` or `forget`.
   */
  expect(spi: Spi): void;
  /** No SA will have this SPI. Unknown SPIs are no error. */
  forget(spi: Spi): void;
  /**
   * Takes ownership of the keys in `pair` and wipes them when they are consumed, or when the pair is refused.
   * @throws RangeError for what `admit` (admission.ts) refuses, and when there is no room for another
   */
  install(pair: EspPair): void;
  /** Outbound traffic matching the pair's selectors uses it from now on. */
  activateOutbound(id: number): void;
  /** @throws RangeError when the address is no IP address of the family of the SA's socket */
  updatePeer(id: number, peer: Endpoint): void;
  /**
   * Seals in this term from now on, with all child SAs: those that are installed, and those that will be.
   * @throws RangeError for a term that is over, or is none (`termFault`)
   */
  enterTerm(term: Term): void;
  /**
   * Outbound sequence numbers up to `limit` may be used from now on, none beyond (`not_reserved`). It may lie below the
   * one before; then it holds from the time when the counters show it.
   * @throws RangeError for a limit that is no sequence number
   */
  reserve(id: number, limit: number): void;
  /**
   * Goes on where another host may have been with copies of the same keys. Counters that are further already stay.
   * @throws RangeError for counters out of range (`startFault`)
   */
  resume(id: number, start: EspStart): void;
  /**
   * Leaves out as many outbound sequence numbers: the peer has lost count of them (RFC 6311 §5.2).
   * @throws RangeError for a number that is not whole, or below 0
   */
  skipOutbound(id: number, packets: number): void;
  /** Sends no more by it. It goes on receiving until it is removed: packets may still be on their way. */
  retire(id: number): void;
  remove(id: number): void;
  /**
   * An ESP packet in UDP, from the SPI on, that the kernel gave to another socket than those of the packet path.
   * Nothing in it can make this throw.
   */
  espDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
  /**
   * Opens a further packet device, a TUN device of this name. Its packets use only the child SAs that name it
   * by `EspPair.device`, and only their packets come out of it.
   * @param worker number of the worker that serves it, 0 when left out; all its child SAs must belong to this one
   * @returns its number, from 1
   * @throws RangeError when there are too many, or what opening it throws
   */
  addDevice(name: string, worker?: WorkerIndex): number;
  /** Closes a further device. Its child SAs must have been removed before. Unknown numbers are no error. */
  removeDevice(device: DeviceNumber): void;
  /** Counters of every installed child SA. */
  counters(): readonly ChildCounters[];
  /** The same, added up by who they are counted for. */
  readonly addCounters: ReadCounters;
  /** Those of one; undefined when it is not installed. */
  countersOf(id: number): ChildCounters | undefined;
  /** Drops that belong to no SA (unknown SPI, no policy, …). */
  drops(): DropCounts;
  /** One entry per worker: the portable path has one. */
  workers(): readonly WorkerState[];
  /**
   * Asks every thread for a sign of life. A thread answers within a turn, so questions are seconds apart.
   * @returns by worker, what became of the question before; none where the main thread alone moves packets
   */
  pulse(): readonly ThreadPulse[];
  /**
   * Copies packets for a capture, until the tap is closed. Costs nothing as long as there is none.
   * @throws RangeError when there is one already, or the data plane is closed
   */
  tap(options: TapOptions): PacketTap;
  /** Stops the threads and closes what was opened. Resolves when nothing is left open. */
  close(): Promise<void>;
}

/** What the packet path reports to the daemon. Called on the main thread. */
export interface DataPlaneListener {
  /** An IKE datagram that arrived at an ESP socket, non-ESP marker removed. */
  ikeDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
  /**
   * An outbound packet found no SA that may send: none for its networks at all, or none yet. At most a few
   * times a second from worker threads; `destination` is the address in the packet, `device` the number of the
   * device it came from.
   */
  acquire?(destination: Uint8Array, device: DeviceNumber): void;
  /** An authentic packet of the SA came from an address or port that is not the known one (RFC 7296 §2.23). */
  peerMoved?(id: number, from: Endpoint): void;
  /** The path cannot go on (TUN gone, socket broken). The daemon closes it and reports `reason`. */
  failed(reason: string): void;
}
