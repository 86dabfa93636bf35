import { ConnectionNames } from '../../connection/connection-names.js';
import type { StatusDocument } from '../../connection/status.js';
import { TrafficTotals } from '../../connection/traffic-totals.js';
import { Engine } from '../../ike/engine.js';
import type { Output } from '../../ike/outputs.js';
import { exposedKeys } from '../../store/psk.js';
import { GatewayCounts } from '../../telemetry/metrics/gateway-samples.js';
import { programVersion } from '../../telemetry/program.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import { Captures } from '../capture/captures.js';
import { IkeTap } from '../capture/ike-tap.js';
import { ControlCommands } from '../control/commands.js';
import { ActiveSide } from '../core/active-side.js';
import { type CoreDeps, GatewayCore } from '../core/core.js';
import type { EngineLike } from '../core/engine-driver.js';
import { GatewayEffects } from '../core/gateway-effects.js';
import type { DoctorReport } from '../doctor/report.js';
import { networkWarnings, weakPolicyWarnings, weakPskWarnings } from '../host/preflight.js';
import { HostRepair } from '../host/repair.js';
import { GatewayMetrics } from '../metrics/gateway-metrics.js';
import { utcText } from '../system/clock.js';
import { UndoStack } from '../undo.js';
import { type DiagnosisWish, diagnoseRunning } from './diagnosis.js';
import type { FreshConfig } from './fresh-config.js';
import { GatewayHealth } from './gateway-health.js';
import { type AfterStop, type GatewayOptions, type GatewaySetup, setupOf } from './gateway-options.js';
import { GatewayReload } from './gateway-reload.js';
import { HostParts } from './host-parts.js';
import type { ReloadReport } from './reload.js';

/** Between two looks at the sequence numbers that a standby is to know of. */
const BETWEEN_LOOKS: Millis = 100;

/** How long peers may take to answer our DELETE at a stop. */
const FAREWELL: Millis = 2000;
/** The same where another process waits to take over. */
const HANDOVER: Millis = 200;

/**
 * Brings a gateway up: control socket, UDP 500 and 4500, TUN device, routes, and then the connections. All or
 * nothing: when a step fails, everything before it is undone.
 * @throws StartError or LinuxError: one line with `message` and `remedy`
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const undo = new UndoStack();
  try {
    const setup = setupOf(options);
    warnAbout(setup);
    const host = await HostParts.open(setup, undo);
    const gateway = new Gateway(setup, host, undo);
    gateway.start();
    return gateway;
  } catch (error) {
    await undo.run(options.logger);
    throw error;
  }
}

/** What can be said of a configuration before anything is done. */
function warnAbout({ file, psks, logger }: GatewaySetup): void {
  const exposed = exposedKeys(file);
  if (exposed !== undefined) logger.warn({ file: file.source }, exposed);
  for (const warning of weakPolicyWarnings(file)) logger.warn(warning);
  for (const { connection, message } of [...networkWarnings(file), ...weakPskWarnings(file, psks)]) {
    logger.warn({ connection }, message);
  }
}

/** A running gateway. */
export class Gateway {
  /** Resolves with the reason when the gateway cannot go on; it must be stopped then. */
  readonly failed: Promise<string>;
  readonly core: GatewayCore;
  readonly names = new ConnectionNames();
  readonly metrics: GatewayMetrics;
  readonly health: GatewayHealth;
  readonly captures: Captures;
  /** Where another host has copies of the keys: what it knows, and what waits for it. */
  readonly active: ActiveSide | undefined;
  readonly #setup: GatewaySetup;
  readonly #host: HostParts;
  readonly #undo: UndoStack;
  readonly #repair: HostRepair;
  readonly #configured: GatewayReload;
  readonly #startedAt: Millis;
  readonly #counts: GatewayCounts;
  #stopping: Promise<void> | undefined;
  #handingOver: Promise<void> | undefined;
  /** Routes are about to follow the status of connections. */
  #isArranging = false;

