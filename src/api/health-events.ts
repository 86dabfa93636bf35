import { KIND } from '../store/records.js';
import type { Site } from '../store/site.js';
import type { Commit, Store } from '../store/store.js';
import type { PublishEvent } from '../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../telemetry/events/operator-events.js';
import { View } from './context.js';
import { type HealthState, healthOf, healthReasons } from './render/health.js';
import { Links } from './render/links.js';
import type { GatewayRunner } from './runner.js';

/** What the health of gateways is read from. */
export interface HealthEventsDeps {
  readonly store: Store;
  readonly runner: GatewayRunner;
  readonly site: () => Site;
  readonly publish: PublishEvent;
}

/** Observations change with every counter: a gateway is looked at once in this time. */
const LOOK_MS = 1000;
/** Reasons that one event has. */
const MAX_REASONS = 5;

/** Publishes when the `health_state` of a gateway changes. */
export class HealthEvents {
  readonly #deps: HealthEventsDeps;
  readonly #lookMs: number;
  readonly #known = new Map<string, HealthState>();
  /** Gateways to be looked at. */
  readonly #touched = new Set<string>();
  #ends: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: HealthEventsDeps, lookMs = LOOK_MS) {
    this.#deps = deps;
    this.#lookMs = lookMs;
  }

  /** Follows from here on; how gateways are now is no event. */
  async start(): Promise<void> {
    const { store, runner } = this.#deps;
    const snapshot = await store.snapshot();
    for (const { id } of new View(snapshot).gateways()) this.#touched.add(id);
    await this.#look(true);
    this.#ends = [
      store.watch(snapshot.revision, (commit) => this.#committed(commit)),
      runner.subscribe((id) => this.#touch(id)),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ends = [];
  }

  #committed({ events }: Commit): void {
    for (const event of events) {
      const { kind, id } = event.type === 'put' ? event.object : event.before;
      if (kind !== KIND.gateway) continue;
      if (event.type === 'put') this.#touch(id);
      else this.#known.delete(id);
    }
  }

  #touch(id: string): void {
    this.#touched.add(id);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // A store that cannot be read now is looked at when something happens again.
      this.#look().catch(() => undefined);
    }, this.#lookMs);
    this.#timer.unref();
  }

  /** @param isFirst only learns how gateways are */
  async #look(isFirst = false): Promise<void> {
    const { store, runner, site, publish } = this.#deps;
    const touched = [...this.#touched];
    this.#touched.clear();
    const view = new View(await store.snapshot());
    // Where links lead to is no part of an event.
    const links = new Links('http://localhost', site());
    for (const id of touched) {
      const gateway = view.gateway(id)?.value;
      if (gateway === undefined) continue;
      const health = { gateway, view, links, observation: runner.observe(id) };
      const state = healthOf(health);
      const before = isFirst ? state : (this.#known.get(id) ?? 'inapplicable');
      this.#known.set(id, state);
      if (before === state) continue;
      const reasons = healthReasons(health)
        .slice(0, MAX_REASONS)
        .map(({ code, message }) => ({ code, message }));
      const event = describeOperatorEvent({ kind: 'gateway-health', state, before, reasons });
      publish({ ...event, gateway: { id, name: gateway.name } });
    }
  }
}
