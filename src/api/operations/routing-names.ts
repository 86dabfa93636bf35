import type { View } from '../context.js';
import { ApiError, badField } from '../errors.js';
import { tablesOf } from '../routing/tables.js';

/* What steps of a transaction name by its name, since the same transaction may make it. */

/** @throws ApiError 400, 404 */
export function tableNamed(
  { id, name }: { readonly id?: string; readonly name?: string },
  vpc: string,
  view: View,
): string {
  if ((id === undefined) === (name === undefined)) {
    throw badField('table', 'validation_only_one', 'needs an id or a name, and one of them');
  }
  if (id !== undefined) return id;
  const found = tablesOf(view, vpc).find(({ value }) => value.name === name);
  if (found !== undefined) return found.id;
  const target = { name: 'table', type: 'field' } as const;
  throw new ApiError(
    404,
    'routing_table_not_found',
    `there is no routing table "${name}" in the VPC`,
    target,
  );
}

/** A body with the id of the connection that its next hop names by gateway and name. @throws ApiError 400 */
export function withNextHop(body: object, vpc: string | undefined, view: View): object {
  const { next_hop: hop } = body as { readonly next_hop?: unknown };
  if (vpc === undefined || typeof hop !== 'object' || hop === null) return body;
  const { gateway, connection, ...rest } = hop as Readonly<Record<string, unknown>>;
  if (typeof gateway !== 'string' || typeof connection !== 'string' || Object.keys(rest).length > 0)
    return body;
  const owner = view.gateways().find(({ value }) => value.name === gateway && value.vpc === vpc);
  const found = owner && view.connectionsOf(owner.id).find(({ value }) => value.name === connection);
  if (found !== undefined) return { ...body, next_hop: { id: found.id } };
  const what = `names connection "${connection}" of gateway "${gateway}", which is not in the VPC`;
  throw badField('next_hop', 'route_next_hop_not_valid', what);
}
