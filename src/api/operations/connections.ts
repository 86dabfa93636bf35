import * as Type from '../../util/json-schema.js';
import { type ApiContext, View } from '../context.js';
import { entityTag } from '../ids.js';
import { type Call, done, type Operation, operation } from '../operation.js';
import { ObservedConnection } from '../render/connections.js';
import * as Schemas from '../schemas/answers.js';
import { nestedConnectionBodies } from '../schemas/requests.js';
import { createConnection, deleteConnection, patchConnection } from './connection-changes.js';
import { pageOfConnections, renderConnection } from './connection-list.js';
import { choice, findConnection, findGateway, PAGE_QUERY } from './shared.js';
import { NEWEST } from './variants.js';

const EARLY_LIMIT = 10;

const tag = 'VPN gateway connection';
const PATH = '/vpn_gateways/:gateway/connections';
const newestBodies = nestedConnectionBodies(NEWEST);

export const connectionOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: PATH,
    id: 'list_vpn_gateway_connections',
    summary: 'List the connections of a VPN gateway',
    query: { ...PAGE_QUERY, status: Type.Optional(Type.Enum(['up', 'down'])) },
    success: { 200: Schemas.Connections },
    errors: [400, 404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const gateway = findGateway(view, call.params.gateway!);
      const status = choice(call, 'status', ['up', 'down']);
      const observation = context.runner.observe(gateway.id);
      const chosen = view.connectionsOf(gateway.id).filter(({ id, value }) => {
        if (status === undefined) return true;
        return new ObservedConnection(id, value, gateway.value, observation).whole === status;
      });
      const url = `${call.links.gateway(gateway.id)}/connections`;
      const usual = call.dialect.early ? EARLY_LIMIT : 50;
      const filters: Record<string, string> = status === undefined ? {} : { status };
      return pageOfConnections(chosen, view, call, context, url, usual, filters);
    },
  }),
  operation({
    tag,
    method: 'POST',
    path: PATH,
    id: 'create_vpn_gateway_connection',
    summary: 'Create a connection on a VPN gateway',
    body: newestBodies.create,
    success: { 201: Schemas.Connection },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => createConnection(transaction, call, context),
        (id, view) => answer(201, id, view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: `${PATH}/:id`,
    id: 'get_vpn_gateway_connection',
    summary: 'Retrieve a connection of a VPN gateway',
    success: { 200: Schemas.Connection },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      return answer(
        200,
        findConnection(view, call.params.gateway!, call.params.id!).connection.id,
        view,
        call,
        context,
      );
    },
  }),
  operation({
    tag,
    method: 'PATCH',
    path: `${PATH}/:id`,
    id: 'update_vpn_gateway_connection',
    summary: 'Update a connection of a VPN gateway',
    ifMatch: true,
    body: newestBodies.patch,
    success: { 200: Schemas.Connection },
    errors: [400, 404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => patchConnection(transaction, call, context),
        (id, view) => answer(200, id, view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'DELETE',
    path: `${PATH}/:id`,
    id: 'delete_vpn_gateway_connection',
    summary: 'Delete a connection of a VPN gateway',
    ifMatch: true,
    success: { 202: null, 204: null },
    errors: [404, 409, 412],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => deleteConnection(transaction, call),
        () => done(call.dialect.early ? 204 : 202),
      );
    },
  }),
];

function answer<Status extends 200 | 201>(
  status: Status,
  id: string,
  view: View,
  call: Call,
  context: ApiContext,
) {
  const connection = view.connection(id);
  if (connection === undefined) throw new Error(`connection ${id} is gone right behind its change`);
  const etag = entityTag(connection.id, connection.revision);
  return { status, body: renderConnection(connection, view, call, context), headers: { etag } };
}
