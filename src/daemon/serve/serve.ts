import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Credential } from '../../api/auth/credentials.js';
import type { ServerReload } from '../../api/context.js';
import type { ApiAuth } from '../../api/options.js';
import { type ApiReplacement, ApiServer } from '../../api/server.js';
import { type ConfigError, formatConfigErrors } from '../../store/config-error.js';
import { KIND } from '../../store/records.js';
import { readSealingKey } from '../../store/sealing.js';
import type { Site } from '../../store/site.js';
import type { Store } from '../../store/store.js';
import { EventHub, HUB_LIMITS } from '../../telemetry/events/event-hub.js';
import { describeOperatorEvent, type OperatorEvent } from '../../telemetry/events/operator-events.js';
import type { Logger } from '../../telemetry/log.js';
import { programVersion } from '../../telemetry/program.js';
import { oneLine } from '../../util/operator-error.js';
import type { Result } from '../../util/result.js';
import { StartError } from '../start-error.js';
import type { ManagedService, ServiceManager } from '../system/service-manager.js';
import { EndRequest, type SignalSource, withSignals } from '../system/signals.js';
import { UndoStack } from '../undo.js';
import { openStore } from './open-store.js';
import { ProcessRunner } from './process-runner.js';
import { serveChanges } from './serve-changes.js';
import type { ServeFile } from './serve-file.js';
import type { ServeMetrics } from './serve-metrics.js';
import { readTlsFiles, type TlsMaterial } from './tls-files.js';
import { Webhooks } from './webhooks.js';

/** What `culvert serve` starts with: the server's file, as it was read, and what the command line adds. */
export interface ServeOptions {
  readonly file: ServeFile;
  /** Reads the file again. */
  readonly reread: () => Result<ServeFile, readonly ConfigError[]>;
  /** Command line of this program, interpreter and script, to start gateways with. */
  readonly program: readonly string[];
  /** What is logged at least, by the command line; else the file says it. */
  readonly logLevel?: string;
  readonly logFormat: 'auto' | 'text' | 'json';
  readonly logger: Logger;
  /** Folder of the built console. */
  readonly console?: string;
  /** Is informed of the state of the server; none when left out. */
  readonly manager?: ServiceManager;
}

/** What server and gateways log at least, where neither command line nor file says it. */
export const DEFAULT_LOG_LEVEL = 'info';

/**
 * A running control plane: the store, the gateways that a server before this one has left running and those that are
 * stored, and the API.
 */
export class ControlPlane {
  /** Where the API is served. */
  readonly url: string | undefined;
  readonly #options: ServeOptions;
  readonly #parts: PlaneParts;
  #file: ServeFile;
  #stopping: Promise<void> | undefined;

  private constructor(options: ServeOptions, parts: PlaneParts, url: string | undefined) {
    this.#options = options;
    this.#parts = parts;
    this.#file = options.file;
    this.url = url;
  }

  /** Starts it, all or nothing. @throws StartError, StoreError, ListenError: each with its remedy */
  static async start(options: ServeOptions): Promise<ControlPlane> {
    const undo = new UndoStack();
    try {
      return await ControlPlane.#bringUp(options, undo);
    } catch (error) {
      await undo.run(options.logger);
      throw error;
    }
  }

