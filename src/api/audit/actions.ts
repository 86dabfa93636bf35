import { KIND } from '../../store/records.js';
import type { Operation } from '../operation.js';
import type { AuditEntry } from './trail.js';

/** What the audit trail calls an operation, and whose parameter of the path names its object. */
export interface AuditedOperation {
  readonly action: string;
  readonly kind?: string;
}

/** By path: the documents' word for the object, and our kind of it. The first that fits. */
const OBJECTS: readonly (readonly [RegExp, string, string])[] = [
  [/\/connections\/:id\/local[/_]cidrs/, 'vpn.vpn-connection_local-cidr', KIND.connection],
  [/\/connections\/:id\/peer[/_]cidrs/, 'vpn.vpn-connection_peer-cidr', KIND.connection],
  [/^\/vpn_gateways\/:gateway\/connections/, 'vpn.vpn-connection', KIND.connection],
  [/^\/vpn_gateways/, 'vpn.vpn-gateway', KIND.gateway],
  [/^\/ike_policies/, 'vpn.ike-policy', KIND.ikePolicy],
  [/^\/ipsec_policies/, 'vpn.ipsec-policy', KIND.ipsecPolicy],
  [/\/routing_tables\/:table\/routes/, 'vpc.routing-table_route', KIND.route],
  [/^\/vpcs\/:vpc\/(?:default_)?routing_table/, 'vpc.routing-table', KIND.routingTable],
  [/^\/vpcs\/:vpc\/routes/, 'vpc.vpc-route', KIND.route],
];

/** Operations that the documents do not have, or that are about two objects. What gateways are made in is read by every principal, and not noted. */
const OWN: Readonly<Record<string, string>> = {
  create_transaction: 'culvert.transaction.create',
  list_quotas: 'culvert.quota.list',
  list_vpc_route_states: 'culvert.route.list',
  list_audit: 'culvert.audit.list',
  get_backup: 'culvert.backup.read',
  restore_backup: 'culvert.backup.restore',
  get_subnet_routing_table: 'is.subnet.routing-table.read',
  replace_subnet_routing_table: 'is.subnet.routing-table.attach',
  update_subnet: 'is.subnet.routing-table.attach',
};

const VERBS = { POST: 'create', PUT: 'create', PATCH: 'update', DELETE: 'delete' } as const;

/** Undefined for what is not audited. */
export function auditedAs({ id, path, method }: Operation): AuditedOperation | undefined {
  if (id === 'capture_vpn_gateway_connection') {
    return { action: 'culvert.capture.create', kind: KIND.connection };
  }
  if (id === 'switch_vpn_gateway') return { action: 'culvert.gateway.switch', kind: KIND.gateway };
  const own = OWN[id];
  if (own !== undefined) return { action: own };
  const found = OBJECTS.find(([pattern]) => pattern.test(path));
  if (found === undefined) return undefined;
  const [, object, kind] = found;
  // Advertised networks are a field of their gateway.
  const change = path.includes('/advertised_cidrs') ? 'update' : VERBS[method as keyof typeof VERBS];
  // The documents have one word for reading one routing table and reading all.
  const listed = id.startsWith('list_') && !object.startsWith('vpc.');
  const verb = method !== 'GET' ? change : listed ? 'list' : 'read';
  return { action: `is.${object}.${verb}`, kind };
}

/** The object that the path of a request names; of a list, the gateway it is one of. */
export function targetOf(
  { kind }: AuditedOperation,
  params: Readonly<Record<string, string>>,
): Pick<AuditEntry, 'target'> {
  const { id, gateway } = params;
  if (kind !== undefined && id !== undefined) return { target: { kind, id } };
  return gateway === undefined ? {} : { target: { kind: KIND.gateway, id: gateway } };
}