  /** @param undo takes note of what `stop` has to undo, on top of the host's parts */
  constructor(setup: GatewaySetup, host: HostParts, undo: UndoStack) {
    const { file, psks, clock, random, logger, reread } = setup;
    this.#setup = setup;
    this.#host = host;
    this.#undo = undo;
    this.#startedAt = clock.now();
    this.failed = host.reports.failure;
    this.names.configure(file.connections);
    const tap = new IkeTap();
    const engine = engineOf(setup, host);
    const parts = { totals: new TrafficTotals(), counts: new GatewayCounts(), engine, tap };
    const active = activeOf(setup, host, engine, (outputs) => this.core.release(outputs));
    this.active = active;
    const statusChanged = (connection: ConnectionId): void => this.#routesMayMove(connection);
    const core = coreOf(setup, host, this.names, { ...parts, statusChanged }, active ?? engine);
    this.core = core;
    host.side?.follow((connection) => (core.statuses.standing(connection) ?? 'down') !== 'down');
    if (active !== undefined) {
      const looks = setInterval(() => active.look(), BETWEEN_LOOKS).unref();
      undo.push('the copies of SAs', () => {
        clearInterval(looks);
        active.end();
      });
    }
    undo.push('timers', () => core.stop());
    this.#counts = parts.counts;
    this.metrics = this.#metricsOf(parts);
    undo.push('the measurement of the event loop', () => this.metrics.close());
    const health = new GatewayHealth({ plane: host.path.plane, logger });
    this.health = health;
    undo.push('the beat of the packet threads', () => health.stop());
    this.captures = capturesOf(setup, host, { engine, tap, core });
    undo.push('a capture', () => this.captures.close());
    host.connect(core);
    const repair = new HostRepair({
      ...{ clock, random },
      arrange: (wanted) => host.arrange(wanted),
      changed: (problems) => core.setProblems(problems),
    });
    this.#repair = repair;
    undo.push('the timer of refused routes', () => repair.stop());
    const { devices, shares } = host;
    const configured = new GatewayReload(
      { file, psks },
      {
        ...{ core, devices, shares, logger, arrange: (wanted) => repair.arrange(wanted) },
        publish: core.publish,
        ...(reread === undefined ? {} : { reread }),
      },
    );
    this.#configured = configured;
    undo.push('keys of later configurations', () => configured.wipe());
  }

  /** Answers on the control socket and begins with what the configuration wants. */
  start(): void {
    const { file, logger, workers } = this.#setup;
    const { name, address, interface: device } = file.gateway;
    const { control, path, refused } = this.#host;
    control.serve(new ControlCommands(this));
    const about = { gateway: name, address, interface: device, data_plane: path.plane.kind };
    logger.info(
      { ...about, workers, version: programVersion },
      `gateway ${name} listens on ${address}, ${file.connections.length} connections`,
    );
    for (const [id, problems] of refused) {
      for (const { message } of problems) logger.error({ connection: this.names.nameOf(id) }, message);
    }
    this.#repair.note(file, refused);
    this.core.start();
    this.health.start();
  }

  status(): StatusDocument {
    return { gateway: this.gatewayStatus(), connections: this.core.statuses.all() };
  }

  /** The status document without its connections. */
  gatewayStatus(): StatusDocument['gateway'] {
    const { gateway } = this.#setup.file;
    const { path, side } = this.#host;
    return {
      name: this.#configured.file.gateway.name,
      mode: gateway.mode,
      address: gateway.address,
      interface: gateway.interface,
      data_plane: path.plane.kind,
      raw_esp: path.rawEsp,
      version: programVersion,
      started_at: utcText(this.#setup.clock, this.#startedAt),
      drops: path.plane.drops(),
      ...(side === undefined ? {} : { clear_packets: side.status() }),
      workers: path.plane.workers().map(({ children, handedOver, takenOver }) => ({
        ...{ child_sas: children, handed_over: handedOver, taken_over: takenOver },
      })),
    };
  }

  /** Reads the configuration again and applies the difference, or with `dryRun` only reports it. */
  reload(dryRun?: boolean): ReloadReport {
    return this.#counted(this.#configured.reload(dryRun));
  }

  /** Takes over a configuration that the caller has read. Takes its keys, or wipes them. */
  reconfigure(fresh: FreshConfig): ReloadReport {
    return this.#counted(this.#configured.apply(fresh));
  }

  #counted(report: ReloadReport): ReloadReport {
    if (!report.dry_run) this.#counts.reloaded(report.ok);
    return report;
  }

  /** Looks for what is in the way of the tunnels: in the host, on the path, in the connections. */
  diagnose(wish: DiagnosisWish): Promise<DoctorReport> {
    const { file } = this.#configured;
    const explain = (id: ConnectionId) => this.core.statuses.explain(id);
    return diagnoseRunning({ file, gateway: this.gatewayStatus(), explain }, wish);
  }

  /** Of connections that share a route the first one that is up carries it. */
  #routesMayMove(connection: ConnectionId): void {
    if (this.#host.side?.sharesRoutes(connection) !== true || this.#isArranging) return;
    this.#isArranging = true;
    // When the step is over: what the host refuses changes the status in its turn.
    setImmediate(() => {
      this.#isArranging = false;
      const isEnding = this.#stopping !== undefined || this.#handingOver !== undefined;
      if (!isEnding) this.#repair.arrange(this.#configured.file);
    });
  }

