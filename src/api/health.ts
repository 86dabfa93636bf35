import type { FastifyInstance } from 'fastify';
import type { Store } from '../store/store.js';
import {
  answerProbe,
  checkOf,
  HEALTH_PATHS,
  type HealthCheck,
  type HealthPath,
  type HealthReport,
  type HealthSource,
  reportOf,
} from '../telemetry/health.js';
import type { Logger } from '../telemetry/log.js';
import type { Millis } from '../util/units.js';
import { View } from './context.js';
import type { GatewayRunner } from './runner.js';

/** Between two writes that only find out whether the store can be written: anybody may ask, and each costs a sync. */
const PROBE_EVERY: Millis = 10_000;

/** What the health of the server is made of. */
export interface ServerHealthDeps {
  readonly store: Store;
  readonly runner: Pick<GatewayRunner, 'observe'>;
  readonly logger: Logger;
  /** Milliseconds, monotonic; the process's own when left out. */
  readonly monotonic?: () => Millis;
}

/** Whether the server works, for probes without a token: answers name no object and quote no error of the system. */
export class ServerHealth implements HealthSource {
  readonly #deps: ServerHealthDeps;
  readonly #now: () => Millis;
  /** Of the gateways that were stored at the start, those that were not yet seen to run or to be unable to. */
  #pending: ReadonlySet<string>;
  #probe: { readonly at: Millis; readonly done: Promise<string | undefined> } | undefined;
  #isEnding = false;

  private constructor(deps: ServerHealthDeps, pending: ReadonlySet<string>) {
    this.#deps = deps;
    this.#now = deps.monotonic ?? (() => performance.now());
    this.#pending = pending;
  }

  /** For a server whose store has these gateways now. */
  static async of(deps: ServerHealthDeps): Promise<ServerHealth> {
    const stored = new View(await deps.store.snapshot()).gateways();
    return new ServerHealth(deps, new Set(stored.map(({ id }) => id)));
  }

  /** The server ends: it is not to be sent anything any more. */
  ending(): void {
    this.#isEnding = true;
  }

  async health(): Promise<HealthReport> {
    const { store } = this.#deps;
    const problem = await store.snapshot().then(
      () => undefined,
      () => 'the store cannot be read',
    );
    return reportOf([checkOf('store', problem)]);
  }

  async ready(): Promise<HealthReport> {
    const server = checkOf('server', this.#isEnding ? 'the server is ending' : undefined);
    if (this.#isEnding) return reportOf([server]);
    return reportOf([server, checkOf('store', await this.#written()), await this.#gateways()]);
  }

  /** The result of the newest write; one that is under way is waited for. */
  #written(): Promise<string | undefined> {
    const now = this.#now();
    if (this.#probe === undefined || now - this.#probe.at >= PROBE_EVERY) {
      const done = this.#deps.store.probe().then(
        () => undefined,
        (error) => {
          this.#deps.logger.error({ err: error }, 'the store cannot be written');
          return 'the store cannot be written';
        },
      );
      this.#probe = { at: now, done };
    }
    return this.#probe.done;
  }

  /**
   * Every gateway that the server found in its store was brought up once, or was found unable to come up: one that
   * cannot is its own trouble and must not keep the API away from who could mend it. Gateways made later do not count.
   */
  async #gateways(): Promise<HealthCheck> {
    if (this.#pending.size > 0) {
      const view = await this.#deps.store.snapshot().then(
        (snapshot) => new View(snapshot),
        () => undefined,
      );
      const left = [...this.#pending].filter((id) => this.#isPending(id, view));
      this.#pending = new Set(left);
    }
    const { size } = this.#pending;
    return checkOf('gateways', size === 0 ? undefined : `${size} gateways are still being started`);
  }

  #isPending(id: string, view: View | undefined): boolean {
    const lifecycle = view?.gateway(id)?.value.lifecycle;
    if (view !== undefined && (lifecycle === undefined || lifecycle === 'deleting')) return false;
    const state = this.#deps.runner.observe(id)?.state;
    return state === undefined || state === 'starting';
  }
}

/** `GET /health` and `GET /ready`, without a token: for load balancers, orchestrators and service managers. */
export function registerHealthRoutes(app: FastifyInstance, health: HealthSource): void {
  for (const path of Object.keys(HEALTH_PATHS) as HealthPath[]) {
    app.get(path, { schema: { hide: true }, config: { public: true } }, async (_request, reply) => {
      const { status, headers, body } = await answerProbe(health, path);
      reply
        .code(status)
        .headers(headers)
        .serializer((text: unknown) => String(text));
      return body;
    });
  }
}
