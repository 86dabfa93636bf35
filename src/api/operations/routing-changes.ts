import { isDeepStrictEqual } from 'node:util';
import { unicastProblem } from '../../store/connection-rules.js';
import {
  INGRESS_FIELDS,
  INGRESS_SOURCES,
  KIND,
  ROUTE_MAKERS,
  ROUTE_PRIORITY,
  type RouteRecord,
  type RoutingTableRecord,
} from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import { canonicalIp, formatCidr, parseCidr, parseIp } from '../../util/ip.js';
import type { Static } from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import type { ApiContext, Transaction, View } from '../context.js';
import { ApiError, badField } from '../errors.js';
import { entityTag, newId, newName, tagMatches } from '../ids.js';
import type { Call } from '../operation.js';
import {
  checkRouteCountLater,
  checkRouteLater,
  checkTableCountLater,
  checkTableLater,
  sameFamily,
} from '../routing/checks.js';
import {
  defaultTableId,
  type Route,
  serviceRoutes,
  subnetsOf,
  type Table,
  tableOf,
  tablesOf,
  userRoutes,
  vpcOf,
} from '../routing/tables.js';
import {
  RouteCreateBody,
  RoutePatchBody,
  TableCreateBody,
  TablePatchBody,
} from '../schemas/routing-requests.js';
import { idOf, namesOf } from './shared.js';

const tableCodes = {
  bad_name: 'routing_table_invalid_name',
  bad_cidr: 'validation_invalid_cidr',
} as const;
const routeCodes = {
  ...tableCodes,
  bad_name: 'route_invalid_name',
  'bad_name zone.name': 'not_found',
} as const;
const tableCreate = new BodyReader(TableCreateBody, { codes: tableCodes });
const tablePatch = new BodyReader(TablePatchBody, { codes: tableCodes });
const routeCreate = new BodyReader(RouteCreateBody, { codes: routeCodes });
const routePatch = new BodyReader(RoutePatchBody, { codes: routeCodes });

type TableBody = Static<typeof TablePatchBody>;
type RouteBody = Static<typeof RouteCreateBody>;

/** What the audit trail calls routes, by the path that they are changed by. */
export type RouteWord = 'routing-table_route' | 'vpc-route';

/** @throws ApiError 404 */
export function findVpc(site: Site, id: string): string {
  if (vpcOf(site, id) !== undefined) return id;
  throw new ApiError(404, 'vpc_not_found', 'there is no VPC with this id');
}

/** @throws ApiError 404 for the VPC, and for the table */
export function findTable(view: View, site: Site, vpc: string, id: string): Table {
  const table = tableOf(view, findVpc(site, vpc), id);
  if (table !== undefined) return table;
  throw new ApiError(404, 'routing_table_not_found', 'there is no routing table with this id in the VPC');
}

/** The table that a call about routes names; the default table where its path names none. @throws ApiError 404 */
export function tableOfCall(view: View, site: Site, { params }: Call): Table {
  const vpc = params.vpc!;
  return findTable(view, site, vpc, params.table ?? defaultTableId(vpc));
}

/** @throws ApiError 404 */
export function routeNotFound(): ApiError {
  return new ApiError(404, 'route_not_found', 'there is no route with this id in the routing table');
}

/** A name that is empty is none. */
function named<T extends { readonly name?: string }>(body: T): Omit<T, 'name'> & { readonly name?: string } {
  const { name, ...rest } = body;
  return name === undefined || name === '' ? rest : { ...rest, name };
}

function withFields(before: RoutingTableRecord, body: TableBody): RoutingTableRecord {
  const { accept_routes_from: accept, advertise_routes_to: advertise } = body;
  return {
    ...before,
    name: named(body).name ?? before.name,
    acceptRoutesFrom:
      accept === undefined
        ? before.acceptRoutesFrom
        : ROUTE_MAKERS.filter((maker) => accept.some(({ resource_type }) => resource_type === maker)),
    advertiseRoutesTo: advertise ?? before.advertiseRoutesTo,
    ingress: INGRESS_SOURCES.filter((source) => {
      return body[INGRESS_FIELDS[source]] ?? before.ingress.includes(source);
    }),
  };
}