  /** A client of the control socket asks for the end. */
  requestStop(): void {
    this.#setup.onStopRequest();
  }

  /**
   * Sends what peers are to hear before another process takes over. From then on nothing is sent that cannot be lost: the
   * process may be killed. Safe to call twice.
   */
  handOver(): Promise<void> {
    const { file, logger } = this.#setup;
    if (this.#handingOver === undefined) {
      logger.info(
        { gateway: file.gateway.name },
        `gateway ${file.gateway.name} hands over to another process`,
      );
      this.health.ending();
    }
    this.#handingOver ??= this.core.handOver(HANDOVER);
    return this.#handingOver;
  }

  /** Deletes the SAs at the peers and undoes all that the start did, `open` when left out. Safe to call twice. */
  stop(how: AfterStop = 'open'): Promise<void> {
    this.#stopping ??= this.#end(how);
    return this.#stopping;
  }

  #metricsOf({ engine, totals, counts }: CountedParts): GatewayMetrics {
    const { clock, file } = this.#setup;
    const { mode, address, interface: device } = file.gateway;
    const { side } = this.#host;
    const { plane } = this.#host.path;
    const { core } = this;
    return new GatewayMetrics({
      about: {
        ...{ id: '', address, mode, interface: device, dataPlane: plane.kind, version: programVersion },
        startedAt: clock.epoch + this.#startedAt,
      },
      ...{ tracker: core.tracker, plane, totals, counts, clock },
      name: () => this.#configured.file.gateway.name,
      note: (connection) => core.statuses.noteOf(connection),
      halfOpen: () => engine.sizes.halfOpen,
      clearDiscarded: () => side?.status().discarded ?? 0,
    });
  }

  async #end(how: AfterStop): Promise<void> {
    const { file, logger } = this.#setup;
    this.health.ending();
    if (how === 'handed') await this.handOver();
    else await this.core.shutdown(FAREWELL);
    this.#host.ending.how = how;
    await this.#undo.run(logger);
    logger.info({ gateway: file.gateway.name }, `gateway ${file.gateway.name} has ended`);
  }
}

/** The engine, and what counts beside it. */
interface CountedParts {
  readonly engine: Engine;
  readonly tap: IkeTap;
  readonly totals: TrafficTotals;
  readonly counts: GatewayCounts;
}

function engineOf({ crypto, random, limits, workers, copied }: GatewaySetup, { shares }: HostParts): Engine {
  return new Engine({
    ...{ crypto, random, limits, config: { connections: [] } },
    ...(copied === undefined ? {} : { term: copied.term }),
    spiSteering: { mask: workers - 1, bitsOf: (connection) => shares.of(connection) },
  });
}

/** The engine with its copies, where another host has them; the packet path seals in the same term. */
function activeOf(
  { copied, clock }: GatewaySetup,
  { path: { plane } }: HostParts,
  engine: Engine,
  release: (outputs: readonly Output[]) => void,
): ActiveSide | undefined {
  if (copied === undefined) return undefined;
  plane.enterTerm(copied.term);
  return new ActiveSide({ engine, plane, release, link: copied.link, now: () => clock.now() });
}

function coreOf(
  setup: GatewaySetup,
  host: HostParts,
  names: ConnectionNames,
  parts: CountedParts & Pick<CoreDeps, 'statusChanged'>,
  engine: EngineLike,
): GatewayCore {
  const { file, psks, random, clock, logger, resolve } = setup;
  const { devices, side } = host;
  const { plane, sockets } = host.path;
  return new GatewayCore({
    ...parts,
    engine,
    effects: new GatewayEffects({
      ...{ plane, devices, names, tap: parts.tap, sockets, logger },
      removing: (childId, last) => parts.totals.removed(childId, last),
      pinBypass: (addresses) => side?.pinBypass(addresses),
    }),
    counters: () => plane.counters(),
    countersOf: (child) => plane.countersOf(child),
    routesOf: (connection) => side?.routesOf(connection) ?? [],
    ...{ file, psks, names, devices, clock, random, logger, resolve },
  });
}

function capturesOf(
  { file, clock, ports, logger }: GatewaySetup,
  { path }: HostParts,
  { engine, tap, core }: { readonly engine: Engine; readonly tap: IkeTap; readonly core: GatewayCore },
): Captures {
  const { address, interface: device } = file.gateway;
  return new Captures(
    {
      ...{ plane: path.plane, sas: core.sas, tap, clock, ports, address, device },
      program: `culvert ${programVersion}`,
      exportSas: (id) => engine.export(id),
      connections: () => core.connections,
      peerAddresses: (connection) => core.peerAddresses(connection),
    },
    logger,
  );
}
