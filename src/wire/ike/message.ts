/**
 * The IKEv2 codec's front door: whole messages and chains of payloads (RFC 7296 §3, RFC 7383 §2.5).
 * Decoders never throw on malformed octets; encoders throw RangeError on records that have no wire form.
 */
import type { Result } from '../../util/result.js';
import { err, ok } from '../../util/result.js';
import type { WireError } from '../error.js';
import { Reader, WireFault } from '../reader.js';
import { Writer } from '../writer.js';
import {
  IKE_HEADER_LENGTH,
  LENGTH_OFFSET,
  NEXT_PAYLOAD_OFFSET,
  readHeader,
  withoutTrailingZeros,
  writeHeader,
} from './header.js';
import type { IkeHeader, IkeMessage, Payload } from './payloads.js';
import { readChain, writeChain } from './v2/chain.js';

export type { DecodedHeader } from './header.js';
export { decodeHeader, IKE_HEADER_LENGTH, trailingZeros, withoutTrailingZeros } from './header.js';
export { LIMITS } from './limits.js';
export type { FragmentNumber } from './v2/sealed.js';
export { sealedMessagePrefix } from './v2/sealed.js';

/**
 * Reads an IKEv2 datagram, without non-ESP marker. Encrypted payloads stay sealed; the octets in front of
 * their body, `bytes.subarray(0, payload.offset)`, are an AEAD's associated data (RFC 5282 §5.1).
 * `bad_version` for every major version but 2. Up to three zero octets after the message are no part of it.
 */
export function decodeMessage(bytes: Uint8Array): Result<IkeMessage, WireError> {
  return guard(() => {
    const reader = new Reader(withoutTrailingZeros(bytes), 'IKE message');
    const { nextPayload, length: _, ...header } = readHeader(reader);
    if (header.majorVersion !== 2) {
      reader.fail('bad_version', `major version ${header.majorVersion}: 2 expected`, 17);
    }
    return { header, payloads: readChain(reader, nextPayload, true) };
  });
}

/**
 * Reads the payloads inside an encrypted payload. `bytes` is the decrypted text without padding and pad
 * length and must contain exactly the chain that begins with type `first`.
 * @param baseOffset where the chain begins in the datagram, for error offsets
 */
export function decodePayloads(
  first: number,
  bytes: Uint8Array,
  baseOffset: number,
): Result<Payload[], WireError> {
  return guard(() => readChain(new Reader(bytes, 'encrypted payloads', baseOffset), first, false));
}

/**
 * A whole message. A sealed payload among `payloads` must be the last.
 * @throws RangeError when a value does not fit its field
 */
export function encodeMessage(header: IkeHeader, payloads: readonly Payload[]): Uint8Array {
  const writer = new Writer();
  writeHeader(writer, header, 0, IKE_HEADER_LENGTH);
  writer.setU8(NEXT_PAYLOAD_OFFSET, writeChain(writer, payloads));
  writer.setU32(LENGTH_OFFSET, writer.length);
  return writer.finish();
}

/**
 * A chain to be encrypted, and the type of its first payload for the header in front.
 * @throws RangeError when a value does not fit its field
 */
export function encodePayloads(payloads: readonly Payload[]): { first: number; bytes: Uint8Array } {
  const writer = new Writer();
  const first = writeChain(writer, payloads);
  return { first, bytes: writer.finish() };
}

function guard<T>(decode: () => T): Result<T, WireError> {
  try {
    return ok(decode());
  } catch (fault) {
    if (fault instanceof WireFault) return err(fault.error);
    throw fault;
  }
}
