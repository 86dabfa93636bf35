/**
 * Readable text of IKEv1 messages for logs, traces and errors. Nothing here throws on what a peer sends;
 * hashes and signatures are shown by length only, KE and nonces by length and a short prefix.
 */
import { readU32, toHex } from '../../../util/bytes.js';
import { formatIp, maskTo } from '../../../util/ip.js';
import { octets, textOrHex } from '../describe.js';
import type { TransformAttribute } from '../payloads.js';
import { nameOf } from '../registry.js';
import type { V1Header, V1IdPayload, V1Message, V1Payload, V1Proposal, V1Transform } from './payloads.js';
import {
  V1IdType,
  V1IkeAttribute,
  V1IpsecAttribute,
  V1LifeType,
  V1Notify,
  V1Protocol,
  v1NameOf,
} from './registry.js';
import { attributeNumber } from './sa.js';

/** One line, for example `MAIN_MODE [ SA V V ]` or `QUICK_MODE deadbeef [ HASH SA Nonce ID ID ]`. */
export function summarizeV1(message: V1Message): string;
export function summarizeV1(header: V1Header, payloads: readonly V1Payload[]): string;
export function summarizeV1(first: V1Message | V1Header, second?: readonly V1Payload[]): string {
  const header = 'header' in first ? first.header : first;
  const payloads = 'header' in first ? first.payloads : (second ?? []);
  const names = payloads.map(shortName);
  if ('header' in first && first.sealed !== undefined) names.push('encrypted');
  const id = header.messageId === 0 ? '' : ` ${header.messageId.toString(16).padStart(8, '0')}`;
  const list = names.length === 0 ? '[ ]' : `[ ${names.join(' ')} ]`;
  return `${v1NameOf('exchange', header.exchangeType)}${id} ${list}`;
}

/** Several lines: summary, cookies and flags, then each payload. `length`: octets of the datagram. */
export function dissectV1(message: V1Message, length?: number): string {
  const { header, payloads, sealed } = message;
  const flags = [
    header.encrypted ? ', encrypted' : '',
    header.commit ? ', commit' : '',
    header.authenticationOnly ? ', authentication only' : '',
  ].join('');
  const size = length === undefined ? '' : `, ${length} octets`;
  const out = [
    summarizeV1(message),
    `  cookies i=${toHex(header.initiatorCookie)} r=${toHex(header.responderCookie)}, ` +
      `version 1.${header.minorVersion}${flags}${size}`,
  ];
  for (const payload of payloads) {
    const [head, ...rest] = detail(payload);
    out.push(`  ${shortName(payload)}${head === '' ? '' : ` ${head}`}`);
    for (const line of rest) out.push(`    ${line}`);
  }
  if (sealed !== undefined) {
    out.push(
      `  encrypted, first inside ${v1NameOf('payload', sealed.first)}, body of ${octets(sealed.body, 0)}`,
    );
  }
  return out.join('\n');
}

function shortName(payload: V1Payload): string {
  switch (payload.kind) {
    case 'nonce':
      return 'Nonce';
    case 'notify':
      return `N(${v1NameOf('notify', payload.type)})`;
    case 'delete':
      return 'D';
    case 'vendor':
      return 'V';
    case 'fragment':
      return `FRAGMENT(${payload.number}${payload.last ? ', last' : ''})`;
    case 'unknown':
      return v1NameOf('payload', payload.type);
    default:
      return payload.kind.toUpperCase();
  }
}

function detail(payload: V1Payload): [string, ...string[]] {
  switch (payload.kind) {
    case 'sa':
      return ['', ...payload.proposals.flatMap(describeV1Proposal)];
    case 'ke':
    case 'nonce':
      return [octets(payload.data)];
    case 'id':
      return [describeV1Identity(payload)];
    case 'cert':
    case 'certreq':
      return [`${nameOf('certEncoding', payload.encoding)}, ${octets(payload.data, 0)}`];
    case 'hash':
    case 'sig':
      return [octets(payload.data, 0)];
    case 'vendor':
      return [textOrHex(payload.data)];
    case 'nat-d':
      return [`${octets(payload.data, 8)}${payload.draft === true ? ', draft' : ''}`];
    case 'nat-oa':
      return [`${formatIp(payload.address)}${payload.draft === true ? ', draft' : ''}`];
    case 'notify': {
      const spi = payload.spi.length === 0 ? '' : ` spi ${toHex(payload.spi.subarray(0, 16))}`;
      const isCounter = payload.type === V1Notify.R_U_THERE || payload.type === V1Notify.R_U_THERE_ACK;
      const data =
        payload.data.length === 0
          ? ''
          : isCounter && payload.data.length === 4
            ? `, sequence ${readU32(payload.data, 0)}`
            : `, ${octets(payload.data, 8)}`;
      return [`${v1NameOf('protocol', payload.protocol)}${spi}${data}`];
    }
    case 'delete':
      return [`${v1NameOf('protocol', payload.protocol)} ${payload.spis.map(toHex).join(' ')}`.trimEnd()];
    case 'fragment':
      return [`of message ${payload.id}, ${octets(payload.data, 0)}`];
    case 'unknown':
      return [octets(payload.body, 16)];
  }
}