  static async #bringUp(options: ServeOptions, undo: UndoStack): Promise<ControlPlane> {
    const { file, program, logFormat, logger } = options;
    const { site, socket } = file;
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    const metrics = await metricsOf(file);
    const opened = await openStore(file, logger, (event) => metrics?.stored(event));
    const store = metrics?.measured(opened) ?? opened;
    undo.push('the store', () => store.close());
    const { runFolder: folder, orphanSeconds, standby } = file;
    const logLevel = logLevelOf(options, file);
    const events = new EventHub(HUB_LIMITS.server);
    const webhooks = new Webhooks(events, logger);
    undo.push('the webhooks', () => webhooks.end());
    webhooks.configure(file.webhooks);
    events.publish(describeOperatorEvent({ kind: 'server-started', program: `culvert ${programVersion}` }));
    const { publish } = events;
    const runner = new ProcessRunner({
      folder,
      orphanSeconds,
      standby,
      program,
      logLevel,
      logFormat,
      logger,
      publish,
    });
    let plane: ControlPlane | undefined;
    undo.push('the gateways', () => (plane?.keepsGateways === true ? runner.release() : runner.close()));
    const snapshot = await store.snapshot();
    await runner.sweep(new Set(snapshot.list(KIND.gateway).map(({ id }) => id)));
    const tls = file.tls === undefined ? {} : { tls: readTlsFiles(file.tls, new Date(), logger) };
    const api = await ApiServer.create({
      ...{ store, runner, site, logger, events, auth: authOf(file), trustProxy: file.trustProxy },
      ...tls,
      ...(metrics === undefined ? {} : { observer: metrics.observer }),
      ...(file.console && options.console !== undefined ? { console: options.console } : {}),
      reload: async (dryRun) => {
        if (plane === undefined) throw new Error('the server is still starting');
        return plane.reload(dryRun);
      },
    });
    undo.push('the API server', () => api.stop());
    const url = await api.listen({
      ...(file.listen === undefined ? {} : { tcp: file.listen }),
      socketPath: socket,
      plainHttp: file.plainHttp,
    });
    const where = url === undefined ? '' : `${url} and `;
    logger.info({ url, socket }, `the API is served at ${where}unix:${socket}`);
    plane = new ControlPlane(options, { undo, store, runner, api, metrics, events, webhooks }, url);
    await plane.#serveMetrics(tls);
    return plane;
  }

  /** The server as its service manager sees it. */
  get service(): ManagedService {
    const { api, runner } = this.#parts;
    return {
      health: api.health,
      describe: () => {
        const { running, total } = runner.counts();
        const where = this.url === undefined ? '' : ` at ${this.url}`;
        return `the API is served${where}; ${running} of ${total} gateways run`;
      },
      changed: (listener) => runner.subscribe(listener),
    };
  }

  async #serveMetrics(tls: { readonly tls?: TlsMaterial }): Promise<void> {
    const { undo, store, runner, metrics, api } = this.#parts;
    const { logger } = this.#options;
    if (metrics === undefined) return;
    const tokens = (): readonly Credential[] => this.#file.metricsTokens;
    const site = (): Site => this.#file.site;
    await metrics.open({ ...{ store, runner, site, tokens, health: api.health, logger }, ...tls });
    undo.push('the metrics', () => metrics.close());
  }

  /** Path of the API's Unix socket. */
  get socket(): string {
    return this.#file.socket;
  }

  /**
   * Takes over what has changed in the server's file: credentials, certificate, site, settings of gateways to come.
   * A file with a fault, or with a change that needs a restart, changes nothing. No tunnel goes down.
   */
  async reload(dryRun = false): Promise<ServerReload> {
    const report = await this.#reload(dryRun);
    if (!dryRun) this.#parts.events.publish(describeOperatorEvent(reloadEvent(report)));
    return report;
  }

  async #reload(dryRun: boolean): Promise<ServerReload> {
    const { reread, logger } = this.#options;
    let next: ServeFile;
    let update: ApiReplacement & { readonly tls?: TlsMaterial };
    try {
      const read = reread();
      if (!read.ok) return refused(read.error.map((error) => formatConfigErrors([error], 'the file')));
      next = read.value;
      // Read in any case: renewed certificates come in files of the same name.
      const tls = next.tls === undefined ? {} : { tls: readTlsFiles(next.tls, new Date(), logger) };
      update = { site: next.site, tokens: next.tokens, apiKeys: next.apiKeys, ...tls };
    } catch (error) {
      return refused([oneLine(error)]);
    }
    const changes = serveChanges(this.#file, next, await this.#parts.store.snapshot());
    const isRefused = changes.some((change) => change.refused !== undefined);
    if (dryRun || isRefused) return { applied: false, changes, errors: [] };
    this.#file = next;
    const logLevel = logLevelOf(this.#options, next);
    logger.level = logLevel;
    this.#parts.runner.adjust({ orphanSeconds: next.orphanSeconds, logLevel });
    this.#parts.api.replace(update);
    if (update.tls !== undefined) this.#parts.metrics?.setCertificate(update.tls);
    this.#parts.webhooks.configure(next.webhooks);
    const fields = changes.map(({ field }) => field);
    logger.info({ fields }, `the server's file was read again: ${fields.join(', ') || 'nothing'} changed`);
    return { applied: true, changes, errors: [] };
  }

  /** Ends the server, and its gateways unless the file says `on_stop: keep`. Safe to call twice. */
  stop(): Promise<void> {
    this.#parts.api.health.ending();
    this.#stopping ??= this.#parts.undo.run(this.#options.logger);
    return this.#stopping;
  }

  /** What becomes of the gateways at the end, in words. */
  get farewell(): string {
    if (!this.keepsGateways) return 'shutting down: stopping the gateways';
    const { orphanSeconds } = this.#file;
    return `shutting down: the gateways keep running without a server for up to ${orphanSeconds} s`;
  }

  /** Whether the gateways outlive the server when it is asked to end. */
  get keepsGateways(): boolean {
    return this.#file.onStop === 'keep';
  }
}

