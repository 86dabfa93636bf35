import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { NONCE_LENGTHS } from '../constants.js';
import type { KePayload, NoncePayload } from '../payloads.js';

/** RFC 7296 §3.4. Whether the data has the group's size is the business of the crypto room. */
export function readKe(reader: Reader): Omit<KePayload, 'kind'> {
  const group = reader.u16('key exchange method');
  reader.skip(2, 'reserved octets');
  return { group, data: reader.rest() };
}

/** Writes the body of KE: group, two reserved octets, public value (RFC 7296 §3.4). */
export function writeKe(writer: Writer, payload: KePayload): void {
  writer.u16(payload.group);
  writer.u16(0);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.9: 16 to 256 octets. */
export function readNonce(reader: Reader): Omit<NoncePayload, 'kind'> {
  const { left } = reader;
  if (left < NONCE_LENGTHS.min || left > NONCE_LENGTHS.max) {
    reader.fail(
      'bad_value',
      `a nonce of ${left} octets: ${NONCE_LENGTHS.min} to ${NONCE_LENGTHS.max} are allowed`,
    );
  }
  return { data: reader.rest() };
}
