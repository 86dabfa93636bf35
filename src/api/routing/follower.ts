import { KIND } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { Commit, Store } from '../../store/store.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../../util/operator-error.js';
import { View } from '../context.js';
import type { GatewayRunner } from '../runner.js';
import { routedVpcs } from './desired.js';

/** What the routing of VPCs follows. */
export interface RoutingOptions {
  readonly store: Store;
  readonly runner: GatewayRunner;
  /** The site as it is now: it may be replaced while the server runs. */
  readonly site: () => Site;
  readonly logger: Logger;
}

/** Kinds of objects that routes follow from. */
const KINDS: ReadonlySet<string> = new Set([KIND.gateway, KIND.connection, KIND.routingTable, KIND.route]);

/** Makes the routes in force follow the routing tables and the tunnels. Many changes at once become one step. */
export class RoutingFollower {
  readonly #options: RoutingOptions;
  #ends: (() => void)[] = [];
  #due: NodeJS.Immediate | undefined;
  #working: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: RoutingOptions) {
    this.#options = options;
  }

  /** Lays what is stored, and follows from there on. */
  async start(): Promise<void> {
    const { store, runner } = this.#options;
    const { revision } = await store.snapshot();
    this.#ends = [
      store.watch(revision, (commit) => this.#committed(commit)),
      runner.subscribe(() => this.refresh()),
    ];
    await this.#step();
  }

  /** Has a look at everything again, soon. */
  refresh(): void {
    if (this.#stopped || this.#due !== undefined) return;
    this.#due = setImmediate(() => {
      this.#due = undefined;
      this.#working = this.#working.then(() => this.#step());
    });
  }

  /** Follows no longer; what is in force is left to the runner. Resolves when no step is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const end of this.#ends) end();
    clearImmediate(this.#due);
    await this.#working;
  }

  #committed({ events }: Commit): void {
    const kinds = events.map((event) => (event.type === 'put' ? event.object.kind : event.before.kind));
    if (kinds.some((kind) => KINDS.has(kind))) this.refresh();
  }

  async #step(): Promise<void> {
    const { store, runner, site, logger } = this.#options;
    try {
      runner.routes.arrange(routedVpcs(new View(await store.snapshot()), site(), runner));
    } catch (error) {
      logger.error(`the routes of the VPCs cannot follow their tables: ${oneLine(error)}`);
    }
  }
}
