import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import type { AuthPayload, CertPayload, CertReqPayload, IdPayload } from '../payloads.js';
import { IdType } from '../registry.js';

/** RFC 7296 §3.5. Identities that are addresses have the length of their family. */
export function readId(reader: Reader): Omit<IdPayload, 'kind'> {
  const idType = reader.u8('ID type');
  const reserved = reader.u24('reserved octets');
  const needed = idType === IdType.IPV4_ADDR ? 4 : idType === IdType.IPV6_ADDR ? 16 : undefined;
  if (needed !== undefined && reader.left !== needed) {
    reader.fail('bad_length', `an identity of type ${idType} has ${needed} octets, not ${reader.left}`);
  }
  const data = reader.rest();
  return reserved === 0 ? { idType, data } : { idType, data, reserved };
}

/** Writes the body of IDi or IDr: type, three reserved octets, identification data (RFC 7296 §3.5). */
export function writeId(writer: Writer, payload: Omit<IdPayload, 'kind'>): void {
  writer.u8(payload.idType);
  writer.u24(payload.reserved ?? 0);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.8. */
export function readAuth(reader: Reader): Omit<AuthPayload, 'kind'> {
  const method = reader.u8('authentication method');
  reader.skip(3, 'reserved octets');
  return { method, data: reader.rest() };
}

/** Writes the body of AUTH: method, three reserved octets, authentication data (RFC 7296 §3.8). */
export function writeAuth(writer: Writer, payload: AuthPayload): void {
  writer.u8(payload.method);
  writer.u24(0);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.6. */
export function readCert(reader: Reader): Omit<CertPayload, 'kind'> {
  const encoding = reader.u8('certificate encoding');
  return { encoding, data: reader.rest() };
}

/** Writes the body of CERT: encoding, certificate data (RFC 7296 §3.6). */
export function writeCert(writer: Writer, payload: CertPayload): void {
  writer.u8(payload.encoding);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.7. */
export function readCertReq(reader: Reader): Omit<CertReqPayload, 'kind'> {
  const encoding = reader.u8('certificate encoding');
  return { encoding, authorities: reader.rest() };
}

/** Writes the body of CERTREQ: encoding, certification authorities (RFC 7296 §3.7). */
export function writeCertReq(writer: Writer, payload: CertReqPayload): void {
  writer.u8(payload.encoding);
  writer.bytes(payload.authorities);
}
