import { readU32 } from '../util/bytes.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import { TsType } from '../wire/ike/registry.js';
import { createPacketView, NO_PORT, type PacketView } from '../wire/ip.js';
import { readAnswered } from './icmp-error.js';

/** Words of one compiled selector: first and last address, protocol, first and last port. */
export const ROW_WORDS = { 4: 5, 6: 11 } as const;

const ANY_LAST_PORT = 65535;

/** The family of a selector, or undefined when it is not an address range and matches nothing here. */
export function selectorFamily(selector: TrafficSelector): 4 | 6 | undefined {
  if (selector.tsType === TsType.IPV4_ADDR_RANGE) return 4;
  if (selector.tsType === TsType.IPV6_ADDR_RANGE) return 6;
  return undefined;
}

/** Writes the selector, which is of this family, as `ROW_WORDS[family]` words at `at`. */
export function compileRow(rows: Uint32Array, at: number, family: 4 | 6, selector: TrafficSelector): void {
  const words = family === 4 ? 1 : 4;
  for (let i = 0; i < words; i++) {
    rows[at + i] = readU32(selector.startAddress, 4 * i);
    rows[at + words + i] = readU32(selector.endAddress, 4 * i);
  }
  rows[at + 2 * words] = selector.protocol;
  rows[at + 2 * words + 1] = selector.startPort;
  rows[at + 2 * words + 2] = selector.endPort;
}

/** Whether the row at `at` covers this IPv4 address, protocol and port. */
export function rowMatches4(
  rows: Uint32Array,
  at: number,
  address: number,
  protocol: number,
  port: number,
): boolean {
  if (address < rows[at]! || address > rows[at + 1]!) return false;
  const wanted = rows[at + 2]!;
  if (wanted !== 0 && wanted !== protocol) return false;
  return portMatches(rows[at + 3]!, rows[at + 4]!, port);
}

/** Whether the row at `at` covers the IPv6 address at `offset` of `bytes`, protocol and port. */
export function rowMatches6(
  rows: Uint32Array,
  at: number,
  bytes: Uint8Array,
  offset: number,
  protocol: number,
  port: number,
): boolean {
  const wanted = rows[at + 8]!;
  if (wanted !== 0 && wanted !== protocol) return false;
  if (compareRow(rows, at, bytes, offset) > 0 || compareRow(rows, at + 4, bytes, offset) < 0) return false;
  return portMatches(rows[at + 9]!, rows[at + 10]!, port);
}

/** Negative, 0 or positive as the address in the row is below, equal to or above the one in the packet. */
function compareRow(rows: Uint32Array, at: number, bytes: Uint8Array, offset: number): number {
  for (let i = 0; i < 4; i++) {
    const x = rows[at + i]!;
    const y = readU32(bytes, offset + 4 * i);
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

/**
 * RFC 4301 §4.4.1.1: all ports is ANY and covers packets that show no port, too; every other range needs a
 * port to compare (§7: a fragment that is not the first never matches it). First port after the last is
 * OPAQUE (RFC 7296 §3.13.1: 65535 to 0): only packets without a port.
 */
function portMatches(first: number, last: number, port: number): boolean {
  if (first === 0 && last === ANY_LAST_PORT) return true;
  if (port === NO_PORT) return first > last;
  return port >= first && port <= last;
}

/** The selectors of one end, compiled to words by family. A check allocates nothing. */
class SelectorList {
  readonly #rows4: Uint32Array;
  readonly #rows6: Uint32Array;

  constructor(selectors: readonly TrafficSelector[]) {
    this.#rows4 = compile(selectors, 4);
    this.#rows6 = compile(selectors, 6);
  }

  /** `offset` is where the end's address is in `packet.bytes`, `port` its port. */
  covers(packet: PacketView, offset: number, port: number): boolean {
    const { bytes, protocol } = packet;
    if (packet.version === 4) {
      const rows = this.#rows4;
      const address = readU32(bytes, offset);
      for (let at = 0; at < rows.length; at += ROW_WORDS[4]) {
        if (rowMatches4(rows, at, address, protocol, port)) return true;
      }
      return false;
    }
    const rows = this.#rows6;
    for (let at = 0; at < rows.length; at += ROW_WORDS[6]) {
      if (rowMatches6(rows, at, bytes, offset, protocol, port)) return true;
    }
    return false;
  }
}

function compile(selectors: readonly TrafficSelector[], family: 4 | 6): Uint32Array {
  const mine = selectors.filter((selector) => selectorFamily(selector) === family);
  const rows = new Uint32Array(mine.length * ROW_WORDS[family]);
  for (const [i, selector] of mine.entries()) compileRow(rows, i * ROW_WORDS[family], family, selector);
  return rows;
}

/**
 * The selectors of a child SA. A packet passes when one selector of each end covers its side of it: the
 * lists are combined freely (RFC 7296 §2.9).
 */
export class SelectorSet {
  readonly #local: SelectorList;
  readonly #peer: SelectorList;
  readonly #answered = createPacketView();

  constructor(localTs: readonly TrafficSelector[], peerTs: readonly TrafficSelector[]) {
    this.#local = new SelectorList(localTs);
    this.#peer = new SelectorList(peerTs);
  }

  /** From a local network to one of the peer's. */
  matchesOutbound(packet: PacketView): boolean {
    return (
      this.#peer.covers(packet, packet.destinationOffset, packet.destinationPort) &&
      this.#local.covers(packet, packet.sourceOffset, packet.sourcePort)
    );
  }

  /**
   * From a network of the peer to a local one (RFC 4301 §5.2 step 4), or an ICMP error about a packet that went the
   * other way.
   */
  matchesInbound(packet: PacketView): boolean {
    if (this.#coversInbound(packet)) return true;
    return readAnswered(packet, this.#answered) && this.#coversInbound(this.#answered);
  }

  #coversInbound(packet: PacketView): boolean {
    return (
      this.#peer.covers(packet, packet.sourceOffset, packet.sourcePort) &&
      this.#local.covers(packet, packet.destinationOffset, packet.destinationPort)
    );
  }
}
