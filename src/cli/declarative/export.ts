import { stringify } from 'yaml';
import { putAt, valueAt } from '../../store/connection-fields.js';
import { type ConnectionWish, SETTINGS, usualOf } from './connection-wish.js';
import type { Current } from './current.js';
import { differ } from './differences.js';

/** What there is as the text of a file for `culvert apply`. Fields that have their defaults are left out. */
export function exportText({ ikePolicies, ipsecPolicies, gateways }: Current, withKeys: boolean): string {
  const document = {
    ...list(
      'ike_policies',
      ikePolicies.map(({ wish }) => wish),
    ),
    ...list(
      'ipsec_policies',
      ipsecPolicies.map(({ wish }) => wish),
    ),
    ...list(
      'vpn_gateways',
      gateways.map(({ wish, connections }) => ({
        ...wish,
        ...list(
          'connections',
          connections.map((one) => connectionOf(one.wish, withKeys)),
        ),
      })),
    ),
  };
  // Lists of plain values in one line, as people write them.
  return stringify(document, { lineWidth: 0, collectionStyle: 'any' });
}

function list(name: string, items: readonly unknown[]): object {
  return items.length === 0 ? {} : { [name]: items };
}

function connectionOf(wish: ConnectionWish, withKeys: boolean): object {
  const out: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const value = valueAt(wish, setting);
    if (value === undefined || !differ(value, usualOf(setting)) || (setting === 'psk' && !withKeys)) continue;
    putAt(out, setting, value);
  }
  return out;
}
