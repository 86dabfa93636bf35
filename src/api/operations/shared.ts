import type { ConnectionRecord, GatewayRecord } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import * as Type from '../../util/json-schema.js';
import type { View } from '../context.js';
import type { ErrorCode } from '../error-codes.js';
import { ApiError, badField } from '../errors.js';
import type { Call } from '../operation.js';
import type { SortKey } from '../paging.js';
import type { Reference } from '../schemas/requests.js';

/** Query parameters of lists, for the OpenAPI document; `readPage` reads them. */
export const PAGE_QUERY = {
  start: Type.Optional(Type.String({ description: 'token of the page, from next.href' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
};

/** Objects in the order in which they were made. */
export function byAge({ created, id }: StoredObject): SortKey {
  return [String(created).padStart(15, '0'), id];
}

/** Returns the gateway with this id. @throws ApiError 404 `vpn_gateway_not_found` */
export function findGateway(view: View, id: string): StoredObject<GatewayRecord> {
  const gateway = view.gateway(id);
  if (gateway === undefined) {
    throw new ApiError(404, 'vpn_gateway_not_found', 'there is no VPN gateway with this id');
  }
  return gateway;
}

/**
 * Returns a connection of this gateway, and the gateway.
 * @throws ApiError 404 `vpn_gateway_not_found`, or `vpn_connection_not_found`, also for a connection of another gateway
 */
export function findConnection(
  view: View,
  gateway: string,
  id: string,
): { gateway: StoredObject<GatewayRecord>; connection: StoredObject<ConnectionRecord> } {
  const owner = findGateway(view, gateway);
  const connection = view.connection(id);
  if (connection === undefined || connection.value.gateway !== gateway) {
    throw new ApiError(
      404,
      'vpn_connection_not_found',
      'there is no connection with this id on this gateway',
    );
  }
  return { gateway: owner, connection };
}

/** A gateway that is going away takes no more changes. */
export function refuseDeleting({ value }: StoredObject<GatewayRecord>): void {
  if (value.lifecycle !== 'deleting') return;
  throw new ApiError(409, 'vpn_gateway_invalid_state', `gateway ${value.name} is being deleted`);
}

/** The id that a reference names, by whichever of its forms. */
export function idOf(reference: Reference, field: string): string {
  const { id, crn, href } = reference;
  const ids = [id, crn?.split(':').at(-1), href?.split(/[?#]/)[0]?.split('/').at(-1)].filter(
    (one) => one !== undefined,
  );
  const first = ids[0];
  if (first === undefined) {
    throw badField(field, 'validation_required_field', 'needs an id, a crn or an href');
  }
  if (ids.some((one) => one !== first)) {
    throw badField(field, 'validation_only_one', 'names different objects by id, crn and href: keep one');
  }
  return first;
}

/**
 * Returns the id of the resource group that a body names; the site's first when it names none.
 * @throws ApiError 404 `not_found` for a group that the site does not have
 */
export function resourceGroupOf(reference: { readonly id: string } | undefined, site: Site): string {
  if (reference === undefined) return site.resourceGroups[0]!.id;
  if (site.resourceGroups.some(({ id }) => id === reference.id)) return reference.id;
  throw new ApiError(404, 'not_found', 'there is no resource group with this id', {
    name: 'resource_group.id',
    type: 'field',
  });
}

/** `count` is with what is being made. @throws ApiError 400 with the quota's code */
export function checkQuota(count: number, most: number, code: ErrorCode, what: string): void {
  if (count <= most) return;
  const message = `there would be ${count} ${what} and the quota is ${most}: delete one, or raise the quota`;
  throw new ApiError(400, code, message);
}

/** @throws ApiError 409 when another object of the list has the name of object `own` */
export function checkName(
  own: string,
  all: readonly StoredObject<{ readonly name: string }>[],
  code: ErrorCode,
): void {
  const name = all.find(({ id }) => id === own)?.value.name;
  const other = all.find(({ id, value }) => id !== own && value.name === name);
  if (other === undefined) return;
  const message = `name "${name}" is taken by ${other.id}: choose another`;
  throw new ApiError(409, code, message, { name: 'name', type: 'field' });
}

/** Returns the names that are taken, for the choice of a new one. */
export function namesOf(objects: readonly StoredObject<{ readonly name: string }>[]): ReadonlySet<string> {
  return new Set(objects.map(({ value }) => value.name));
}

/** One of a few values of a query parameter, or undefined. @throws ApiError 400 */
export function choice<T extends string>(call: Call, name: string, values: readonly T[]): T | undefined {
  const given = call.query[name];
  if (given === undefined) return undefined;
  const found = values.find((value) => value === given);
  if (found !== undefined) return found;
  const message = `${name} is not one of ${values.join(', ')}`;
  throw new ApiError(400, 'validation_enum', message, { name, type: 'parameter' });
}
