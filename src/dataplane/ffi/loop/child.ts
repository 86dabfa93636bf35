import type { EspSuite } from '../../../crypto/types.js';
import { innerMtu } from '../../../esp/layout.js';
import { mssLimit } from '../../../esp/offload/mss.js';
import type { EspForm } from '../../../esp/params.js';
import { ReplayWindow } from '../../../esp/replay-window.js';
import { SelectorSet } from '../../../esp/selectors.js';
import { type EspStart, LAST_SEQUENCE } from '../../../esp/start.js';
import { SOCKADDR_SPACE, writeSockaddr } from '../../../linux/sockaddr.js';
import type { DeviceNumber, Spi } from '../../../util/ids.js';
import { type Endpoint, parseIp } from '../../../util/ip.js';
import type { Term } from '../../../util/term.js';
import { PeerReports } from '../../peer-watch.js';
import type { PacketCrypto, PacketOpener, PacketSealer } from '../crypto/packet-crypto.js';
import { type Arena, At, NAME_SIZE } from '../memory/arena.js';
import { Counter, claimBlock, counterBase, Drop } from '../memory/counters.js';
import type { Installation } from '../memory/orders.js';
import type { TapWriter } from '../memory/tap-ring.js';

/** A pair of ESP SAs in the worker. All of it belongs to that one thread: nothing is locked. */
export class Child {
  readonly id: number;
  readonly spiIn: Spi;
  readonly sealer: PacketSealer;
  readonly opener: PacketOpener;
  readonly window: ReplayWindow;
  readonly selectors: SelectorSet;
  /** Number of its TUN device. */
  readonly device: DeviceNumber;
  /** Index of its counters in `arena.f64`. */
  readonly counters: number;
  /** Where the peer's socket address is in the arena. */
  readonly peerAt: number;
  peerLength = 0;
  /** The run of the send queue that its last packet joined; the queue knows whether it still is one. */
  run = -1;
  /** Takes copies of its packets, as long as a capture is interested in them. */
  tap: TapWriter | undefined = undefined;
  /** The longest inner packet that fits the path. */
  innerMtu = 0xffff;
  /** The largest MSS of TCP connections through it, by version of the inner packet. */
  mss4 = 0xffff;
  mss6 = 0xffff;
  readonly #suite: EspSuite;
  readonly encapsulation: EspForm;
  /**
   * The outbound sequence number used last and the last one allowed. In an array, since a field above 2^31 would be a
   * heap object for every packet.
   */
  readonly #sequence = new Uint32Array(2);
  /** The last new address of the peer that was reported. */
  readonly #reported = new Uint32Array(SOCKADDR_SPACE / 4);
  readonly #reports = new PeerReports();
  readonly #arena: Arena;

  /** Takes over and wipes the keys. @throws RangeError for a suite or keys that do not fit */
  constructor(arena: Arena, crypto: PacketCrypto, order: Installation, term: Term) {
    this.#arena = arena;
    this.id = order.id;
    this.spiIn = order.spiIn;
    this.device = order.device;
    this.window = new ReplayWindow(order.replayWindow);
    this.selectors = new SelectorSet(order.localTs, order.peerTs);
    this.counters = counterBase(order.block);
    this.peerAt = At.peers + order.block * NAME_SIZE;
    this.#suite = order.suite;
    this.encapsulation = order.encapsulation;
    this.setPeer(order.peer);
    this.setPath(order.pathMtu, order.mssCeiling);
    this.sealer = crypto.sealer(order.suite, order.spiOut, order.keysOut);
    try {
      this.opener = crypto.opener(order.suite, order.keysIn);
    } catch (error) {
      this.sealer.free();
      throw error;
    }
    this.sealer.enterTerm(term);
    claimBlock(arena, order.block, order.id);
    this.resume(order.start);
  }

  /** @throws RangeError when the address is no IP address */
  setPeer(peer: Endpoint): void {
    const ip = parseIp(peer.address);
    if (ip === undefined)
      throw new RangeError(`child SA ${this.id}: peer "${peer.address}" is no IP address`);
    const { bytes } = this.#arena;
    bytes.fill(0, this.peerAt, this.peerAt + NAME_SIZE);
    // A raw socket takes no port, and IPv6 refuses one that is not the protocol.
    this.peerLength = writeSockaddr(bytes, this.peerAt, ip, this.encapsulation === 'udp' ? peer.port : 0);
    this.#reports.forget();
  }

