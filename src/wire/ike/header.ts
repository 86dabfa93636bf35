import { readU32 } from '../../util/bytes.js';
import type { Result } from '../../util/result.js';
import { err, ok } from '../../util/result.js';
import type { WireError } from '../error.js';
import { Reader, WireFault } from '../reader.js';
import type { Writer } from '../writer.js';
import type { IkeHeader } from './payloads.js';

/** Octets of the IKE header, the same in both versions (RFC 7296 §3.1, RFC 2408 §3.1). */
export const IKE_HEADER_LENGTH = 28;

/** Where the next-payload field is in the header. */
export const NEXT_PAYLOAD_OFFSET = 16;

/** Where the length field is in the header. */
export const LENGTH_OFFSET = 24;

/** RFC 7296 §3.1; the bits not named are ignored on receipt and sent as zero. */
const FLAG_INITIATOR = 0x08;
const FLAG_VERSION = 0x10;
const FLAG_RESPONSE = 0x20;

/** The header as received: `nextPayload` is the type of the first payload, `length` the whole message. */
export type DecodedHeader = IkeHeader & { readonly nextPayload: number; readonly length: number };

/**
 * Reads the header of an IKE datagram (without non-ESP marker) of any major version and checks its length
 * field against the datagram. SPIs are views. Errors: `truncated`, `bad_length`, `trailing_octets`.
 */
export function decodeHeader(bytes: Uint8Array): Result<DecodedHeader, WireError> {
  try {
    return ok(readHeader(new Reader(withoutTrailingZeros(bytes), 'IKE header')));
  } catch (fault) {
    if (fault instanceof WireFault) return err(fault.error);
    throw fault;
  }
}

/** Zero octets after a message that are treated as padding (some peers fill up to a multiple of four). */
const MAX_TRAILING_ZEROS = 3;

/** Number of zero octets after the message that are forgiven, by its length field; 0 when there is anything else. */
export function trailingZeros(bytes: Uint8Array): number {
  if (bytes.length <= IKE_HEADER_LENGTH) return 0;
  const length = readU32(bytes, LENGTH_OFFSET);
  const excess = bytes.length - length;
  if (length < IKE_HEADER_LENGTH || excess < 1 || excess > MAX_TRAILING_ZEROS) return 0;
  return bytes.subarray(length).every((octet) => octet === 0) ? excess : 0;
}

/** The message without what `trailingZeros` forgives. */
export function withoutTrailingZeros(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length - trailingZeros(bytes));
}

/** The same on a reader at the start of a datagram. @throws WireFault */
export function readHeader(reader: Reader): DecodedHeader {
  const present = reader.left;
  if (present < IKE_HEADER_LENGTH) {
    reader.fail('truncated', `the header needs ${IKE_HEADER_LENGTH} octets, the datagram has ${present}`);
  }
  const initiatorSpi = reader.take(8, 'initiator SPI');
  const responderSpi = reader.take(8, 'responder SPI');
  const nextPayload = reader.u8('next payload');
  const version = reader.u8('version');
  const exchangeType = reader.u8('exchange type');
  const flags = reader.u8('flags');
  const messageId = reader.u32('message id');
  const lengthOffset = reader.offset;
  const length = reader.u32('length');
  if (length < IKE_HEADER_LENGTH) {
    reader.fail('bad_length', `length field ${length} is less than the header's own`, lengthOffset);
  }
  if (length > present) {
    reader.fail('truncated', `length field ${length}, but the datagram has ${present} octets`, lengthOffset);
  }
  if (length < present) {
    const start = lengthOffset - LENGTH_OFFSET;
    reader.fail('trailing_octets', `length field ${length}, the datagram has ${present}`, start + length);
  }
  return {
    initiatorSpi,
    responderSpi,
    majorVersion: version >>> 4,
    minorVersion: version & 0x0f,
    exchangeType,
    fromInitiator: (flags & FLAG_INITIATOR) !== 0,
    higherVersion: (flags & FLAG_VERSION) !== 0,
    response: (flags & FLAG_RESPONSE) !== 0,
    messageId,
    nextPayload,
    length,
  };
}

/**
 * Writes an IKEv2 header.
 * @throws RangeError when an SPI does not have 8 octets or a number does not fit its field
 */
export function writeHeader(writer: Writer, header: IkeHeader, nextPayload: number, length: number): void {
  writeSpi(writer, header.initiatorSpi);
  writeSpi(writer, header.responderSpi);
  writer.u8(nextPayload);
  writeVersion(writer, header.majorVersion, header.minorVersion);
  writer.u8(header.exchangeType);
  writer.u8(
    (header.fromInitiator ? FLAG_INITIATOR : 0) |
      (header.higherVersion ? FLAG_VERSION : 0) |
      (header.response ? FLAG_RESPONSE : 0),
  );
  writer.u32(header.messageId);
  writer.u32(length);
}

/** @throws RangeError when the SPI does not have 8 octets */
export function writeSpi(writer: Writer, spi: Uint8Array): void {
  if (spi.length !== 8) throw new RangeError(`an IKE SPI has 8 octets, not ${spi.length}`);
  writer.bytes(spi);
}

/** @throws RangeError when one of the two does not fit four bits */
export function writeVersion(writer: Writer, major: number, minor: number): void {
  if (major > 15 || minor > 15) throw new RangeError(`version ${major}.${minor}: each part has four bits`);
  writer.u8(16 * major + minor);
}
