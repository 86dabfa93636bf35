/**
 * The IKEv1 codec's front door: ISAKMP messages in the IPsec DOI. Decoders never throw on malformed octets;
 * encoders throw RangeError on records that have no wire form.
 */
import type { Result } from '../../../util/result.js';
import { err, ok } from '../../../util/result.js';
import type { WireError } from '../../error.js';
import { Reader, WireFault } from '../../reader.js';
import { Writer } from '../../writer.js';
import {
  IKE_HEADER_LENGTH,
  LENGTH_OFFSET,
  NEXT_PAYLOAD_OFFSET,
  readHeader,
  withoutTrailingZeros,
  writeSpi,
  writeVersion,
} from '../header.js';
import { readV1Chain, writeV1Body, writeV1Chain } from './chain.js';
import type { V1Header, V1Message, V1Payload } from './payloads.js';

const FLAGS_OFFSET = 19;
/** Octets to the next multiple of four. */
const MAX_PADDING = 3;

/** RFC 2408 §3.1. */
const FLAG_ENCRYPTED = 1;
const FLAG_COMMIT = 2;
const FLAG_AUTHENTICATION_ONLY = 4;

/** Decrypted payloads, and how many octets they take: what follows is padding. */
export interface V1Chain {
  readonly payloads: readonly V1Payload[];
  readonly length: number;
}

/**
 * Reads an IKEv1 datagram, without non-ESP marker. An encrypted one has `sealed` and no payloads.
 * `bad_version` for every major version but 1.
 */
export function decodeV1Message(bytes: Uint8Array): Result<V1Message, WireError> {
  return guard(() => {
    const reader = new Reader(withoutTrailingZeros(bytes), 'IKE message');
    const { nextPayload, majorVersion, ...common } = readHeader(reader);
    if (majorVersion !== 1) reader.fail('bad_version', `major version ${majorVersion}: 1 expected`, 17);
    const flags = bytes[FLAGS_OFFSET]!;
    const header: V1Header = {
      initiatorCookie: common.initiatorSpi,
      responderCookie: common.responderSpi,
      minorVersion: common.minorVersion,
      exchangeType: common.exchangeType,
      encrypted: (flags & FLAG_ENCRYPTED) !== 0,
      commit: (flags & FLAG_COMMIT) !== 0,
      authenticationOnly: (flags & FLAG_AUTHENTICATION_ONLY) !== 0,
      messageId: common.messageId,
    };
    if (header.encrypted) {
      const { offset } = reader;
      return { header, payloads: [], sealed: { first: nextPayload, body: reader.rest(), offset } };
    }
    const payloads = readV1Chain(reader, nextPayload);
    // Peers that pad to four octets count the padding in the length of a message in the clear, too.
    const padded = isPadding(reader);
    if (!padded) reader.done();
    return { header, payloads, ...(padded ? { padded: true } : {}) };
  });
}

/**
 * Reads decrypted payloads. Octets after the last one are padding, whatever they contain: RFC 2409 appendix B
 * lets the sender pad with zeros, and peers differ in what they put there. The part that a HASH payload at
 * the front covers is `bytes` from after it up to `length` (RFC 2409 §5.5).
 * @param baseOffset where the chain begins in the datagram, for error offsets
 */
export function decodeV1Payloads(
  first: number,
  bytes: Uint8Array,
  baseOffset: number,
): Result<V1Chain, WireError> {
  return guard(() => {
    const reader = new Reader(bytes, 'encrypted payloads', baseOffset);
    const payloads = readV1Chain(reader, first);
    return { payloads, length: reader.at };
  });
}

/**
 * A message in the clear; flag E of the header is not set, whatever the record says.
 * @throws RangeError when a value does not fit its field
 */
export function encodeV1Message(header: V1Header, payloads: readonly V1Payload[]): Uint8Array {
  const writer = new Writer();
  writeV1Header(writer, { ...header, encrypted: false }, 0, IKE_HEADER_LENGTH);
  writer.setU8(NEXT_PAYLOAD_OFFSET, writeV1Chain(writer, payloads));
  writer.setU32(LENGTH_OFFSET, writer.length);
  return writer.finish();
}

/** A chain to be padded and encrypted, and the type of its first payload. @throws RangeError */
export function encodeV1Payloads(payloads: readonly V1Payload[]): { first: number; bytes: Uint8Array } {
  const writer = new Writer();
  const first = writeV1Chain(writer, payloads);
  return { first, bytes: writer.finish() };
}

/** A payload without its generic header, as SKEYID's hashes take it: the `_b` of RFC 2409 §3.2. */
export function encodeV1Body(payload: V1Payload): Uint8Array {
  const writer = new Writer();
  writeV1Body(writer, payload);
  return writer.finish();
}

/**
 * A message whose payloads are encrypted: header with flag E, then `body`, a whole number of cipher blocks.
 * @throws RangeError when a value does not fit its field
 */
export function encodeV1Sealed(header: V1Header, first: number, body: Uint8Array): Uint8Array {
  const writer = new Writer(IKE_HEADER_LENGTH + body.length);
  writeV1Header(writer, { ...header, encrypted: true }, first, IKE_HEADER_LENGTH + body.length);
  writer.bytes(body);
  return writer.finish();
}

/** One to three zero octets are left, and nothing else. */
function isPadding(reader: Reader): boolean {
  const { left, at, bytes } = reader;
  return left > 0 && left <= MAX_PADDING && bytes.subarray(at, at + left).every((octet) => octet === 0);
}

function writeV1Header(writer: Writer, header: V1Header, nextPayload: number, length: number): void {
  writeSpi(writer, header.initiatorCookie);
  writeSpi(writer, header.responderCookie);
  writer.u8(nextPayload);
  writeVersion(writer, 1, header.minorVersion);
  writer.u8(header.exchangeType);
  writer.u8(
    (header.encrypted ? FLAG_ENCRYPTED : 0) |
      (header.commit ? FLAG_COMMIT : 0) |
      (header.authenticationOnly ? FLAG_AUTHENTICATION_ONLY : 0),
  );
  writer.u32(header.messageId);
  writer.u32(length);
}

function guard<T>(decode: () => T): Result<T, WireError> {
  try {
    return ok(decode());
  } catch (fault) {
    if (fault instanceof WireFault) return err(fault.error);
    throw fault;
  }
}
