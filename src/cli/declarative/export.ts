import { stringify } from 'yaml';
import { putAt, valueAt } from '../../store/connection-fields.js';
import { INGRESS_FIELDS, ROUTE_PRIORITY } from '../../store/records.js';
import { type ConnectionWish, SETTINGS, usualOf } from './connection-wish.js';
import type { Current } from './current.js';
import { differ } from './differences.js';
import type { KnownTable } from './routing-current.js';
import { type RouteWish, sorted, usualMakers } from './routing-document.js';

const INGRESS = Object.values(INGRESS_FIELDS);

/** What there is as the text of a file for `culvert apply`. Fields that have their defaults are left out. */
export function exportText(
  { ikePolicies, ipsecPolicies, gateways, tables }: Current,
  withKeys: boolean,
): string {
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
    ...list(
      'routing_tables',
      tables.map(tableOf).filter(({ vpc: _vpc, default: isDefault, ...rest }) => {
        // A default table that is as it is by itself needs no word.
        return isDefault !== true || Object.keys(rest).length > 0;
      }),
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

function tableOf({ wish, routes }: KnownTable) {
  const { vpc, isDefault, name, accept_routes_from: makers, advertise_routes_to: learners } = wish;
  const flags = INGRESS.filter((field) => wish[field]).map((field) => [field, true]);
  return {
    vpc,
    ...(isDefault ? { default: true } : {}),
    ...(name === undefined ? {} : { name }),
    ...(differ(makers, sorted(usualMakers(isDefault))) ? { accept_routes_from: makers } : {}),
    ...list('advertise_routes_to', learners),
    ...Object.fromEntries(flags),
    ...list('subnets', wish.subnets),
    ...list(
      'routes',
      routes.map((route) => routeOf(route.wish)),
    ),
  };
}

function routeOf({ name, zone, destination, action, next_hop: hop, priority, advertise }: RouteWish): object {
  return {
    name,
    zone,
    destination,
    ...(action === 'deliver' ? {} : { action }),
    ...(hop === null ? {} : { next_hop: hop }),
    ...(priority === ROUTE_PRIORITY.usual ? {} : { priority }),
    ...(advertise ? { advertise } : {}),
  };
}
