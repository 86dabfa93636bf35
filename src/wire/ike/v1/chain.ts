import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { V1_NONCE_LENGTHS } from '../constants.js';
import { LIMITS } from '../limits.js';
import type { V1DeletePayload, V1IdPayload, V1NatOaPayload, V1NotifyPayload, V1Payload } from './payloads.js';
import { V1IdType, V1PayloadType } from './registry.js';
import { readV1Sa, writeV1Sa } from './sa.js';

/** RFC 2408 §3.2. */
const PAYLOAD_HEADER_LENGTH = 4;

/** Flag of the last fragment. */
const LAST_FRAGMENT = 1;

const LABELS: ReadonlyMap<number, string> = new Map(
  Object.entries(V1PayloadType).map(([name, type]) => [type, `${name} payload`]),
);

/** Octets of an identity by type (RFC 2407 §4.6.2); other types have any length. */
const ID_LENGTHS: ReadonlyMap<number, number> = new Map([
  [V1IdType.IPV4_ADDR, 4],
  [V1IdType.IPV4_ADDR_SUBNET, 8],
  [V1IdType.IPV4_ADDR_RANGE, 8],
  [V1IdType.IPV6_ADDR, 16],
  [V1IdType.IPV6_ADDR_SUBNET, 32],
  [V1IdType.IPV6_ADDR_RANGE, 32],
]);

/**
 * Reads payloads until one names no next; what follows is left in the reader. A reserved octet that is not
 * zero is refused (RFC 2408 §5.3), which also shows most texts that were decrypted with a wrong key.
 * @throws WireFault
 */
export function readV1Chain(reader: Reader, first: number): V1Payload[] {
  const payloads: V1Payload[] = [];
  let type = first;
  while (type !== V1PayloadType.NONE) {
    if (payloads.length === LIMITS.payloads) {
      reader.fail('too_many', `more than ${LIMITS.payloads} payloads`);
    }
    const start = reader.offset;
    const label = LABELS.get(type);
    const name = label ?? `payload of type ${type}`;
    if (reader.left < PAYLOAD_HEADER_LENGTH) {
      reader.fail('truncated', `${name} announced, ${reader.left} octets are left for it`);
    }
    const next = reader.u8('next payload');
    const reserved = reader.u8('reserved octet');
    if (reserved !== 0) reader.fail('bad_value', `reserved octet ${reserved} in ${name}`, start + 1);
    const length = reader.u16('payload length');
    if (length < PAYLOAD_HEADER_LENGTH) {
      reader.fail('bad_length', `${name} with length ${length}, less than its header`, start + 2);
    }
    if (length - PAYLOAD_HEADER_LENGTH > reader.left) {
      const present = reader.left + PAYLOAD_HEADER_LENGTH;
      reader.fail('truncated', `${name} with length ${length}, ${present} octets are left`, start + 2);
    }
    const index = label === undefined ? type : 0;
    const body = reader.sub(length - PAYLOAD_HEADER_LENGTH, label ?? 'payload of type', index);
    payloads.push(readBody(body, type));
    body.done();
    type = next;
  }
  return payloads;
}

function readBody(reader: Reader, type: number): V1Payload {
  switch (type) {
    case V1PayloadType.SA:
      return readV1Sa(reader);
    case V1PayloadType.KE:
      return { kind: 'ke', data: reader.rest() };
    case V1PayloadType.ID:
      return readId(reader);
    case V1PayloadType.CERT:
      return { kind: 'cert', encoding: reader.u8('certificate encoding'), data: reader.rest() };
    case V1PayloadType.CERTREQ:
      return { kind: 'certreq', encoding: reader.u8('certificate type'), data: reader.rest() };
    case V1PayloadType.HASH:
      return { kind: 'hash', data: reader.rest() };
    case V1PayloadType.SIG:
      return { kind: 'sig', data: reader.rest() };
    case V1PayloadType.NONCE: {
      const { left } = reader;
      if (left < V1_NONCE_LENGTHS.min || left > V1_NONCE_LENGTHS.max) {
        const allowed = `${V1_NONCE_LENGTHS.min} to ${V1_NONCE_LENGTHS.max}`;
        reader.fail('bad_value', `a nonce of ${left} octets: ${allowed} are allowed`);
      }
      return { kind: 'nonce', data: reader.rest() };
    }
    case V1PayloadType.NOTIFY:
      return readNotify(reader);
    case V1PayloadType.DELETE:
      return readDelete(reader);
    case V1PayloadType.VENDOR:
      return { kind: 'vendor', data: reader.rest() };
    case V1PayloadType.NAT_D:
      return { kind: 'nat-d', data: reader.rest() };
    case V1PayloadType.NAT_D_DRAFT:
      return { kind: 'nat-d', data: reader.rest(), draft: true };
    case V1PayloadType.NAT_OA:
      return readNatOa(reader);
    case V1PayloadType.NAT_OA_DRAFT:
      return { ...readNatOa(reader), draft: true };
    case V1PayloadType.FRAGMENT: {
      const id = reader.u16('fragment id');
      const numberOffset = reader.offset;
      const number = reader.u8('fragment number');
      if (number === 0) reader.fail('bad_value', 'fragment number 0: they count from 1', numberOffset);
      const last = (reader.u8('fragment flags') & LAST_FRAGMENT) !== 0;
      return { kind: 'fragment', id, number, last, data: reader.rest() };
    }
    default:
      return { kind: 'unknown', type, body: reader.rest() };
  }
}

