import { integrityTransform } from '../../../crypto/transforms.js';
import type { EspKeys, EspSuite } from '../../../crypto/types.js';
import { type EspLayout, espLayout } from '../../../esp/layout.js';
import { splitKeys, wipeKeys } from '../../../esp/sa-keys.js';
import { type CallRunner, callRunner } from '../../../linux/call-runner.js';
import type { Spi } from '../../../util/ids.js';
import { Encr } from '../../../wire/ike/registry.js';
import { type Arena, Vaulted } from '../memory/arena.js';
import { operationsOf } from '../memory/operations.js';
import { type AeadCalls, EvpOpenCalls, EvpSealCalls, type GcmMaker } from './aead-calls.js';
import { AeadOpener, AeadSealer } from './aead-packets.js';
import { CallList } from './call-list.js';
import { CbcOpener, CbcSealer } from './cbc-packets.js';
import type { EspCalls } from './esp-calls.js';
import { IvPool } from './iv-pool.js';
import { type CbcLanes, MultiCbcSealer } from './multi-cbc.js';
import type { Openssl } from './openssl.js';
import type { PacketCrypto, PacketOpener, PacketSealer } from './packet-crypto.js';
import type { MacMaker, PacketMac } from './packet-mac.js';

/**
 * ESP by OpenSSL's EVP interface, called by FFI on the arena's octets. Each SA has contexts of its own that are keyed
 * once; a packet sets only the IV, and all its calls are made together. That is four to seven times faster than
 * node:crypto, which builds a context, wraps buffers and collects garbage for every packet.
 */

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

/** A keyed cipher context. `keyAt` is an offset in the vault. */
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
  const keyed = openssl.EVP_CipherInit_ex(
    context,
    cipher,
    0,
    arena.vault.base + keyAt,
    arena.vault.base + Vaulted.zeroIv,
    direction,
  );
  if (keyed !== 1 || openssl.EVP_CIPHER_CTX_set_padding(context, 0) !== 1) {
    openssl.EVP_CIPHER_CTX_free(context);
    openssl.ERR_clear_error();
    throw new RangeError(`OpenSSL refuses the cipher ${name}`);
  }
  return context;
}

const INTEGRITY_KEY = 64;

/** How it is done, when not in the best way this machine has. */
export interface EvpOptions {
  /** As for CallList. */
  readonly runner?: CallRunner | null;
  /** For AES-GCM instead of EVP. */
  readonly gcm?: GcmMaker | undefined;
  /** For sealing by AES-CBC. */
  readonly multiCbc?: Omit<CbcLanes, 'copy'> | undefined;
}

/** The EVP implementation on this arena. `supports` is by name only: see self-test.ts for proof. */
export function createEvpCrypto(
  openssl: Openssl,
  arena: Arena,
  macs: MacMaker,
  options: EvpOptions = {},
): PacketCrypto {
  return new EvpCrypto(openssl, arena, macs, options);
}

class EvpCrypto implements PacketCrypto {
  readonly name = 'evp';
  readonly #macs: MacMaker;
  readonly #gcm: GcmMaker | undefined;
  readonly #lanes: CbcLanes | undefined;
  readonly #ivs: IvPool;
  readonly #calls: EspCalls;

  constructor(
    openssl: Openssl,
    arena: Arena,
    macs: MacMaker,
    { runner = callRunner(), gcm, multiCbc }: EvpOptions,
  ) {
    this.#macs = macs;
    this.#gcm = gcm;
    this.#lanes = multiCbc === undefined ? undefined : { ...multiCbc, copy: operationsOf(arena).copy };
    this.#ivs = new IvPool(openssl, arena);
    this.#calls = {
      openssl,
      arena,
      sealing: new CallList(arena, Vaulted.sealCalls, runner),
      opening: new CallList(arena, Vaulted.openCalls, runner),
    };
  }

  supports(suite: EspSuite): boolean {
    return evpCipherName(suite.encryption.id, suite.encryption.keyBits) !== undefined && !suite.esn;
  }

  sealer(suite: EspSuite, spi: Spi, keys: EspKeys): PacketSealer {
    return this.#withKeys(suite, keys, (layout, salt, integrity) =>
      integrity === undefined
        ? new AeadSealer(this.#calls, layout, spi, salt, this.#aead(suite, layout, ENCRYPT))
        : this.#withMac(suite, integrity, (mac) => this.#cbcSealer(suite, layout, spi, mac)),
    );
  }

  opener(suite: EspSuite, keys: EspKeys): PacketOpener {
    return this.#withKeys(suite, keys, (layout, salt, integrity) =>
      integrity === undefined
        ? new AeadOpener(this.#calls, layout, salt, this.#aead(suite, layout, DECRYPT))
        : this.#withMac(
            suite,
            integrity,
            (mac) => new CbcOpener(this.#calls, layout, this.#context(suite, DECRYPT), mac),
          ),
    );
  }

  /** Splits the keys, lends them to `use` as octets in the vault, and erases them. */
  #withKeys<T>(
    suite: EspSuite,
    keys: EspKeys,
    use: (layout: EspLayout, salt: Uint8Array, integrity: number | undefined) => T,
  ): T {
    const { bytes } = this.#calls.arena.vault;
    const layout = espLayout(suite);
    const split = splitKeys(layout, keys);
    try {
      bytes.set(split.cipher.expose(), Vaulted.keys);
      if (split.integrity !== undefined) bytes.set(split.integrity.expose(), Vaulted.keys + INTEGRITY_KEY);
      return use(layout, split.nonce.slice(0, layout.saltLength), split.integrity?.length);
    } finally {
      bytes.fill(0, Vaulted.keys, Vaulted.keys + 2 * INTEGRITY_KEY);
      wipeKeys(split);
    }
  }

  #context({ encryption: { id, keyBits } }: EspSuite, direction: number): number {
    const name = evpCipherName(id, keyBits);
    if (name === undefined) throw new RangeError(`OpenSSL has no cipher for transform ${id}`);
    return cipherContext(this.#calls.openssl, this.#calls.arena, name, Vaulted.keys, direction);
  }

  #aead(suite: EspSuite, layout: EspLayout, direction: number): AeadCalls {
    const { id, keyBits } = suite.encryption;
    if (this.#gcm !== undefined && id === Encr.AES_GCM_16) {
      return this.#gcm(Vaulted.keys, keyBits, direction === ENCRYPT);
    }
    const { openssl, arena } = this.#calls;
    const keyed = this.#context(suite, direction);
    return direction === ENCRYPT
      ? new EvpSealCalls(openssl, arena, layout, keyed)
      : new EvpOpenCalls(openssl, arena, layout, keyed);
  }

  /** What `use` makes of the MAC, or neither. */
  #withMac<T>(suite: EspSuite, keyLength: number, use: (mac: PacketMac) => T): T {
    const { hash } = integrityTransform(suite.integrity);
    const mac = this.#macs.make(hash, Vaulted.keys + INTEGRITY_KEY, keyLength);
    try {
      return use(mac);
    } catch (error) {
      mac.free();
      throw error;
    }
  }

  #cbcSealer(suite: EspSuite, layout: EspLayout, spi: Spi, mac: PacketMac): PacketSealer {
    const { id, keyBits } = suite.encryption;
    const parts = { layout, spi, ivs: this.#ivs, mac };
    return this.#lanes === undefined || id !== Encr.AES_CBC
      ? new CbcSealer(this.#calls, parts, this.#context(suite, ENCRYPT))
      : new MultiCbcSealer(this.#calls, this.#lanes, parts, Vaulted.keys, keyBits);
  }
}
