import { integrityTransform } from '../../crypto/transforms.js';
import type { EspKeys, EspSuite } from '../../crypto/types.js';
import { AAD_LENGTH, ESP_TRAILER_LENGTH, type EspLayout, espLayout, padLength } from '../../esp/layout.js';
import { createPacketMemory, type PacketMemory } from '../../esp/offload/packet-memory.js';
import { splitKeys, wipeKeys } from '../../esp/sa-keys.js';
import { writeTrailer } from '../../esp/trailer.js';
import { writeU32 } from '../../util/bytes.js';
import { ESP_HEADER_LENGTH } from '../../wire/esp.js';
import { Encr } from '../../wire/ike/registry.js';
import { type Arena, At, RANDOM_POOL } from './arena.js';
import type { Openssl } from './openssl.js';
import type { PacketCrypto, PacketOpener, PacketSealer } from './packet-crypto.js';
import type { MacMaker, PacketMac } from './packet-mac.js';

/**
 * ESP by OpenSSL's EVP interface, called by FFI on the arena's octets. Each SA has contexts of its own that
 * are keyed once; a packet sets only the IV. That is four to seven times faster than node:crypto, which
 * builds a context, wraps buffers and collects garbage for every packet.
 */

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const KEEP_DIRECTION = -1;
const ENCRYPT = 1;
const DECRYPT = 0;

/** OpenSSL's name of the cipher of this transform, or undefined. */
export function evpCipherName(id: number, keyBits: number): string | undefined {
  switch (id) {
    case Encr.AES_CBC:
      return `AES-${keyBits}-CBC`;
    case Encr.AES_GCM_16:
      return `id-aes${keyBits}-GCM`;
    case Encr.CHACHA20_POLY1305:
      return 'ChaCha20-Poly1305';
    case Encr.TRIPLE_DES:
      return 'DES-EDE3-CBC';
    default:
      return undefined;
  }
}

/** Fails loudly: with valid contexts and lengths these calls only fail when the library is broken. */
function must(result: number, call: string): void {
  if (result !== 1) throw new Error(`OpenSSL ${call} failed`);
}

/** A keyed cipher context. `keyAt` is an offset in the arena. */
export function cipherContext(
  openssl: Openssl,
  arena: Arena,
  name: string,
  keyAt: number,
  direction: number,
): number {
  const cipher = openssl.EVP_get_cipherbyname(name);
  if (cipher === 0) throw new RangeError(`OpenSSL lacks the cipher ${name}`);
  const context = openssl.EVP_CIPHER_CTX_new();
  // A zero IV for now: every packet sets its own before it uses the context.
  arena.bytes.fill(0, At.nonce, At.nonce + 16);
  const keyed = openssl.EVP_CipherInit_ex(
    context,
    cipher,
    0,
    arena.base + keyAt,
    arena.base + At.nonce,
    direction,
  );
  if (keyed !== 1 || openssl.EVP_CIPHER_CTX_set_padding(context, 0) !== 1) {
    openssl.EVP_CIPHER_CTX_free(context);
    openssl.ERR_clear_error();
    throw new RangeError(`OpenSSL refuses the cipher ${name}`);
  }
  return context;
}

/**
 * Unpredictable IVs for CBC (RFC 3602 §3), drawn in bulk from OpenSSL's generator. No octet is used twice,
 * and none leaves before the packet it is for.
 */
class IvPool {
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  #used = RANDOM_POOL;

  constructor(openssl: Openssl, arena: Arena) {
    this.#openssl = openssl;
    this.#arena = arena;
  }

  write(at: number, length: number): void {
    const { bytes, base } = this.#arena;
    if (this.#used + length > RANDOM_POOL) {
      must(this.#openssl.RAND_bytes(base + At.random, RANDOM_POOL), 'RAND_bytes');
      this.#used = 0;
    }
    const from = At.random + this.#used;
    for (let i = 0; i < length; i++) {
      bytes[at + i] = bytes[from + i]!;
      bytes[from + i] = 0;
    }
    this.#used += length;
  }
}

/** Writes the trailer behind the inner packet and the ESP header at `outAt`; answers with the body's length. */
function frame(
  bytes: Uint8Array,
  layout: EspLayout,
  spi: number,
  sequence: number,
  innerAt: number,
  innerLength: number,
  nextHeader: number,
  outAt: number,
): number {
  const padding = padLength(layout, innerLength);
  writeTrailer(bytes, innerAt + innerLength, padding, nextHeader);
  writeU32(bytes, outAt, spi);
  writeU32(bytes, outAt + 4, sequence);
  return innerLength + padding + ESP_TRAILER_LENGTH;
}

class AeadSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  readonly #spi: number;
  readonly #salt: Uint8Array;
  #context: number;