/** Makes a routing table, with the routes of its body, and returns its id. @throws ApiError */
export function createTable(transaction: Transaction, call: Call, { site, now }: ApiContext): string {
  const vpc = findVpc(site, call.params.vpc!);
  const body = tableCreate.read(call.body());
  const id = newId('r006', call.dialect);
  const empty: RoutingTableRecord = {
    name: newName(namesOf(tablesOf(transaction.view, vpc))),
    createdAt: now().toISOString(),
    vpc,
    isDefault: false,
    acceptRoutesFrom: [],
    advertiseRoutesTo: [],
    ingress: [],
    subnets: [],
  };
  checkTableLater(transaction, vpc, id, site);
  checkTableCountLater(transaction, vpc, site);
  transaction.put(KIND.routingTable, id, withFields(empty, body), 'is.vpc.routing-table.create');
  for (const [index, route] of (body.routes ?? []).entries()) {
    transaction.within(
      (error) => error.within(`routes[${index}]`, `routes[${index}]`),
      () => addRoute(transaction, tableOf(transaction.view, vpc, id)!, route, { site, now, call }),
    );
  }
  return id;
}

function tagOf({ id, revision }: StoredObject): string {
  return entityTag(id, revision);
}

/** @throws ApiError 412 */
function checkTag({ headers }: Call, table: Table): void {
  const given = headers['if-match'];
  if (given === undefined || tagMatches(given, tagOf(table))) return;
  throw new ApiError(412, 'precondition_failed', 'the routing table was changed since: read it again', {
    name: 'If-Match',
    type: 'header',
  });
}

/** Changes a routing table as a client of the API does, with If-Match where lists are replaced. @throws ApiError */
export function patchTable(transaction: Transaction, call: Call, context: ApiContext): string {
  const { vpc, id } = call.params;
  checkTag(call, findTable(transaction.view, context.site, vpc!, id!));
  const body = tablePatch.read(call.body());
  const list = (['accept_routes_from', 'advertise_routes_to'] as const).find(
    (one) => body[one] !== undefined,
  );
  if (list !== undefined && call.headers['if-match'] === undefined) {
    const message = `a change of ${list} needs the header If-Match: send the ETag of the table`;
    throw new ApiError(400, 'bad_request', message, { name: 'If-Match', type: 'header' });
  }
  return changeTable(transaction, call, context);
}

/** Changes a routing table. @throws ApiError */
export function changeTable(transaction: Transaction, call: Call, { site }: ApiContext): string {
  const { id, value } = findTable(transaction.view, site, call.params.vpc!, call.params.id!);
  const after = withFields(value, tablePatch.read(call.body()));
  checkTableLater(transaction, value.vpc, id, site);
  if (!isDeepStrictEqual(after, value)) {
    transaction.put(KIND.routingTable, id, after, 'is.vpc.routing-table.update');
  }
  return id;
}

/** Deletes a routing table with its routes. @throws ApiError */
export function deleteTable(transaction: Transaction, call: Call, { site }: ApiContext): string {
  const { view } = transaction;
  const table = findTable(view, site, call.params.vpc!, call.params.id!);
  checkTag(call, table);
  const { name, isDefault } = table.value;
  if (isDefault) {
    const message = `${name} is the default routing table of its VPC, which always has one`;
    throw new ApiError(409, 'routing_table_is_default', message);
  }
  const [subnet] = subnetsOf(view, table, site);
  if (subnet !== undefined) {
    const message = `routing table ${name} is attached to subnet ${subnet.name}: attach another one to it first`;
    throw new ApiError(409, 'routing_table_in_use', message);
  }
  for (const { id } of userRoutes(view, table.id)) {
    transaction.delete(KIND.route, id, 'is.vpc.routing-table_route.delete');
  }
  transaction.delete(KIND.routingTable, table.id, 'is.vpc.routing-table.delete');
  return table.id;
}

/** The next hop of a body, as far as it can be judged by itself. @throws ApiError 400 */
function readNextHop(
  given: RouteBody['next_hop'],
  { action, destination }: Pick<RouteRecord, 'action' | 'destination'>,
): RouteRecord['nextHop'] {
  const { address, ...reference } = given ?? {};
  const isReference = Object.keys(reference).length > 0;
  const bad = (what: string): ApiError => badField('next_hop', 'route_next_hop_not_valid', what);
  const ip = address === undefined ? undefined : parseIp(address);
  if (address !== undefined && ip === undefined) {
    throw badField(
      'next_hop.address',
      'validation_invalid_address',
      `"${address.slice(0, 64)}" is no IP address`,
    );
  }
  const nowhere = ip?.every((octet) => octet === 0) === true;
  if (action !== 'deliver') {
    if (isReference || (ip !== undefined && !nowhere)) {
      throw bad(`is not for action ${action}: leave it out`);
    }
    return {};
  }
  if (isReference && ip !== undefined) {
    throw badField('next_hop', 'validation_only_one', 'has an address and a connection: keep one');
  }
  if (isReference) return { connection: idOf(reference, 'next_hop') };
  if (ip === undefined) throw bad('is missing: action deliver needs an address or a connection');
  const problem = nowhere ? 'is no address to deliver to' : unicastProblem(address!);
  if (problem !== undefined) throw bad(`${address} ${problem}`);
  if (!sameFamily(destination, ip.length)) {
    throw bad(`${address} is of another version of IP than the destination ${destination}`);
  }
  return { address: canonicalIp(address!) };
}

