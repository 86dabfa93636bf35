import * as Type from '../../util/json-schema.js';
import { type ApiContext, View } from '../context.js';
import { entityTag } from '../ids.js';
import { answered, type Call, done, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { type AnyRoute, type RoutingScene, routeAnswer, tableAnswer } from '../render/routing.js';
import {
  defaultTable,
  serviceRoutes,
  type Table,
  tableOfSubnet,
  tablesOf,
  userRoutes,
} from '../routing/tables.js';
import * as Schemas from '../schemas/routing-answers.js';
import {
  AttachBody,
  RouteCreateBody,
  RoutePatchBody,
  SubnetPatchBody,
  TableCreateBody,
  TablePatchBody,
} from '../schemas/routing-requests.js';
import { Subnet } from '../schemas/surroundings-answers.js';
import { subnetAnswer } from './lookups.js';
import {
  changeRoute,
  createRoute,
  createTable,
  deleteRoute,
  deleteTable,
  findTable,
  findVpc,
  patchTable,
  type RouteWord,
  routeNotFound,
  tableOfCall,
} from './routing-changes.js';
import { byAge, choice, PAGE_QUERY } from './shared.js';
import { attachTable, findSubnet, patchSubnet } from './subnet-changes.js';

const tag = 'Routing table';
const TABLES = '/vpcs/:vpc/routing_tables';

const tableOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: TABLES,
    id: 'list_vpc_routing_tables',
    summary: 'List the routing tables of a VPC',
    query: { ...PAGE_QUERY, is_default: Type.Optional(Type.Boolean()) },
    success: { 200: Schemas.RoutingTables },
    errors: [400, 404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const vpc = findVpc(context.site, call.params.vpc!);
      const wanted = choice(call, 'is_default', ['true', 'false']);
      const chosen = tablesOf(view, vpc).filter(
        ({ value }) => wanted === undefined || value.isDefault === (wanted === 'true'),
      );
      const rows = chosen.map((item) => ({ item, key: byAge(item) }));
      const url = `${call.links.base}/vpcs/${vpc}/routing_tables`;
      const filters: Record<string, string> = wanted === undefined ? {} : { is_default: wanted };
      const page = pageOf(rows, readPage(call.query, 50), true, url, filters);
      const scene = sceneOf(view, call, context);
      return answered(200, {
        ...page.frame,
        routing_tables: page.items.map((one) => tableAnswer(one, scene)),
      });
    },
  }),
  operation({
    tag,
    method: 'POST',
    path: TABLES,
    id: 'create_vpc_routing_table',
    summary: 'Create a routing table in a VPC, with routes',
    body: TableCreateBody,
    success: { 201: Schemas.RoutingTable },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => createTable(transaction, call, context),
        (id, view) => answer(201, tableIn(view, call, context, id), view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: `${TABLES}/:id`,
    id: 'get_vpc_routing_table',
    summary: 'Retrieve a routing table of a VPC',
    success: { 200: Schemas.RoutingTable },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      return answer(200, tableIn(view, call, context, call.params.id!), view, call, context);
    },
  }),
  operation({
    tag,
    method: 'PATCH',
    path: `${TABLES}/:id`,
    id: 'update_vpc_routing_table',
    summary: 'Update a routing table of a VPC',
    ifMatch: true,
    body: TablePatchBody,
    success: { 200: Schemas.RoutingTable },
    errors: [400, 404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => patchTable(transaction, call, context),
        (id, view) => answer(200, tableIn(view, call, context, id), view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'DELETE',
    path: `${TABLES}/:id`,
    id: 'delete_vpc_routing_table',
    summary: 'Delete a routing table with its routes; not the default table, and none that a subnet has',
    ifMatch: true,
    success: { 204: null },
    errors: [404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => deleteTable(transaction, call, context),
        () => done(204),
      );
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/vpcs/:vpc/default_routing_table',
    id: 'get_vpc_default_routing_table',
    summary: 'Retrieve the routing table of the subnets of a VPC that have no other',
    success: { 200: Schemas.RoutingTable },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      return answer(200, defaultTable(view, findVpc(context.site, call.params.vpc!)), view, call, context);
    },
  }),
];

const subnetOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: '/subnets/:id/routing_table',
    id: 'get_subnet_routing_table',
    summary: 'Retrieve the routing table of a subnet',
    success: { 200: Schemas.RoutingTable },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const subnet = findSubnet(context.site, call.params.id!);
      return answer(200, tableOfSubnet(view, subnet), view, call, context);
    },
  }),
  operation({
    tag,
    method: 'PUT',
    path: '/subnets/:id/routing_table',
    id: 'replace_subnet_routing_table',
    summary: 'Attach another routing table to a subnet',
    body: AttachBody,
    success: { 201: Schemas.RoutingTable },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => attachTable(transaction, call, context),
        (_, view) => {
          const subnet = findSubnet(context.site, call.params.id!);
          return answer(201, tableOfSubnet(view, subnet), view, call, context);
        },
      );
    },
  }),
  operation({
    tag,
    method: 'PATCH',
    path: '/subnets/:id',
    id: 'update_subnet',
    summary: 'Attach another routing table to a subnet; its other fields belong to the configuration',
    body: SubnetPatchBody,
    success: { 200: Subnet },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => patchSubnet(transaction, call, context),
        (id, view) => answered(200, subnetAnswer(findSubnet(context.site, id), view, call, context)),
      );
    },
  }),
];

