import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import { formatCidr, parseCidr } from '../../util/ip.js';
import { checkCidrQuotasLater, checkConnectionLater } from '../connection-checks.js';
import { View } from '../context.js';
import { ApiError } from '../errors.js';
import { type Call, NO_CONTENT, type Operation } from '../operation.js';
import { findConnection, refuseDeleting } from './shared.js';

type Side = 'local' | 'peer';

const CONNECTION = '/vpn_gateways/:gateway/connections/:id';
const tag = 'VPN gateway connection';

/**
 * The networks of a connection, under two families of paths: `/local/cidrs/{cidr}` with an encoded slash, and the
 * older `/local_cidrs/{address}/{length}`. Both are there at every version, since documents mix them.
 */
export const cidrOperations: readonly Operation[] = (['local', 'peer'] as const).flatMap((side) => [
  ...family(side, {
    list: `${CONNECTION}/${side}/cidrs`,
    item: `${CONNECTION}/${side}/cidrs/:cidr`,
    field: 'cidrs',
    schema: 'CIDRs',
    suffix: '',
    added: 201,
    cidr: ({ params }) => params.cidr!,
  }),
  ...family(side, {
    list: `${CONNECTION}/${side}_cidrs`,
    item: `${CONNECTION}/${side}_cidrs/:prefix_address/:prefix_length`,
    field: `${side}_cidrs`,
    schema: side === 'local' ? 'LocalCIDRs' : 'PeerCIDRs',
    suffix: '_by_prefix',
    added: 204,
    cidr: ({ params }) => `${params.prefix_address}/${params.prefix_length}`,
  }),
]);

interface Family {
  readonly list: string;
  readonly item: string;
  readonly field: string;
  readonly schema: string;
  readonly suffix: string;
  /** Status of a PUT that adds. */
  readonly added: number;
  cidr(call: Call): string;
}

function family(side: Side, paths: Family): readonly Operation[] {
  const { list, item, field, schema, suffix, added } = paths;
  return [
    {
      tag,
      method: 'GET',
      path: list,
      id: `list_vpn_gateway_connections_${side}_cidrs${suffix}`,
      summary: `List the ${side} networks of a connection`,
      success: { 200: schema },
      errors: [400, 404],
      async handle(call, { store }) {
        const { connection } = cidrsOwner(call, new View(await store.snapshot()));
        return { status: 200, body: { [field]: connection.value[side].cidrs } };
      },
    },
    {
      tag,
      method: 'GET',
      path: item,
      id: `check_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Check that a connection has a ${side} network`,
      success: { 204: null },
      errors: [400, 404],
      async handle(call, { store }) {
        const { connection } = cidrsOwner(call, new View(await store.snapshot()));
        if (!connection.value[side].cidrs.includes(readCidr(paths.cidr(call)))) throw notThere(side);
        return NO_CONTENT;
      },
    },
    {
      tag,
      method: 'PUT',
      path: item,
      id: `add_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Add a ${side} network to a connection`,
      success: added === 201 ? { 201: null, 204: null } : { 204: null },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => {
            const { gateway, connection } = cidrsOwner(call, transaction.view);
            refuseDeleting(gateway);
            const cidr = readCidr(paths.cidr(call));
            const { value } = connection;
            if (value[side].cidrs.includes(cidr)) return false;
            const after = withCidrs(value, side, [...value[side].cidrs, cidr]);
            checkConnectionLater(transaction, connection.id, context, call.dialect);
            checkCidrQuotasLater(transaction, connection.id, side, context);
            transaction.put(
              KIND.connection,
              connection.id,
              after,
              `is.vpn.vpn-connection_${side}-cidr.create`,
            );
            return true;
          },
          (isNew) => ({ status: isNew ? added : 204 }),
        );
      },
    },
    {
      tag,
      method: 'DELETE',
      path: item,
      id: `remove_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Remove a ${side} network from a connection`,
      success: { 204: null },
      errors: [400, 404, 409],
      async handle(call, context) {
        return context.writes.run(
          call.actor,
          (transaction) => {
            const { gateway, connection } = cidrsOwner(call, transaction.view);
            refuseDeleting(gateway);
            const cidr = readCidr(paths.cidr(call));
            const { cidrs } = connection.value[side];
            if (!cidrs.includes(cidr)) throw notThere(side);
            if (cidrs.length === 1) {
              const message = `${cidr} is the last ${side} network of the connection: add another one first`;
              throw new ApiError(400, 'vpn_connection_cidr_not_deleted', message);
            }
            const kept = cidrs.filter((one) => one !== cidr);
            const after = withCidrs(connection.value, side, kept);
            // The network may have been the only one of its family.
            checkConnectionLater(transaction, connection.id, context, call.dialect);
            transaction.put(
              KIND.connection,
              connection.id,
              after,
              `is.vpn.vpn-connection_${side}-cidr.delete`,
            );
          },
          () => NO_CONTENT,
        );
      },
    },
  ];
}

function cidrsOwner(
  call: Call,
  view: View,
): { gateway: StoredObject<GatewayRecord>; connection: StoredObject<ConnectionRecord> } {
  const found = findConnection(view, call.params.gateway!, call.params.id!);
  if (found.gateway.value.mode === 'policy') return found;
  const message = 'connections of route mode gateways have no networks: routes decide';
  throw new ApiError(400, 'vpn_connection_update_cidrs_not_permitted', message);
}

function readCidr(text: string): string {
  const cidr = parseCidr(text);
  if (cidr.ok) return formatCidr(cidr.value);
  const target = { name: 'cidr', type: 'parameter' } as const;
  throw new ApiError(400, 'vpn_connection_cidr_not_valid', `the network ${cidr.error}`, target);
}

function withCidrs(record: ConnectionRecord, side: Side, cidrs: readonly string[]): ConnectionRecord {
  return { ...record, [side]: { ...record[side], cidrs } };
}

function notThere(side: Side): ApiError {
  const message = `the connection does not have this ${side} network`;
  return new ApiError(404, 'vpn_connection_cidr_not_found', message);
}
