import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import { formatCidr, parseCidr } from '../../util/ip.js';
import { checkCidrQuotasLater, checkConnectionLater } from '../connection-checks.js';
import { type ApiContext, type Transaction, View } from '../context.js';
import { ApiError } from '../errors.js';
import { answered, type BodyOf, type Call, done, type Operation, operation } from '../operation.js';
import type { NamedSchema } from '../schemas/answer-parts.js';
import { LocalCidrs, NestedCidrs, PeerCidrs } from '../schemas/answers.js';
import { findConnection, refuseDeleting } from './shared.js';

type Side = 'local' | 'peer';

const CONNECTION = '/vpn_gateways/:gateway/connections/:id';
const tag = 'VPN gateway connection';

/**
 * The networks of a connection, under two families of paths: `/local/cidrs/{cidr}` with an encoded slash, and the
 * older `/local_cidrs/{address}/{length}`. Both are there at every version, since documents mix them.
 */
export const cidrOperations: readonly Operation[] = (['local', 'peer'] as const).flatMap((side) => [
  ...operationsOf({
    side,
    list: `${CONNECTION}/${side}/cidrs`,
    item: `${CONNECTION}/${side}/cidrs/:cidr`,
    schema: NestedCidrs,
    answer: (cidrs) => ({ cidrs }),
    suffix: '',
    added: 201,
    cidr: ({ params }) => params.cidr!,
  }),
  ...(side === 'local'
    ? byPrefix(side, LocalCidrs, (cidrs) => ({ local_cidrs: cidrs }))
    : byPrefix(side, PeerCidrs, (cidrs) => ({ peer_cidrs: cidrs }))),
]);

/** One way to the networks of one side. */
interface Family<S extends NamedSchema> {
  readonly side: Side;
  readonly list: string;
  readonly item: string;
  readonly schema: S;
  readonly suffix: string;
  /** Status of a PUT that adds. */
  readonly added: 201 | 204;
  answer(cidrs: readonly string[]): BodyOf<S>;
  /** The network that a request names, as it is written there. */
  cidr(call: Call): string;
}

function byPrefix<S extends NamedSchema>(
  side: Side,
  schema: S,
  answer: Family<S>['answer'],
): readonly Operation[] {
  return operationsOf({
    side,
    list: `${CONNECTION}/${side}_cidrs`,
    item: `${CONNECTION}/${side}_cidrs/:prefix_address/:prefix_length`,
    schema,
    answer,
    suffix: '_by_prefix',
    added: 204,
    cidr: ({ params }) => `${params.prefix_address}/${params.prefix_length}`,
  });
}

function operationsOf<S extends NamedSchema>(family: Family<S>): readonly Operation[] {
  return [...readingOf(family), ...changingOf(family)];
}

function readingOf<S extends NamedSchema>(family: Family<S>): readonly Operation[] {
  const { side, list, item, schema, suffix } = family;
  return [
    operation<{ readonly 200: S }>({
      tag,
      method: 'GET',
      path: list,
      id: `list_vpn_gateway_connections_${side}_cidrs${suffix}`,
      summary: `List the ${side} networks of a connection`,
      success: { 200: schema },
      errors: [400, 404],
      async handle(call, { store }) {
        const { connection } = cidrsOwner(call, new View(await store.snapshot()));
        return answered(200, family.answer(connection.value[side].cidrs));
      },
    }),
    operation({
      tag,
      method: 'GET',
      path: item,
      id: `check_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Check that a connection has a ${side} network`,
      success: { 204: null },
      errors: [400, 404],
      async handle(call, { store }) {
        const { connection } = cidrsOwner(call, new View(await store.snapshot()));
        if (!connection.value[side].cidrs.includes(readCidr(family.cidr(call)))) throw notThere(side);
        return done(204);
      },
    }),
  ];
}

function changingOf({
  side,
  item,
  suffix,
  added,
  cidr,
}: Omit<Family<NamedSchema>, 'answer'>): readonly Operation[] {
  return [
    operation<{ readonly 201?: null; readonly 204: null }>({
      tag,
      method: 'PUT',
      path: item,
      id: `add_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Add a ${side} network to a connection`,
      success: added === 201 ? { 201: null, 204: null } : { 204: null },
      errors: [400, 404, 409],
      handle: (call, context) =>
        context.writes.run(
          call.actor,
          (transaction) => addCidr(transaction, call, { side, cidr }, context),
          (isNew) => done(isNew ? added : 204),
        ),
    }),
    operation({
      tag,
      method: 'DELETE',
      path: item,
      id: `remove_vpn_gateway_connections_${side}_cidr${suffix}`,
      summary: `Remove a ${side} network from a connection`,
      success: { 204: null },
      errors: [400, 404, 409],
      handle: (call, context) =>
        context.writes.run(
          call.actor,
          (transaction) => removeCidr(transaction, call, { side, cidr }, context),
          () => done(204),
        ),
    }),
  ];
}

type Named = Pick<Family<NamedSchema>, 'side' | 'cidr'>;

/** Whether the network is new to the connection. @throws ApiError */
function addCidr(
  transaction: Transaction,
  call: Call,
  { side, cidr: of }: Named,
  context: ApiContext,
): boolean {
  const { gateway, connection } = cidrsOwner(call, transaction.view);
  refuseDeleting(gateway);
  const cidr = readCidr(of(call));
  const { value } = connection;
  if (value[side].cidrs.includes(cidr)) return false;
  const after = withCidrs(value, side, [...value[side].cidrs, cidr]);
  checkConnectionLater(transaction, connection.id, context, call.dialect);
  checkCidrQuotasLater(transaction, connection.id, side, context);
  transaction.put(KIND.connection, connection.id, after, `is.vpn.vpn-connection_${side}-cidr.create`);
  return true;
}

/** @throws ApiError */
function removeCidr(
  transaction: Transaction,
  call: Call,
  { side, cidr: of }: Named,
  context: ApiContext,
): void {
  const { gateway, connection } = cidrsOwner(call, transaction.view);
  refuseDeleting(gateway);
  const cidr = readCidr(of(call));
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
  transaction.put(KIND.connection, connection.id, after, `is.vpn.vpn-connection_${side}-cidr.delete`);
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
