import { inNamespace } from '../../linux/namespace-entry.js';
import { addRule, listRules, removeRule, type SourceRule } from '../../linux/policy-rules.js';
import {
  addTableRoute,
  type ListedTableRoute,
  listTableRoutes,
  removeTableRoute,
  replaceTableRoute,
  type TableRoute,
} from '../../linux/table-routes.js';
import { linuxNextHops, type NextHopTable } from '../host/next-hop-groups.js';
import { type ReadSysctl, readSysctl } from '../host/preflight.js';

/** What is asked of the kernel for the routing of VPCs. Tests without rights put their own in its place. */
export interface RouteKernel extends NextHopTable {
  /** Everything that `work` asks is of this network namespace; the server's own when undefined. @throws LinuxError */
  within<T>(namespace: string | undefined, work: () => T): T;
  routes(chosen: (table: number) => boolean): readonly ListedTableRoute[];
  addRoute(route: TableRoute): void;
  replaceRoute(route: TableRoute): void;
  removeRoute(route: TableRoute): void;
  rules(): readonly SourceRule[];
  addRule(rule: SourceRule): void;
  removeRule(rule: SourceRule): void;
  /** A value under /proc/sys, by its dotted name. */
  readonly setting: ReadSysctl;
}

/** The kernel of this host, by rtnetlink. */
export const linuxRouteKernel: RouteKernel = {
  within: (namespace, work) => (namespace === undefined ? work() : inNamespace(namespace, work)),
  routes: listTableRoutes,
  addRoute: addTableRoute,
  replaceRoute: replaceTableRoute,
  removeRoute: removeTableRoute,
  rules: listRules,
  addRule,
  removeRule,
  setting: readSysctl,
  ...linuxNextHops,
};