interface PlaneParts {
  readonly undo: UndoStack;
  readonly store: Store;
  readonly runner: ProcessRunner;
  readonly api: ApiServer;
  readonly metrics: ServeMetrics | undefined;
  readonly events: EventHub;
  readonly webhooks: Webhooks;
}

/** What it takes is loaded only where metrics are wanted. */
async function metricsOf({ metrics }: ServeFile): Promise<ServeMetrics | undefined> {
  if (metrics === undefined) return undefined;
  const loaded = await import('./serve-metrics.js');
  return new loaded.ServeMetrics(metrics);
}

function refused(errors: readonly string[]): ServerReload {
  return { applied: false, changes: [], errors };
}

/** What server and gateways log at least: the command line wins. */
function logLevelOf({ logLevel }: Pick<ServeOptions, 'logLevel'>, file: ServeFile): string {
  return logLevel ?? file.logLevel ?? DEFAULT_LOG_LEVEL;
}

function authOf(file: ServeFile): ApiAuth {
  const { auth, tokens, apiKeys } = file;
  if (auth === 'none') return { mode: 'none' };
  return { mode: 'tokens', tokens, apiKeys, signingKey: readSealingKey(signingKeyOf(file)) };
}

function signingKeyOf({ signingKeyFile, store }: ServeFile): string {
  if (signingKeyFile !== undefined) return signingKeyFile;
  if (store.engine === 'sqlite') return ownSigningKey(`${store.path}.signing-key`);
  throw new StartError(
    'hosts with one store sign tokens with one key',
    'name its file with "signing_key_file"',
  );
}

/** A key of the server's own beside the store, made when it is not there: tokens outlive a restart. */
function ownSigningKey(path: string): string {
  try {
    writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new StartError(message, 'name a file with "signing_key_file"');
  }
  return path;
}

/**
 * Serves until SIGTERM or SIGINT; a second one ends the process at once, and its gateways live on for a while. SIGHUP
 * reads the file again.
 */
export async function runControlPlane(
  options: ServeOptions,
  started: (plane: ControlPlane) => void,
  signals: SignalSource = process,
): Promise<void> {
  const { logger, manager } = options;
  const end = new EndRequest<void>();
  let plane: ControlPlane | undefined;
  const handlers = {
    SIGTERM: () => end.signal(),
    SIGINT: () => end.signal(),
    SIGHUP: () => {
      if (plane === undefined) logger.warn('SIGHUP during startup: the file is already being read');
      else void reloadFile(plane, options);
    },
  };
  await withSignals(signals, handlers, async () => {
    plane = await ControlPlane.start(options);
    started(plane);
    manager?.attend(plane.service);
    await end.asked;
    manager?.stopping();
    logger.info(plane.farewell);
    await plane.stop();
    logger.info('the server has stopped');
  });
}

async function reloadFile(plane: ControlPlane, { logger, manager }: ServeOptions): Promise<void> {
  const reload = async (): Promise<void> => {
    try {
      logRefusal(await plane.reload(), logger);
    } catch (error) {
      logger.error(oneLine(error));
    }
  };
  await (manager?.reload(reload) ?? reload());
}

function logRefusal(report: ServerReload, logger: Logger): void {
  const { applied, changes, errors } = report;
  if (applied) return;
  logger.error({ errors, changes }, `the server's file was not applied: ${problemsOf(report).join('; ')}`);
}

/** Sentences that an event has of what is wrong with a file; who reloads it gets all. */
const MAX_PROBLEMS = 10;

function reloadEvent(report: ServerReload): OperatorEvent {
  if (!report.applied) {
    return { kind: 'server-reload-refused', problems: problemsOf(report).slice(0, MAX_PROBLEMS) };
  }
  return { kind: 'server-reloaded', fields: report.changes.map(({ field }) => field) };
}

function problemsOf({ changes, errors }: ServerReload): string[] {
  const reasons = changes.flatMap(({ field, refused }) =>
    refused === undefined ? [] : `"${field}" ${refused}`,
  );
  return [...errors, ...reasons];
}
