import { type GatewayRecord, KIND } from '../store/records.js';
import type { Site } from '../store/site.js';
import type { Commit, Store } from '../store/store.js';
import type { Logger } from '../telemetry/log.js';
import { SERVER } from './auth/principal.js';
import { View, type WriteQueue } from './context.js';
import { desiredGateway } from './desired.js';
import { removeGateway } from './operations/gateways.js';
import type { GatewayRunner } from './runner.js';

/** What the life cycle of gateways works on: the store it writes through and the runner it starts gateways with. */
export interface LifecycleOptions {
  readonly store: Store;
  readonly writes: WriteQueue;
  readonly runner: GatewayRunner;
  /** The site as it is now: it may be replaced while the server runs. */
  readonly site: () => Site;
  readonly logger: Logger;
}

/** The system's own changes have one request id. */
const ACTOR = { principal: SERVER, requestId: 'lifecycle' };
/** Pause before a runner that failed is asked again. */
const RETRY_MS = 1000;

/**
 * Makes what runs follow what is stored: starts gateways, patches them when an object of theirs changes, stops and
 * removes those being deleted, and writes down when a pending one listens or cannot. Steps of one gateway run one
 * after the other; several changes in the meantime become one step.
 */
export class GatewayLifecycle {
  readonly #options: LifecycleOptions;
  readonly #started = new Set<string>();
  readonly #busy = new Map<string, Promise<void>>();
  /** Gateways to look at again when the step under way is done; `desired`: what they are to do may have changed. */
  readonly #waiting = new Map<string, boolean>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #ends: (() => void)[] = [];
  #stopped = false;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** Starts everything that is stored, and follows from there on. */
  async start(): Promise<void> {
    const { store, runner } = this.#options;
    const snapshot = await store.snapshot();
    this.#ends = [
      store.watch(snapshot.revision, (commit) => this.#committed(commit)),
      runner.subscribe((id) => this.#look(id, false)),
    ];
    for (const { id } of new View(snapshot).gateways()) this.#look(id, true);
  }

  /** Brings every gateway to what the site now makes of it. */
  refresh(): void {
    for (const id of this.#started) this.#look(id, true);
  }

  /** Follows no longer; what runs is left to the runner. Resolves when no step is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const end of this.#ends) end();
    for (const timer of this.#timers) clearTimeout(timer);
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
  }

  #committed({ events }: Commit): void {
    const touched = new Set<string>();
    let all = false;
    for (const event of events) {
      const { kind, id, value } = event.type === 'put' ? event.object : event.before;
      if (kind === KIND.gateway) touched.add(id);
      if (kind === KIND.connection) touched.add((value as { gateway: string }).gateway);
      // A policy that nothing uses yet is taken along by the change that uses it.
      if ((kind === KIND.ikePolicy || kind === KIND.ipsecPolicy) && event.before !== undefined) all = true;
    }
    for (const id of new Set([...(all ? this.#started : []), ...touched])) this.#look(id, true);
  }

  #look(id: string, desired: boolean): void {
    if (this.#stopped) return;
    this.#waiting.set(id, desired || (this.#waiting.get(id) ?? false));
    if (this.#busy.has(id)) return;
    const work = this.#work(id).finally(() => {
      this.#busy.delete(id);
      if (this.#waiting.has(id)) this.#look(id, false);
    });
    this.#busy.set(id, work);
  }

  async #work(id: string): Promise<void> {
    while (this.#waiting.has(id) && !this.#stopped) {
      const desired = this.#waiting.get(id)!;
      this.#waiting.delete(id);
      try {
        await this.#step(id, desired);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#options.logger.error({ gateway: id }, `gateway ${id} cannot follow its objects: ${message}`);
        this.#later(id);
      }
    }
  }

  #later(id: string): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#look(id, true);
    }, RETRY_MS);
    timer.unref();
    this.#timers.add(timer);
  }

  async #step(id: string, desired: boolean): Promise<void> {
    const { store, runner, site } = this.#options;
    const view = new View(await store.snapshot());
    const gateway = view.gateway(id);
    if (gateway === undefined || gateway.value.lifecycle === 'deleting') {
      await runner.stop(id);
      this.#started.delete(id);
      if (gateway !== undefined) await this.#remove(id);
      return;
    }
    if (desired) {
      const wish = desiredGateway(gateway, view, site());
      if (this.#started.has(id)) await runner.patch(wish);
      else await runner.start(wish);
      this.#started.add(id);
    }
    await this.#writeDown(id, gateway.value.lifecycle);
  }

  /** The gateway is gone: so are its connections. */
  async #remove(id: string): Promise<void> {
    await this.#options.writes.run(
      ACTOR,
      (transaction) => {
        // A restore may have brought it back in the meantime: then it is started again.
        if (transaction.view.gateway(id)?.value.lifecycle === 'deleting') removeGateway(transaction, id);
      },
      () => undefined,
    );
  }

  /** `pending` ends when the gateway listens for the first time, or cannot; later troubles are its health. */
  async #writeDown(id: string, now: GatewayRecord['lifecycle']): Promise<void> {
    const state = this.#options.runner.observe(id)?.state;
    const next: GatewayRecord['lifecycle'] | undefined =
      now === 'pending' && state === 'failed'
        ? 'failed'
        : now !== 'stable' && (state === 'running' || state === 'degraded')
          ? 'stable'
          : undefined;
    if (next === undefined) return;
    await this.#options.writes.run(
      ACTOR,
      (transaction) => {
        const gateway = transaction.view.gateway(id);
        if (gateway === undefined || gateway.value.lifecycle === 'deleting') return;
        const after: GatewayRecord = { ...gateway.value, lifecycle: next };
        transaction.put(KIND.gateway, id, after, 'is.vpn.vpn-gateway.update');
      },
      () => undefined,
    );
  }
}
