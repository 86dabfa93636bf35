import { KIND } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import { BodyReader } from '../bodies.js';
import type { ApiContext, Transaction } from '../context.js';
import { ApiError } from '../errors.js';
import type { Call } from '../operation.js';
import { checkTableLater } from '../routing/checks.js';
import { tableOf, tableOfSubnet } from '../routing/tables.js';
import type { Reference } from '../schemas/requests.js';
import { AttachBody, SubnetPatchBody } from '../schemas/routing-requests.js';
import { idOf } from './shared.js';

const attachReader = new BodyReader(AttachBody);
const subnetReader = new BodyReader(SubnetPatchBody);

/** @throws ApiError 404 */
export function findSubnet({ subnets }: Site, id: string) {
  const subnet = subnets.find((one) => one.id === id);
  if (subnet !== undefined) return subnet;
  throw new ApiError(404, 'subnet_not_found', 'there is no subnet with this id');
}

/** Attaches a table to the subnet that the path names, in the place of the one it has. @throws ApiError */
export function attachTable(transaction: Transaction, call: Call, context: ApiContext): string {
  const subnet = findSubnet(context.site, call.params.id!);
  return attach(transaction, subnet.id, attachReader.read(call.body()), context);
}

/** As `attachTable`, where the path names both. @throws ApiError */
export function attachNamedTable(transaction: Transaction, call: Call, context: ApiContext): string {
  return attach(transaction, call.params.id!, { id: call.params.table! }, context);
}

/** Changes what a subnet has of its own here: its table. @throws ApiError */
export function patchSubnet(transaction: Transaction, call: Call, context: ApiContext): string {
  const subnet = findSubnet(context.site, call.params.id!);
  const { routing_table: table } = subnetReader.read(call.body());
  if (table !== undefined) attach(transaction, subnet.id, table, context);
  return subnet.id;
}

function attach(transaction: Transaction, id: string, reference: Reference, { site }: ApiContext): string {
  const { view } = transaction;
  const subnet = findSubnet(site, id);
  // A CRN names the table behind its VPC.
  const { crn, ...rest } = reference;
  const wanted = idOf(
    { ...rest, ...(crn === undefined ? {} : { crn: crn.replace(/^.*\//, '') }) },
    'routing_table',
  );
  const table = tableOf(view, subnet.vpc, wanted);
  if (table === undefined) {
    const message = 'there is no routing table with this id in the VPC of the subnet';
    const target = { name: 'routing_table', type: 'field' } as const;
    throw new ApiError(404, 'routing_table_not_found', message, target);
  }
  const before = tableOfSubnet(view, subnet);
  checkTableLater(transaction, subnet.vpc, table.id, site);
  if (before.id === table.id) return table.id;
  if (!before.value.isDefault) {
    const subnets = before.value.subnets.filter((one) => one !== id);
    transaction.put(
      KIND.routingTable,
      before.id,
      { ...before.value, subnets },
      'is.vpc.routing-table.detach',
    );
  }
  if (!table.value.isDefault) {
    const subnets = [...table.value.subnets, id];
    transaction.put(
      KIND.routingTable,
      table.id,
      { ...table.value, subnets },
      'is.subnet.routing-table.attach',
    );
  }
  return table.id;
}
