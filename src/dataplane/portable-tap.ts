import { copyOf } from '../util/bytes.js';
import { type PacketTap, TAP_ROOM, type TapOptions, type TappedPacket } from './packet-tap.js';

type Omitted = 'at' | 'length' | 'bytes';
/** A packet to be copied: which one, and how it fared. */
export type Copied<T = TappedPacket> = T extends TappedPacket ? Omit<T, Omitted> : never;

/** Copies of packets that wait on the thread on which they passed. */
export class PortableTap implements PacketTap {
  readonly #options: TapOptions;
  readonly #closed: () => void;
  readonly #children = new Set<number>();
  #waiting: TappedPacket[] = [];
  #octets = 0;
  #open = true;
  lost = 0;

  /** @param closed called once, when it is closed */
  constructor(options: TapOptions, closed: () => void) {
    this.#options = options;
    this.#closed = closed;
  }

  watch(childId: number): void {
    this.#children.add(childId);
  }

  /** The child SA is gone. */
  forget(childId: number): void {
    this.#children.delete(childId);
  }

  /** Copies the packet, unless its child SA is not watched, its kind was not asked for, or there is no room. */
  put(what: Copied, packet: Uint8Array): void {
    const { snap, inner, dropped, now } = this.#options;
    const { childId, drop, layer } = what;
    if (childId !== undefined && !this.#children.has(childId)) return;
    if (drop !== undefined ? !dropped : layer === 'inner' && !inner) return;
    const bytes = copyOf(packet.subarray(0, snap));
    if (this.#octets + bytes.length > TAP_ROOM) {
      this.lost++;
      return;
    }
    this.#octets += bytes.length;
    this.#waiting.push({ ...what, at: now(), length: packet.length, bytes });
  }

  take(octets: number): TappedPacket[] {
    let sum = 0;
    const enough = this.#waiting.findIndex(({ bytes }) => {
      sum += bytes.length;
      return sum >= octets;
    });
    const taken = this.#waiting.splice(0, enough < 0 ? this.#waiting.length : enough + 1);
    for (const { bytes } of taken) this.#octets -= bytes.length;
    return taken;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const { bytes } of this.#waiting) bytes.fill(0);
    this.#waiting = [];
    this.#octets = 0;
    this.#closed();
  }
}
