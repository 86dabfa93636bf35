import type { CryptoBackend, EspSuite } from '../../src/crypto/types.js';
import type { DataPlaneListener } from '../../src/dataplane/dataplane.js';
import type { PacketDevice } from '../../src/dataplane/packet-device.js';
import type { EspPair } from '../../src/esp/params.js';
import type { Endpoint } from '../../src/util/ip.js';
import { espKeys, selector } from './esp.js';

/** A packet device held by the test: `inject` is the host sending, `written` what the host was given. */
export class TestDevice implements PacketDevice {
  readonly written: Uint8Array[] = [];
  refuse = false;
  receiver: ((packet: Uint8Array) => void) | undefined;

  onPacket(receiver: ((packet: Uint8Array) => void) | undefined): void {
    this.receiver = receiver;
  }

  write(packet: Uint8Array): boolean {
    if (this.refuse) return false;
    this.written.push(packet.slice());
    return true;
  }

  inject(packet: Uint8Array): void {
    this.receiver?.(packet);
  }
}

/** Remembers what a data plane tells. */
export class TestListener implements DataPlaneListener {
  readonly ike: { local: Endpoint; remote: Endpoint; bytes: Uint8Array }[] = [];
  readonly acquired: Uint8Array[] = [];
  readonly moved: { id: number; from: Endpoint }[] = [];
  readonly failures: string[] = [];

  ikeDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void {
    this.ike.push({ local, remote, bytes: bytes.slice() });
  }
  acquire(destination: Uint8Array): void {
    this.acquired.push(destination);
  }
  peerMoved(id: number, from: Endpoint): void {
    this.moved.push({ id, from });
  }
  failed(reason: string): void {
    this.failures.push(reason);
  }
}

export const A: Endpoint = { address: '192.0.2.1', port: 4500 };
export const B: Endpoint = { address: '192.0.2.2', port: 4500 };

/**
 * The two ends of child SA number `generation`: 10.1.0.0/24 and 2001:db8:1::/48 behind A, 10.2.0.0/24 and
 * 2001:db8:2::/48 behind B.
 */
export function pairEnds(
  suite: EspSuite,
  options: { generation?: number; outbound?: boolean; a?: Endpoint; b?: Endpoint } = {},
): { a: EspPair; b: EspPair } {
  const { generation = 1, outbound = true, a = A, b = B } = options;
  const spis = { toA: 0xa000_0000 + generation, toB: 0xb000_0000 + generation };
  const tsA = [selector('10.1.0.0/24'), selector('2001:db8:1::/48')];
  const tsB = [selector('10.2.0.0/24'), selector('2001:db8:2::/48')];
  const common = { id: generation, suite, encapsulation: 'udp', outbound } as const;
  const keys = (to: 'a' | 'b') => espKeys(suite, `${generation} to ${to}`);
  return {
    a: {
      ...common,
      spiIn: spis.toA,
      spiOut: spis.toB,
      keysIn: keys('a'),
      keysOut: keys('b'),
      localTs: tsA,
      peerTs: tsB,
      local: a,
      peer: b,
    },
    b: {
      ...common,
      spiIn: spis.toB,
      spiOut: spis.toA,
      keysIn: keys('b'),
      keysOut: keys('a'),
      localTs: tsB,
      peerTs: tsA,
      local: b,
      peer: a,
    },
  };
}

/** A backend that keeps every key it is given, not a copy: to see whether they are wiped afterwards. */
export function watchedBackend(inner: CryptoBackend): { crypto: CryptoBackend; keys: Set<Uint8Array> } {
  const keys = new Set<Uint8Array>();
  const kept = (key: Uint8Array): Uint8Array => {
    keys.add(key);
    return key;
  };
  const crypto: CryptoBackend = {
    name: inner.name,
    supports: (need) => inner.supports(need),
    hash: (name, ...chunks) => inner.hash(name, ...chunks),
    prf: (id) => inner.prf(id),
    dh: (id) => inner.dh(id),
    keyExchange: (id) => inner.keyExchange(id),
    integrity: (id) => {
      const mac = inner.integrity(id);
      return {
        ...mac,
        compute: (key, ...chunks) => mac.compute(kept(key), ...chunks),
        verify: (key, icv, ...chunks) => mac.verify(kept(key), icv, ...chunks),
      };
    },
    cipher: (id, keyBits) => {
      const cipher = inner.cipher(id, keyBits);
      return cipher.aead
        ? {
            ...cipher,
            seal: (key, nonce, aad, plaintext) => cipher.seal(kept(key), kept(nonce), aad, plaintext),
            open: (key, nonce, aad, sealed) => cipher.open(kept(key), kept(nonce), aad, sealed),
          }
        : {
            ...cipher,
            encrypt: (key, iv, plaintext) => cipher.encrypt(kept(key), iv, plaintext),
            decrypt: (key, iv, ciphertext) => cipher.decrypt(kept(key), iv, ciphertext),
          };
    },
  };
  return { crypto, keys };
}
