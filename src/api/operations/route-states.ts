import { View } from '../context.js';
import { answered, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { routeStateAnswer } from '../render/route-states.js';
import { tablesOf } from '../routing/tables.js';
import { RouteStates } from '../schemas/route-state-answers.js';
import { routesOf, sceneOf } from './routing.js';
import { findVpc } from './routing-changes.js';
import { byAge, PAGE_QUERY } from './shared.js';

/** Which tunnel carries what: what the VPC documents do not have, beside them and as our own. */
export const routeStateOperations: readonly Operation[] = [
  operation({
    tag: 'Routing table',
    prefixes: ['/v1', '/culvert/v1'],
    method: 'GET',
    path: '/vpcs/:vpc/route_states',
    id: 'list_vpc_route_states',
    summary:
      'Show of all routes of a VPC whether they are in force, why not, and which tunnels carry their packets',
    query: PAGE_QUERY,
    success: { 200: RouteStates },
    errors: [400, 404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const vpc = findVpc(context.site, call.params.vpc!);
      const rows = tablesOf(view, vpc).flatMap((table) =>
        routesOf(table, view, context).map((one) => ({ item: { one, table }, key: byAge(one.route) })),
      );
      const url = `${call.links.base}/vpcs/${vpc}/route_states`;
      const page = pageOf(rows, readPage(call.query, 50), true, url, {});
      const scene = sceneOf(view, call, context);
      return answered(
        200,
        {
          ...page.frame,
          route_states: page.items.map(({ one, table }) => routeStateAnswer(one, table, scene)),
        },
        { 'cache-control': 'no-store' },
      );
    },
  }),
];
