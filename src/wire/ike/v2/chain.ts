import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { LIMITS } from '../limits.js';
import type { Payload } from '../payloads.js';
import { PayloadType } from '../registry.js';
import { readConfig, readEap, writeConfig } from './config.js';
import {
  readAuth,
  readCert,
  readCertReq,
  readId,
  writeAuth,
  writeCert,
  writeCertReq,
  writeId,
} from './identity.js';
import { readKe, readNonce, writeKe } from './key-exchange.js';
import { readDelete, readNotify, writeDelete, writeNotify } from './notify.js';
import { readSa, writeSa } from './sa.js';
import { readSk, readSkf } from './sealed.js';
import { readTs, writeTs } from './selectors.js';

/** Generic payload header: next payload, critical bit, length (RFC 7296 §3.2). */
const PAYLOAD_HEADER_LENGTH = 4;
const CRITICAL = 0x80;

const LABELS: ReadonlyMap<number, string> = new Map(
  Object.entries(PayloadType).map(([name, type]) => [type, `${name} payload`]),
);

/**
 * Reads payloads to the end of the reader. The chain ends with a next-payload field of 0 or, when `sealed`
 * payloads are allowed, with an SK or SKF payload, whose field means what is inside (RFC 7296 §3.14).
 * @throws WireFault
 */
export function readChain(reader: Reader, first: number, sealed: boolean): Payload[] {
  const payloads: Payload[] = [];
  let type = first;
  while (type !== PayloadType.NONE) {
    if (payloads.length === LIMITS.payloads) {
      reader.fail('too_many', `more than ${LIMITS.payloads} payloads`);
    }
    const start = reader.offset;
    if (reader.left < PAYLOAD_HEADER_LENGTH) {
      reader.fail('truncated', `${label(type)} announced, ${reader.left} octets are left for it`);
    }
    const next = reader.u8('next payload');
    const critical = (reader.u8('critical bit') & CRITICAL) !== 0;
    const length = reader.u16('payload length');
    if (length < PAYLOAD_HEADER_LENGTH) {
      reader.fail('bad_length', `${label(type)} with length ${length}, less than its header`, start + 2);
    }
    if (length - PAYLOAD_HEADER_LENGTH > reader.left) {
      const present = reader.left + PAYLOAD_HEADER_LENGTH;
      reader.fail('truncated', `${label(type)} with length ${length}, ${present} octets are left`, start + 2);
    }
    const body = reader.sub(
      length - PAYLOAD_HEADER_LENGTH,
      LABELS.get(type) ?? 'payload of type',
      unnamed(type),
    );
    const isSealed = type === PayloadType.SK || type === PayloadType.SKF;
    if (isSealed && !sealed) {
      body.fail('bad_value', 'an encrypted payload inside an encrypted payload', start);
    }
    const payload = readBody(body, type, next, critical, start);
    body.done();
    payloads.push(critical ? { ...payload, critical } : payload);
    type = isSealed ? PayloadType.NONE : next;
  }
  reader.done();
  return payloads;
}

function label(type: number): string {
  return LABELS.get(type) ?? `payload of type ${type}`;
}

function unnamed(type: number): number {
  return LABELS.has(type) ? 0 : type;
}

