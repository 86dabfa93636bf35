import { createHash } from 'node:crypto';
import { ENCRYPTION_TRANSFORMS, espKeyLengths, INTEGRITY_TRANSFORMS } from '../../src/crypto/transforms.js';
import type { CryptoBackend, EspKeys, EspSuite } from '../../src/crypto/types.js';
import { espLayout, padLength } from '../../src/esp/layout.js';
import { InboundSa } from '../../src/esp/open.js';
import { DEFAULT_REPLAY_WINDOW } from '../../src/esp/params.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { FRESH_START } from '../../src/esp/start.js';
import { concat, writeU32 } from '../../src/util/bytes.js';
import { cidrOf, cidrRange, parseIp } from '../../src/util/ip.js';
import type { Random } from '../../src/util/random.js';
import { SecretKey } from '../../src/util/secret.js';
import type { TrafficSelector } from '../../src/wire/ike/payloads.js';
import { nameOf, TsType } from '../../src/wire/ike/registry.js';
import { buildPacket } from '../../src/wire/ip.js';
import { buildUdpPacket } from './whole-packets.js';

/** Every cipher with every MAC it goes with. */
export const ESP_SUITES: readonly EspSuite[] = ENCRYPTION_TRANSFORMS.flatMap((cipher) => {
  const encryption = { id: cipher.id, keyBits: cipher.keyBits };
  const macs = cipher.aead ? [0] : INTEGRITY_TRANSFORMS.map((mac) => mac.id);
  return macs.map((integrity) => ({ encryption, integrity, dh: 0, esn: false }));
});

export function suiteName(suite: EspSuite): string {
  const cipher = `${nameOf('encr', suite.encryption.id)}/${suite.encryption.keyBits}`;
  return suite.integrity === 0 ? cipher : `${cipher} ${nameOf('integ', suite.integrity)}`;
}

export function findSuite(encr: number, keyBits: number, integrity = 0): EspSuite {
  const found = ESP_SUITES.find(
    (s) => s.encryption.id === encr && s.encryption.keyBits === keyBits && s.integrity === integrity,
  );
  if (found === undefined) throw new Error('no such suite');
  return found;
}

export function supportsSuite(crypto: CryptoBackend, suite: EspSuite): boolean {
  return (
    crypto.supports({ kind: 'encryption', ...suite.encryption }) &&
    (suite.integrity === 0 || crypto.supports({ kind: 'integrity', id: suite.integrity }))
  );
}

/** The same octets for the same seed. */
export function seededRandom(seed: string): Random {
  let counter = 0;
  let stock: Uint8Array = new Uint8Array(0);
  return {
    bytes(length) {
      while (stock.length < length) {
        stock = concat(stock, createHash('sha512').update(`${seed}/${counter++}`).digest());
      }
      const out = stock.slice(0, length);
      stock = stock.slice(length);
      return out;
    },
  };
}

/** Keys of the right lengths; the same for the same seed. Each SA needs its own: it wipes them. */
export function espKeys(suite: EspSuite, seed = 'keys'): EspKeys {
  const lengths = espKeyLengths(suite);
  const random = seededRandom(seed);
  const encryption = new SecretKey(random.bytes(lengths.encryption));
  if (lengths.integrity === 0) return { encryption };
  return { encryption, integrity: new SecretKey(random.bytes(lengths.integrity)) };
}

export interface SelectorOptions {
  readonly protocol?: number;
  readonly ports?: readonly [number, number];
}

/** The selector of a network, or of all addresses from `first-last`. */
export function selector(network: string, options: SelectorOptions = {}): TrafficSelector {
  const [start, end] = bounds(network);
  const [startPort, endPort] = options.ports ?? [0, 65535];
  return {
    tsType: start.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE,
    protocol: options.protocol ?? 0,
    startPort,
    endPort,
    startAddress: start,
    endAddress: end,
  };
}

function bounds(network: string): [Uint8Array, Uint8Array] {
  const [first, last] = network.split('-');
  if (last !== undefined) return [ip(first!), ip(last)];
  const range = cidrRange(cidrOf(network));
  return [range.start, range.end];
}

