import type { Reader } from '../../reader.js';
import { Writer } from '../../writer.js';
import { IKE_HEADER_LENGTH, writeHeader } from '../header.js';
import type { IkeHeader, SkfPayload, SkPayload } from '../payloads.js';
import { PayloadType } from '../registry.js';

/** Which of how many fragments, counted from 1 (RFC 7383 §2.5). */
export interface FragmentNumber {
  readonly fragment: number;
  readonly total: number;
}

/** RFC 7296 §3.14, after the generic header, whose next-payload field is `first`. */
export function readSk(reader: Reader, first: number): Omit<SkPayload, 'kind'> {
  const { offset } = reader;
  return { first, body: reader.rest(), offset };
}

/** RFC 7383 §2.5. */
export function readSkf(reader: Reader, first: number): Omit<SkfPayload, 'kind'> {
  const start = reader.offset;
  const fragment = reader.u16('fragment number');
  const total = reader.u16('total fragments');
  if (fragment === 0 || fragment > total) {
    reader.fail('bad_value', `fragment ${fragment} of ${total}`, start);
  }
  const { offset } = reader;
  return { first, fragment, total, body: reader.rest(), offset };
}

/**
 * The octets of a protected message in front of its body (IV, ciphertext, ICV): IKE header and the SK or SKF
 * payload's header, all length fields already counting a body of `bodyLength` octets. They are what an AEAD
 * takes as associated data (RFC 5282 §5.1, RFC 7383 §2.5.1); prefix and body without the ICV are what a
 * separate integrity algorithm covers (RFC 7296 §3.14). Prefix and body together are the datagram.
 *
 * @param first type of the first payload inside; with `skf` 0 in every fragment but number 1
 * @throws RangeError when the message does not fit the length fields or `skf` lacks the fragment's number
 */
export function sealedMessagePrefix(
  header: IkeHeader,
  kind: 'sk' | 'skf',
  first: number,
  bodyLength: number,
  fragment?: FragmentNumber,
): Uint8Array {
  const payloadLength = (kind === 'sk' ? 4 : 8) + bodyLength;
  const writer = new Writer(IKE_HEADER_LENGTH + 8);
  const type = kind === 'sk' ? PayloadType.SK : PayloadType.SKF;
  writeHeader(writer, header, type, IKE_HEADER_LENGTH + payloadLength);
  writer.u8(first);
  writer.u8(0);
  writer.u16(payloadLength);
  if (kind === 'skf') {
    if (fragment === undefined) throw new RangeError('an SKF payload needs its fragment number');
    writer.u16(fragment.fragment);
    writer.u16(fragment.total);
  }
  return writer.finish();
}