function readBody(reader: Reader, type: number, next: number, critical: boolean, start: number): Payload {
  switch (type) {
    case PayloadType.SA:
      return { kind: 'sa', ...readSa(reader) };
    case PayloadType.KE:
      return { kind: 'ke', ...readKe(reader) };
    case PayloadType.IDi:
      return { kind: 'idi', ...readId(reader) };
    case PayloadType.IDr:
      return { kind: 'idr', ...readId(reader) };
    case PayloadType.CERT:
      return { kind: 'cert', ...readCert(reader) };
    case PayloadType.CERTREQ:
      return { kind: 'certreq', ...readCertReq(reader) };
    case PayloadType.AUTH:
      return { kind: 'auth', ...readAuth(reader) };
    case PayloadType.NONCE:
      return { kind: 'nonce', ...readNonce(reader) };
    case PayloadType.NOTIFY:
      return { kind: 'notify', ...readNotify(reader) };
    case PayloadType.DELETE:
      return { kind: 'delete', ...readDelete(reader) };
    case PayloadType.VENDOR:
      return { kind: 'vendor', data: reader.rest() };
    case PayloadType.TSi:
      return { kind: 'tsi', ...readTs(reader) };
    case PayloadType.TSr:
      return { kind: 'tsr', ...readTs(reader) };
    case PayloadType.CP:
      return { kind: 'cp', ...readConfig(reader) };
    case PayloadType.EAP:
      return { kind: 'eap', ...readEap(reader) };
    case PayloadType.SK:
      return { kind: 'sk', ...readSk(reader, next) };
    case PayloadType.SKF:
      return { kind: 'skf', ...readSkf(reader, next) };
    default:
      // RFC 7296 §2.5: only a type that the receiver does not know makes the critical bit matter.
      if (critical) {
        reader.fail(
          'unsupported_critical_payload',
          `payload type ${type} is not known here and marked critical`,
          start,
          type,
        );
      }
      return { kind: 'unknown', type, body: reader.rest() };
  }
}

/** The payload type number of a record. */
function payloadTypeOf(payload: Payload): number {
  return payload.kind === 'unknown' ? payload.type : TYPES[payload.kind];
}

const TYPES = {
  sa: PayloadType.SA,
  ke: PayloadType.KE,
  idi: PayloadType.IDi,
  idr: PayloadType.IDr,
  cert: PayloadType.CERT,
  certreq: PayloadType.CERTREQ,
  auth: PayloadType.AUTH,
  nonce: PayloadType.NONCE,
  notify: PayloadType.NOTIFY,
  delete: PayloadType.DELETE,
  vendor: PayloadType.VENDOR,
  tsi: PayloadType.TSi,
  tsr: PayloadType.TSr,
  cp: PayloadType.CP,
  eap: PayloadType.EAP,
  sk: PayloadType.SK,
  skf: PayloadType.SKF,
} as const;

/**
 * Writes payloads one after the other.
 * @returns the type of the first one, for the header in front
 * @throws RangeError when a value does not fit its field or a sealed payload is not the last
 */
export function writeChain(writer: Writer, payloads: readonly Payload[]): number {
  for (const [i, payload] of payloads.entries()) {
    const following = payloads[i + 1];
    const isSealed = payload.kind === 'sk' || payload.kind === 'skf';
    if (isSealed && following !== undefined) {
      throw new RangeError('an encrypted payload is the last of a message (RFC 7296 §3.14)');
    }
    const start = writer.length;
    writer.u8(isSealed ? payload.first : following === undefined ? 0 : payloadTypeOf(following));
    writer.u8(payload.critical === true ? CRITICAL : 0);
    writer.u16(0);
    writeBody(writer, payload);
    writer.setU16(start + 2, writer.length - start);
  }
  const first = payloads[0];
  return first === undefined ? PayloadType.NONE : payloadTypeOf(first);
}

function writeBody(writer: Writer, payload: Payload): void {
  switch (payload.kind) {
    case 'sa':
      writeSa(writer, payload);
      break;
    case 'ke':
      writeKe(writer, payload);
      break;
    case 'idi':
    case 'idr':
      writeId(writer, payload);
      break;
    case 'cert':
      writeCert(writer, payload);
      break;
    case 'certreq':
      writeCertReq(writer, payload);
      break;
    case 'auth':
      writeAuth(writer, payload);
      break;
    case 'notify':
      writeNotify(writer, payload);
      break;
    case 'delete':
      writeDelete(writer, payload);
      break;
    case 'tsi':
    case 'tsr':
      writeTs(writer, payload);
      break;
    case 'cp':
      writeConfig(writer, payload);
      break;
    case 'nonce':
    case 'vendor':
    case 'eap':
      writer.bytes(payload.data);
      break;
    case 'skf':
      writer.u16(payload.fragment);
      writer.u16(payload.total);
      writer.bytes(payload.body);
      break;
    case 'sk':
    case 'unknown':
      writer.bytes(payload.body);
      break;
  }
}
