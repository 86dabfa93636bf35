import type { Millis } from '../../util/units.js';
import {
  type CapturedPacket,
  pcapngHeader,
  pcapngPacket,
  pcapngPacketLength,
  pcapngStatistics,
} from '../../wire/pcapng.js';

/** What a capture file says of itself, and how long it may get. */
export interface CaptureFileOptions {
  /** Who writes it. */
  readonly program: string;
  /** The gateway's address, on which the outer interface is. */
  readonly address: string;
  /** The device that inner packets pass. */
  readonly device: string;
  /** What is captured, in words. */
  readonly about: string;
  /** Octets of the whole file, its end included. */
  readonly limit: number;
}

/** A packet for the file. `at` is in milliseconds since 1970 (UTC). */
export interface FilePacket extends Omit<CapturedPacket, 'interface' | 'at'> {
  readonly layer: 'outer' | 'inner';
  readonly at: Millis;
}

/** Room for the two statistics blocks with their comments. */
const END_ROOM = 1024;
/** The shortest limit that leaves room for packets. */
export const MIN_CAPTURE_BYTES = 4096;

const INTERFACE = { outer: 0, inner: 1 } as const;

/** A pcapng file of outer and inner packets, made block by block within a limit. */
export class CaptureFile {
  readonly #limit: number;
  readonly #begun: Millis;
  readonly #counts = { outer: 0, inner: 0 };
  #length: number;
  #full = false;
  /** What the file begins with. */
  readonly header: Uint8Array;

  /** @param begun in milliseconds since 1970 */
  constructor({ program, address, device, about, limit }: CaptureFileOptions, begun: Millis) {
    this.header = pcapngHeader(program, [
      { name: 'outer', description: `${about}: IKE and ESP at ${address}` },
      { name: device, description: `${about}: inside the tunnel, in the clear` },
    ]);
    this.#limit = limit;
    this.#begun = begun;
    this.#length = this.header.length;
  }

  /** Octets so far. */
  get length(): number {
    return this.#length;
  }

  /** Packets so far. */
  get packets(): number {
    return this.#counts.outer + this.#counts.inner;
  }

  /** Whether a packet has found no room. */
  get full(): boolean {
    return this.#full;
  }

  /** The block of a packet; undefined when there is no room for it, and from then on. */
  packet({ layer, at, ...packet }: FilePacket): Uint8Array | undefined {
    this.#full ||= this.#length + pcapngPacketLength(packet) + END_ROOM > this.#limit;
    if (this.#full) return undefined;
    const block = pcapngPacket({ ...packet, interface: INTERFACE[layer], at: micros(at) });
    this.#length += block.length;
    this.#counts[layer]++;
    return block;
  }

  /**
   * The end of the file.
   * @param lost packets that found no room on their way here, of either interface
   * @param why the capture ended, in words
   */
  end(ended: Millis, lost: number, why: string): Uint8Array[] {
    const times = { begun: micros(this.#begun), ended: micros(ended) };
    const { outer, inner } = this.#counts;
    const missing = lost === 0 ? '' : `; ${lost} packets, outer and inner, passed uncaptured`;
    const blocks = [
      pcapngStatistics({
        ...{ interface: INTERFACE.outer, received: outer + lost, dropped: lost, comment: `${why}${missing}` },
        ...times,
      }),
      pcapngStatistics({ interface: INTERFACE.inner, received: inner, dropped: 0, ...times }),
    ];
    for (const { length } of blocks) this.#length += length;
    return blocks;
  }
}

function micros(at: Millis): bigint {
  return BigInt(Math.round(at * 1000));
}