function readId(reader: Reader): V1IdPayload {
  const idType = reader.u8('ID type');
  const protocol = reader.u8('protocol id');
  const port = reader.u16('port');
  const needed = ID_LENGTHS.get(idType);
  if (needed !== undefined && reader.left !== needed) {
    reader.fail('bad_length', `an identity of type ${idType} has ${needed} octets, not ${reader.left}`);
  }
  return { kind: 'id', idType, protocol, port, data: reader.rest() };
}

function readNatOa(reader: Reader): V1NatOaPayload {
  const start = reader.offset;
  const idType = reader.u8('ID type');
  reader.skip(3, 'reserved octets');
  if (idType !== V1IdType.IPV4_ADDR && idType !== V1IdType.IPV6_ADDR) {
    reader.fail('bad_value', `ID type ${idType}: an address of type 1 or 5 expected`, start);
  }
  const needed = idType === V1IdType.IPV4_ADDR ? 4 : 16;
  if (reader.left !== needed) {
    reader.fail('bad_length', `an address of type ${idType} has ${needed} octets, not ${reader.left}`);
  }
  return { kind: 'nat-oa', idType, address: reader.rest() };
}

function readNotify(reader: Reader): V1NotifyPayload {
  const doi = reader.u32('DOI');
  const protocol = reader.u8('protocol id');
  const spiSize = reader.u8('SPI size');
  const type = reader.u16('notify type');
  const spi = reader.take(spiSize, 'SPI');
  return { kind: 'notify', doi, protocol, spi, type, data: reader.rest() };
}

function readDelete(reader: Reader): V1DeletePayload {
  const doi = reader.u32('DOI');
  const protocol = reader.u8('protocol id');
  const sizeOffset = reader.offset;
  const spiSize = reader.u8('SPI size');
  const count = reader.u16('number of SPIs');
  if (count > LIMITS.spis) {
    reader.fail('too_many', `${count} SPIs, more than ${LIMITS.spis}`, sizeOffset + 1);
  }
  if (count > 0 && spiSize === 0) reader.fail('bad_length', `${count} SPIs of size 0`, sizeOffset);
  const spis: Uint8Array[] = [];
  for (let i = 0; i < count; i++) spis.push(reader.take(spiSize, 'SPI'));
  return { kind: 'delete', doi, protocol, spis };
}

const TYPES = {
  sa: V1PayloadType.SA,
  ke: V1PayloadType.KE,
  id: V1PayloadType.ID,
  cert: V1PayloadType.CERT,
  certreq: V1PayloadType.CERTREQ,
  hash: V1PayloadType.HASH,
  sig: V1PayloadType.SIG,
  nonce: V1PayloadType.NONCE,
  notify: V1PayloadType.NOTIFY,
  delete: V1PayloadType.DELETE,
  vendor: V1PayloadType.VENDOR,
  fragment: V1PayloadType.FRAGMENT,
} as const;

/** The payload type number of a record. */
function v1PayloadTypeOf(payload: V1Payload): number {
  switch (payload.kind) {
    case 'unknown':
      return payload.type;
    case 'nat-d':
      return payload.draft === true ? V1PayloadType.NAT_D_DRAFT : V1PayloadType.NAT_D;
    case 'nat-oa':
      return payload.draft === true ? V1PayloadType.NAT_OA_DRAFT : V1PayloadType.NAT_OA;
    default:
      return TYPES[payload.kind];
  }
}

/**
 * Writes payloads one after the other.
 * @returns the type of the first one, for the header in front
 * @throws RangeError when a value does not fit its field
 */
export function writeV1Chain(writer: Writer, payloads: readonly V1Payload[]): number {
  for (const [i, payload] of payloads.entries()) {
    const following = payloads[i + 1];
    const start = writer.length;
    writer.u8(following === undefined ? 0 : v1PayloadTypeOf(following));
    writer.u24(0);
    writeV1Body(writer, payload);
    writer.setU16(start + 2, writer.length - start);
  }
  const first = payloads[0];
  return first === undefined ? V1PayloadType.NONE : v1PayloadTypeOf(first);
}

/** A payload after its generic header: the `_b` of RFC 2409 §3.2. @throws RangeError */
export function writeV1Body(writer: Writer, payload: V1Payload): void {
  switch (payload.kind) {
    case 'sa':
      writeV1Sa(writer, payload);
      break;
    case 'id':
      writer.u8(payload.idType);
      writer.u8(payload.protocol);
      writer.u16(payload.port);
      writer.bytes(payload.data);
      break;
    case 'cert':
    case 'certreq':
      writer.u8(payload.encoding);
      writer.bytes(payload.data);
      break;
    case 'notify':
      writer.u32(payload.doi);
      writer.u8(payload.protocol);
      writer.u8(payload.spi.length);
      writer.u16(payload.type);
      writer.bytes(payload.spi);
      writer.bytes(payload.data);
      break;
    case 'delete':
      writeDelete(writer, payload);
      break;
    case 'nat-oa':
      writer.u8(payload.idType);
      writer.u24(0);
      writer.bytes(payload.address);
      break;
    case 'fragment':
      writer.u16(payload.id);
      writer.u8(payload.number);
      writer.u8(payload.last ? LAST_FRAGMENT : 0);
      writer.bytes(payload.data);
      break;
    case 'unknown':
      writer.bytes(payload.body);
      break;
    default:
      writer.bytes(payload.data);
  }
}

function writeDelete(writer: Writer, payload: V1DeletePayload): void {
  const size = payload.spis[0]?.length ?? 0;
  writer.u32(payload.doi);
  writer.u8(payload.protocol);
  writer.u8(size);
  writer.u16(payload.spis.length);
  for (const spi of payload.spis) {
    if (spi.length !== size) throw new RangeError('the SPIs of one DELETE payload have one size');
    writer.bytes(spi);
  }
}
