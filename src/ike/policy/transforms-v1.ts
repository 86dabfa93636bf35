import { findDh, findEncryption, findIntegrity } from '../../crypto/transforms.js';
import type { CipherId, EspSuite, IkeSuite } from '../../crypto/types.js';
import type { Proposal, TransformAttribute } from '../../wire/ike/payloads.js';
import { Dh, Encr, Integ, Prf, ProtocolId, TransformType } from '../../wire/ike/registry.js';
import type { V1Transform } from '../../wire/ike/v1/payloads.js';
import {
  KEY_IKE,
  V1AuthMethod,
  V1Cipher,
  V1EspTransform,
  V1Hash,
  V1IkeAttribute,
  V1IpsecAttribute,
  V1IpsecAuth,
  V1LifeType,
  V1Mode,
} from '../../wire/ike/v1/registry.js';
import { attributeNumber } from '../../wire/ike/v1/sa.js';
import { isAead } from './transform-set.js';

/** Precedes numbers of version 1 that version 2 has none for, so that they match nothing of ours. */
const FOREIGN = 0xf000;

/** The hashes of phase 1 with what they are in version 2: integrity algorithm and PRF. */
export const V1_HASHES = [
  { v1: V1Hash.SHA2_512, integrity: Integ.HMAC_SHA2_512_256, prf: Prf.HMAC_SHA2_512 },
  { v1: V1Hash.SHA2_384, integrity: Integ.HMAC_SHA2_384_192, prf: Prf.HMAC_SHA2_384 },
  { v1: V1Hash.SHA2_256, integrity: Integ.HMAC_SHA2_256_128, prf: Prf.HMAC_SHA2_256 },
  { v1: V1Hash.SHA1, integrity: Integ.HMAC_SHA1_96, prf: Prf.HMAC_SHA1 },
  { v1: V1Hash.MD5, integrity: Integ.HMAC_MD5_96, prf: Prf.HMAC_MD5 },
] as const;

const CIPHERS: readonly (readonly [v1: number, v2: number])[] = [
  [V1Cipher.AES_CBC, Encr.AES_CBC],
  [V1Cipher.TRIPLE_DES_CBC, Encr.TRIPLE_DES],
  [V1Cipher.DES_CBC, Encr.DES],
  [V1Cipher.CAMELLIA_CBC, Encr.CAMELLIA_CBC],
];

/** ESP's transform ids are those of version 2 but for these; RFC 4868 §2.7: SHA-2 truncated as in version 2. */
const ESP_AUTH: readonly (readonly [v1: number, v2: number])[] = [
  [V1IpsecAuth.HMAC_SHA2_512, Integ.HMAC_SHA2_512_256],
  [V1IpsecAuth.HMAC_SHA2_384, Integ.HMAC_SHA2_384_192],
  [V1IpsecAuth.HMAC_SHA2_256, Integ.HMAC_SHA2_256_128],
  [V1IpsecAuth.HMAC_SHA1, Integ.HMAC_SHA1_96],
  [V1IpsecAuth.HMAC_MD5, Integ.HMAC_MD5_96],
  [V1IpsecAuth.AES_XCBC_MAC, Integ.AES_XCBC_96],
];

const ESP_CIPHERS: readonly (readonly [v1: number, v2: number])[] = [
  [V1EspTransform.AES_CBC, Encr.AES_CBC],
  [V1EspTransform.AES_GCM_16, Encr.AES_GCM_16],
  [V1EspTransform.AES_GCM_12, Encr.AES_GCM_12],
  [V1EspTransform.AES_GCM_8, Encr.AES_GCM_8],
  [V1EspTransform.TRIPLE_DES, Encr.TRIPLE_DES],
  [V1EspTransform.DES, Encr.DES],
  [V1EspTransform.NULL, Encr.NULL],
  [V1EspTransform.AES_CTR, Encr.AES_CTR],
];

/** The phase 1 number of a cipher; undefined for those that only version 2 has. */
export function cipherOf(cipher: CipherId): number | undefined {
  return CIPHERS.find(([, v2]) => v2 === cipher.id)?.[0];
}