export function ip(text: string): Uint8Array {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`${text} is no IP address`);
  return address;
}

/**
 * A packet of `length` octets in all whose content depends on its length: UDP, and an experimental protocol
 * (RFC 3692) where UDP does not fit.
 */
export function innerPacket(source: string, destination: string, length: number): Uint8Array {
  const fields = { source: ip(source), destination: ip(destination) };
  const header = fields.source.length === 4 ? 20 : 40;
  const filled = (size: number) => Uint8Array.from({ length: size }, (_, i) => i * 7 + length);
  return length < header + 8
    ? buildPacket({ ...fields, protocol: 253 }, filled(length - header))
    : buildUdpPacket(fields, 4660, 61000, filled(length - header - 8));
}

/** Key material that the caller keeps: `espKeys` of it may be wiped by whoever takes them. */
export interface RawKeys {
  readonly encryption: Uint8Array;
  readonly integrity: Uint8Array;
}

export function rawKeys(suite: EspSuite, seed = 'keys'): RawKeys {
  const keys = espKeys(suite, seed);
  return { encryption: keys.encryption.expose(), integrity: keys.integrity?.expose() ?? new Uint8Array(0) };
}

/**
 * An ESP packet with a valid ICV around any plaintext, that is inner packet, padding, pad length and next
 * header. Written from RFC 4303 §2 without the code under test.
 */
export function forgeEsp(
  crypto: CryptoBackend,
  suite: EspSuite,
  keys: RawKeys,
  header: { readonly spi: number; readonly sequence: number; readonly iv?: Uint8Array },
  plaintext: Uint8Array,
): Uint8Array {
  const start = new Uint8Array(8);
  writeU32(start, 0, header.spi);
  writeU32(start, 4, header.sequence);
  const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
  const iv = header.iv ?? new Uint8Array(cipher.ivLength).fill(0xa5);
  const key = keys.encryption.subarray(0, cipher.keyLength);
  if (cipher.aead) {
    const nonce = concat(keys.encryption.subarray(cipher.keyLength), iv);
    return concat(start, iv, cipher.seal(key, nonce, start, plaintext));
  }
  const covered = concat(start, iv, cipher.encrypt(key, iv, plaintext));
  return concat(covered, crypto.integrity(suite.integrity).compute(keys.integrity, covered));
}

/** Inner packet, padding 1, 2, 3…, pad length and next header. */
export function withTrailer(suite: EspSuite, payload: Uint8Array, nextHeader: number): Uint8Array {
  const padding = padLength(espLayout(suite), payload.length);
  const trailer = Uint8Array.from({ length: padding + 2 }, (_, i) => i + 1);
  trailer[padding] = padding;
  trailer[padding + 1] = nextHeader;
  return concat(payload, trailer);
}

/** The inbound SA to `suite` and `seed`, open to all addresses unless selectors are given. */
export function inboundSa(crypto: CryptoBackend, suite: EspSuite, options: InboundOptions = {}): InboundSa {
  const any = [selector('0.0.0.0/0'), selector('::/0')];
  return new InboundSa({
    spi: options.spi ?? TEST_SPI,
    suite,
    keys: options.keys ?? espKeys(suite),
    crypto,
    selectors: options.selectors ?? new SelectorSet(any, any),
    replayWindow: options.replayWindow ?? DEFAULT_REPLAY_WINDOW,
  });
}

export interface InboundOptions {
  readonly spi?: number;
  readonly keys?: EspKeys;
  readonly selectors?: SelectorSet;
  readonly replayWindow?: number;
}

/** The outbound SA that `inboundSa` answers to. */
export function outboundSa(crypto: CryptoBackend, suite: EspSuite, lastSequence = 0): OutboundSa {
  const random = seededRandom('iv');
  const start = { ...FRESH_START, next: lastSequence + 1 };
  return new OutboundSa({ spi: TEST_SPI, suite, keys: espKeys(suite), crypto, random, start });
}

export const TEST_SPI = 0xc0ffee42;