  /**
   * @param pathMtu octets of the longest outer packet; 0 when it is not known, which limits nothing
   * @param mssCeiling MSS that no connection may exceed; 0 leaves MSS alone
   */
  setPath(pathMtu: number, mssCeiling: number): void {
    const family = this.peerLength === 16 ? 4 : 6;
    // An IPv6 path has 1280 at least; an IPv4 one less than 576 is a lie or useless.
    const mtu = pathMtu === 0 ? 0xffff : Math.max(pathMtu, family === 4 ? 576 : 1280);
    this.innerMtu = innerMtu(this.#suite, mtu, family, this.encapsulation);
    this.mss4 = mssCeiling === 0 ? 0xffff : mssLimit(this.innerMtu, 4, mssCeiling);
    this.mss6 = mssCeiling === 0 ? 0xffff : mssLimit(this.innerMtu, 6, mssCeiling);
  }

  /** The next sequence number, from 1, or 0 when none is left or allowed: see `noSequence`. */
  nextSequence(): number {
    const used = this.#sequence[0]!;
    if (used >= this.#sequence[1]!) return 0;
    this.#sequence[0] = used + 1;
    this.#arena.f64[this.counters + Counter.SEQUENCE_OUT] = used + 1;
    return used + 1;
  }

  /** Why there is no next sequence number: the counter never cycles, and does not pass its limit. */
  get noSequence(): number {
    return this.#sequence[0] === LAST_SEQUENCE ? Drop.sequence_exhausted : Drop.not_reserved;
  }

  /** Leaves out as many sequence numbers, all that are left when there are not so many. */
  skipSequence(packets: number): void {
    this.#use(this.#sequence[0]! + packets);
  }

  /** Sequence numbers up to `limit` may be used. */
  reserve(limit: number): void {
    this.#sequence[1] = limit;
    this.#arena.f64[this.counters + Counter.RESERVED_OUT] = limit;
  }

  /** Goes on where another host may have been, but never back. */
  resume({ next, limit, highest }: EspStart): void {
    this.#use(Math.max(this.#sequence[0]!, next - 1));
    this.reserve(limit);
    this.window.startAt(highest);
    this.#arena.f64[this.counters + Counter.HIGHEST_IN] = this.window.highest;
  }

  #use(sequence: number): void {
    this.#sequence[0] = Math.min(sequence, LAST_SEQUENCE);
    this.#arena.f64[this.counters + Counter.SEQUENCE_OUT] = this.#sequence[0]!;
  }

  /**
   * Whether the socket address at `nameAt` is news: neither the peer's nor the one reported last. Remembers
   * it then. Flow label and scope of IPv6 do not count.
   */
  movedTo(nameAt: number): boolean {
    const { u32 } = this.#arena;
    const name = nameAt >>> 2;
    const peer = this.peerAt >>> 2;
    // Family and port in the first word, then the address: one word, or four after the flow label.
    const first = this.peerLength === 16 ? 1 : 2;
    const end = this.peerLength === 16 ? 2 : 6;
    let same = u32[name] === u32[peer];
    let told = u32[name] === this.#reported[0];
    for (let i = first; i < end; i++) {
      same &&= u32[name + i] === u32[peer + i];
      told &&= u32[name + i] === this.#reported[i];
    }
    if (!this.#reports.isNews(same, told)) return false;
    for (let i = 0; i < this.#reported.length; i++) this.#reported[i] = u32[name + i]!;
    return true;
  }

  count(counter: number, amount: number): void {
    const at = this.counters + counter;
    this.#arena.f64[at] = this.#arena.f64[at]! + amount;
  }

  /** Forgets the keys; the counters are then free. */
  free(): void {
    this.sealer.free();
    this.opener.free();
    this.#arena.f64[this.counters + Counter.OWNER] = 0;
  }
}
