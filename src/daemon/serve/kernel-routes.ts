import type { RoutedRoute, RoutedVpc, RouteState, VpcRoutes } from '../../api/runner.js';
import { backoffDelay } from '../../connection/backoff.js';
import { ROUTE_PROTOCOL } from '../../linux/routes.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../../util/operator-error.js';
import { systemRandom } from '../system/random.js';
import { linuxRouteKernel, type RouteKernel } from './route-kernel.js';
import { type NamespacePlan, planOf, RouteRealm, ruleKey, slotOf, wayKey } from './route-plan.js';

/** What the routing of VPCs works with. */
export interface KernelRoutesOptions {
  /** What is this server's alone, and the same at every start: its own routes are recognised by it. */
  readonly owner: string;
  readonly logger: Logger;
  /** Called when the state of a route to a connection of this gateway has changed. */
  readonly changed: (gateway: string) => void;
  /** The kernel of this host when left out. */
  readonly kernel?: RouteKernel;
}

/** Between two looks at what others may have taken away or put in the way. */
const LOOK_MS = 10_000;
const MIN_RETRY_MS = 1000;

/**
 * Lays the routes of VPCs in their network namespaces: a routing table of the kernel for each routing table and zone,
 * and rules by which packets from the subnets it is attached to are looked up there. What a server before this one has
 * laid is taken over. Everything is compared with what the kernel has, so that what others changed is mended.
 */
export class KernelRoutes implements VpcRoutes {
  readonly #options: KernelRoutesOptions;
  readonly #kernel: RouteKernel;
  readonly #realm: RouteRealm;
  #vpcs: readonly RoutedVpc[] = [];
  #asked: string | undefined;
  #states = new Map<string, RouteState>();
  /** Sentences by gateway, of what is refused now. */
  #faults = new Map<string, readonly string[]>();
  /** Namespaces in which there is something, or may be. */
  readonly #known = new Set<string | undefined>();
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #ended = false;

  constructor(options: KernelRoutesOptions) {
    this.#options = options;
    this.#kernel = options.kernel ?? linuxRouteKernel;
    this.#realm = new RouteRealm(options.owner);
  }

  arrange(vpcs: readonly RoutedVpc[]): void {
    if (this.#ended) return;
    const asked = JSON.stringify(vpcs);
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.#vpcs = vpcs;
    this.#failures = 0;
    this.#bring();
  }

  stateOf(route: string): RouteState | undefined {
    return this.#states.get(route);
  }

  /** Why routes to connections of this gateway are not in force, a sentence each. */
  faultsOf(gateway: string): readonly string[] {
    return this.#faults.get(gateway) ?? [];
  }

  /** Leaves everything as it is, for the next server. */
  release(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  /** Takes everything away. What cannot be is logged. */
  remove(): void {
    if (this.#ended) return;
    this.arrange(this.#vpcs.map((vpc) => ({ ...vpc, gateways: [], tables: [] })));
    this.release();
  }

  #bring(): void {
    clearTimeout(this.#timer);
    const states = new Map<string, RouteState>();
    const faults = new Map<string, string[]>();
    const wanted = new Map<string | undefined, RoutedVpc[]>();
    for (const namespace of this.#known) wanted.set(namespace, []);
    for (const one of this.#vpcs) {
      const { namespace } = one.vpc;
      wanted.set(namespace, [...(wanted.get(namespace) ?? []), one]);
    }
    let refusals = 0;
    const refuse = (of: RoutedRoute | undefined, error: unknown): void => {
      refusals++;
      if (of === undefined) {
        this.#options.logger.error(oneLine(error));
        return;
      }
      const message = `${of.name} is not in force: ${oneLine(error)}`;
      for (const id of of.ids) states.set(id, { state: 'refused', message });
      if (of.gateway !== undefined) faults.set(of.gateway, [...(faults.get(of.gateway) ?? []), message]);
    };
    for (const [namespace, vpcs] of wanted) {
      const plan = planOf(vpcs, this.#realm);
      for (const { of } of plan.routes.values())
        for (const id of of?.ids ?? []) states.set(id, { state: 'laid' });
      try {
        this.#kernel.within(namespace, () => this.#bringNamespace(plan, refuse));
        if (plan.rules.size > 0) this.#known.add(namespace);
        else this.#known.delete(namespace);
      } catch (error) {
        // A namespace that is gone has taken everything with it.
        if (plan.rules.size === 0) this.#known.delete(namespace);
        for (const { of } of plan.routes.values()) refuse(of, error);
      }
    }
    this.#note(states, faults);
    this.#again(refusals);
  }

  /** Routes before the rules that lead to them, and the other way round when they go. */
  #bringNamespace(plan: NamespacePlan, refuse: (of: RoutedRoute | undefined, error: unknown) => void): void {
    const kernel = this.#kernel;
    const attempt = (of: RoutedRoute | undefined, change: () => void): void => {
      try {
        change();
      } catch (error) {
        if (of !== undefined || !isGone(error)) refuse(of, error);
      }
    };
    const rules = new Set<string>();
    for (const rule of kernel.rules().filter((one) => this.#realm.isOwnRule(one))) {
      const key = ruleKey(rule);
      if (plan.rules.has(key) && !rules.has(key)) rules.add(key);
      else attempt(undefined, () => kernel.removeRule(rule));
    }
    const there = new Map<string, string>();
    for (const { route, protocol } of kernel.routes((table) => this.#realm.isOwnTable(table))) {
      if (protocol !== ROUTE_PROTOCOL) continue;
      const slot = slotOf(route);
      if (plan.routes.has(slot)) there.set(slot, wayKey(route.way));
      else if (!plan.kept.has(slot)) attempt(undefined, () => kernel.removeRoute(route));
    }
    for (const [slot, { route, of }] of plan.routes) {
      const before = there.get(slot);
      if (before === wayKey(route.way)) continue;
      attempt(of, () => (before === undefined ? kernel.addRoute(route) : kernel.replaceRoute(route)));
    }
    for (const [key, rule] of plan.rules) {
      if (!rules.has(key)) attempt(undefined, () => kernel.addRule(rule));
    }
  }

  #note(states: Map<string, RouteState>, faults: Map<string, string[]>): void {
    const before = { states: this.#states, faults: this.#faults };
    this.#states = states;
    this.#faults = faults;
    for (const state of states.values()) {
      if (state.state !== 'refused') continue;
      const known = [...before.states.values()].some(
        (one) => one.state === 'refused' && one.message === state.message,
      );
      if (!known) this.#options.logger.error(state.message);
    }
    for (const gateway of new Set([...before.faults.keys(), ...faults.keys()])) {
      if (String(before.faults.get(gateway)) !== String(faults.get(gateway))) this.#options.changed(gateway);
    }
  }

  #again(refusals: number): void {
    if (this.#ended || (refusals === 0 && this.#known.size === 0)) return;
    this.#failures = refusals === 0 ? 0 : this.#failures + 1;
    const wait =
      refusals === 0 ? LOOK_MS : Math.max(MIN_RETRY_MS, backoffDelay(this.#failures, systemRandom));
    this.#timer = setTimeout(() => this.#bring(), wait);
    this.#timer.unref();
  }
}

/** What was to be removed is not there any more. */
function isGone(error: unknown): boolean {
  const { code } = error as { readonly code?: string };
  return code === 'ESRCH' || code === 'ENOENT';
}
