import { encryptionTransform, espKeyLengths, integrityTransform } from '../crypto/transforms.js';
import type { EspSuite } from '../crypto/types.js';
import { ESP_HEADER_LENGTH } from '../wire/esp.js';
import { IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH } from '../wire/ip.js';
import { UDP_HEADER_LENGTH } from '../wire/udp.js';
import type { EspForm } from './params.js';

/**
 * An ESP packet (RFC 4303 §2), offsets in octets:
 *
 *     0  SPI (4)   4  sequence number (4)   8  IV (ivLength)   8 + ivLength  ciphertext   end - icvLength  ICV
 *
 * The ciphertext contains the inner packet, padding, pad length (1) and next header (1). All lengths in octets.
 */
export interface EspLayout {
  readonly aead: boolean;
  /** The cipher key without the salt. */
  readonly keyLength: number;
  /** After the cipher key in the key material (RFC 4106 §8.1, RFC 7634 §4); 0 with CBC. */
  readonly saltLength: number;
  readonly integrityKeyLength: number;
  readonly ivLength: number;
  readonly icvLength: number;
  /** The ciphertext is a multiple of this: the larger of 4 and the cipher's block (RFC 4303 §2.4). */
  readonly alignment: number;
  /** Where the ciphertext begins. */
  readonly bodyOffset: number;
  /** An authentic packet is never shorter: header, IV, one aligned unit of ciphertext and ICV. */
  readonly minimumLength: number;
}

/** Where the sequence number is. */
export const SEQUENCE_OFFSET = 4;
/**
 * With 32-bit sequence numbers the AAD is SPI and sequence number as sent, the first 8 octets of the packet
 * (RFC 4106 §5, RFC 7634 §2.1). A MAC covers all in front of the ICV (RFC 4303 §2.8).
 */
export const AAD_LENGTH = ESP_HEADER_LENGTH;
/** Pad length and next header. */
export const ESP_TRAILER_LENGTH = 2;

/**
 * The layout of packets under this suite.
 * @throws RangeError for a transform that Culvert does not have, or for extended sequence numbers
 */
export function espLayout(suite: EspSuite): EspLayout {
  if (suite.esn) throw new RangeError('extended sequence numbers are not supported: negotiate ESN "no"');
  const keys = espKeyLengths(suite);
  const cipher = encryptionTransform(suite.encryption);
  const icvLength = cipher.aead ? cipher.icvLength : integrityTransform(suite.integrity).icvLength;
  const alignment = Math.max(4, cipher.blockLength);
  const bodyOffset = ESP_HEADER_LENGTH + cipher.ivLength;
  return {
    aead: cipher.aead,
    keyLength: cipher.keyLength,
    saltLength: cipher.saltLength,
    integrityKeyLength: keys.integrity,
    ivLength: cipher.ivLength,
    icvLength,
    alignment,
    bodyOffset,
    minimumLength: bodyOffset + alignment + icvLength,
  };
}

/** Octets of padding (0 to alignment - 1) after an inner packet of `innerLength` octets. */
export function padLength(layout: EspLayout, innerLength: number): number {
  // The alignment is a power of two for every cipher here.
  return -(innerLength + ESP_TRAILER_LENGTH) & (layout.alignment - 1);
}

/** Octets of the whole ESP packet, from SPI to ICV, around an inner packet of `innerLength` octets. */
export function espLength(layout: EspLayout, innerLength: number): number {
  const body = innerLength + padLength(layout, innerLength) + ESP_TRAILER_LENGTH;
  return layout.bodyOffset + body + layout.icvLength;
}

/**
 * The longest inner packet whose ESP packet fits a path, 0 when none does.
 * @param pathMtu octets of the whole outer IP packet
 * @param family of the outer header, which carries no options
 */
export function innerMtu(suite: EspSuite, pathMtu: number, family: 4 | 6, encapsulation: EspForm): number {
  const layout = espLayout(suite);
  const outer =
    (family === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH) +
    (encapsulation === 'udp' ? UDP_HEADER_LENGTH : 0);
  const room = pathMtu - outer - layout.bodyOffset - layout.icvLength;
  return Math.max(0, room - (room % layout.alignment) - ESP_TRAILER_LENGTH);
}
