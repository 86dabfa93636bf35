import type { EspKeys } from '../../../crypto/types.js';
import { DEFAULT_REPLAY_WINDOW, type EspPair } from '../../../esp/params.js';
import type { OutboundPolicy } from '../../../esp/policy-table.js';
import { type EspStart, FRESH_START } from '../../../esp/start.js';
import { writeSockaddr } from '../../../linux/sockaddr.js';
import { fromHex, fromUtf8, toHex, utf8 } from '../../../util/bytes.js';
import type { DeviceNumber } from '../../../util/ids.js';
import type { Endpoint, IpBytes } from '../../../util/ip.js';
import { SecretKey } from '../../../util/secret.js';
import type { TrafficSelector } from '../../../wire/ike/payloads.js';
import type { TapOptions } from '../../packet-tap.js';
import { type Arena, NAME_SIZE } from './arena.js';

/**
 * Kinds of orders in the control ring. Remove, retire and activate carry the id only, expect and forget the SPI, a pulse
 * nothing: that it is taken is the answer.
 */
export const Order = {
  INSTALL: 1,
  REMOVE: 2,
  ACTIVATE: 3,
  UPDATE_PEER: 4,
  SET_PATH: 5,
  ADD_DEVICE: 6,
  REMOVE_DEVICE: 7,
  INSTALL_FOREIGN: 8,
  RETIRE: 9,
  EXPECT: 10,
  FORGET: 11,
  TAKE_ESP: 12,
  PULSE: 13,
  /** Begins a capture; the ring for it comes as a message before. */
  TAP: 14,
  /** Carries an id. */
  TAP_CHILD: 15,
  TAP_END: 16,
  /** Carries the term. */
  TERM: 17,
  RESERVE: 18,
  RESUME: 19,
  SKIP: 20,
} as const;

/** A pair of SAs as the worker gets it: everything is said, and where it sends from is the worker's own business. */
export interface Installation extends Omit<EspPair, 'local'> {
  /** Number of its counter block. */
  readonly block: number;
  readonly replayWindow: number;
  /** Octets of the longest outer packet, 0 when it is not known. */
  readonly pathMtu: number;
  /** MSS that no TCP connection may exceed, 0 for no limit at all. */
  readonly mssCeiling: number;
  readonly device: DeviceNumber;
  readonly start: EspStart;
}

type SelectorText = readonly [number, number, number, number, string, string];

/** Selectors as JSON carries them. */
interface SelectorTexts {
  readonly localTs: readonly SelectorText[];
  readonly peerTs: readonly SelectorText[];
}

/** What of an installation goes as JSON. */
type PublicPart = Omit<Installation, 'keysIn' | 'keysOut' | keyof SelectorTexts> & SelectorTexts;

function toText(selector: TrafficSelector): SelectorText {
  const { tsType, protocol, startPort, endPort, startAddress, endAddress } = selector;
  return [tsType, protocol, startPort, endPort, toHex(startAddress), toHex(endAddress)];
}

function fromText([tsType, protocol, startPort, endPort, start, end]: SelectorText): TrafficSelector {
  const startAddress = fromHex(start);
  return { tsType, protocol, startPort, endPort, startAddress, endAddress: fromHex(end) };
}

/** An order that carries an id, an SPI or the number of a device and nothing else. */
export function encodeId(id: number): { readonly length: number; write(arena: Arena, at: number): void } {
  return { length: 4, write: ({ view }, at) => view.setUint32(at, id, true) };
}

/** The id, SPI or number of a device in such an order. */
export function decodeId({ view }: Arena, at: number): number {
  return view.getUint32(at, true);
}

/** Lengths of public part and of the four keys, a u32 each, then the keys, then the public part as JSON. */
const LENGTHS = 5 * 4;

function keyList(pair: { readonly keysIn: EspKeys; readonly keysOut: EspKeys }): (SecretKey | undefined)[] {
  return [pair.keysIn.encryption, pair.keysIn.integrity, pair.keysOut.encryption, pair.keysOut.integrity];
}

/** What the way to a peer allows. */
export interface PathLimits {
  readonly pathMtu: number;
  readonly mssCeiling: number;
}

const UNLIMITED: PathLimits = { pathMtu: 0, mssCeiling: 0 };

