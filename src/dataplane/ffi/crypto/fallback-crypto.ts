import type {
  AeadCipher,
  CbcCipher,
  CryptoBackend,
  EspKeys,
  EspSuite,
  IntegrityFunction,
} from '../../../crypto/types.js';
import { AAD_LENGTH, ESP_TRAILER_LENGTH, type EspLayout, espLayout, padLength } from '../../../esp/layout.js';
import { RandomIv } from '../../../esp/random-iv.js';
import { type SaKeys, splitKeys, wipeKeys } from '../../../esp/sa-keys.js';
import { writeTrailer } from '../../../esp/trailer.js';
import { copyOf, writeU32 } from '../../../util/bytes.js';
import type { Spi } from '../../../util/ids.js';
import type { Random } from '../../../util/random.js';
import { NO_TERM, type Term } from '../../../util/term.js';
import type { Arena } from '../memory/arena.js';
import type { PacketCrypto, PacketOpener, PacketSealer } from './packet-crypto.js';

/**
 * The same over a crypto backend, for a Node without reachable OpenSSL symbols and for algorithms that fail
 * their self-test. It allocates for every packet. Octets are copied out of the arena first: backends need not
 * accept shared memory.
 */
export function createFallbackCrypto(backend: CryptoBackend, random: Random, arena: Arena): PacketCrypto {
  const { bytes } = arena;
  return {
    name: backend.name,
    supports: ({ encryption, integrity, esn }) =>
      !esn &&
      backend.supports({ kind: 'encryption', ...encryption }) &&
      (integrity === 0 || backend.supports({ kind: 'integrity', id: integrity })),
    sealer: (suite, spi, keys) => fallbackSealer({ backend, random, bytes }, suite, spi, keys),
    opener(suite, keys): PacketOpener {
      const layout = espLayout(suite);
      const cipher = backend.cipher(suite.encryption.id, suite.encryption.keyBits);
      const integrity = cipher.aead ? undefined : backend.integrity(suite.integrity);
      const split = splitKeys(layout, keys);
      return {
        layout,
        open(packetAt, length, outAt) {
          const packet = copyOf(bytes.subarray(packetAt, packetAt + length));
          const plaintext = cipher.aead
            ? openAead(cipher, split, layout, packet)
            : openCbc(cipher, integrity!, split, layout, packet);
          if (plaintext === undefined) return -1;
          bytes.set(plaintext, outAt);
          return plaintext.length;
        },
        free: () => wipeKeys(split),
      };
    },
  };
}

interface Parts {
  readonly backend: CryptoBackend;
  readonly random: Random;
  readonly bytes: Uint8Array;
}

/** Seals one SA's packets. */
function fallbackSealer(
  { backend, random, bytes }: Parts,
  suite: EspSuite,
  spi: Spi,
  keys: EspKeys,
): PacketSealer {
  const layout = espLayout(suite);
  const cipher = backend.cipher(suite.encryption.id, suite.encryption.keyBits);
  const integrity = cipher.aead ? undefined : backend.integrity(suite.integrity);
  const split = splitKeys(layout, keys);
  const ivs = new RandomIv(random, cipher.ivLength);
  let term: Term = NO_TERM;
  return {
    layout,
    enterTerm(next) {
      term = next;
    },
    seal(innerAt, innerLength, nextHeader, sequence, outAt) {
      const padding = padLength(layout, innerLength);
      const end = writeTrailer(bytes, innerAt + innerLength, padding, nextHeader);
      writeU32(bytes, outAt, spi);
      writeU32(bytes, outAt + 4, sequence);
      if (cipher.aead) {
        writeU32(bytes, outAt + 8, term);
        writeU32(bytes, outAt + 12, sequence);
      } else {
        ivs.write(bytes, outAt + 8);
      }
      const head = bytes.slice(outAt, outAt + layout.bodyOffset);
      const sealed = cipher.aead
        ? sealAead(cipher, split, head, bytes.slice(innerAt, end))
        : sealCbc(cipher, integrity!, split, head, bytes.slice(innerAt, end));
      bytes.set(sealed, outAt + layout.bodyOffset);
      return layout.bodyOffset + innerLength + padding + ESP_TRAILER_LENGTH + layout.icvLength;
    },
    complete() {},
    free: () => wipeKeys(split),
  };
}

function sealAead(cipher: AeadCipher, keys: SaKeys, head: Uint8Array, body: Uint8Array): Uint8Array {
  keys.nonce.set(head.subarray(AAD_LENGTH), cipher.saltLength);
  return cipher.seal(keys.cipher.expose(), keys.nonce, head.subarray(0, AAD_LENGTH), body);
}

function sealCbc(
  cipher: CbcCipher,
  integrity: IntegrityFunction,
  keys: SaKeys,
  head: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const encrypted = cipher.encrypt(keys.cipher.expose(), head.subarray(AAD_LENGTH), body);
  const icv = integrity.compute(keys.integrity!.expose(), head, encrypted);
  const out = new Uint8Array(encrypted.length + icv.length);
  out.set(encrypted);
  out.set(icv, encrypted.length);
  return out;
}

function openAead(
  cipher: AeadCipher,
  keys: SaKeys,
  layout: EspLayout,
  packet: Uint8Array,
): Uint8Array | undefined {
  keys.nonce.set(packet.subarray(AAD_LENGTH, layout.bodyOffset), layout.saltLength);
  const aad = packet.subarray(0, AAD_LENGTH);
  return cipher.open(keys.cipher.expose(), keys.nonce, aad, packet.subarray(layout.bodyOffset));
}

function openCbc(
  cipher: CbcCipher,
  integrity: IntegrityFunction,
  keys: SaKeys,
  layout: EspLayout,
  packet: Uint8Array,
): Uint8Array | undefined {
  const end = packet.length - layout.icvLength;
  if (!integrity.verify(keys.integrity!.expose(), packet.subarray(end), packet.subarray(0, end)))
    return undefined;
  const iv = packet.subarray(AAD_LENGTH, layout.bodyOffset);
  return cipher.decrypt(keys.cipher.expose(), iv, packet.subarray(layout.bodyOffset, end));
}