/** The ESP transform id of a cipher; undefined for those that only version 2 has (ChaCha20-Poly1305). */
export function espTransformOf(cipher: CipherId): number | undefined {
  return ESP_CIPHERS.find(([, v2]) => v2 === cipher.id)?.[0];
}

interface Lifetimes {
  readonly seconds?: number;
  readonly kilobytes?: number;
}

/** A phase 1 transform in the numbers of version 2. */
export interface IkeTerms {
  readonly cipher: CipherId;
  readonly integrity: number;
  readonly group: number;
  readonly method: number;
  readonly psk: boolean;
  readonly lifetimes: Lifetimes;
  /** Absent when Culvert lacks a part, or the transform has an attribute that changes its meaning. */
  readonly suite: IkeSuite | undefined;
}

/** A phase 2 transform in the numbers of version 2. */
export interface EspTerms {
  readonly cipher: CipherId;
  readonly integrity: number;
  readonly group: number;
  readonly mode: number;
  readonly esn: boolean;
  readonly lifetimes: Lifetimes;
  readonly suite: EspSuite | undefined;
}

/** Attributes of one of our phase 1 transforms, in the order peers usually send them. */
export function ikeAttributes(
  choice: { readonly cipher: CipherId; readonly hash: number; readonly group: number },
  seconds: number,
): TransformAttribute[] {
  const { cipher, hash, group } = choice;
  return [
    { type: V1IkeAttribute.ENCRYPTION, value: cipherOf(cipher)! },
    ...(cipher.keyBits === 0 ? [] : [{ type: V1IkeAttribute.KEY_LENGTH, value: cipher.keyBits }]),
    { type: V1IkeAttribute.HASH, value: V1_HASHES.find((one) => one.integrity === hash)!.v1 },
    { type: V1IkeAttribute.GROUP, value: group },
    { type: V1IkeAttribute.AUTH_METHOD, value: V1AuthMethod.PSK },
    { type: V1IkeAttribute.LIFE_TYPE, value: V1LifeType.SECONDS },
    { type: V1IkeAttribute.LIFE_DURATION, value: duration(seconds) },
  ];
}

/** Attributes of one of our phase 2 transforms; undefined when version 1 has no number for the algorithm. */
export function espAttributes(
  choice: { readonly cipher: CipherId; readonly integrity: number; readonly group: number },
  offer: { readonly mode: number; readonly seconds: number },
): TransformAttribute[] | undefined {
  const { cipher, integrity, group } = choice;
  const auth = ESP_AUTH.find(([, v2]) => v2 === integrity)?.[0];
  if (integrity !== Integ.NONE && auth === undefined) return undefined;
  return [
    ...(group === Dh.NONE ? [] : [{ type: V1IpsecAttribute.GROUP, value: group }]),
    ...(cipher.keyBits === 0 ? [] : [{ type: V1IpsecAttribute.KEY_LENGTH, value: cipher.keyBits }]),
    ...(auth === undefined ? [] : [{ type: V1IpsecAttribute.AUTH, value: auth }]),
    { type: V1IpsecAttribute.MODE, value: offer.mode },
    { type: V1IpsecAttribute.LIFE_TYPE, value: V1LifeType.SECONDS },
    { type: V1IpsecAttribute.LIFE_DURATION, value: duration(offer.seconds) },
  ];
}

/** Lifetimes that two octets cannot express are in the long form (RFC 2407 §4.5). */
export function duration(seconds: number): number | Uint8Array {
  if (seconds <= 0xffff) return seconds;
  return Uint8Array.of(
    (seconds >>> 24) & 0xff,
    (seconds >>> 16) & 0xff,
    (seconds >>> 8) & 0xff,
    seconds & 0xff,
  );
}

/** UDP-encapsulated or not, of RFC 3947 or of its drafts: all mean tunnel mode. */
export function isTunnel(mode: number): boolean {
  return mode === V1Mode.TUNNEL || isUdpTunnel(mode);
}

