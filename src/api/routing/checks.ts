import { INGRESS_FIELDS, type RouteRecord } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import { cidrOf } from '../../util/ip.js';
import type { Transaction, View } from '../context.js';
import { ApiError, badField } from '../errors.js';
import { checkName, checkQuota } from '../operations/shared.js';
import { prefixLengthsIn, routesIn, routingTablesIn } from '../quotas.js';
import { type Route, subnetsOf, type Table, tableOf, tablesOf, userRoutes } from './tables.js';

/** The source whose packets a learner of routes sends. */
const SOURCE_OF = { direct_link: 'directLink', transit_gateway: 'transitGateway' } as const;

/** Holds the rules for a table against what the transaction makes in the end. @throws ApiError 400, 409 */
export function checkTableLater(transaction: Transaction, vpc: string, id: string, site: Site): void {
  transaction.later(`routing table ${id}`, (view) => {
    const table = tableOf(view, vpc, id);
    if (table === undefined) return;
    checkName(id, tablesOf(view, vpc), 'routing_table_duplicate_name');
    checkIngress(view, table, site);
  });
}

/** Holds the number of tables of a VPC against its quota. @throws ApiError 400 when the transaction is settled */
export function checkTableCountLater(transaction: Transaction, vpc: string, { quotas }: Site): void {
  transaction.later(`routing tables of ${vpc}`, (view) =>
    checkQuota(
      routingTablesIn(view, vpc),
      quotas.routing_tables_per_vpc,
      'routing_tables_quota_exceeded',
      'routing tables in the VPC',
    ),
  );
}

/** A table is for subnets or for packets from elsewhere, and there is one for each elsewhere. */
function checkIngress(view: View, table: Table, site: Site): void {
  const { vpc, ingress, advertiseRoutesTo } = table.value;
  for (const learner of advertiseRoutesTo) {
    if (ingress.includes(SOURCE_OF[learner])) continue;
    const field = INGRESS_FIELDS[SOURCE_OF[learner]];
    throw badField(
      'advertise_routes_to',
      'validation_failure',
      `has "${learner}", which needs ${field}: true`,
    );
  }
  const [first] = ingress;
  if (first === undefined) return;
  const [subnet] = subnetsOf(view, table, site);
  if (subnet !== undefined) {
    const message = `table ${table.value.name} is attached to subnet ${subnet.name} and cannot be for ingress, too: attach another table to its subnets, or leave ${INGRESS_FIELDS[first]} false`;
    throw new ApiError(409, 'routing_table_in_use', message, { name: INGRESS_FIELDS[first], type: 'field' });
  }
  for (const source of ingress) {
    const other = tablesOf(view, vpc).find(
      ({ id, value }) => id !== table.id && value.ingress.includes(source),
    );
    if (other === undefined) continue;
    const field = INGRESS_FIELDS[source];
    throw badField(
      field,
      'validation_failure',
      `is true for table ${other.value.name} already: a VPC has one table for each`,
    );
  }
}

/** Holds the rules for a route against what the transaction makes in the end. @throws ApiError 400, 404, 409 */
export function checkRouteLater(transaction: Transaction, id: string): void {
  transaction.later(`route ${id}`, (view) => {
    const route = view.routes().find((one) => one.id === id);
    if (route === undefined) return;
    const siblings = userRoutes(view, route.value.table);
    checkName(id, siblings, 'route_duplicate_name');
    checkPlace(route, siblings);
    checkConnection(view, route.value);
  });
}

/** Holds what a table has of routes against its quotas. @throws ApiError 400 when the transaction is settled */
export function checkRouteCountLater(transaction: Transaction, table: string, { quotas }: Site): void {
  transaction.later(`routes of ${table}`, (view) => {
    const routes = routesIn(view, table);
    checkQuota(routes, quotas.routes_per_routing_table, 'routes_quota_exceeded', 'routes in the table');
    checkQuota(
      prefixLengthsIn(view, table),
      quotas.prefix_lengths_per_routing_table,
      'route_prefix_lengths_quota_exceeded',
      'different prefix lengths in the table',
    );
  });
}

/** Routes that nothing distinguishes, and those that have to agree. */
function checkPlace({ id, value }: Route, siblings: readonly Route[]): void {
  const { destination, zone, priority } = value;
  const others = siblings.filter(
    (one) => one.id !== id && one.value.destination === destination && one.value.zone === zone,
  );
  const [differing] = others.filter((one) => one.value.advertise !== value.advertise);
  if (differing !== undefined) {
    const message = `differs from that of route ${differing.value.name} to the same destination in the same zone: all of them have one value`;
    throw badField('advertise', 'validation_failure', message);
  }
  const equal = others.filter((one) => one.value.priority === priority);
  const [first] = equal;
  if (first === undefined) return;
  const shares = ({ nextHop }: RouteRecord): boolean => nextHop.address !== undefined;
  const different = first.value.nextHop.address !== value.nextHop.address;
  if (equal.length === 1 && shares(value) && shares(first.value) && different) return;
  const message = `route ${first.value.name} leads to ${destination} in zone ${zone} with priority ${priority} already: choose another priority; only two routes to different addresses share packets between them`;
  throw new ApiError(409, 'route_duplicate_destination', message, { name: 'destination', type: 'field' });
}

/** A connection as the next hop is of a route mode gateway in the same VPC. */
function checkConnection(view: View, { nextHop, vpc }: RouteRecord): void {
  if (nextHop.connection === undefined) return;
  const refuse = (what: string): ApiError => badField('next_hop', 'route_next_hop_not_valid', what);
  const connection = view.connection(nextHop.connection);
  const gateway = connection === undefined ? undefined : view.gateway(connection.value.gateway);
  if (connection === undefined || gateway === undefined) {
    throw refuse('names no connection that there is: take its id from GET …/connections');
  }
  const { name, mode, lifecycle } = gateway.value;
  if (mode !== 'route') {
    const words = `is connection ${connection.value.name} of gateway ${name}, which is in policy mode and makes its routes itself: leave the route out`;
    throw refuse(words);
  }
  if (gateway.value.vpc !== vpc) {
    throw refuse(`is connection ${connection.value.name} of gateway ${name}, which is in another VPC`);
  }
  if (lifecycle === 'deleting') throw refuse(`is of gateway ${name}, which is being deleted`);
}

/** Whether two networks, or a network and an address, are of one version of IP. */
export function sameFamily(destination: string, length: number): boolean {
  return cidrOf(destination).address.length === length;
}
