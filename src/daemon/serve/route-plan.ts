import type { RoutedRoute, RoutedSpread, RoutedTable, RoutedVpc, RoutedWay } from '../../api/runner.js';
import type { SourceRule } from '../../linux/policy-rules.js';
import type { TableRoute, TableWay } from '../../linux/table-routes.js';
import { cidrOf, familyOf, formatCidr, formatIp, parseIp } from '../../util/ip.js';
import { numberGroups, type PlannedGroup, type WantedPlace } from '../host/next-hop-groups.js';
import type { RouteRealm, RuleStep } from '../host/route-realm.js';

const RT_TABLE_MAIN = 254;

/** A route of the kernel, and the routes of the API that it is. */
export interface PlannedRoute {
  /** Where it leads to a group, that is by its first number. */
  readonly route: TableRoute;
  /** Absent for the second part of a route that has two. */
  readonly of?: RoutedRoute;
  /** A route that is there already stays, wherever it leads. */
  readonly yields: boolean;
}

/** What a network namespace is to have, by what distinguishes them in the kernel. */
export interface NamespacePlan {
  readonly routes: ReadonlyMap<string, PlannedRoute>;
  /** Places whose routes stay where there are any. */
  readonly kept: ReadonlySet<string>;
  readonly rules: ReadonlyMap<string, SourceRule>;
  /** By the first number of each. */
  readonly groups: ReadonlyMap<number, PlannedGroup>;
}

/** What makes a route one of its own for the kernel: of two with the same, one can be. */
export function slotOf({ table, cidr, metric }: Omit<TableRoute, 'way'>): string {
  return `${table} ${formatCidr(cidr)} ${metric}`;
}

/** All of a way, as text. */
export function wayKey(way: TableWay): string {
  if (way.kind === 'device') return `device ${way.device}`;
  if (way.kind === 'group') return `group ${way.id}`;
  return way.kind === 'routers' ? `routers ${way.routers.map(formatIp).sort().join(' ')}` : way.kind;
}

/** All of a rule, as text. */
export function ruleKey({ preference, source, table, withoutDefault }: SourceRule): string {
  return `${preference} ${formatCidr(source)} ${table} ${withoutDefault}`;
}

/** What the VPCs of one network namespace make of it. */
export function planOf(vpcs: readonly RoutedVpc[], realm: RouteRealm): NamespacePlan {
  // A table without routes changes nothing.
  const tables = vpcs.flatMap((vpc) => vpc.tables).filter(({ routes }) => routes.length > 0);
  const numbers = realm.numbersFor(tables.flatMap(({ key }) => [key, endKey(key)]));
  const routes = new Map<string, PlannedRoute>();
  const kept = new Set<string>();
  const rules = new Map<string, SourceRule>();
  const groups = groupsOf(tables, realm);
  const addRule = (rule: SourceRule): void => void rules.set(ruleKey(rule), rule);
  for (const table of tables) {
    const number = numbers.get(table.key)!;
    const end = numbers.get(endKey(table.key))!;
    for (const one of plannedRoutes(table, { number, end, groups })) routes.set(slotOf(one.route), one);
    for (const { destination, metric, way } of table.routes) {
      if (!('unknown' in way) && !('device' in way && way.sought === true)) continue;
      const cidr = cidrOf(destination);
      for (const one of [metric, standbyMetric(metric)])
        kept.add(slotOf({ table: number, cidr, metric: one }));
    }
    const toEnd = table.routes.some(({ way }) => isInside(way));
    for (const source of table.sources.map(cidrOf)) {
      const rule = (step: RuleStep, where: number, withoutDefault = false): void =>
        addRule({ preference: realm.preference(step), source, table: where, withoutDefault });
      rule('table', number);
      if (!toEnd) continue;
      rule('inside', RT_TABLE_MAIN, true);
      rule('end', end);
    }
  }
  for (const text of new Set(vpcs.flatMap(({ gateways }) => gateways))) {
    const address = parseIp(text);
    if (address === undefined || tables.length === 0) continue;
    const source = { address, prefix: address.length * 8 };
    addRule({
      preference: realm.preference('gateway'),
      source,
      table: RT_TABLE_MAIN,
      withoutDefault: false,
    });
  }
  return { routes, kept, rules, groups: new Map([...groups.values()].map((group) => [group.ids[0], group])) };
}

/** Behind the route itself, before the next priority. */
function standbyMetric(metric: number): number {
  return metric + 1;
}

/** What distributes packets to a connection, by connection and family. */
type Groups = ReadonlyMap<string, PlannedGroup>;

function groupKey(connection: string, family: 4 | 6): string {
  return `${connection} ${family}`;
}

function groupsOf(tables: readonly RoutedTable[], realm: RouteRealm): Groups {
  const wanted = new Map<string, readonly WantedPlace[]>();
  for (const { destination, way } of tables.flatMap(({ routes }) => routes)) {
    if (!('spread' in way)) continue;
    const family = familyOf(destination);
    wanted.set(groupKey(way.spread.connection, family), placesOf(way.spread, family));
  }
  return numberGroups(realm, wanted);
}

function placesOf({ devices, sought }: RoutedSpread, family: 4 | 6): WantedPlace[] {
  const other = devices.find((device) => device !== null)!;
  return devices.map((own, name) => {
    return { name, family, device: own ?? other, yields: own === null && sought === true };
  });
}

function endKey(key: string): string {
  return `${key} end`;
}

function isInside(way: RoutedWay): boolean {
  return 'rule' in way && way.rule === 'delegate_vpc';
}

interface PlanOfTable {
  readonly number: number;
  /** Number of the table for packets that found nothing in the namespace. */
  readonly end: number;
  readonly groups: Groups;
}

function plannedRoutes({ routes }: RoutedTable, { number: table, end, groups }: PlanOfTable): PlannedRoute[] {
  const hasEnd = routes.some(({ way }) => isInside(way));
  return routes.flatMap((of): PlannedRoute[] => {
    const cidr = cidrOf(of.destination);
    const { metric } = of;
    const way = wayOf(of, groups);
    if (way === undefined) return [];
    const yields = 'device' in of.way && of.way.sought === true;
    const planned: PlannedRoute[] = [{ route: { table, cidr, metric, way }, of, yields }];
    const standby = 'device' in of.way ? of.way.standby : undefined;
    if (standby !== undefined) {
      const next: TableWay = { kind: 'device', device: standby };
      planned.push({ route: { table, cidr, metric: standbyMetric(metric), way: next }, yields });
    }
    if (!hasEnd) return planned;
    // A longer prefix that is delegated whole must find the way out of the second table, too.
    const there: TableWay = { kind: isInside(of.way) ? 'unreachable' : 'throw' };
    return [...planned, { route: { table: end, cidr, metric, way: there }, yields: false }];
  });
}

function wayOf({ way, destination }: RoutedRoute, groups: Groups): TableWay | undefined {
  if ('unknown' in way) return undefined;
  if ('device' in way) return { kind: 'device', device: way.device };
  if ('spread' in way) {
    const group = groups.get(groupKey(way.spread.connection, familyOf(destination)))!;
    return { kind: 'group', id: group.ids[0] };
  }
  if ('routers' in way) return { kind: 'routers', routers: way.routers.flatMap((one) => parseIp(one) ?? []) };
  const kinds = {
    drop: 'blackhole',
    refuse: 'unreachable',
    delegate: 'throw',
    delegate_vpc: 'throw',
  } as const;
  return { kind: kinds[way.rule] };
}