/** Returns whether the encapsulation mode is tunnel in UDP, by RFC 3947 §5.1 or as the drafts before it number it. */
export function isUdpTunnel(mode: number): boolean {
  return mode === V1Mode.UDP_TUNNEL || mode === V1Mode.UDP_TUNNEL_DRAFT;
}

/** Reads a phase 1 transform (RFC 2409 appendix A). */
export function readIkeTerms(transform: V1Transform): IkeTerms {
  const get = reader(transform.attributes);
  const hash = get(V1IkeAttribute.HASH) ?? 0;
  const known = V1_HASHES.find((one) => one.v1 === hash);
  const cipherNumber = get(V1IkeAttribute.ENCRYPTION) ?? 0;
  const cipher = cipherWith(
    CIPHERS.find(([v1]) => v1 === cipherNumber)?.[1] ?? FOREIGN + cipherNumber,
    get(V1IkeAttribute.KEY_LENGTH),
  );
  const group = get(V1IkeAttribute.GROUP) ?? 0;
  const method = get(V1IkeAttribute.AUTH_METHOD) ?? 0;
  const terms = {
    cipher,
    integrity: known?.integrity ?? FOREIGN + hash,
    group,
    method,
    psk: method === V1AuthMethod.PSK,
    lifetimes: lifetimesOf(transform.attributes, V1IkeAttribute.LIFE_TYPE, V1IkeAttribute.LIFE_DURATION),
  };
  // A group described by its numbers (new group mode), or a PRF of its own, is another offer than it seems.
  const plain =
    transform.id === KEY_IKE &&
    isOnce(transform.attributes, new Set([V1IkeAttribute.LIFE_TYPE, V1IkeAttribute.LIFE_DURATION])) &&
    ![V1IkeAttribute.GROUP_PRIME, V1IkeAttribute.GROUP_CURVE_A, V1IkeAttribute.PRF].some(
      (type) => get(type) !== undefined || transform.attributes.some((one) => one.type === type),
    );
  const suite: IkeSuite | undefined =
    plain && known !== undefined && isCbc(cipher) && findDh(group) !== undefined
      ? { encryption: cipher, integrity: known.integrity, prf: known.prf, dh: group }
      : undefined;
  return { ...terms, suite };
}

/** Reads a phase 2 transform of ESP (RFC 2407 §4.5). Without a mode tunnel mode is taken to be meant. */
export function readEspTerms(transform: V1Transform): EspTerms {
  const { attributes } = transform;
  const get = reader(attributes);
  const cipher = cipherWith(
    ESP_CIPHERS.find(([v1]) => v1 === transform.id)?.[1] ?? FOREIGN + transform.id,
    get(V1IpsecAttribute.KEY_LENGTH),
  );
  const auth = get(V1IpsecAttribute.AUTH);
  const aead = isAead(cipher.id);
  // RFC 4106 §8.3: an AEAD cipher comes without an authentication algorithm.
  const integrity =
    auth === undefined ? Integ.NONE : (ESP_AUTH.find(([v1]) => v1 === auth)?.[1] ?? FOREIGN + auth);
  const group = get(V1IpsecAttribute.GROUP) ?? Dh.NONE;
  const esn = get(V1IpsecAttribute.EXTENDED_SEQUENCE) === 1;
  const terms = {
    cipher,
    integrity,
    group,
    mode: get(V1IpsecAttribute.MODE) ?? V1Mode.TUNNEL,
    esn,
    lifetimes: lifetimesOf(attributes, V1IpsecAttribute.LIFE_TYPE, V1IpsecAttribute.LIFE_DURATION),
  };
  const plain = isOnce(attributes, new Set([V1IpsecAttribute.LIFE_TYPE, V1IpsecAttribute.LIFE_DURATION]));
  const found = findEncryption(cipher.id, cipher.keyBits);
  const whole =
    plain &&
    !esn &&
    found !== undefined &&
    (aead ? integrity === Integ.NONE : findIntegrity(integrity) !== undefined) &&
    (group === Dh.NONE || findDh(group) !== undefined);
  return { ...terms, suite: whole ? { encryption: cipher, integrity, dh: group, esn: false } : undefined };
}

