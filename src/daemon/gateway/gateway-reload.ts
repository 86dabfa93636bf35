import type { EngineConfig } from '../../ike/config.js';
import type { GatewayFile } from '../../store/model.js';
import type { PublishEvent } from '../../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../../telemetry/events/operator-events.js';
import type { Logger } from '../../telemetry/log.js';
import { wipeSecrets } from '../../util/secret.js';
import { ControlError } from '../control/protocol.js';
import type { CoreConfig } from '../core/config-in-force.js';
import type { GatewayCore } from '../core/core.js';
import { RetiredKeys } from '../core/retired-keys.js';
import type { ConnectionDevices } from '../host/devices.js';
import type { HostProblems } from '../host/repair.js';
import type { WorkerShares } from '../host/worker-shares.js';
import { FreshConfig } from './fresh-config.js';
import { planReload, type ReloadReport, type Reread, withKnownIds } from './reload.js';

/** The parts of a running gateway that a reload changes. */
export interface GatewayReloadDeps {
  readonly core: Pick<GatewayCore, 'reload'> & { engineConfig(config: CoreConfig): EngineConfig };
  readonly devices: ConnectionDevices;
  readonly shares: WorkerShares;
  readonly logger: Logger;
  readonly publish: PublishEvent;
  /** Reads the configuration again; left out where a supervisor hands it over. */
  readonly reread?: Reread;
  /** Makes of the host what the connections need. @returns what it refused, which is tried again */
  arrange(file: GatewayFile): HostProblems;
}

/** The configuration in force, and how another one takes its place. */
export class GatewayReload {
  readonly #deps: GatewayReloadDeps;
  /** Of the start: the caller that started the gateway wipes its keys. */
  readonly #first: CoreConfig;
  readonly #retired = new RetiredKeys();
  #current: CoreConfig;

  constructor(first: CoreConfig, deps: GatewayReloadDeps) {
    this.#deps = deps;
    this.#first = first;
    this.#current = first;
  }

  get file(): GatewayFile {
    return this.#current.file;
  }

  /**
   * Reads the configuration again and applies the difference, or with `dryRun` only reports it.
   * @throws ControlError refused when a supervisor manages this gateway
   */
  reload(dryRun = false): ReloadReport {
    const { reread } = this.#deps;
    if (reread === undefined) {
      throw new ControlError('refused', 'this gateway is managed by `culvert serve`: change it there');
    }
    const read = reread();
    if (read.ok) return this.apply(this.#recognised(read.value), dryRun);
    const nothing = { gateway: [], connections: [], unchanged: 0, problems: [] };
    const about = { ok: false, dry_run: dryRun, file: this.file.source };
    return this.#report({ ...about, errors: read.error, ...nothing });
  }

  /** Goes over to this configuration, or with `dryRun` or where a restart is needed only reports the difference. */
  apply(fresh: FreshConfig, dryRun = false): ReloadReport {
    const { core } = this.#deps;
    const plan = planReload(this.#current, fresh.config, (config) => core.engineConfig(config));
    let problems: string[] = [];
    if (dryRun || !plan.possible) fresh.discard();
    else problems = this.#take(fresh.take(), plan.connections);
    const connections = plan.connections.map(({ id: _id, steps: _steps, ...reported }) => reported);
    const { possible, gateway, unchanged } = plan;
    const about = { ok: possible, dry_run: dryRun, file: this.file.source, errors: [] };
    return this.#report({ ...about, gateway, connections, unchanged, problems });
  }

  /** Of a dry run only the client that asked for it hears. */
  #report(report: ReloadReport): ReloadReport {
    if (report.dry_run) return report;
    logReload(report, this.#deps.logger);
    this.#deps.publish(reloadEvent(report));
    return report;
  }

  /** A file knows connections by their names: those that run already are found in it. */
  #recognised(fresh: FreshConfig): FreshConfig {
    const { core } = this.#deps;
    const toConfig = (config: CoreConfig): EngineConfig => core.engineConfig(config);
    return new FreshConfig(withKnownIds(this.#current, fresh.take(), toConfig));
  }

  /** Wipes the keys of all configurations but the first. */
  wipe(): void {
    this.#retired.wipe();
    if (this.#current !== this.#first) wipeSecrets(this.#current.psks);
  }

  #take(next: CoreConfig, plans: ReturnType<typeof planReload>['connections']): string[] {
    const { core, devices, shares, arrange } = this.#deps;
    this.#retired.add(this.#current.psks);
    this.#current = next;
    const { connections } = next.file;
    shares.configure(connections.map(({ id }) => id));
    const refused = arrange(next.file);
    core.reload(next, plans);
    devices.close(connections);
    return [...refused.values()].flatMap((list) => list.map(({ message }) => message));
  }
}

/** What a reload did, one line for each thing that changed. */
function logReload(report: ReloadReport, logger: Logger): void {
  const { ok, errors, gateway, connections, unchanged, problems } = report;
  for (const { path, line, message } of errors) {
    const place = [report.file, ...(line === undefined ? [] : [line])].join(':');
    logger.error({ path }, `${place}: ${path === '' ? '' : `${path}: `}${message}`);
  }
  for (const { field, action, effect } of gateway) {
    logger[action === 'restart' ? 'error' : 'info']({ field, action }, `${field} changed: ${effect}`);
  }
  for (const { name, changes } of connections) {
    for (const { field, action, effect } of changes) {
      logger.info({ connection: name, field, action }, `${field}: ${effect}`);
    }
  }
  for (const problem of problems) logger.error(problem);
  if (ok) logger.info({ changed: connections.length, unchanged }, 'the configuration was read again');
  else logger.error('the configuration was not applied: the previous one stays in force');
}

/** Sentences that an event has of what went wrong; the log has all. */
const MAX_PROBLEMS = 10;

function reloadEvent({ ok, errors, gateway, connections, unchanged, problems }: ReloadReport) {
  const refused = gateway.flatMap(({ field, action, effect }) =>
    action === 'restart' ? [`${field}: ${effect}`] : [],
  );
  const faults = errors.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return describeOperatorEvent({
    ...{ kind: 'gateway-reloaded', ok, changed: connections.length, unchanged },
    problems: [...faults, ...(ok ? [] : refused), ...problems].slice(0, MAX_PROBLEMS),
  });
}
