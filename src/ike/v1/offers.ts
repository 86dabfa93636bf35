import { equalConstantTime } from '../../crypto/compare.js';
import type { CryptoBackend } from '../../crypto/types.js';
import { concat, copyOf, readU16, writeU16 } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { Millis } from '../../util/units.js';
import { CookieJar, type CookieSubject } from '../admission/cookies.js';
import type { DatagramInput } from '../inputs.js';

/** Different offers that are remembered, and how many of them for good. */
const MAX_OFFERS = 512;
const MAX_KEPT = 256;
/** Octets of the longest message 1 that is remembered. */
const MAX_OFFER = 2048;
const BOTH_COOKIES = 16;
/** Responder cookie: slot (2) | version of the secret (1) | MAC (5). */
const SLOT_LENGTH = 2;
const COOKIE_LENGTH = 8;

/**
 * Answers to message 1 of main mode that leave no SA behind, for times when many come. Version 1 has no cookie
 * exchange like IKE_SA_INIT, but a responder cookie may be made of a secret and of what it is given for (RFC 2408
 * §2.5.3), and message 3 brings it back: that proves the source address. What message 3 does not bring back is
 * the offer of message 1, which the hashes cover. Peers send the same offer again and again, with another cookie
 * each time: so only different offers are remembered, a bounded number, the least used one is forgotten first,
 * and those of peers that have authenticated are kept.
 */
export class OfferMemory {
  readonly #jar: CookieJar;
  /** Slots by the octets of the offer, the least used first. */
  readonly #slots = new Map<string, number>();
  readonly #offers: Uint8Array[] = [];
  /** Offers that are kept, by connection. */
  readonly #kept = new Map<string, string>();

  constructor(crypto: CryptoBackend, random: Random, secretLife: Millis) {
    this.#jar = new CookieJar(crypto, random, secretLife);
  }

  /** Offers that are remembered. */
  get size(): number {
    return this.#slots.size;
  }

  /** Remembers the offer of a message 1 and makes the responder cookie for it; undefined when it is too long. */
  answer(datagram: DatagramInput, now: Millis): Uint8Array | undefined {
    const offer = offerIn(datagram.bytes);
    if (offer.length > MAX_OFFER) return undefined;
    const slot = this.#remember(offer);
    const head = new Uint8Array(SLOT_LENGTH);
    writeU16(head, 0, slot);
    const mac = this.#jar.issue(subjectOf(datagram, offer), now);
    return concat(head, mac.subarray(0, COOKIE_LENGTH - SLOT_LENGTH));
  }

  /** The message 1, with cookies of zero, that a responder cookie in message 3 was made for. */
  recall(datagram: DatagramInput, responderCookie: Uint8Array, now: Millis): Uint8Array | undefined {
    const offer = this.#offers[readU16(responderCookie, 0)];
    const version = responderCookie[SLOT_LENGTH] ?? 0;
    if (offer === undefined) return undefined;
    const mac = this.#jar.reissue(version, subjectOf(datagram, offer), now);
    const expected = mac?.subarray(0, COOKIE_LENGTH - SLOT_LENGTH);
    if (expected === undefined) return undefined;
    return equalConstantTime(expected, responderCookie.subarray(SLOT_LENGTH)) ? offer : undefined;
  }

  /** The peer of this connection has authenticated itself and began with this offer: its next one is known. */
  keep(connection: ConnectionId, messageOne: Uint8Array): void {
    const offer = offerIn(messageOne);
    if (offer.length > MAX_OFFER) return;
    const name = nameOf(offer);
    if (!this.#kept.has(connection) && this.#kept.size >= MAX_KEPT) return;
    this.#kept.set(connection, name);
    this.#remember(offer);
  }

  #remember(offer: Uint8Array): number {
    const name = nameOf(offer);
    const known = this.#slots.get(name);
    const slot = known ?? this.#freeSlot();
    // The map is kept in the order of use.
    this.#slots.delete(name);
    this.#slots.set(name, slot);
    if (known === undefined) this.#offers[slot] = offer;
    return slot;
  }

  #freeSlot(): number {
    if (this.#slots.size < MAX_OFFERS) return this.#slots.size;
    const kept = new Set(this.#kept.values());
    for (const [name, slot] of this.#slots) {
      if (kept.has(name)) continue;
      this.#slots.delete(name);
      return slot;
    }
    throw new Error('every offer is kept');
  }
}

/** A message 1 without its cookies, the only part that differs from one time to the next. */
function offerIn(messageOne: Uint8Array): Uint8Array {
  return copyOf(messageOne).fill(0, 0, BOTH_COOKIES);
}

function nameOf(offer: Uint8Array): string {
  return String.fromCharCode(...offer);
}

function subjectOf({ local, remote, bytes }: DatagramInput, offer: Uint8Array): CookieSubject {
  return {
    nonce: offer,
    sourceAddress: `${remote.address} ${local.address}`,
    initiatorSpi: bytes.subarray(0, 8),
  };
}
