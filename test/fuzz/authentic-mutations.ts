import type { CryptoBackend } from '../../src/crypto/types.js';
import { concat, equalBytes } from '../../src/util/bytes.js';
import type { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';

/** Plaintexts that a peer has sent, to splice from. */
const MAX_KEPT = 40;
/** Of these an IKEv1 HASH payload may be the last. */
const MAX_HASHED = 12;
/** The header that every payload of both versions begins with. */
const GENERIC_HEADER = 4;

interface Hashed {
  readonly prf: number;
  readonly key: Uint8Array;
  readonly data: Uint8Array;
  readonly hash: Uint8Array;
}

/**
 * The toy backend of a peer that is authentic and malicious: what it encrypts is mutated before, in place, as are
 * the octets that an IKEv1 HASH payload covers, whose hash is then made right again (RFC 2409 §5.5, §5.7).
 */
export class AuthenticMutations {
  /** Of 100 messages so many are changed. */
  share = 0;
  mutated = 0;
  readonly #random: SeededRandom;
  readonly #toy = createToyBackend();
  readonly #kept: Uint8Array[] = [];
  readonly #hashed: Hashed[] = [];

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  backend(): CryptoBackend {
    const toy = this.#toy;
    return {
      name: 'malicious',
      supports: (need) => toy.supports(need),
      hash: (name, ...chunks) => toy.hash(name, ...chunks),
      integrity: (id) => toy.integrity(id),
      dh: (id) => toy.dh(id),
      keyExchange: (id) => toy.keyExchange(id),
      prf: (id) => {
        const prf = toy.prf(id);
        return {
          ...prf,
          compute: (key, ...chunks) => {
            const hash = prf.compute(key, ...chunks);
            this.#hashed.push({ prf: id, key: key.slice(), data: concat(...chunks), hash });
            if (this.#hashed.length > MAX_HASHED) this.#hashed.shift();
            return hash;
          },
        };
      },
      cipher: (id, keyBits) => {
        const cipher = toy.cipher(id, keyBits);
        return cipher.aead
          ? { ...cipher, seal: (key, nonce, aad, text) => cipher.seal(key, nonce, aad, this.#changed(text)) }
          : { ...cipher, encrypt: (key, iv, text) => cipher.encrypt(key, iv, this.#changed(text)) };
      },
    };
  }

  #changed(plaintext: Uint8Array): Uint8Array {
    const out = Uint8Array.from(plaintext);
    this.#kept.push(Uint8Array.from(plaintext));
    if (this.#kept.length > MAX_KEPT) this.#kept.shift();
    if (this.#random.below(100) >= this.share || out.length === 0) return out;
    this.mutated++;
    const hashed = this.#hashOf(plaintext);
    if (hashed === undefined) {
      this.#mutate(out);
      return out;
    }
    const start = GENERIC_HEADER + hashed.hash.length;
    const covered = commonEnd(hashed.data, out.subarray(start));
    const before = hashed.data.subarray(0, hashed.data.length - covered);
    const inside = out.subarray(start, start + covered);
    if (inside.length > 0) this.#mutate(inside);
    out.set(this.#toy.prf(hashed.prf).compute(hashed.key, before, inside), GENERIC_HEADER);
    return out;
  }

  /** What the HASH payload that the plaintext begins with was computed over, when it begins with one. */
  #hashOf(plaintext: Uint8Array): Hashed | undefined {
    return this.#hashed.find(({ hash }) =>
      equalBytes(plaintext.subarray(GENERIC_HEADER, GENERIC_HEADER + hash.length), hash),
    );
  }

  /** The length stays. */
  #mutate(octets: Uint8Array): void {
    const random = this.#random;
    for (let n = 1 + random.below(3); n > 0; n--) {
      const at = random.below(octets.length);
      const rest = octets.subarray(at);
      switch (random.below(7)) {
        case 0:
          octets[at] = random.below(256);
          break;
        case 1:
          octets[at]! ^= 1 << random.below(8);
          break;
        case 2:
          // Numbers that lengths and counts are tried with.
          octets[at] = [0, 1, 4, 8, 0x7f, 0x80, 0xff][random.below(7)]!;
          break;
        case 3:
          rest.copyWithin(0, Math.min(rest.length, 1 + random.below(16)));
          break;
        case 4:
          rest.copyWithin(Math.min(rest.length, 1 + random.below(16)), 0);
          break;
        case 5: {
          const other = this.#kept[random.below(this.#kept.length)]!;
          rest.set(other.subarray(random.below(other.length)).subarray(0, rest.length));
          break;
        }
        default:
          rest.set(random.bytes(Math.min(rest.length, 1 + random.below(32))));
      }
    }
  }
}

/** How many octets at the end of the first are somewhere at the beginning of the second: the covered payloads. */
function commonEnd(data: Uint8Array, rest: Uint8Array): number {
  for (let length = Math.min(data.length, rest.length); length > 0; length--) {
    if (equalBytes(data.subarray(data.length - length), rest.subarray(0, length))) return length;
  }
  return 0;
}
