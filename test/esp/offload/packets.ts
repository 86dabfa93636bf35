import type { LinearMemory } from '../../../src/esp/offload/packet-memory.js';

/** Packets and oracles for the offload tests. Nothing here uses the code under test. */

interface MemoryConstructor {
  new (descriptor: { initial: number; maximum: number; shared: boolean }): LinearMemory;
}

/** A WebAssembly.Memory of so many pages of 64 KiB. */
export function newMemory(pages: number, shared = true): LinearMemory {
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } }).WebAssembly;
  return new Memory({ initial: pages, maximum: pages, shared });
}

/** Octets that look random and are the same in every run (xorshift32). */
export function seededOctets(length: number, seed: number): Uint8Array {
  const out = new Uint8Array(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state >>> 11;
  }
  return out;
}

/** RFC 1071 as it is written: word by word, carries folded at once. */
export function naiveSum(bytes: Uint8Array, at: number, length: number, start = 0): number {
  let sum = start;
  for (let i = 0; i < length; i++) {
    sum += i % 2 === 0 ? bytes[at + i]! * 256 : bytes[at + i]!;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

export type Protocol = 'tcp' | 'udp';

/** A packet of one flow with the fields that coalescing looks at. */
export interface FlowPacket {
  readonly version: 4 | 6;
  readonly protocol: Protocol;
  /** Last octet of the source address. */
  readonly host?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly payload: Uint8Array;
  readonly trafficClass?: number;
  readonly hopLimit?: number;
  /** IPv4. */
  readonly id?: number;
  /** IPv4: the three flag bits and the fragment offset as they stand; DF by default. */
  readonly fragment?: number;
  /** IPv4 options, a multiple of four octets. */
  readonly ipOptions?: Uint8Array;
  readonly flowLabel?: number;
  /** IPv6: a destination options header of 8 octets in front of the transport. */
  readonly extension?: boolean;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly flags?: number;
  readonly window?: number;
  /** A multiple of four octets. */
  readonly tcpOptions?: Uint8Array;
  /** UDP: leave the checksum field zero. */
  readonly withoutChecksum?: boolean;
}

export const ACK = 0x10;
export const PSH = 0x08;

/** Ten octets of timestamps behind two of padding, as Linux sends them. */
export function timestamps(value: number, echo: number): Uint8Array {
  const out = new Uint8Array(12);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x0101080a);
  view.setUint32(4, value);
  view.setUint32(8, echo);
  return out;
}

/** The packet with all checksums right, by its own code and not by that under test. */
export function makePacket(packet: FlowPacket): Uint8Array {
  const { version, protocol, payload } = packet;
  const ipOptions = packet.ipOptions ?? new Uint8Array(0);
  const tcpOptions = packet.tcpOptions ?? new Uint8Array(0);
  const extension = version === 6 && packet.extension === true ? 8 : 0;
  const ipLength = version === 4 ? 20 + ipOptions.length : 40 + extension;
  const transportHeader = protocol === 'tcp' ? 20 + tcpOptions.length : 8;
  const out = new Uint8Array(ipLength + transportHeader + payload.length);
  const view = new DataView(out.buffer);
  const number = protocol === 'tcp' ? 6 : 17;
  const host = packet.host ?? 1;
  if (version === 4) {
    out[0] = 0x40 | (ipLength / 4);
    out[1] = packet.trafficClass ?? 0;
    view.setUint16(2, out.length);
    view.setUint16(4, packet.id ?? 0);
    view.setUint16(6, packet.fragment ?? 0x4000);
    out[8] = packet.hopLimit ?? 64;
    out[9] = number;
    out.set([10, 1, 0, host], 12);
    out.set([10, 2, 0, 1], 16);
    out.set(ipOptions, 20);
    view.setUint16(10, 0xffff - naiveSum(out, 0, ipLength));
  } else {
    view.setUint32(0, (6 << 28) | ((packet.trafficClass ?? 0) << 20) | (packet.flowLabel ?? 0));
    view.setUint16(4, out.length - 40);
    out[6] = extension > 0 ? 60 : number;
    out[7] = packet.hopLimit ?? 64;
    out.set([0xfd, 0, 0, 1], 8);
    out[23] = host;
    out.set([0xfd, 0, 0, 2], 24);
    out[39] = 1;
    if (extension > 0) out.set([number, 0, 1, 4, 0, 0, 0, 0], 40);
  }
  const at = ipLength;
  view.setUint16(at, packet.sourcePort ?? 40000);
  view.setUint16(at + 2, packet.destinationPort ?? 5201);
  if (protocol === 'tcp') {
    view.setUint32(at + 4, packet.sequence ?? 0);
    view.setUint32(at + 8, packet.acknowledgment ?? 0x01020304);
    out[at + 12] = (transportHeader / 4) << 4;
    out[at + 13] = packet.flags ?? ACK;
    view.setUint16(at + 14, packet.window ?? 502);
    out.set(tcpOptions, at + 20);
  } else {
    view.setUint16(at + 4, 8 + payload.length);
  }
  out.set(payload, at + transportHeader);
  if (packet.withoutChecksum !== true) {
    const value = 0xffff - transportSum(out, at);
    view.setUint16(at + (protocol === 'tcp' ? 16 : 6), protocol === 'udp' && value === 0 ? 0xffff : value);
  }
  return out;
}

/** Octets of the IP header, with the one extension header that `makePacket` knows. */
export function ipHeaderLength(packet: Uint8Array): number {
  if (packet[0]! >>> 4 === 4) return (packet[0]! & 15) * 4;
  return packet[6] === 60 ? 48 : 40;
}

/** The sum of pseudo-header and transport as they stand: 0xffff when the checksum field is right. */
export function transportSum(packet: Uint8Array, at = ipHeaderLength(packet)): number {
  const v4 = packet[0]! >>> 4 === 4;
  const length = packet.length - at;
  const protocol = v4 ? packet[9]! : packet[6] === 60 ? packet[40]! : packet[6]!;
  const addresses = v4 ? naiveSum(packet, 12, 8) : naiveSum(packet, 8, 32);
  const pseudo = Uint8Array.of(addresses >>> 8, addresses, 0, protocol, length >>> 8, length);
  return naiveSum(packet, at, length, naiveSum(pseudo, 0, 6));
}

/** Whether the IPv4 header checksum and the transport checksum are right. */
export function checksumsHold(packet: Uint8Array): boolean {
  const v4 = packet[0]! >>> 4 === 4;
  return (!v4 || naiveSum(packet, 0, ipHeaderLength(packet)) === 0xffff) && transportSum(packet) === 0xffff;
}
