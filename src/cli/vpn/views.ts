import type { RouteStateAnswer } from '../../api/schemas/route-state-answers.js';
import type { Style } from '../style.js';
import { type Column, keptColumns, renderPairs, renderTable, wrapText } from '../table.js';
import type { ApiObject } from './api-client.js';

/** How a list is shown: a column and what its cells show. */
export type View = readonly (Column & {
  readonly cell: (object: ApiObject) => string;
})[];

const name: View[number] = { title: 'NAME', whole: true, cell: (object) => object.name };
const id: View[number] = { title: 'ID', whole: true, spare: 3, cell: (object) => object.id };

export const gatewayView: View = [
  name,
  { title: 'STATE', whole: true, cell: (one) => text(one.lifecycle_state) },
  { title: 'HEALTH', whole: true, cell: (one) => text(one.health_state) },
  { title: 'MODE', whole: true, cell: (one) => text(one.mode) },
  { title: 'PUBLIC IP', whole: true, cell: publicAddresses },
  { title: 'SUBNET', spare: 1, cell: (one) => text(at(one, 'subnet', 'name')) },
  { title: 'VPC', spare: 1, cell: (one) => text(at(one, 'vpc', 'name')) },
  { title: 'CONNECTIONS', align: 'right', spare: 2, cell: (one) => String(count(one.connections)) },
  id,
];

export const connectionView: View = [
  name,
  { title: 'STATUS', whole: true, cell: (one) => text(one.status) },
  { title: 'ADMIN', whole: true, spare: 2, cell: (one) => (one.admin_state_up === false ? 'down' : 'up') },
  {
    title: 'PEER',
    whole: true,
    spare: 1,
    cell: (one) => text(at(one, 'peer', 'address') ?? at(one, 'peer', 'fqdn')),
  },
  { title: 'LOCAL CIDRS', spare: 1, cell: (one) => text(at(one, 'local', 'cidrs')) },
  { title: 'PEER CIDRS', cell: (one) => text(at(one, 'peer', 'cidrs')) },
  { title: 'REASON', cell: reasons },
  id,
];

const policyColumns: View = [
  { title: 'ENCRYPTION', cell: (one) => text(one.encryption_algorithms ?? one.encryption_algorithm) },
  {
    title: 'AUTHENTICATION',
    cell: (one) => text(one.authentication_algorithms ?? one.authentication_algorithm),
  },
];
const policyTail: View = [
  { title: 'LIFETIME', align: 'right', spare: 1, cell: (one) => text(one.key_lifetime) },
  { title: 'CONNECTIONS', align: 'right', spare: 2, cell: (one) => String(count(one.connections)) },
  id,
];

export const ikePolicyView: View = [
  name,
  { title: 'IKE', align: 'right', cell: (one) => text(one.ike_version) },
  ...policyColumns,
  { title: 'DH', cell: (one) => text(one.dh_groups ?? one.dh_group) },
  ...policyTail,
];

export const ipsecPolicyView: View = [
  name,
  ...policyColumns,
  { title: 'PFS', cell: (one) => text(one.pfs_groups ?? one.pfs) },
  ...policyTail,
];

export const routingTableView: View = [
  name,
  { title: 'DEFAULT', spare: 1, cell: (one) => (one.is_default === true ? 'yes' : 'no') },
  {
    title: 'ACCEPTS FROM',
    spare: 2,
    cell: (one) =>
      text((one.accept_routes_from as { resource_type: string }[]).map((of) => of.resource_type)),
  },
  { title: 'ROUTES', align: 'right', cell: (one) => String(count(one.routes)) },
  { title: 'SUBNETS', cell: (one) => text((one.subnets as ApiObject[]).map((subnet) => subnet.name)) },
  id,
];

export const routeView: View = [
  name,
  { title: 'STATE', whole: true, cell: (one) => text(one.lifecycle_state) },
  { title: 'ZONE', spare: 2, cell: (one) => text(at(one, 'zone', 'name')) },
  { title: 'DESTINATION', whole: true, cell: (one) => text(one.destination) },
  { title: 'ACTION', spare: 1, cell: (one) => text(one.action) },
  {
    title: 'NEXT HOP',
    whole: true,
    cell: (one) => text(at(one, 'next_hop', 'name') ?? at(one, 'next_hop', 'address')),
  },
  { title: 'PRIORITY', align: 'right', spare: 1, cell: (one) => text(one.priority) },
  { title: 'ORIGIN', spare: 2, cell: (one) => text(one.origin) },
  id,
];

