/**
 * Readable text of IKEv2 messages for logs, traces and errors. Nothing here throws on what a peer sends.
 * Values that prove or make keys are shown by length and a short prefix at most, AUTH by length only.
 */
import { readU16, readU32, toHex } from '../../util/bytes.js';
import type { WireError } from '../error.js';
import {
  describeIdentity,
  describeProposal,
  describeSelector,
  octets,
  textOrHex,
  u16List,
} from './describe.js';
import { decodeMessage, IKE_HEADER_LENGTH } from './message.js';
import type { ConfigAttribute, IkeHeader, IkeMessage, NotifyPayload, Payload } from './payloads.js';
import { FIRST_STATUS_NOTIFY, NotifyType, nameOf } from './registry.js';
import { dissectV1 } from './v1/dissect.js';
import { decodeV1Message } from './v1/message.js';

export { describeIdentity, describeProposal, describeSelector, describeTransform } from './describe.js';

/** Where the version is in the header: major in the upper half. */
const VERSION_OFFSET = 17;

/**
 * One line, for example `IKE_AUTH response 1 [ IDr AUTH SA TSi TSr N(TEMPORARY_FAILURE) ]`. Give the header
 * with the decrypted payloads to see what was inside a protected message.
 */
export function summarize(message: IkeMessage): string;
export function summarize(header: IkeHeader, payloads: readonly Payload[]): string;
export function summarize(first: IkeMessage | IkeHeader, second?: readonly Payload[]): string {
  const header = 'header' in first ? first.header : first;
  const payloads = 'header' in first ? first.payloads : (second ?? []);
  const exchange = nameOf('exchange', header.exchangeType);
  const kind = header.response ? 'response' : 'request';
  const list = payloads.length === 0 ? '[ ]' : `[ ${payloads.map(shortName).join(' ')} ]`;
  return `${exchange} ${kind} ${header.messageId} ${list}`;
}

/**
 * Several lines: the summary, SPIs and direction, then each payload with its content. Octets may be of either
 * version; those that are no IKE message give a text that says why, with the first octets.
 */
export function dissect(what: Uint8Array | IkeMessage): string {
  if (!(what instanceof Uint8Array)) return lines(what, undefined).join('\n');
  if (what.length >= IKE_HEADER_LENGTH && what[VERSION_OFFSET]! >>> 4 === 1) {
    const old = decodeV1Message(what);
    return old.ok ? dissectV1(old.value, what.length) : unreadable(what, old.error);
  }
  const decoded = decodeMessage(what);
  if (!decoded.ok) return unreadable(what, decoded.error);
  return lines(decoded.value, what.length).join('\n');
}

/** An error as one line: `bad_length at octet 29 (IKE message > SA payload): …`. */
export function describeWireError(error: WireError): string {
  return `${error.code} at octet ${error.offset} (${error.context}): ${error.message}`;
}

function unreadable(bytes: Uint8Array, error: WireError): string {
  return [
    `not an IKE message, ${octets(bytes, 0)}`,
    `  ${describeWireError(error)}`,
    `  begins ${toHex(bytes.subarray(0, 32))}${bytes.length > 32 ? '…' : ''}`,
  ].join('\n');
}

function shortName(payload: Payload): string {
  switch (payload.kind) {
    case 'sa':
      return 'SA';
    case 'ke':
      return 'KE';
    case 'idi':
      return 'IDi';
    case 'idr':
      return 'IDr';
    case 'cert':
      return 'CERT';
    case 'certreq':
      return 'CERTREQ';
    case 'auth':
      return 'AUTH';
    case 'nonce':
      return 'Nonce';
    case 'notify':
      return `N(${nameOf('notify', payload.type)})`;
    case 'delete':
      return 'D';
    case 'vendor':
      return 'V';
    case 'tsi':
      return 'TSi';
    case 'tsr':
      return 'TSr';
    case 'cp':
      return `CP(${nameOf('cfgType', payload.cfgType)})`;
    case 'eap':
      return 'EAP';
    case 'sk':
      return 'SK';
    case 'skf':
      return `SKF(${payload.fragment}/${payload.total})`;
    case 'unknown':
      return nameOf('payload', payload.type);
  }
}

