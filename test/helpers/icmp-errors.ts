import { checksum } from '../../src/wire/checksum.js';
import { buildPacket } from '../../src/wire/ip.js';
import { ip } from './esp.js';

/**
 * An ICMP or ICMPv6 error from `router` to `to` about `quoted`, which is cut as routers cut it: to its header and
 * `octets` behind.
 */
export function icmpError(
  router: string,
  to: string,
  quoted: Uint8Array,
  { type, code = 0, octets = 8 }: { type: number; code?: number; octets?: number },
): Uint8Array {
  const source = ip(router);
  const header = quoted[0]! >>> 4 === 4 ? (quoted[0]! & 15) * 4 : 40;
  const payload = new Uint8Array(8 + Math.min(quoted.length, header + octets));
  payload[0] = type;
  payload[1] = code;
  payload.set(quoted.subarray(0, payload.length - 8), 8);
  if (source.length === 4) {
    const sum = checksum(payload, 0, payload.length);
    payload[2] = sum >>> 8;
    payload[3] = sum & 0xff;
  }
  return buildPacket({ source, destination: ip(to), protocol: source.length === 4 ? 1 : 58 }, payload);
}

/** Name, router outside of all selectors, the two ends of the flow (10.1, 10.2 or their IPv6 twins), and the error. */
export const ROUTER_ERRORS = [
  ['fragmentation needed', '198.51.100.1', '10.1.0.9', '10.2.0.9', { type: 3, code: 4 }],
  ['host unreachable', '198.51.100.1', '10.1.0.9', '10.2.0.9', { type: 3, code: 1 }],
  ['time exceeded', '198.51.100.1', '10.1.0.9', '10.2.0.9', { type: 11 }],
  ['parameter problem', '198.51.100.1', '10.1.0.9', '10.2.0.9', { type: 12 }],
  ['packet too big', '2001:db8:ff::1', '2001:db8:1::9', '2001:db8:2::9', { type: 2 }],
  ['no route', '2001:db8:ff::1', '2001:db8:1::9', '2001:db8:2::9', { type: 1 }],
  ['hop limit exceeded', '2001:db8:ff::1', '2001:db8:1::9', '2001:db8:2::9', { type: 3 }],
] as const;
