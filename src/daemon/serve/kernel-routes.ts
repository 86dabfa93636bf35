import type { RoutedRoute, RoutedVpc, RouteState, RouteTrail, VpcRoutes } from '../../api/runner.js';
import { backoffDelay } from '../../connection/backoff.js';
import type { Logger } from '../../telemetry/log.js';
import { familyOf } from '../../util/ip.js';
import { oneLine } from '../../util/operator-error.js';
import {
  hashPolicyFault,
  type ReadSysctl,
  readingOnce,
  reversePathFault,
  sentencesOf,
} from '../host/preflight.js';
import { RouteRealm } from '../host/route-realm.js';
import { systemRandom } from '../system/random.js';
import { bringNamespace, type Passage } from './namespace-routes.js';
import { linuxRouteKernel, type RouteKernel } from './route-kernel.js';
import { planOf } from './route-plan.js';
import { type RouteMove, RouteTrails } from './route-trails.js';

/** What the routing of VPCs works with. */
export interface KernelRoutesOptions {
  /** What is this server's alone, and the same at every start: its own routes are recognised by it. */
  readonly owner: string;
  readonly logger: Logger;
  /** Called when the state of a route to a connection of this gateway has changed. */
  readonly changed: (gateway: string) => void;
  /** Called when packets to a connection go another way than before. */
  readonly moved?: (move: RouteMove) => void;
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
  /** Gateways whose connections are next hops. */
  #led: ReadonlySet<string> = new Set();
  #states = new Map<string, RouteState>();
  readonly #trails = new RouteTrails();
  /** Sentences by gateway, of what is refused now. */
  #faults = new Map<string, readonly string[]>();
  /** Likewise, of settings of the kernel that keep packets from being distributed, or answers from passing. */
  #notes = new Map<string, readonly string[]>();
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
    const routes = vpcs.flatMap(({ tables }) => tables).flatMap((table) => table.routes);
    this.#led = new Set(routes.flatMap(({ gateway }) => gateway ?? []));
    this.#failures = 0;
    this.#bring();
  }

  stateOf(route: string): RouteState | undefined {
    return this.#states.get(route);
  }

  trailOf(route: string): RouteTrail | undefined {
    return this.#trails.of(route);
  }

  /** Whether a route to a connection of this gateway is asked for, and at least one of its tunnels is up. */
  leadsTo(gateway: string): boolean {
    return this.#led.has(gateway);
  }

  /** The gateway is no more. */
  forget(gateway: string): void {
    this.#trails.forget(gateway);
  }

  /** How often routes to connections of this gateway went another way since the server started. */
  movesOf(gateway: string): number {
    return this.#trails.movesOf(gateway);
  }

  /** Why routes to connections of this gateway are not in force, a sentence each. */
  faultsOf(gateway: string): readonly string[] {
    return this.#faults.get(gateway) ?? [];
  }

  /** What keeps traffic of this gateway's connections from being distributed, or answers from passing, likewise. */
  notesOf(gateway: string): readonly string[] {
    return this.#notes.get(gateway) ?? [];
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
    const passages: Passage[] = [];
    const notes = new Map<string, Set<string>>();
    for (const [namespace, vpcs] of wanted) {
      const plan = planOf(vpcs, this.#realm);
      for (const { of } of plan.routes.values())
        for (const id of of?.ids ?? []) states.set(id, { state: 'laid' });
      try {
        const task = { kernel: this.#kernel, realm: this.#realm, plan, refuse };
        this.#kernel.within(namespace, () => {
          const brought = bringNamespace(task);
          passages.push(...brought);
          noteSettings(brought, readingOnce(this.#kernel.setting), notes);
        });
        if (plan.rules.size > 0) this.#known.add(namespace);
        else this.#known.delete(namespace);
      } catch (error) {
        // A namespace that is gone has taken everything with it.
        if (plan.rules.size === 0) this.#known.delete(namespace);
        for (const { of } of plan.routes.values()) refuse(of, error);
      }
    }
    this.#note(states, faults);
    this.#noteSettings(notes);
    const moves = this.#trails.note(this.#vpcs, passages, Date.now());
    for (const move of moves) this.#options.moved?.(move);
    this.#again(refusals);
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

  #noteSettings(found: ReadonlyMap<string, ReadonlySet<string>>): void {
    const before = this.#notes;
    this.#notes = new Map([...found].map(([gateway, sentences]) => [gateway, [...sentences]]));
    for (const [gateway, sentences] of this.#notes) {
      const known = before.get(gateway) ?? [];
      for (const sentence of sentences.filter((one) => !known.includes(one))) {
        this.#options.logger.warn({ gateway_id: gateway }, sentence);
      }
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

/** Adds what settings of the kernel do to these routes: a sentence for each, by gateway. */
function noteSettings(passages: readonly Passage[], read: ReadSysctl, notes: Map<string, Set<string>>): void {
  for (const { of, devices } of passages) {
    const gateway = of.gateway!;
    const family = familyOf(of.destination);
    const faults = sentencesOf(
      'spread' in of.way ? hashPolicyFault(read, family) : undefined,
      // Linux has no such filter for IPv6.
      ...(family === 4 ? devices.map((device) => reversePathFault(device, read)) : []),
    );
    for (const sentence of faults) {
      const sentences = notes.get(gateway) ?? new Set();
      notes.set(gateway, sentences.add(sentence));
    }
  }
}