  constructor(
    openssl: Openssl,
    arena: Arena,
    layout: EspLayout,
    spi: number,
    salt: Uint8Array,
    context: number,
  ) {
    this.layout = layout;
    this.#openssl = openssl;
    this.#arena = arena;
    this.#spi = spi;
    this.#salt = salt;
    this.#context = context;
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const { bytes, base } = this.#arena;
    const openssl = this.#openssl;
    const context = this.#context;
    const body = frame(bytes, layout, this.#spi, sequence, innerAt, innerLength, nextHeader, outAt);
    // RFC 4106 §3.1, RFC 7634 §2: unique under the key, which the sequence number is.
    writeU32(bytes, outAt + 8, 0);
    writeU32(bytes, outAt + 12, sequence);
    for (let i = 0; i < 4; i++) bytes[At.nonce + i] = this.#salt[i]!;
    writeU32(bytes, At.nonce + 4, 0);
    writeU32(bytes, At.nonce + 8, sequence);
    const out = base + outAt + layout.bodyOffset;
    const outLength = base + At.outLength;
    must(openssl.EVP_CipherInit_ex(context, 0, 0, 0, base + At.nonce, KEEP_DIRECTION), 'EVP_CipherInit_ex');
    must(openssl.EVP_CipherUpdate(context, 0, outLength, base + outAt, AAD_LENGTH), 'EVP_CipherUpdate');
    must(openssl.EVP_CipherUpdate(context, out, outLength, base + innerAt, body), 'EVP_CipherUpdate');
    must(openssl.EVP_CipherFinal_ex(context, out + body, outLength), 'EVP_CipherFinal_ex');
    must(
      openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, layout.icvLength, out + body),
      'EVP_CIPHER_CTX_ctrl',
    );
    return layout.bodyOffset + body + layout.icvLength;
  }

  free(): void {
    this.#salt.fill(0);
    if (this.#context !== 0) this.#openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
  }
}

class AeadOpener implements PacketOpener {
  readonly layout: EspLayout;
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  readonly #salt: Uint8Array;
  #context: number;

  constructor(openssl: Openssl, arena: Arena, layout: EspLayout, salt: Uint8Array, context: number) {
    this.layout = layout;
    this.#openssl = openssl;
    this.#arena = arena;
    this.#salt = salt;
    this.#context = context;
  }

  open(packetAt: number, length: number, outAt: number): number {
    const { layout } = this;
    const { bytes, base } = this.#arena;
    const openssl = this.#openssl;
    const context = this.#context;
    const body = length - layout.bodyOffset - layout.icvLength;
    for (let i = 0; i < 4; i++) bytes[At.nonce + i] = this.#salt[i]!;
    for (let i = 0; i < 8; i++) bytes[At.nonce + 4 + i] = bytes[packetAt + 8 + i]!;
    const input = base + packetAt + layout.bodyOffset;
    const outLength = base + At.outLength;
    must(openssl.EVP_CipherInit_ex(context, 0, 0, 0, base + At.nonce, KEEP_DIRECTION), 'EVP_CipherInit_ex');
    must(
      openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, layout.icvLength, input + body),
      'EVP_CIPHER_CTX_ctrl',
    );
    must(openssl.EVP_CipherUpdate(context, 0, outLength, base + packetAt, AAD_LENGTH), 'EVP_CipherUpdate');
    must(openssl.EVP_CipherUpdate(context, base + outAt, outLength, input, body), 'EVP_CipherUpdate');
    if (openssl.EVP_CipherFinal_ex(context, base + outAt + body, outLength) === 1) return body;
    bytes.fill(0, outAt, outAt + body);
    openssl.ERR_clear_error();
    return -1;
  }

  free(): void {
    this.#salt.fill(0);
    if (this.#context !== 0) this.#openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
  }
}

/**
 * One call a packet: the cipher goes on where the packet before ended, with a random block in front of the
 * plaintext. That block's ciphertext is the IV, as unpredictable as the random octets (RFC 3602 §3), and it
 * stands where the IV belongs. Setting an IV would be a second call, dearer than the block.
 */
class CbcSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  readonly #spi: number;
  readonly #ivs: IvPool;
  readonly #mac: PacketMac;
  #context: number;

