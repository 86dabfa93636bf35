import { readU32 } from '../util/bytes.js';

/** SPI and sequence number (RFC 4303 §2). */
export const ESP_HEADER_LENGTH = 8;

/** SPIs 1 to 255 are reserved by IANA, 0 is never sent (RFC 4303 §2.1). */
export const FIRST_ESP_SPI = 256;

/** Octets of the marker in front of an IKE message on port 4500 (RFC 3948 §2.2). */
export const NON_ESP_MARKER_LENGTH = 4;

/** Four zero octets where ESP has its SPI: an IKE message follows (RFC 3948 §2.2). Do not change it. */
export const NON_ESP_MARKER: Uint8Array = new Uint8Array(NON_ESP_MARKER_LENGTH);

/** The octet of a NAT keepalive datagram (RFC 3948 §2.3). */
export const NAT_KEEPALIVE_OCTET = 0xff;

/** What a datagram on port 4500 is; `runt` is too short to be anything and is dropped. */
export type Port4500Kind = 'ike' | 'esp' | 'keepalive' | 'runt';

/**
 * Sorts a datagram received on port 4500 (RFC 3948 §2). IKE follows the marker at octet 4. An ESP datagram
 * may still carry a reserved SPI: looking up the SA refuses it.
 */
export function classifyPort4500(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Port4500Kind {
  if (length === 1 && bytes[offset] === NAT_KEEPALIVE_OCTET) return 'keepalive';
  if (length < NON_ESP_MARKER_LENGTH) return 'runt';
  const marker = bytes[offset]! | bytes[offset + 1]! | bytes[offset + 2]! | bytes[offset + 3]!;
  if (marker === 0) return 'ike';
  return length < ESP_HEADER_LENGTH ? 'runt' : 'esp';
}

/** A datagram of one octet that keeps a NAT mapping alive. */
export function natKeepalive(): Uint8Array {
  return Uint8Array.of(NAT_KEEPALIVE_OCTET);
}

/** An IKE message as it is sent on port 4500, the marker in front. */
export function withNonEspMarker(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(NON_ESP_MARKER_LENGTH + message.length);
  out.set(message, NON_ESP_MARKER_LENGTH);
  return out;
}

/** SPI and the 32 bits of the sequence number that are sent. */
export interface EspHeader {
  readonly spi: number;
  readonly sequence: number;
}

/** The header of an ESP packet; undefined when fewer than 8 octets are there. */
export function readEspHeader(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): EspHeader | undefined {
  if (length < ESP_HEADER_LENGTH || offset + length > bytes.length) return undefined;
  return { spi: readU32(bytes, offset), sequence: readU32(bytes, offset + 4) };
}
