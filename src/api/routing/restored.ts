import type { Backup } from '../../store/backup.js';
import type { ConfigIssue } from '../../store/config-error.js';
import { KIND, type RouteRecord, type RoutingTableRecord } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import { parseCidr, parseIp } from '../../util/ip.js';
import { defaultTableId, vpcOf, zonesOf } from './tables.js';

/** What of a routing table in a backup does not go with this server. Its subnets may be gone: they do not count then. */
export function restoredTableIssues(id: string, table: RoutingTableRecord, site: Site): ConfigIssue[] {
  const issues = vpcIssues(table.vpc, site);
  if (table.isDefault === (id === defaultTableId(table.vpc))) return issues;
  const message = `does not go with id ${id}: the default table of VPC "${table.vpc}" is ${defaultTableId(table.vpc)}`;
  return [...issues, { path: ['isDefault'], message }];
}

/** What of a route in a backup goes neither with this server nor with the rest of the backup. */
export function restoredRouteIssues(route: RouteRecord, backup: Backup, site: Site): ConfigIssue[] {
  const { vpc, table, zone, destination, nextHop, action } = route;
  const issues = vpcIssues(vpc, site);
  const add = (path: string, message: string): void => void issues.push({ path: [path], message });
  const found = backup.objects.find(({ kind, id }) => kind === KIND.routingTable && id === table);
  if (found === undefined && table !== defaultTableId(vpc)) {
    add('table', `names ${table}, which is not in the backup: take another copy of it`);
  } else if (found !== undefined && found.value.vpc !== vpc) {
    add('vpc', `is "${vpc}", and that of its table is "${String(found.value.vpc)}"`);
  }
  if (
    issues.length === 0 &&
    !zonesOf(site, vpc).includes(zone) &&
    !site.subnets.some((one) => one.zone === zone)
  ) {
    add('zone', `names "${zone}", in which the server has no subnet: add one to "subnets" of its file`);
  }
  const cidr = parseCidr(destination);
  if (!cidr.ok) issues.push({ path: ['destination'], rule: 'bad_cidr', message: cidr.error });
  const { address, connection } = nextHop;
  const hops = [address, connection].filter((one) => one !== undefined).length;
  if (hops !== (action === 'deliver' ? 1 : 0)) {
    add('nextHop', `does not go with action ${action}, which has ${action === 'deliver' ? 'one' : 'none'}`);
  }
  if (address !== undefined && parseIp(address) === undefined)
    add('nextHop', `"${address}" is no IP address`);
  const isKnown = backup.objects.some(({ kind, id }) => kind === KIND.connection && id === connection);
  if (connection !== undefined && !isKnown) {
    add('nextHop', `names ${connection}, which is not in the backup: take another copy of it`);
  }
  return issues;
}

function vpcIssues(vpc: string, site: Site): ConfigIssue[] {
  if (vpcOf(site, vpc) !== undefined) return [];
  const message = `names "${vpc}", which the server does not have: add it to "vpcs" of its file, with this id`;
  return [{ path: ['vpc'], message }];
}
