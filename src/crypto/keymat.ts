import { SecretKey } from '../util/secret.js';
import { prfPlus } from './prf-plus.js';
import { espKeyLengths, ikeKeyLengths } from './transforms.js';
import type { EspKeys, EspSuite, IkeSuite, PrfFunction } from './types.js';

/** The keys of an IKE SA (RFC 7296 §2.14). With an AEAD cipher `skAi` and `skAr` are absent (RFC 5282 §3). */
export interface IkeKeys {
  readonly skD: SecretKey;
  readonly skAi?: SecretKey;
  readonly skAr?: SecretKey;
  /** The cipher key, for AEAD followed by the salt. */
  readonly skEi: SecretKey;
  readonly skEr: SecretKey;
  readonly skPi: SecretKey;
  readonly skPr: SecretKey;
}

/** The nonces of the exchange that makes the keys, without payload headers. */
export interface NoncePair {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/** The SPIs of an IKE SA, 8 octets each. */
export interface IkeSpiPair {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/** SKEYSEED = prf(Ni | Nr, g^ir), RFC 7296 §2.14. An HMAC takes a key of any length, so no nonce is cut. */
export function deriveSkeyseed(prf: PrfFunction, nonces: NoncePair, shared: SecretKey): SecretKey {
  const key = new Uint8Array(nonces.initiator.length + nonces.responder.length);
  key.set(nonces.initiator);
  key.set(nonces.responder, nonces.initiator.length);
  return new SecretKey(prf.compute(key, shared.expose()));
}

/**
 * SKEYSEED of an IKE SA that replaces another: prf(SK_d (old), SK(0) (new) | Ni | Nr | SK(1) | ... SK(n)), RFC 7296
 * §2.18 and RFC 9370 §2.2.4. `oldPrf` and `oldSkD` are those of the SA being replaced; the new keys come from it by
 * the PRF of the new suite. `additional` are the secrets of the additional key exchanges, in their order.
 */
export function deriveRekeySkeyseed(
  oldPrf: PrfFunction,
  oldSkD: SecretKey,
  shared: SecretKey,
  nonces: NoncePair,
  additional: readonly SecretKey[] = [],
): SecretKey {
  const more = additional.map((secret) => secret.expose());
  const { initiator, responder } = nonces;
  return new SecretKey(oldPrf.compute(oldSkD.expose(), shared.expose(), initiator, responder, ...more));
}

/**
 * SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr) of an IKE SA that is being negotiated, after its additional key
 * exchange n (RFC 9370 §2.2.2). The nonces are those of IKE_SA_INIT.
 */
export function deriveNextSkeyseed(
  prf: PrfFunction,
  skD: SecretKey,
  shared: SecretKey,
  { initiator, responder }: NoncePair,
): SecretKey {
  return new SecretKey(prf.compute(skD.expose(), shared.expose(), initiator, responder));
}

/**
 * {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr),
 * RFC 7296 §2.14. `skeyseed` stays the caller's to wipe.
 * @throws RangeError for a suite with a transform Culvert does not have
 */
export function deriveIkeKeys(
  prf: PrfFunction,
  suite: IkeSuite,
  skeyseed: SecretKey,
  nonces: NoncePair,
  spis: IkeSpiPair,
): IkeKeys {
  const lengths = ikeKeyLengths(suite);
  const total = 3 * lengths.prf + 2 * lengths.integrity + 2 * lengths.encryption;
  const seed = [nonces.initiator, nonces.responder, spis.initiator, spis.responder];
  const take = splitter(prfPlus(prf, skeyseed.expose(), seed, total));
  const skD = take(lengths.prf);
  const macs =
    lengths.integrity === 0 ? {} : { skAi: take(lengths.integrity), skAr: take(lengths.integrity) };
  const keys: IkeKeys = {
    skD,
    ...macs,
    skEi: take(lengths.encryption),
    skEr: take(lengths.encryption),
    skPi: take(lengths.prf),
    skPr: take(lengths.prf),
  };
  take.done();
  return keys;
}

/** The keys of a child SA by direction, named after the initiator of the exchange that made it. */
export interface ChildKeys {
  readonly initiatorToResponder: EspKeys;
  readonly responderToInitiator: EspKeys;
}

/**
 * KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr [| SK(1) | ... SK(n)]), RFC 7296 §2.17 and RFC 9370 §2.2.4: first all
 * keys of the SA from initiator to responder, in each direction encryption before integrity. `secrets` are there with
 * PFS: that of the group, and those of the additional key exchanges in their order. The nonces are those of
 * IKE_SA_INIT for the first child, else of the CREATE_CHILD_SA exchange; initiator and responder too.
 * @throws RangeError for a suite with a transform Culvert does not have
 */
export function deriveChildKeys(
  prf: PrfFunction,
  skD: SecretKey,
  suite: EspSuite,
  nonces: NoncePair,
  secrets: { readonly shared?: SecretKey | undefined; readonly additional?: readonly SecretKey[] } = {},
): ChildKeys {
  const lengths = espKeyLengths(suite);
  const { shared, additional = [] } = secrets;
  const first = shared === undefined ? [] : [shared.expose()];
  const more = additional.map((secret) => secret.expose());
  const seed = [...first, nonces.initiator, nonces.responder, ...more];
  const take = splitter(prfPlus(prf, skD.expose(), seed, 2 * (lengths.encryption + lengths.integrity)));
  const direction = (): EspKeys => {
    const encryption = take(lengths.encryption);
    return lengths.integrity === 0 ? { encryption } : { encryption, integrity: take(lengths.integrity) };
  };
  const keys = { initiatorToResponder: direction(), responderToInitiator: direction() };
  take.done();
  return keys;
}

/** Cuts copies off the front of `material`; `done` wipes it. */
function splitter(material: Uint8Array): { (length: number): SecretKey; done(): void } {
  let at = 0;
  const take = (length: number): SecretKey => {
    const key = new SecretKey(material.slice(at, at + length));
    at += length;
    return key;
  };
  return Object.assign(take, { done: () => void material.fill(0) });
}
