/**
 * Keys and hashes of IKEv1 with a pre-shared key (RFC 2409 §5, §5.5, appendix B). The negotiated hash is used
 * as HMAC for the prf, and plain for initialization vectors.
 */
import { SecretKey } from '../util/secret.js';
import type { NoncePair } from './keymat.js';
import { espKeyLengths } from './transforms.js';
import type { EspKeys, EspSuite, PrfFunction } from './types.js';

/** The cookies of an ISAKMP SA, 8 octets each. */
export interface CookiePair {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/** The keys of an ISAKMP SA. */
export interface V1Keys {
  /** For HASH_I and HASH_R only. */
  readonly skeyid: SecretKey;
  /** For the keys of ESP SAs. */
  readonly skeyidD: SecretKey;
  /** For the hashes of phase 2 and informational exchanges. */
  readonly skeyidA: SecretKey;
  /** The cipher key, made from SKEYID_e. */
  readonly encryption: SecretKey;
}

/** SKEYID = prf(pre-shared-key, Ni_b | Nr_b), RFC 2409 §5. */
export function deriveSkeyidFromPsk(prf: PrfFunction, psk: SecretKey, nonces: NoncePair): SecretKey {
  return new SecretKey(prf.compute(psk.expose(), nonces.initiator, nonces.responder));
}

/** SKEYID_d, _a and _e, each of the length of the prf's output. */
export interface SkeyidSet {
  readonly d: SecretKey;
  readonly a: SecretKey;
  readonly e: SecretKey;
}

/**
 * SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0), then each of the others from the one before it:
 * prf(SKEYID, previous | g^xy | CKY-I | CKY-R | n), RFC 2409 §5.
 */
export function deriveSkeyids(
  prf: PrfFunction,
  skeyid: SecretKey,
  shared: SecretKey,
  cookies: CookiePair,
): SkeyidSet {
  const next = (n: number, ...previous: Uint8Array[]): Uint8Array =>
    prf.compute(
      skeyid.expose(),
      ...previous,
      shared.expose(),
      cookies.initiator,
      cookies.responder,
      Uint8Array.of(n),
    );
  const d = next(0);
  const a = next(1, d);
  return { d: new SecretKey(d), a: new SecretKey(a), e: new SecretKey(next(2, a)) };
}

/**
 * The cipher key: the front of SKEYID_e, or when that is too short the front of K1 | K2 | ... with
 * K1 = prf(SKEYID_e, 0), Kn = prf(SKEYID_e, Kn-1), RFC 2409 appendix B. Weak DES keys are not looked for:
 * none is met by chance.
 */
export function expandCipherKey(prf: PrfFunction, skeyidE: SecretKey, length: number): SecretKey {
  if (skeyidE.length >= length) return new SecretKey(skeyidE.expose().slice(0, length));
  return new SecretKey(
    chain(length, prf.compute(skeyidE.expose(), Uint8Array.of(0)), (previous) => {
      return prf.compute(skeyidE.expose(), previous);
    }),
  );
}

/** All keys of an ISAKMP SA that authenticates by pre-shared key. `shared` and `psk` stay the caller's. */
export function deriveV1Keys(
  prf: PrfFunction,
  psk: SecretKey,
  shared: SecretKey,
  nonces: NoncePair,
  cookies: CookiePair,
  cipherKeyLength: number,
): V1Keys {
  const skeyid = deriveSkeyidFromPsk(prf, psk, nonces);
  const { d, a, e } = deriveSkeyids(prf, skeyid, shared, cookies);
  const encryption = expandCipherKey(prf, e, cipherKeyLength);
  e.wipe();
  return { skeyid, skeyidD: d, skeyidA: a, encryption };
}

/** What both ends of main mode sign. Bodies are payloads without their generic header (RFC 2409 §3.2). */
export interface MainModeTranscript {
  readonly initiatorPublic: Uint8Array;
  readonly responderPublic: Uint8Array;
  readonly cookies: CookiePair;
  /** The initiator's SA payload as it was sent, all proposals included. */
  readonly saBody: Uint8Array;
}

/** HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b), RFC 2409 §5. */
export function hashI(
  prf: PrfFunction,
  skeyid: SecretKey,
  seen: MainModeTranscript,
  idBody: Uint8Array,
): Uint8Array {
  const { initiatorPublic, responderPublic, cookies, saBody } = seen;
  return prf.compute(
    skeyid.expose(),
    initiatorPublic,
    responderPublic,
    cookies.initiator,
    cookies.responder,
    saBody,
    idBody,
  );
}

/** HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b), RFC 2409 §5. */
export function hashR(
  prf: PrfFunction,
  skeyid: SecretKey,
  seen: MainModeTranscript,
  idBody: Uint8Array,
): Uint8Array {
  const { initiatorPublic, responderPublic, cookies, saBody } = seen;
  return prf.compute(
    skeyid.expose(),
    responderPublic,
    initiatorPublic,
    cookies.responder,
    cookies.initiator,
    saBody,
    idBody,
  );
}

/**
 * HASH(1) of quick mode and of informational exchanges: prf(SKEYID_a, M-ID | payloads), where `payloads` are
 * all octets after the HASH payload, generic headers included, without padding (RFC 2409 §5.5, §5.7).
 */
export function hash1(
  prf: PrfFunction,
  skeyidA: SecretKey,
  messageId: number,
  payloads: Uint8Array,
): Uint8Array {
  return prf.compute(skeyidA.expose(), u32(messageId), payloads);
}

/** HASH(2) = prf(SKEYID_a, M-ID | Ni_b | payloads), RFC 2409 §5.5. */
export function hash2(
  prf: PrfFunction,
  skeyidA: SecretKey,
  messageId: number,
  initiatorNonce: Uint8Array,
  payloads: Uint8Array,
): Uint8Array {
  return prf.compute(skeyidA.expose(), u32(messageId), initiatorNonce, payloads);
}

/** HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b), RFC 2409 §5.5. */
export function hash3(
  prf: PrfFunction,
  skeyidA: SecretKey,
  messageId: number,
  nonces: NoncePair,
): Uint8Array {
  return prf.compute(skeyidA.expose(), Uint8Array.of(0), u32(messageId), nonces.initiator, nonces.responder);
}

/**
 * KEYMAT of one direction: K1 = prf(SKEYID_d, [g^xy |] protocol | SPI | Ni_b | Nr_b), Kn = prf(SKEYID_d,
 * Kn-1 | [g^xy |] protocol | SPI | Ni_b | Nr_b), RFC 2409 §5.5. `spi` is the one chosen by the receiver of
 * that direction; `shared` is there with PFS. The caller owns the result.
 */
export function quickModeKeymat(
  prf: PrfFunction,
  skeyidD: SecretKey,
  sa: { readonly protocol: number; readonly spi: Uint8Array },
  nonces: NoncePair,
  length: number,
  shared?: SecretKey,
): Uint8Array {
  const secret = shared === undefined ? [] : [shared.expose()];
  const seed = [...secret, Uint8Array.of(sa.protocol), sa.spi, nonces.initiator, nonces.responder];
  return chain(length, prf.compute(skeyidD.expose(), ...seed), (previous) =>
    prf.compute(skeyidD.expose(), previous, ...seed),
  );
}

/** IPsec DOI protocol number of ESP (RFC 2407 §4.4.1). */
const PROTOCOL_ESP = 3;

/**
 * The ESP keys of one direction, encryption before integrity (RFC 2409 §5.5, RFC 2407 §4.5).
 * @throws RangeError for a suite with a transform Culvert does not have
 */
export function deriveV1EspKeys(
  prf: PrfFunction,
  skeyidD: SecretKey,
  suite: EspSuite,
  spi: Uint8Array,
  nonces: NoncePair,
  shared?: SecretKey,
): EspKeys {
  const lengths = espKeyLengths(suite);
  const sa = { protocol: PROTOCOL_ESP, spi };
  const material = quickModeKeymat(prf, skeyidD, sa, nonces, lengths.encryption + lengths.integrity, shared);
  const encryption = new SecretKey(material.slice(0, lengths.encryption));
  const keys: EspKeys =
    lengths.integrity === 0
      ? { encryption }
      : { encryption, integrity: new SecretKey(material.slice(lengths.encryption)) };
  material.fill(0);
  return keys;
}

/** `first`, then blocks each made from the one before, cut to `length`. Wipes what it does not return. */
function chain(length: number, first: Uint8Array, next: (previous: Uint8Array) => Uint8Array): Uint8Array {
  const out = new Uint8Array(length);
  let block = first;
  for (let at = 0; ; ) {
    out.set(block.subarray(0, length - at), at);
    at += block.length;
    const done = at >= length;
    const following = done ? undefined : next(block);
    block.fill(0);
    if (following === undefined) return out;
    block = following;
  }
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}