  constructor(
    openssl: Openssl,
    arena: Arena,
    layout: EspLayout,
    spi: number,
    ivs: IvPool,
    context: number,
    mac: PacketMac,
  ) {
    this.layout = layout;
    this.#openssl = openssl;
    this.#arena = arena;
    this.#spi = spi;
    this.#ivs = ivs;
    this.#context = context;
    this.#mac = mac;
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const { bytes, base } = this.#arena;
    const body = frame(bytes, layout, this.#spi, sequence, innerAt, innerLength, nextHeader, outAt);
    const { ivLength } = layout;
    this.#ivs.write(innerAt - ivLength, ivLength);
    const from = base + innerAt - ivLength;
    const to = base + outAt + ESP_HEADER_LENGTH;
    must(
      this.#openssl.EVP_CipherUpdate(this.#context, to, base + At.outLength, from, ivLength + body),
      'EVP_CipherUpdate',
    );
    const authenticated = layout.bodyOffset + body;
    this.#mac.compute(outAt, authenticated, outAt + authenticated);
    return authenticated + layout.icvLength;
  }

  free(): void {
    if (this.#context !== 0) this.#openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
    this.#mac.free();
  }
}

/**
 * Decrypts the IV as if it were the first block: what comes of it is meaningless, and the blocks behind it
 * come out right. The octets in front of the plaintext are put back.
 */
class CbcOpener implements PacketOpener {
  readonly layout: EspLayout;
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  readonly #copy: PacketMemory['copy'];
  readonly #mac: PacketMac;
  #context: number;

  constructor(
    openssl: Openssl,
    arena: Arena,
    copy: PacketMemory['copy'],
    layout: EspLayout,
    context: number,
    mac: PacketMac,
  ) {
    this.layout = layout;
    this.#openssl = openssl;
    this.#arena = arena;
    this.#copy = copy;
    this.#context = context;
    this.#mac = mac;
  }

  /** RFC 4303 §3.4.4.1: the ICV first, and only when it holds the decryption. */
  open(packetAt: number, length: number, outAt: number): number {
    const { layout } = this;
    const { base } = this.#arena;
    const openssl = this.#openssl;
    const authenticated = length - layout.icvLength;
    this.#mac.compute(packetAt, authenticated, At.mac);
    if (openssl.CRYPTO_memcmp(base + At.mac, base + packetAt + authenticated, layout.icvLength) !== 0)
      return -1;
    const { ivLength } = layout;
    const body = authenticated - layout.bodyOffset;
    this.#copy(At.saved, outAt - ivLength, ivLength);
    must(
      openssl.EVP_CipherUpdate(
        this.#context,
        base + outAt - ivLength,
        base + At.outLength,
        base + packetAt + ESP_HEADER_LENGTH,
        ivLength + body,
      ),
      'EVP_CipherUpdate',
    );
    this.#copy(outAt - ivLength, At.saved, ivLength);
    return body;
  }

  free(): void {
    if (this.#context !== 0) this.#openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
    this.#mac.free();
  }
}

const INTEGRITY_KEY = 64;

/** The EVP implementation on this arena. `supports` is by name only: see self-test.ts for proof. */
export function createEvpCrypto(openssl: Openssl, arena: Arena, macs: MacMaker): PacketCrypto {
  const { copy } = createPacketMemory(arena.memory);
  const ivs = new IvPool(openssl, arena);

  /** Splits the keys, lends them to `use` as octets in the arena, and leaves nothing behind. */
  function withKeys<T>(
    suite: EspSuite,
    keys: EspKeys,
    direction: number,
    use: (layout: EspLayout, salt: Uint8Array, context: number, mac: PacketMac | undefined) => T,
  ): T {
    const layout = espLayout(suite);
    const name = evpCipherName(suite.encryption.id, suite.encryption.keyBits);
    if (name === undefined)
      throw new RangeError(`OpenSSL has no cipher for transform ${suite.encryption.id}`);
    const split = splitKeys(layout, keys);
    let context = 0;
    let mac: PacketMac | undefined;
    try {
      arena.bytes.set(split.cipher.expose(), At.keys);
      context = cipherContext(openssl, arena, name, At.keys, direction);
      if (split.integrity !== undefined) {
        const { hash } = integrityTransform(suite.integrity);
        arena.bytes.set(split.integrity.expose(), At.keys + INTEGRITY_KEY);
        mac = macs.make(hash, At.keys + INTEGRITY_KEY, split.integrity.length);
      }
      return use(layout, split.nonce.slice(0, layout.saltLength), context, mac);
    } catch (error) {
      if (context !== 0) openssl.EVP_CIPHER_CTX_free(context);
      mac?.free();
      throw error;
    } finally {
      arena.bytes.fill(0, At.keys, At.keys + 2 * INTEGRITY_KEY);
      wipeKeys(split);
    }
  }

  return {
    name: 'evp',
    supports: (suite) =>
      evpCipherName(suite.encryption.id, suite.encryption.keyBits) !== undefined && !suite.esn,
    sealer: (suite, spi, keys) =>
      withKeys(suite, keys, ENCRYPT, (layout, salt, context, mac) =>
        layout.aead
          ? new AeadSealer(openssl, arena, layout, spi, salt, context)
          : new CbcSealer(openssl, arena, layout, spi, ivs, context, mac!),
      ),
    opener: (suite, keys) =>
      withKeys(suite, keys, DECRYPT, (layout, salt, context, mac) =>
        layout.aead
          ? new AeadOpener(openssl, arena, layout, salt, context)
          : new CbcOpener(openssl, arena, copy, layout, context, mac!),
      ),
  };
}
