import type { RoutedRoute } from '../../api/runner.js';
import { ROUTE_PROTOCOL } from '../../linux/routes.js';
import type { TableRoute, TableWay } from '../../linux/table-routes.js';
import { type BroughtGroup, NextHopGroups } from '../host/next-hop-groups.js';
import type { RouteRealm } from '../host/route-realm.js';
import type { RouteKernel } from './route-kernel.js';
import { type NamespacePlan, type PlannedRoute, ruleKey, slotOf, wayKey } from './route-plan.js';

/** What the routes of a namespace are brought to their plan with. */
export interface NamespaceTask {
  readonly kernel: RouteKernel;
  readonly realm: RouteRealm;
  readonly plan: NamespacePlan;
  /** Called for what the kernel refuses; without a route where that concerns no single one. */
  readonly refuse: (of: RoutedRoute | undefined, error: unknown) => void;
}

/** A route to a connection that is in force. */
export interface Passage {
  readonly of: RoutedRoute;
  /** What its packets go through. */
  readonly devices: readonly string[];
  /** It was not there before. */
  readonly isNew: boolean;
}

/**
 * Brings the namespace that the thread is in to its plan. What leads somewhere comes before what leads to it, and
 * goes after it: next hops, routes, rules. A route is removed when the one that takes its packets is there.
 * @throws LinuxError when the kernel gives no list of what it has
 */
export function bringNamespace(task: NamespaceTask): Passage[] {
  const { kernel, realm, plan } = task;
  const ruled = clearRules(task);
  const groups = new NextHopGroups(kernel, (id) => realm.isOwnNumber(id));
  const brought = new Map([...plan.groups].map(([first, group]) => [first, groups.bring(group)]));
  const there = ownRoutes(task);
  const passages = [...plan.routes].flatMap(([slot, planned]) =>
    layRoute(task, planned, { before: there.get(slot)?.way, brought, groups }),
  );
  clearRoutes(task, there, groups);
  for (const [key, rule] of plan.rules) {
    if (!ruled.has(key)) attempt(task, undefined, () => kernel.addRule(rule));
  }
  groups.clear((change) => attempt(task, undefined, change));
  return passages;
}

/** @returns the rules of the plan that are there, by their key */
function clearRules(task: NamespaceTask): ReadonlySet<string> {
  const { kernel, realm, plan } = task;
  const rules = new Set<string>();
  for (const rule of kernel.rules().filter((one) => realm.isOwnRule(one))) {
    const key = ruleKey(rule);
    if (plan.rules.has(key) && !rules.has(key)) rules.add(key);
    else attempt(task, undefined, () => kernel.removeRule(rule));
  }
  return rules;
}

/** @returns the server's routes that are there, by their slot */
function ownRoutes({ kernel, realm }: NamespaceTask): ReadonlyMap<string, TableRoute> {
  const listed = kernel.routes((table) => realm.isOwnNumber(table));
  const own = listed.filter(({ protocol }) => protocol === ROUTE_PROTOCOL);
  return new Map(own.map(({ route }) => [slotOf(route), route]));
}

/** Takes away what is neither planned nor kept. */
function clearRoutes(
  task: NamespaceTask,
  there: ReadonlyMap<string, TableRoute>,
  groups: NextHopGroups,
): void {
  const { kernel, plan } = task;
  for (const [slot, route] of there) {
    if (plan.routes.has(slot)) continue;
    if (!plan.kept.has(slot)) attempt(task, undefined, () => kernel.removeRoute(route));
    else if (route.way.kind === 'group') groups.keep(route.way.id);
  }
}

interface Found {
  readonly before: TableWay | undefined;
  readonly brought: ReadonlyMap<number, BroughtGroup>;
  readonly groups: NextHopGroups;
}

function layRoute(task: NamespaceTask, planned: PlannedRoute, found: Found): Passage[] {
  const { kernel } = task;
  const { of, yields } = planned;
  const { before, brought, groups } = found;
  const isNew = before === undefined;
  if (before !== undefined && yields) {
    if (before.kind === 'group') groups.keep(before.id);
    return passage(of, devicesOf(before, groups), isNew);
  }
  const { way } = planned.route;
  const group = way.kind === 'group' ? brought.get(way.id)! : undefined;
  if (group !== undefined && 'error' in group) {
    task.refuse(of, group.error);
    return [];
  }
  const route: TableRoute =
    group === undefined ? planned.route : { ...planned.route, way: { kind: 'group', id: group.id } };
  if (before === undefined || wayKey(before) !== wayKey(route.way)) {
    const laid = attempt(task, of, () => (isNew ? kernel.addRoute(route) : kernel.replaceRoute(route)));
    if (!laid) {
      if (before?.kind === 'group') groups.keep(before.id);
      return [];
    }
  }
  return passage(of, group?.devices ?? devicesOf(route.way, groups), isNew);
}

function passage(of: RoutedRoute | undefined, devices: readonly string[], isNew: boolean): Passage[] {
  return of?.gateway === undefined ? [] : [{ of, devices: [...new Set(devices)], isNew }];
}

function devicesOf(way: TableWay, groups: NextHopGroups): readonly string[] {
  if (way.kind === 'device') return [way.device];
  return way.kind === 'group' ? groups.devicesBefore(way.id) : [];
}

/** @returns whether it was done */
function attempt({ refuse }: NamespaceTask, of: RoutedRoute | undefined, change: () => void): boolean {
  try {
    change();
    return true;
  } catch (error) {
    if (of !== undefined || !isGone(error)) refuse(of, error);
    return false;
  }
}

/** What was to be removed is not there any more. */
function isGone(error: unknown): boolean {
  const { code } = error as { readonly code?: string };
  return code === 'ESRCH' || code === 'ENOENT';
}