/** @throws ApiError 400, 404 */
function zoneOf({ name, href }: RouteBody['zone'], site: Site): string {
  const wanted = name ?? href?.split(/[?#]/)[0]?.split('/').at(-1);
  if (wanted === undefined) throw badField('zone', 'validation_required_field', 'needs a name or an href');
  if (site.subnets.some(({ zone }) => zone === wanted)) return wanted;
  const target = { name: 'zone', type: 'field' } as const;
  throw new ApiError(404, 'not_found', 'there is no zone of this name', target);
}

/** @throws ApiError 400 */
function checkOwnName(name: string | undefined): void {
  if (name?.startsWith('ibm-') !== true) return;
  throw badField(
    'name',
    'route_invalid_name',
    'begins with "ibm-", which is reserved for routes of services',
  );
}

interface Making {
  readonly site: Site;
  readonly now: () => Date;
  readonly call: Call;
}

function addRoute(
  transaction: Transaction,
  { id: table, value: { vpc } }: Table,
  given: RouteBody,
  { site, now, call }: Making,
  word: RouteWord = 'routing-table_route',
): string {
  const { view } = transaction;
  const body = named(given);
  checkOwnName(body.name);
  const cidr = parseCidr(body.destination);
  if (!cidr.ok) throw badField('destination', 'validation_invalid_cidr', cidr.error);
  const destination = formatCidr(cidr.value);
  const { action = 'deliver' } = body;
  const id = newId('r006', call.dialect);
  const record: RouteRecord = {
    table,
    vpc,
    name: body.name ?? newName(namesOf(userRoutes(view, table))),
    createdAt: now().toISOString(),
    zone: zoneOf(body.zone, site),
    destination,
    action,
    nextHop: readNextHop(body.next_hop, { action, destination }),
    priority: body.priority ?? ROUTE_PRIORITY.usual,
    advertise: body.advertise ?? false,
  };
  checkRouteLater(transaction, id);
  checkRouteCountLater(transaction, table, site);
  transaction.put(KIND.route, id, record, `is.vpc.${word}.create`);
  return id;
}

/** Makes a route in the table that the path names and returns its id. @throws ApiError */
export function createRoute(
  transaction: Transaction,
  call: Call,
  context: ApiContext,
  word?: RouteWord,
): string {
  const { site, now } = context;
  const table = tableOfCall(transaction.view, site, call);
  return addRoute(transaction, table, routeCreate.read(call.body()), { site, now, call }, word);
}

/** A route that a client has made. @throws ApiError 404, and 409 for one that a service has made */
function ownRoute(view: View, site: Site, call: Call): Route {
  const table = tableOfCall(view, site, call);
  const found = userRoutes(view, table.id).find(({ id }) => id === call.params.id);
  if (found !== undefined) return found;
  const service = serviceRoutes(view, table, site).find(({ route }) => route.id === call.params.id);
  if (service === undefined) throw routeNotFound();
  const message = `route ${service.route.value.name} is made by gateway ${service.gateway.value.name}, and goes with it: change that, or take vpn_gateway out of accept_routes_from of the table`;
  throw new ApiError(409, 'route_not_user_owned', message);
}

/** Changes a route. @throws ApiError */
export function changeRoute(
  transaction: Transaction,
  call: Call,
  { site }: ApiContext,
  word: RouteWord = 'routing-table_route',
): string {
  const { id, value } = ownRoute(transaction.view, site, call);
  const body = named(routePatch.read(call.body()));
  checkOwnName(body.name);
  const after: RouteRecord = {
    ...value,
    name: body.name ?? value.name,
    nextHop: body.next_hop === undefined ? value.nextHop : readNextHop(body.next_hop, value),
    priority: body.priority ?? value.priority,
    advertise: body.advertise ?? value.advertise,
  };
  checkRouteLater(transaction, id);
  if (!isDeepStrictEqual(after, value)) transaction.put(KIND.route, id, after, `is.vpc.${word}.update`);
  return id;
}

/** Deletes a route. @throws ApiError */
export function deleteRoute(
  transaction: Transaction,
  call: Call,
  { site }: ApiContext,
  word: RouteWord = 'routing-table_route',
): string {
  const { id } = ownRoute(transaction.view, site, call);
  transaction.delete(KIND.route, id, `is.vpc.${word}.delete`);
  return id;
}