/** A family of paths to the routes of a table: of any by its id, or of the default table from before there were others. */
interface RoutePaths {
  readonly path: string;
  /** In the ids of the operations. */
  readonly of: '_routing_table' | '';
  readonly word: RouteWord;
  /** Behind the summaries. */
  readonly note: string;
}

function readingOperations({ path, of, note }: RoutePaths): Operation[] {
  return [
    operation({
      tag,
      method: 'GET',
      path,
      id: `list_vpc${of}_routes`,
      summary: `List the routes of a routing table${note}`,
      query: { ...PAGE_QUERY, ...(of === '' ? { 'zone.name': Type.Optional(Type.String()) } : {}) },
      success: { 200: Schemas.Routes },
      errors: [400, 404],
      async handle(call, context) {
        const view = new View(await context.store.snapshot());
        const table = tableOfCall(view, context.site, call);
        const zone = of === '' ? call.query['zone.name'] : undefined;
        const chosen = routesOf(table, view, context).filter(
          ({ route }) => zone === undefined || route.value.zone === zone,
        );
        const rows = chosen.map((item) => ({ item, key: byAge(item.route) }));
        const own = `${call.links.base}${path.replace(/:[a-z]+/g, (name) => call.params[name.slice(1)]!)}`;
        const filters: Record<string, string> = typeof zone === 'string' ? { 'zone.name': zone } : {};
        const page = pageOf(rows, readPage(call.query, 50), true, own, filters);
        const scene = sceneOf(view, call, context);
        return answered(200, { ...page.frame, routes: page.items.map((one) => routeAnswer(one, scene)) });
      },
    }),
    operation({
      tag,
      method: 'GET',
      path: `${path}/:id`,
      id: `get_vpc${of}_route`,
      summary: `Retrieve a route of a routing table${note}`,
      success: { 200: Schemas.Route },
      errors: [404],
      async handle(call, context) {
        return routeIn(200, call.params.id!, new View(await context.store.snapshot()), call, context);
      },
    }),
  ];
}

function writingOperations({ path, of, word, note }: RoutePaths): Operation[] {
  return [
    operation({
      tag,
      method: 'POST',
      path,
      id: `create_vpc${of}_route`,
      summary: `Create a route in a routing table${note}`,
      body: RouteCreateBody,
      success: { 201: Schemas.Route },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => createRoute(transaction, call, context, word),
          (id, view) => routeIn(201, id, view, call, context),
        );
      },
    }),
    operation({
      tag,
      method: 'PATCH',
      path: `${path}/:id`,
      id: `update_vpc${of}_route`,
      summary: `Update a route of a routing table${note}`,
      body: RoutePatchBody,
      success: { 200: Schemas.Route },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => changeRoute(transaction, call, context, word),
          (id, view) => routeIn(200, id, view, call, context),
        );
      },
    }),
    operation({
      tag,
      method: 'DELETE',
      path: `${path}/:id`,
      id: `delete_vpc${of}_route`,
      summary: `Delete a route of a routing table${note}`,
      success: { 204: null },
      errors: [404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => deleteRoute(transaction, call, context, word),
          () => done(204),
        );
      },
    }),
  ];
}

const byTable: RoutePaths = {
  path: `${TABLES}/:table/routes`,
  of: '_routing_table',
  word: 'routing-table_route',
  note: '',
};
const byDefault: RoutePaths = {
  path: '/vpcs/:vpc/routes',
  of: '',
  word: 'vpc-route',
  note: ': the default table of a VPC',
};

/** Routing tables, their routes, and which table a subnet has. */
export const routingOperations: readonly Operation[] = [
  ...tableOperations,
  ...readingOperations(byTable),
  ...writingOperations(byTable),
  ...subnetOperations,
  ...readingOperations(byDefault),
  ...writingOperations(byDefault),
];

/** What the answers to a call about routes are made of. */
export function sceneOf(view: View, { links }: Call, { site, runner }: ApiContext): RoutingScene {
  return { view, links, site, runner };
}

function tableIn(view: View, { params }: Call, { site }: ApiContext, id: string): Table {
  return findTable(view, site, params.vpc!, id);
}

function answer<Status extends 200 | 201>(
  status: Status,
  table: Table,
  view: View,
  call: Call,
  context: ApiContext,
) {
  const etag = entityTag(table.id, table.revision);
  return { status, body: tableAnswer(table, sceneOf(view, call, context)), headers: { etag } };
}

/** All routes of a table, of clients and of services. */
export function routesOf(table: Table, view: View, { site }: ApiContext): readonly AnyRoute[] {
  return [...userRoutes(view, table.id).map((route) => ({ route })), ...serviceRoutes(view, table, site)];
}

function routeIn<Status extends 200 | 201>(
  status: Status,
  id: string,
  view: View,
  call: Call,
  context: ApiContext,
) {
  const table = tableOfCall(view, context.site, call);
  const found = routesOf(table, view, context).find(({ route }) => route.id === id);
  if (found === undefined) throw routeNotFound();
  return { status, body: routeAnswer(found, sceneOf(view, call, context)) };
}
