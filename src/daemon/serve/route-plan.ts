import { createHash } from 'node:crypto';
import type { RoutedRoute, RoutedTable, RoutedVpc, RoutedWay } from '../../api/runner.js';
import type { SourceRule } from '../../linux/policy-rules.js';
import type { TableRoute, TableWay } from '../../linux/table-routes.js';
import { cidrOf, formatCidr, formatIp, parseIp } from '../../util/ip.js';

const RT_TABLE_MAIN = 254;

/**
 * Which routing tables and rules of a network namespace are those of one server. Numbers and preferences contain a
 * number of the server, so that each recognises its own after a crash, and two servers in one namespace leave each
 * other's alone.
 */
export class RouteRealm {
  readonly #first: number;
  readonly #tables: number;

  /** @param owner what is the server's alone, and the same at every start */
  constructor(owner: string) {
    const number = hash16(owner) % SERVERS;
    this.#first = FIRST_PREFERENCE + number * PREFERENCES;
    this.#tables = FIRST_TABLE + number * TABLES;
  }

  /** Preferences of rules, in the order in which the kernel asks them. */
  preference(step: RuleStep): number {
    return this.#first + STEPS.indexOf(step);
  }

  isOwnRule({ preference }: SourceRule): boolean {
    return preference >= this.#first && preference < this.#first + PREFERENCES;
  }

  isOwnTable(table: number): boolean {
    return table >= this.#tables && table < this.#tables + TABLES;
  }

  /** A table for each key: the same whatever other keys there are, as long as no two hash alike. */
  tablesFor(keys: readonly string[]): ReadonlyMap<string, number> {
    const taken = new Set<number>();
    const numbers = new Map<string, number>();
    for (const key of [...keys].sort()) {
      let number = hash16(key);
      while (taken.has(number)) number = (number + 1) % TABLES;
      taken.add(number);
      numbers.set(key, this.#tables + number);
    }
    return numbers;
  }
}

/**
 * Own addresses of gateways first, which no table is for; then the table; then, for routes that delegate to all but
 * the internet, the namespace without its default route, and the end for what found nothing there.
 */
const STEPS = ['gateway', 'table', 'inside', 'end'] as const;
type RuleStep = (typeof STEPS)[number];

const SERVERS = 4096;
const PREFERENCES = STEPS.length;
/** Behind 0, the host's own addresses; the last server ends before 32766, the main table. */
const FIRST_PREFERENCE = 10_000;
const TABLES = 0x1_0000;
const FIRST_TABLE = 0x4000_0000;

function hash16(text: string): number {
  return createHash('sha256').update(text).digest().readUInt16BE(0);
}

/** A route of the kernel, and the routes of the API that it is. */
export interface PlannedRoute {
  readonly route: TableRoute;
  /** Absent for the second part of a route that has two. */
  readonly of?: RoutedRoute;
}

/** What a network namespace is to have, by what distinguishes them in the kernel. */
export interface NamespacePlan {
  readonly routes: ReadonlyMap<string, PlannedRoute>;
  /** Places whose routes stay where there are any. */
  readonly kept: ReadonlySet<string>;
  readonly rules: ReadonlyMap<string, SourceRule>;
}

/** What makes a route one of its own for the kernel: of two with the same, one can be. */
export function slotOf({ table, cidr, metric }: Omit<TableRoute, 'way'>): string {
  return `${table} ${formatCidr(cidr)} ${metric}`;
}

/** All of a way, as text. */
export function wayKey(way: TableWay): string {
  if (way.kind === 'device') return `device ${way.device}`;
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
  const numbers = realm.tablesFor(tables.flatMap(({ key }) => [key, endKey(key)]));
  const routes = new Map<string, PlannedRoute>();
  const kept = new Set<string>();
  const rules = new Map<string, SourceRule>();
  const addRule = (rule: SourceRule): void => void rules.set(ruleKey(rule), rule);
  for (const table of tables) {
    const number = numbers.get(table.key)!;
    const end = numbers.get(endKey(table.key))!;
    for (const one of plannedRoutes(table, number, end)) routes.set(slotOf(one.route), one);
    for (const { destination, metric, way } of table.routes) {
      if ('unknown' in way) kept.add(slotOf({ table: number, cidr: cidrOf(destination), metric }));
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
  return { routes, kept, rules };
}

function endKey(key: string): string {
  return `${key} end`;
}

function isInside(way: RoutedWay): boolean {
  return 'rule' in way && way.rule === 'delegate_vpc';
}

function plannedRoutes({ routes }: RoutedTable, table: number, end: number): PlannedRoute[] {
  const hasEnd = routes.some(({ way }) => isInside(way));
  return routes.flatMap((of): PlannedRoute[] => {
    const cidr = cidrOf(of.destination);
    const { metric } = of;
    const way = wayOf(of.way);
    if (way === undefined) return [];
    const planned = { route: { table, cidr, metric, way }, of };
    if (!hasEnd) return [planned];
    // A longer prefix that is delegated whole must find the way out of the second table, too.
    const there: TableWay = { kind: isInside(of.way) ? 'unreachable' : 'throw' };
    return [planned, { route: { table: end, cidr, metric, way: there } }];
  });
}

function wayOf(way: RoutedWay): TableWay | undefined {
  if ('unknown' in way) return undefined;
  if ('device' in way) return { kind: 'device', device: way.device };
  if ('routers' in way) return { kind: 'routers', routers: way.routers.flatMap((one) => parseIp(one) ?? []) };
  const kinds = {
    drop: 'blackhole',
    refuse: 'unreachable',
    delegate: 'throw',
    delegate_vpc: 'throw',
  } as const;
  return { kind: kinds[way.rule] };
}