/** One line a transform: alternatives of one proposal share its number. */
function describeV1Proposal(proposal: V1Proposal): string[] {
  const spi = proposal.spi.length === 0 ? '' : ` spi ${toHex(proposal.spi)}`;
  const name = `${v1NameOf('protocol', proposal.protocol)} #${proposal.number}${spi}`;
  if (proposal.transforms.length === 0) return [`${name}: no transforms`];
  return proposal.transforms.map(
    (transform) => `${name}.${transform.number}: ${describeV1Transform(proposal.protocol, transform)}`,
  );
}

/** For example `AES_CBC-256 SHA2_256 PSK MODP_2048 86400 s` or `AES_CBC-128 HMAC_SHA1 TUNNEL 3600 s`. */
export function describeV1Transform(protocol: number, transform: V1Transform): string {
  const phase1 = protocol === V1Protocol.ISAKMP;
  const keys = phase1 ? V1IkeAttribute : V1IpsecAttribute;
  const keyBits = transform.attributes.find(({ type }) => type === keys.KEY_LENGTH);
  const size = keyBits === undefined ? '' : `-${attributeNumber(keyBits) ?? 'unreadable'}`;
  const parts: string[] = [];
  if (!phase1) {
    parts.push(
      protocol === V1Protocol.ESP ? `${v1NameOf('esp', transform.id)}${size}` : `transform(${transform.id})`,
    );
  }
  let unit: number | undefined;
  for (const attribute of transform.attributes) {
    const value = attributeNumber(attribute);
    const { type } = attribute;
    if (type === keys.KEY_LENGTH) continue;
    if (type === keys.LIFE_TYPE) unit = value;
    else if (value === undefined) parts.push(raw(attribute));
    else if (type === keys.LIFE_DURATION) parts.push(lifetime(unit, value));
    else if (type === keys.GROUP) parts.push(nameOf('dh', value));
    else if (phase1) parts.push(phase1Part(type, value, size) ?? raw(attribute));
    else if (type === V1IpsecAttribute.MODE) parts.push(v1NameOf('mode', value));
    else if (type === V1IpsecAttribute.AUTH) parts.push(v1NameOf('ipsecAuth', value));
    else parts.push(raw(attribute));
  }
  return parts.join(' ') || 'no attributes';
}

function phase1Part(type: number, value: number, size: string): string | undefined {
  switch (type) {
    case V1IkeAttribute.ENCRYPTION:
      return `${v1NameOf('cipher', value)}${size}`;
    case V1IkeAttribute.HASH:
      return v1NameOf('hash', value);
    case V1IkeAttribute.AUTH_METHOD:
      return v1NameOf('authMethod', value);
    default:
      return undefined;
  }
}

function lifetime(unit: number | undefined, value: number): string {
  const name =
    unit === V1LifeType.SECONDS
      ? 's'
      : unit === V1LifeType.KILOBYTES
        ? 'kB'
        : unit === undefined
          ? 'of unknown unit'
          : `lifeType(${unit})`;
  return `${value} ${name}`;
}

function raw({ type, value }: TransformAttribute): string {
  return `${type}=${typeof value === 'number' ? value : `0x${toHex(value.subarray(0, 32))}`}`;
}

/** An identity or a phase 2 client, for example `FQDN a.example`, `10.1.0.0/24[6/443]`. */
export function describeV1Identity({ idType, protocol, port, data }: Omit<V1IdPayload, 'kind'>): string {
  const half = data.length / 2;
  const only = protocol === 0 && port === 0 ? '' : `[${protocol}/${port}]`;
  switch (idType) {
    case V1IdType.IPV4_ADDR:
    case V1IdType.IPV6_ADDR:
      if (data.length === 4 || data.length === 16) return `${formatIp(data)}${only}`;
      break;
    case V1IdType.IPV4_ADDR_SUBNET:
    case V1IdType.IPV6_ADDR_SUBNET:
      if (half === 4 || half === 16) return `${subnet(data.subarray(0, half), data.subarray(half))}${only}`;
      break;
    case V1IdType.IPV4_ADDR_RANGE:
    case V1IdType.IPV6_ADDR_RANGE:
      if (half === 4 || half === 16) {
        return `${formatIp(data.subarray(0, half))}-${formatIp(data.subarray(half))}${only}`;
      }
      break;
    default:
      break;
  }
  return `${v1NameOf('idType', idType)} ${textOrHex(data, 256)}${only}`.trimEnd();
}

/** With the prefix length when the mask is a run of ones, else with the mask itself. */
function subnet(address: Uint8Array, mask: Uint8Array): string {
  let prefix = 0;
  while (prefix < 8 * mask.length && ((mask[prefix >>> 3]! >>> (7 - (prefix & 7))) & 1) === 1) prefix++;
  const isPrefix = toHex(maskTo(new Uint8Array(mask.length).fill(0xff), prefix)) === toHex(mask);
  return `${formatIp(address)}/${isPrefix ? prefix : formatIp(mask)}`;
}