/** An install order: its length in octets, and how to write it. Writing wipes the keys of the pair. */
export function encodeInstall(
  pair: EspPair,
  block: number,
  path: PathLimits = UNLIMITED,
): { readonly length: number; write(arena: Arena, at: number): void } {
  const part: PublicPart = {
    block,
    id: pair.id,
    spiIn: pair.spiIn,
    spiOut: pair.spiOut,
    suite: pair.suite,
    localTs: pair.localTs.map(toText),
    peerTs: pair.peerTs.map(toText),
    peer: pair.peer,
    outbound: pair.outbound,
    replayWindow: pair.replayWindow ?? DEFAULT_REPLAY_WINDOW,
    encapsulation: pair.encapsulation,
    device: pair.device ?? 0,
    start: pair.start ?? FRESH_START,
    ...path,
  };
  const json = utf8(JSON.stringify(part));
  const keys = keyList(pair);
  const keyLength = keys.reduce((sum, key) => sum + (key?.length ?? 0), 0);
  return {
    length: LENGTHS + keyLength + json.length,
    write({ bytes, view }, at) {
      view.setUint32(at, json.length, true);
      let to = at + LENGTHS;
      keys.forEach((key, i) => {
        view.setUint32(at + 4 + 4 * i, key?.length ?? 0, true);
        if (key === undefined) return;
        bytes.set(key.expose(), to);
        to += key.length;
      });
      bytes.set(json, to);
      for (const key of keys) key?.wipe();
    },
  };
}

/** The installation in an install order. Its keys are copies; those in the ring are zeroed at once. */
export function decodeInstall({ bytes, view }: Arena, at: number): Installation {
  let from = at + LENGTHS;
  const take = (i: number): SecretKey => {
    const length = view.getUint32(at + 4 + 4 * i, true);
    const key = new SecretKey(Uint8Array.from(bytes.subarray(from, from + length)));
    bytes.fill(0, from, from + length);
    from += length;
    return key;
  };
  const [encryptionIn, integrityIn, encryptionOut, integrityOut] = [take(0), take(1), take(2), take(3)];
  // A copy: the decoder does not read shared memory.
  const json = Uint8Array.from(bytes.subarray(from, from + view.getUint32(at, true)));
  const part = JSON.parse(fromUtf8(json)) as PublicPart;
  return {
    ...part,
    localTs: part.localTs.map(fromText),
    peerTs: part.peerTs.map(fromText),
    keysIn: espKeys(encryptionIn, integrityIn),
    keysOut: espKeys(encryptionOut, integrityOut),
  };
}

/** What decides whether an outbound packet belongs to another worker's child SA. */
export interface ForeignPolicy extends OutboundPolicy {
  /** Number of the worker that owns it. */
  readonly owner: number;
}

type ForeignText = Omit<ForeignPolicy, keyof SelectorTexts> & SelectorTexts;

/** An order to hand packets for this child SA over to its owner: the length of its JSON (u32), and the JSON. */
export function encodeForeign(
  { id, localTs, peerTs, outbound }: OutboundPolicy,
  owner: number,
): { readonly length: number; write(arena: Arena, at: number): void } {
  const text: ForeignText = {
    ...{ id, outbound, owner },
    localTs: localTs.map(toText),
    peerTs: peerTs.map(toText),
  };
  const json = utf8(JSON.stringify(text));
  return {
    length: 4 + json.length,
    write({ bytes, view }, at) {
      view.setUint32(at, json.length, true);
      bytes.set(json, at + 4);
    },
  };
}

/** The child SA in an order of `encodeForeign`. */
export function decodeForeign({ bytes, view }: Arena, at: number): ForeignPolicy {
  const json = Uint8Array.from(bytes.subarray(at + 4, at + 4 + view.getUint32(at, true)));
  const part = JSON.parse(fromUtf8(json)) as ForeignText;
  return { ...part, localTs: part.localTs.map(fromText), peerTs: part.peerTs.map(fromText) };
}

function espKeys(encryption: SecretKey, integrity: SecretKey): EspKeys {
  return integrity.length === 0 ? { encryption } : { encryption, integrity };
}

/** An order to send to a new address: id and port (u32 each), then the text of the address. */
export function encodePeer(
  id: number,
  peer: Endpoint,
): { readonly length: number; write(arena: Arena, at: number): void } {
  const address = utf8(peer.address);
  return {
    length: 12 + address.length,
    write({ bytes, view }, at) {
      view.setUint32(at, id, true);
      view.setUint32(at + 4, peer.port, true);
      view.setUint32(at + 8, address.length, true);
      bytes.set(address, at + 12);
    },
  };
}