export const routeStateView: View = [
  name,
  { title: 'TABLE', spare: 3, cell: (one) => text(at(one, 'routing_table', 'name')) },
  { title: 'DESTINATION', whole: true, cell: (one) => text(one.destination) },
  { title: 'STATE', whole: true, cell: (one) => text(one.lifecycle_state) },
  {
    title: 'NEXT HOP',
    spare: 2,
    cell: (one) => text(at(one, 'next_hop', 'name') ?? at(one, 'next_hop', 'address')),
  },
  { title: 'CARRIED BY', whole: true, cell: carriers },
  { title: 'MOVED', spare: 1, cell: (one) => text(one.moved_at ?? undefined) },
  { title: 'MOVES', align: 'right', spare: 2, cell: (one) => text(one.moves) },
  { title: 'REASON', cell: (one) => [one.reason, ...(one.notes as string[])].filter(Boolean).join('; ') },
];

/** Tunnels by their members, those in brackets that do not carry packets now. */
function carriers({ tunnels }: ApiObject): string {
  const all = tunnels as RouteStateAnswer['tunnels'];
  return all
    .map(({ member, status, carries }) => (carries ? `member ${member}` : `(member ${member} ${status})`))
    .join(' ');
}

export const serviceConnectionView: View = [
  { title: 'STATUS', whole: true, cell: (one) => text(one.status) },
  id,
];

/** Renders objects as a table, without the columns that a screen of this width has no room for, and names those. */
export function renderList(
  items: readonly ApiObject[],
  view: View,
  style: Style,
  width: number | undefined,
): string[] {
  if (items.length === 0) return ['none'];
  const rows = items.map((item) => view.map(({ cell }) => cell(item)));
  const table = renderTable(view, rows, { ...(width === undefined ? {} : { width }), title: style.bold });
  const kept = keptColumns(view, rows, width);
  if (kept.length === view.length) return table;
  const left = view.filter((_, c) => !kept.includes(c)).map(({ title }) => title);
  const where = 'on a wider screen, in a pipe, or with --output json';
  return [...table, ...wrapText(`Without ${left.join(', ')}: ${where}.`, width ?? 0).map(style.dim)];
}

/** Every field of an object on its own line, those of objects in it by their path. The key is not shown. */
export function renderObject(object: ApiObject, style: Style, width: number | undefined): string[] {
  const pairs = Object.entries(object).flatMap(([field, value]) => pairsOf(field, value));
  return renderPairs(pairs, { ...(width === undefined ? {} : { width }), name: style.dim });
}

const SECRETS = new Set(['psk']);
/** Of what an object refers to, people want the name; the rest is in the JSON form. */
const REFERENCES = new Set([
  'subnet',
  'vpc',
  'resource_group',
  'ike_policy',
  'ipsec_policy',
  'routing_table',
]);

function pairsOf(field: string, value: unknown): (readonly [string, string])[] {
  if (SECRETS.has(field)) return [[field, '(not shown; --output json has it)']];
  if (isRecord(value)) {
    if (REFERENCES.has(field)) return [[field, named(value)]];
    return Object.entries(value).flatMap(([inner, one]) => pairsOf(`${field}.${inner}`, one));
  }
  if (Array.isArray(value) && value.some(isRecord)) return [[field, value.map(entry).join('\n')]];
  return [[field, text(value)]];
}

function entry(value: unknown): string {
  if (!isRecord(value)) return text(value);
  if (typeof value.code === 'string') return `${value.code}: ${text(value.message)}`;
  if (typeof value.name === 'string') return named(value);
  return Object.entries(value)
    .flatMap(([field, one]) => pairsOf(field, one))
    .filter(([field]) => !/(^|\.)(href|resource_type|id|name)$/.test(field))
    .map(([field, one]) => `${field} ${one}`)
    .join(', ');
}

function named(value: Readonly<Record<string, unknown>>): string {
  return value.name === undefined ? text(value.id) : `${text(value.name)} (${text(value.id)})`;
}

function publicAddresses(gateway: ApiObject): string {
  const members = (gateway.members ?? []) as readonly { readonly public_ip: { readonly address: string } }[];
  return members
    .map(({ public_ip }) => public_ip.address)
    .filter((address) => address !== '0.0.0.0')
    .join(', ');
}

function reasons(connection: ApiObject): string {
  const list = (connection.status_reasons ?? []) as readonly { readonly message: string }[];
  return list.map(({ message }) => message).join('\n');
}

function at(object: ApiObject, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((value, field) => (isRecord(value) ? value[field] : undefined), object);
}

function text(value: unknown): string {
  if (value === undefined || value === null) return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(text).join(', ');
  return String(value);
}

function count(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