function lines({ header, payloads }: IkeMessage, length: number | undefined): string[] {
  const size = length === undefined ? '' : `, ${length} octets`;
  const out = [
    summarize(header, payloads),
    `  SPIs i=${toHex(header.initiatorSpi)} r=${toHex(header.responderSpi)}, from the IKE SA's ` +
      `${header.fromInitiator ? 'initiator' : 'responder'}, version ${header.majorVersion}.${header.minorVersion}${size}`,
  ];
  for (const payload of payloads) {
    const critical = payload.critical === true ? ' (critical)' : '';
    const [head, ...rest] = detail(payload);
    out.push(`  ${shortName(payload)}${critical}${head === '' ? '' : ` ${head}`}`);
    for (const line of rest) out.push(`    ${line}`);
  }
  return out;
}

/** The text after the payload's name, then further lines. */
function detail(payload: Payload): [string, ...string[]] {
  switch (payload.kind) {
    case 'sa':
      return ['', ...payload.proposals.map(describeProposal)];
    case 'ke':
      return [`${nameOf('dh', payload.group)}, ${octets(payload.data)}`];
    case 'idi':
    case 'idr':
      return [describeIdentity(payload.idType, payload.data)];
    case 'cert':
      return [`${nameOf('certEncoding', payload.encoding)}, ${octets(payload.data, 0)}`];
    case 'certreq':
      return [`${nameOf('certEncoding', payload.encoding)}, ${octets(payload.authorities)}`];
    case 'auth':
      return [`${nameOf('authMethod', payload.method)}, ${octets(payload.data, 0)}`];
    case 'nonce':
      return [octets(payload.data)];
    case 'notify':
      return [notifyDetail(payload)];
    case 'delete': {
      const spis = payload.spis.map((spi) => toHex(spi)).join(' ');
      return [`${nameOf('protocol', payload.protocol)}${spis === '' ? '' : ` ${spis}`}`];
    }
    case 'vendor':
      return [textOrHex(payload.data)];
    case 'tsi':
    case 'tsr':
      return ['', ...payload.selectors.map(describeSelector)];
    case 'cp':
      return ['', ...payload.attributes.map(configAttribute)];
    case 'eap':
      // The data may contain a password (for example in GTC): code and length are enough.
      return [`code ${payload.data[0] ?? 'missing'}, ${octets(payload.data, 0)}`];
    case 'sk':
    case 'skf':
      return [`first inside ${nameOf('payload', payload.first)}, body of ${octets(payload.body, 0)}`];
    case 'unknown':
      return [octets(payload.body, 16)];
  }
}

function configAttribute({ type, value }: ConfigAttribute): string {
  const name = nameOf('configAttribute', type);
  return value.length === 0 ? name : `${name} 0x${toHex(value.subarray(0, 20))}`;
}

function notifyDetail({ protocol, spi, type, data }: NotifyPayload): string {
  const parts: string[] = [];
  if (type < FIRST_STATUS_NOTIFY) parts.push('error');
  if (spi.length > 0) parts.push(`${nameOf('protocol', protocol)} spi ${toHex(spi.subarray(0, 8))}`);
  const content = data.length === 0 ? '' : notifyData(type, data);
  if (content !== '') parts.push(content);
  return parts.join(', ');
}

/** RFC 7296 §3.10.1 and the RFCs of the extensions; data of other types as octets. */
function notifyData(type: number, data: Uint8Array): string {
  switch (type) {
    case NotifyType.INVALID_KE_PAYLOAD:
      if (data.length === 2) return `wants ${nameOf('dh', readU16(data, 0))}`;
      break;
    case NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD:
      if (data.length === 1) return nameOf('payload', data[0]!);
      break;
    case NotifyType.SET_WINDOW_SIZE:
    case NotifyType.AUTH_LIFETIME:
      if (data.length === 4) return String(readU32(data, 0));
      break;
    case NotifyType.SIGNATURE_HASH_ALGORITHMS:
      return u16List(data)
        .map((hash) => nameOf('signatureHash', hash))
        .join(' ');
    default:
      break;
  }
  return octets(data, 8);
}