/** RFC 3602 §5.1, §5.3 want a key length for AES. Some peers leave it out and mean the shortest. */
function cipherWith(id: number, keyBits: number | undefined): CipherId {
  return { id, keyBits: keyBits ?? (id === Encr.AES_CBC ? 128 : 0) };
}

/** Whether a transform of phase 1 or of ESP in phase 2 names AES without a key length. */
export function lacksKeyLength(transform: V1Transform, phase: 1 | 2): boolean {
  const type = phase === 1 ? V1IkeAttribute.KEY_LENGTH : V1IpsecAttribute.KEY_LENGTH;
  const { cipher } = phase === 1 ? readIkeTerms(transform) : readEspTerms(transform);
  return cipher.id === Encr.AES_CBC && !transform.attributes.some((one) => one.type === type);
}

function isCbc(cipher: CipherId): boolean {
  const found = findEncryption(cipher.id, cipher.keyBits);
  return found !== undefined && !found.aead;
}

function reader(attributes: readonly TransformAttribute[]): (type: number) => number | undefined {
  return (type) => {
    const found = attributes.find((one) => one.type === type);
    return found === undefined ? undefined : attributeNumber(found);
  };
}

/** Whether no attribute but those of `free` comes twice: two values would mean nothing certain. */
function isOnce(attributes: readonly TransformAttribute[], free: ReadonlySet<number>): boolean {
  const types = attributes.map(({ type }) => type).filter((type) => !free.has(type));
  return new Set(types).size === types.length;
}

/** Each life type precedes its duration (RFC 2409 appendix A, RFC 2407 §4.5). */
export function lifetimesOf(
  attributes: readonly TransformAttribute[],
  typeAttribute: number,
  durationAttribute: number,
): Lifetimes {
  let unit: number | undefined;
  let seconds: number | undefined;
  let kilobytes: number | undefined;
  for (const attribute of attributes) {
    if (attribute.type === typeAttribute) unit = attributeNumber(attribute);
    if (attribute.type !== durationAttribute) continue;
    const value = attributeNumber(attribute);
    // Zero is sent by peers that mean "no limit".
    if (value === undefined || value === 0) continue;
    if (unit === V1LifeType.SECONDS) seconds = Math.min(seconds ?? value, value);
    if (unit === V1LifeType.KILOBYTES) kilobytes = Math.min(kilobytes ?? value, value);
  }
  return {
    ...(seconds === undefined ? {} : { seconds }),
    ...(kilobytes === undefined ? {} : { kilobytes }),
  };
}

/** A transform of phase 1 in the terms of version 2, so that both versions match and explain alike. */
export function translatedIke({ cipher, integrity, group }: IkeTerms, number: number): Proposal {
  return {
    number,
    protocol: ProtocolId.IKE,
    spi: new Uint8Array(0),
    transforms: [
      {
        type: TransformType.ENCR,
        id: cipher.id,
        ...(cipher.keyBits === 0 ? {} : { keyBits: cipher.keyBits }),
      },
      { type: TransformType.INTEG, id: integrity },
      { type: TransformType.DH, id: group },
    ],
  };
}

/** The same for phase 2. */
export function translatedEsp(terms: EspTerms, number: number, spi: Uint8Array): Proposal {
  const { cipher, integrity, group, esn } = terms;
  return {
    number,
    protocol: ProtocolId.ESP,
    spi,
    transforms: [
      {
        type: TransformType.ENCR,
        id: cipher.id,
        ...(cipher.keyBits === 0 ? {} : { keyBits: cipher.keyBits }),
      },
      ...(integrity === Integ.NONE ? [] : [{ type: TransformType.INTEG, id: integrity }]),
      ...(group === Dh.NONE ? [] : [{ type: TransformType.DH, id: group }]),
      { type: TransformType.ESN, id: esn ? 1 : 0 },
    ],
  };
}
