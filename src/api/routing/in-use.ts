import type { Transaction, View } from '../context.js';
import type { ErrorCode } from '../error-codes.js';
import { ApiError } from '../errors.js';

/**
 * Refuses to let a connection go while a route leads to it, unless the same transaction takes the route away.
 * @throws ApiError 409 when the transaction is settled
 */
export function keepRoutedConnectionLater(transaction: Transaction, connection: string): void {
  const named = `connection ${transaction.view.connection(connection)?.value.name ?? connection}`;
  transaction.later(`routes to ${connection}`, (view) =>
    refuseRouted(view, new Set([connection]), 'vpn_connection_in_use', named),
  );
}

/** The same for a gateway and all connections that it has. @throws ApiError 409 when the transaction is settled */
export function keepRoutedGatewayLater(transaction: Transaction, gateway: string): void {
  const { view } = transaction;
  const connections = new Set(view.connectionsOf(gateway).map(({ id }) => id));
  const named = `gateway ${view.gateway(gateway)?.value.name ?? gateway}`;
  transaction.later(`routes to ${gateway}`, (after) =>
    refuseRouted(after, connections, 'vpn_gateway_in_use', named),
  );
}

function refuseRouted(view: View, connections: ReadonlySet<string>, code: ErrorCode, named: string): void {
  const routes = view.routes().filter(({ value }) => connections.has(value.nextHop.connection ?? ''));
  const [first] = routes;
  if (first === undefined) return;
  const { name, table } = first.value;
  const others = routes.length === 1 ? '' : ` and ${routes.length - 1} more`;
  const message = `${named} is the next hop of route ${name} in routing table ${table}${others}: delete it, or give it another next hop, first`;
  throw new ApiError(409, code, message);
}
