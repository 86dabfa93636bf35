import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import type { KePayload, NoncePayload } from '../payloads.js';

/** RFC 7296 §3.9. */
export const MIN_NONCE_LENGTH = 16;
export const MAX_NONCE_LENGTH = 256;

/** RFC 7296 §3.4. Whether the data has the group's size is the business of the crypto room. */
export function readKe(reader: Reader): Omit<KePayload, 'kind'> {
  const group = reader.u16('key exchange method');
  reader.skip(2, 'reserved octets');
  return { group, data: reader.rest() };
}

export function writeKe(writer: Writer, payload: KePayload): void {
  writer.u16(payload.group);
  writer.u16(0);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.9: 16 to 256 octets. */
export function readNonce(reader: Reader): Omit<NoncePayload, 'kind'> {
  const { left } = reader;
  if (left < MIN_NONCE_LENGTH || left > MAX_NONCE_LENGTH) {
    reader.fail(
      'bad_value',
      `a nonce of ${left} octets: ${MIN_NONCE_LENGTH} to ${MAX_NONCE_LENGTH} are allowed`,
    );
  }
  return { data: reader.rest() };
}