/** Id and address in an order of `encodePeer`. */
export function decodePeer(
  { bytes, view }: Arena,
  at: number,
): { readonly id: number; readonly peer: Endpoint } {
  const length = view.getUint32(at + 8, true);
  const address = fromUtf8(Uint8Array.from(bytes.subarray(at + 12, at + 12 + length)));
  return { id: view.getUint32(at, true), peer: { address, port: view.getUint32(at + 4, true) } };
}

/** An order to keep to other limits: id, path MTU and MSS ceiling, a u32 each. */
export function encodePath(
  id: number,
  { pathMtu, mssCeiling }: PathLimits,
): { readonly length: number; write(arena: Arena, at: number): void } {
  return {
    length: 12,
    write({ view }, at) {
      view.setUint32(at, id, true);
      view.setUint32(at + 4, pathMtu, true);
      view.setUint32(at + 8, mssCeiling, true);
    },
  };
}

/** The id and the limits in such an order. */
export function decodePath({ view }: Arena, at: number): { readonly id: number } & PathLimits {
  return {
    id: view.getUint32(at, true),
    pathMtu: view.getUint32(at + 4, true),
    mssCeiling: view.getUint32(at + 8, true),
  };
}

/** An order about sequence numbers of a child SA: its id (u32), then numbers, 64-bit floating-point each. */
export function encodeNumbers(
  id: number,
  ...numbers: readonly number[]
): { readonly length: number; write(arena: Arena, at: number): void } {
  return {
    length: 4 + 8 * numbers.length,
    write({ view }, at) {
      view.setUint32(at, id, true);
      numbers.forEach((number, i) => {
        view.setFloat64(at + 4 + 8 * i, number, true);
      });
    },
  };
}

/** Number `i` of such an order. */
export function decodeNumber({ view }: Arena, at: number, i: number): number {
  return view.getFloat64(at + 4 + 8 * i, true);
}

/**
 * An order to serve a further TUN device: its number, its descriptor and whether packets carry a header, a u32 each.
 */
export function encodeDevice(
  device: DeviceNumber,
  fd: number,
  virtioHeader: boolean,
): { readonly length: number; write(arena: Arena, at: number): void } {
  return {
    length: 12,
    write({ view }, at) {
      view.setUint32(at, device, true);
      view.setUint32(at + 4, fd, true);
      view.setUint32(at + 8, virtioHeader ? 1 : 0, true);
    },
  };
}

/** What such an order says. */
export function decodeDevice(
  { view }: Arena,
  at: number,
): { readonly device: DeviceNumber; readonly fd: number; readonly virtioHeader: boolean } {
  return {
    device: view.getUint32(at, true),
    fd: view.getUint32(at + 4, true),
    virtioHeader: view.getUint32(at + 8, true) !== 0,
  };
}

/** An ESP packet that came to another socket: its length (u32), the socket address of its sender, the packet. */
export function encodeEsp(
  sender: { readonly address: IpBytes; readonly port: number },
  packet: Uint8Array,
): { readonly length: number; write(arena: Arena, at: number): void } {
  return {
    length: 4 + NAME_SIZE + packet.length,
    write({ bytes, view }, at) {
      view.setUint32(at, packet.length, true);
      bytes.fill(0, at + 4, at + 4 + NAME_SIZE);
      writeSockaddr(bytes, at + 4, sender.address, sender.port);
      bytes.set(packet, at + 4 + NAME_SIZE);
    },
  };
}

/** An order to copy packets: octets that are kept of each, and which ones, a u32 each. */
export function encodeTap({ snap, inner, dropped }: Omit<TapOptions, 'now'>): {
  readonly length: number;
  write(arena: Arena, at: number): void;
} {
  return {
    length: 8,
    write({ view }, at) {
      view.setUint32(at, snap, true);
      view.setUint32(at + 4, (inner ? 1 : 0) | (dropped ? 2 : 0), true);
    },
  };
}

/** What such an order says. */
export function decodeTap({ view }: Arena, at: number): Omit<TapOptions, 'now'> {
  const which = view.getUint32(at + 4, true);
  return { snap: view.getUint32(at, true), inner: (which & 1) !== 0, dropped: (which & 2) !== 0 };
}

/** Sender and packet in an order of `encodeEsp`: copies. */
export function decodeEsp(
  { bytes, view }: Arena,
  at: number,
): { readonly name: Uint8Array; readonly packet: Uint8Array } {
  const packetAt = at + 4 + NAME_SIZE;
  return {
    name: bytes.slice(at + 4, packetAt),
    packet: bytes.slice(packetAt, packetAt + view.getUint32(at, true)),
  };
}
