import type { TrafficSelector } from '../../wire/ike/payloads.js';
import type { Networks } from './selectors.js';

/**
 * Whether a connection is for all traffic of both families, as in route mode: then a peer that carries one family only,
 * as most route-based ones do, carries what is wanted, and the other family is not asked for again.
 */
export function isEverything({ local, peer }: Networks): boolean {
  return [local, peer].every(({ selectors }) => {
    const families = new Set(selectors.filter(isWholeFamily).map(({ tsType }) => tsType));
    return families.size === 2 && selectors.length === 2;
  });
}

function isWholeFamily(selector: TrafficSelector): boolean {
  const { protocol, startPort, endPort, startAddress, endAddress } = selector;
  const open = protocol === 0 && startPort === 0 && endPort === 0xffff;
  return open && startAddress.every((octet) => octet === 0) && endAddress.every((octet) => octet === 0xff);
}
