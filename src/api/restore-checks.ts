import type { Backup, BackupObject } from '../store/backup.js';
import type { ConfigIssue } from '../store/config-error.js';
import { checkIkePolicy, checkIpsecPolicy, placeOfStored } from '../store/policy-rules.js';
import {
  type ConnectionRecord,
  type GatewayRecord,
  type IkePolicyRecord,
  type IpsecPolicyRecord,
  KIND,
  type RouteRecord,
  type RoutingTableRecord,
} from '../store/records.js';
import type { Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import { parseCidr } from '../util/ip.js';
import { checkConnectionLater } from './connection-checks.js';
import type { Transaction, View } from './context.js';
import type { ErrorCode } from './error-codes.js';
import { refuseIssues } from './errors.js';
import { checkName } from './operations/shared.js';
import { NEWEST } from './operations/variants.js';
import { checkRouteLater, checkTableLater } from './routing/checks.js';
import { restoredRouteIssues, restoredTableIssues } from './routing/restored.js';
import { tablesOf, userRoutes } from './routing/tables.js';

/**
 * Holds the objects of a backup against this server and against each other: what their ids name must be there, their
 * CRNs must stay what they were, and the rules that held when each of them was made must hold now. Quotas are left
 * out: they are for what is new.
 * @throws ApiError 400 at once for what the server lacks; the rules between objects when the transaction is settled
 */
export function checkRestoredLater(transaction: Transaction, backup: Backup, site: Site): void {
  const issues: ConfigIssue[] = [];
  checkOrigin(backup, site, issues);
  const ids = (kind: string): ReadonlySet<string> =>
    new Set(backup.objects.filter((one) => one.kind === kind).map(({ id }) => id));
  const known = {
    gateways: ids(KIND.gateway),
    ikePolicies: ids(KIND.ikePolicy),
    ipsecPolicies: ids(KIND.ipsecPolicy),
  };
  const taken = new Map<string, string>();
  for (const [index, object] of backup.objects.entries()) {
    const found: ConfigIssue[] = [];
    checkObject(object, site, known, found);
    found.push(...routingIssues(object, backup, site));
    if (object.kind === KIND.gateway) checkAddresses(object, taken, found);
    issues.push(
      ...found.map((one) => ({ ...one, path: ['backup', 'objects', index, 'value', ...one.path] })),
    );
  }
  refuseIssues(issues);
  for (const [index, { kind, id, value }] of backup.objects.entries()) {
    const place = `backup.objects[${index}]`;
    transaction.within(
      (error) => error.within(place, `${place}.value`),
      () => {
        transaction.later(`name of ${id}`, (view) => checkNameOf(kind, id, view));
        if (kind === KIND.connection) checkConnectionLater(transaction, id, { site }, NEWEST);
        if (kind === KIND.route) checkRouteLater(transaction, id);
        if (kind === KIND.routingTable) {
          checkTableLater(transaction, (value as unknown as RoutingTableRecord).vpc, id, site);
        }
      },
    );
  }
}

interface KnownIds {
  readonly gateways: ReadonlySet<string>;
  readonly ikePolicies: ReadonlySet<string>;
  readonly ipsecPolicies: ReadonlySet<string>;
}

/** Region and account are in every CRN. */
function checkOrigin(backup: Backup, site: Site, issues: ConfigIssue[]): void {
  for (const field of ['region', 'account'] as const) {
    if (backup[field] === site[field]) continue;
    const message = `is "${backup[field]}" and this server's is "${site[field]}", so the CRNs of its gateways would change: set "${field}" in the server's file to that of the backup`;
    issues.push({ path: ['backup', field], message });
  }
}

function checkObject(
  { kind, value }: BackupObject,
  site: Site,
  known: KnownIds,
  issues: ConfigIssue[],
): void {
  const record: unknown = value;
  // Policies are read by the wider profile: one that became stricter since is not for what there was.
  if (kind === KIND.gateway) {
    checkGateway(record as GatewayRecord, site, issues);
  } else if (kind === KIND.connection) {
    checkReferences(record as ConnectionRecord, known, issues);
  } else if (kind === KIND.ikePolicy) {
    checkGroup(record as IkePolicyRecord, site, issues);
    const policy = record as IkePolicyRecord;
    checkIkePolicy(policy, placeOfStored('ike', policy), 'compatible', issues);
  } else if (kind === KIND.ipsecPolicy) {
    checkGroup(record as IpsecPolicyRecord, site, issues);
    const policy = record as IpsecPolicyRecord;
    checkIpsecPolicy(policy, placeOfStored('ipsec', policy), 'compatible', issues);
  }
}

function routingIssues({ kind, id, value }: BackupObject, backup: Backup, site: Site): ConfigIssue[] {
  const record: unknown = value;
  if (kind === KIND.routingTable) return restoredTableIssues(id, record as RoutingTableRecord, site);
  return kind === KIND.route ? restoredRouteIssues(record as RouteRecord, backup, site) : [];
}

function checkGroup(
  { resourceGroup }: { readonly resourceGroup: string },
  { resourceGroups }: Site,
  issues: ConfigIssue[],
): void {
  if (resourceGroups.some(({ id }) => id === resourceGroup)) return;
  const message = `names "${resourceGroup}", which the server does not have: add it to "resource_groups" of its file`;
  issues.push({ path: ['resourceGroup'], message });
}

function checkGateway(gateway: GatewayRecord, site: Site, issues: ConfigIssue[]): void {
  checkGroup(gateway, site, issues);
  for (const [index, text] of gateway.advertisedCidrs.entries()) {
    const cidr = parseCidr(text);
    if (!cidr.ok) issues.push({ path: ['advertisedCidrs', index], rule: 'bad_cidr', message: cidr.error });
  }
  const subnet = site.subnets.find(({ id }) => id === gateway.subnet);
  if (subnet === undefined) {
    const message = `names "${gateway.subnet}", in which gateway ${gateway.name} is and which the server does not have: add it to "subnets" of its file, with this id`;
    issues.push({ path: ['subnet'], message });
    return;
  }
  if (subnet.vpc !== gateway.vpc || subnet.zone !== gateway.zone) {
    const message = `is subnet ${subnet.name}, which is in VPC "${subnet.vpc}" and zone "${subnet.zone}" here and was in "${gateway.vpc}" and "${gateway.zone}": correct the server's file`;
    issues.push({ path: ['subnet'], message });
  }
  const needed = gateway.mode === 'route' ? 2 : 1;
  for (const [index, { publicAddress }] of gateway.members.entries()) {
    const path = ['members', index, 'publicAddress'];
    if ((publicAddress === undefined) === index < needed) {
      const message = `does not go with mode ${gateway.mode}, in which ${needed} of two members listen`;
      issues.push({ path, message });
    } else if (publicAddress !== undefined && !subnet.publicAddresses.includes(publicAddress)) {
      const message = `"${publicAddress}" is not an address of subnet ${subnet.name} here: add it to its "public_addresses"`;
      issues.push({ path, message });
    }
  }
}

/** Every address is given to one gateway. */
function checkAddresses({ value }: BackupObject, taken: Map<string, string>, issues: ConfigIssue[]): void {
  const { name, members } = value as unknown as GatewayRecord;
  for (const [index, { privateIp, publicAddress }] of members.entries()) {
    for (const address of [privateIp.address, ...(publicAddress === undefined ? [] : [publicAddress])]) {
      const other = taken.get(address);
      if (other !== undefined) {
        issues.push({
          path: ['members', index],
          message: `has address ${address}, which gateway ${other} has`,
        });
      }
      taken.set(address, name);
    }
  }
}

function checkReferences(connection: ConnectionRecord, known: KnownIds, issues: ConfigIssue[]): void {
  const references = [
    ['gateway', connection.gateway, known.gateways],
    ['ikePolicy', connection.ikePolicy, known.ikePolicies],
    ['ipsecPolicy', connection.ipsecPolicy, known.ipsecPolicies],
  ] as const;
  for (const [field, id, ids] of references) {
    if (id === undefined || ids.has(id)) continue;
    issues.push({
      path: [field],
      message: `names ${id}, which is not in the backup: take another copy of it`,
    });
  }
}

type Named = readonly StoredObject<{ readonly name: string }>[];

function checkNameOf(kind: string, id: string, view: View): void {
  const [all, code] = namesakes(kind, id, view);
  checkName(id, all, code);
}

/** The objects that may not have the name of this one, and the code that says so. */
function namesakes(kind: string, id: string, view: View): readonly [Named, ErrorCode] {
  switch (kind) {
    case KIND.gateway: {
      const vpc = view.gateway(id)?.value.vpc;
      return [view.gateways().filter(({ value }) => value.vpc === vpc), 'vpn_gateway_duplicate_name'];
    }
    case KIND.connection:
      return [view.connectionsOf(view.connection(id)?.value.gateway ?? ''), 'vpn_connection_duplicate_name'];
    case KIND.ikePolicy:
      return [view.ikePolicies(), 'ike_policy_duplicate_name'];
    case KIND.routingTable: {
      const vpc = view.routingTables().find((one) => one.id === id)?.value.vpc;
      return [vpc === undefined ? [] : tablesOf(view, vpc), 'routing_table_duplicate_name'];
    }
    case KIND.route: {
      const table = view.routes().find((one) => one.id === id)?.value.table;
      return [userRoutes(view, table ?? ''), 'route_duplicate_name'];
    }
    default:
      return [view.ipsecPolicies(), 'ipsec_policy_duplicate_name'];
  }
}
