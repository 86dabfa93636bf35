import { createRequire } from 'node:module';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import type { StatusDocument } from '../connection/status.js';
import type { ConnectionProblem } from '../connection/tracker.js';
import { createOpensslBackend } from '../crypto/backend.js';
import type { CryptoBackend } from '../crypto/types.js';
import { defaultWorkers } from '../dataplane/ffi/worker-group.js';
import { DEFAULT_OFFLOAD, type Offload } from '../dataplane/offload.js';
import type { PacketDevice } from '../dataplane/packet-device.js';
import { Engine } from '../ike/engine.js';
import { DEFAULT_LIMITS, type EngineLimits } from '../ike/limits.js';
import type { GatewayFile } from '../store/model.js';
import type { Logger } from '../telemetry/log.js';
import type { Random } from '../util/random.js';
import type { SecretKey } from '../util/secret.js';
import { type Clock, systemClock, utcText } from './clock.js';
import { ControlCommands } from './commands.js';
import { type ControlServer, listenControl } from './control.js';
import { type CoreConfig, GatewayCore } from './core.js';
import { ConnectionDevices } from './devices.js';
import { HostRepair } from './host-repair.js';
import { type Resolve, systemResolve } from './names-service.js';
import { GatewayRoutes, type HostNetwork, linuxNetwork, type RouteProblem } from './network.js';
import { type DataPlaneChoice, openPacketPath } from './packet-path.js';
import { type Ports, STANDARD_PORTS } from './ports.js';
import { hostWarnings, weakPolicyWarnings } from './preflight.js';
import { planReload, type ReloadReport, type Reread, rereadFile } from './reload.js';
import { RetiredKeys } from './retired-keys.js';
import { oneLine, StartError } from './start-error.js';
import { systemRandom } from './system-random.js';
import { UndoStack } from './undo.js';
import { WorkerShares } from './worker-shares.js';

export interface GatewayOptions {
  readonly file: GatewayFile;
  /** By connection name, from `readPsks`. The caller wipes them after `stop`. */
  readonly psks: ReadonlyMap<string, SecretKey>;
  readonly logger: Logger;
  /** Default `auto`. */
  readonly dataPlane?: DataPlaneChoice;
  /** For the portable data plane, in place of a TUN device. */
  readonly device?: PacketDevice;
  /** Worker threads of the data plane, a power of two, in place of the number in the file. */
  readonly workers?: number;
  /** Kernel offloads of the data plane, in place of those in the file. */
  readonly offload?: Offload;
  /** Octets of the longest inner packet; chosen to fit every suite on a path of 1500 when left out. */
  readonly mtu?: number;
  /** Called when a client asks the daemon to end. */
  readonly onStopRequest?: () => void;
  /** Reads the configuration anew for a reload; the file it came from unless given. */
  readonly reread?: Reread;
  /** In place of one at `gateway.control`: listens already, and is closed by the caller. */
  readonly control?: ControlServer;

  // What tests put in the place of the machine.
  readonly ports?: Ports;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly crypto?: CryptoBackend;
  readonly limits?: EngineLimits;
  readonly resolve?: Resolve;
  /** `none`: the host's routing stays as it is. */
  readonly network?: HostNetwork | 'none';
}

/** A running gateway. */
export interface Gateway {
  status(): StatusDocument;
  /** Reads the configuration anew and applies the difference, or with `dryRun` only tells it. */
  reload(dryRun?: boolean): ReloadReport;
  /** Deletes the SAs at the peers and undoes all that the start did. Safe to call twice. */
  stop(): Promise<void>;
  /** Resolves with the reason when the gateway cannot go on; it must be stopped then. */
  readonly failed: Promise<string>;
}

/** How long peers may take to answer our DELETE at a stop. */
const FAREWELL_MS = 2000;

/**
 * Inner MTU when nothing else is said: fits a path of 1500 octets with every suite, UDP encapsulation included
 * (AES-CBC with a 32-octet ICV leaves 1406 behind IPv4 and 1390 behind IPv6).
 */
const INNER_MTU = { 4: 1400, 6: 1380 } as const;

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/**
 * Brings a gateway up: control socket, UDP 500 and 4500, TUN device, routes, and then the connections. All or
 * nothing: when a step fails, everything before it is undone.
 * @throws StartError or LinuxError: one line with `message` and `remedy`
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const undo = new UndoStack();
  try {
    return await bringUp(options, undo);
  } catch (error) {
    await undo.run(options.logger);
    throw error;
  }
}

async function bringUp(options: GatewayOptions, undo: UndoStack): Promise<Gateway> {
  const { file, psks, logger } = options;
  const { gateway } = file;
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const crypto = options.crypto ?? createOpensslBackend();
  const startedAt = utcText(clock, clock.now());
  for (const warning of weakPolicyWarnings(file)) logger.warn(warning);

  const control = options.control ?? (await listenControl(gateway.control, logger));
  if (options.control === undefined) undo.push('the control socket', () => control.close());

  let fail: (reason: string) => void = () => undefined;
  const failed = new Promise<string>((resolve) => {
    fail = resolve;
  });
  let core: GatewayCore | undefined;
  const workers = workersOf(options);
  const { plane, sockets, rawEsp } = await openPacketPath(
    {
      choice: options.dataPlane ?? 'auto',
      address: gateway.address,
      interface: gateway.interface,
      mtu: options.mtu ?? INNER_MTU[isIP(gateway.address) === 6 ? 6 : 4],
      ports: options.ports ?? STANDARD_PORTS,
      workers,
      rawEsp: gateway.encapsulation === 'auto' ? 'required' : 'wanted',
      offload: options.offload ?? { ...DEFAULT_OFFLOAD, ...gateway.offload },
      ...(gateway.mss === undefined ? {} : { mssCeiling: gateway.mss }),
      ...(options.device === undefined ? {} : { device: options.device }),
      crypto,
      random,
      clock,
      logger,
      listener: {
        ikeDatagram: (local, remote, bytes) =>
          core?.input({ kind: 'datagram', local, remote, natTraversalPort: true, bytes }),
        acquire: (destination, device) => core?.acquire(destination, device),
        peerMoved: (id, from) => core?.peerMoved(id, from),
        failed: (reason) => {
          logger.fatal(`the data plane cannot go on: ${reason}`);
          fail(reason);
        },
      },
    },
    undo,
  );

  const network = options.network ?? (options.device === undefined ? linuxNetwork : 'none');
  const routes = network === 'none' ? undefined : new GatewayRoutes(network);
  const shares = new WorkerShares(workers);
  shares.configure(file.connections.map(({ name }) => name));
  const devices = new ConnectionDevices(plane, gateway, (connection) => shares.of(connection));
  const layRoutes = (connections: GatewayFile['connections']): RouteProblem[] => {
    if (routes === undefined) return [];
    const reachable = connections.filter(({ name }) => devices.nameOf(name) !== undefined);
    const wanted = routes.wanted(reachable, ({ name }) => devices.nameOf(name)!);
    const peers = connections.flatMap(({ peer }) => (peer.address === undefined ? [] : [peer.address]));
    return routes.update(wanted, peers);
  };
  if (routes !== undefined) {
    undo.push('the routes', () => routes.remove());
  }
  const [trouble] = devices.open(file.connections).values();
  if (trouble !== undefined) throw new StartError(trouble.message, 'set another `interface`');
  if (routes !== undefined) {
    const [problem] = layRoutes(file.connections);
    if (problem !== undefined) throw problem.error;
    const names = new Set(file.connections.map(({ name }) => devices.nameOf(name) ?? gateway.interface));
    for (const warning of new Set([...names].flatMap((name) => hostWarnings(name)))) logger.warn(warning);
  }

  const running = new GatewayCore({
    file,
    psks,
    engine: new Engine({
      crypto,
      random,
      limits: options.limits ?? { ...DEFAULT_LIMITS, ...file.limits },
      config: { connections: [] },
      spiSteering: { mask: workers - 1, bitsOf: (key) => shares.of(core?.nameOf(key) ?? key) },
    }),
    plane,
    devices,
    clock,
    random,
    logger,
    resolve: options.resolve ?? systemResolve,
    send: (output) => sockets.send(output),
    sendKeepalive: (remote) => sockets.sendKeepalive(remote),
    peerResolved: (addresses) => leadAround(routes, addresses, logger),
  });
  core = running;
  undo.push('timers', () => running.stop());
  sockets.receive({
    ike: (input) => running.input(input),
    esp: (local, remote, bytes) => plane.espDatagram(local, remote, bytes),
    sendFailed: (remote, code, message) => running.sendFailed(remote, code, message),
  });
  let current: CoreConfig = { file, psks };
  const repair = new HostRepair({
    clock,
    random,
    attempt: () => {
      const { connections } = current.file;
      return hostProblems(devices.open(connections), layRoutes(connections));
    },
    changed: (problems) => running.setProblems(problems),
  });
  undo.push('the timer of refused routes', () => repair.stop());
  const retired = new RetiredKeys();
  undo.push('keys of later configurations', () => {
    retired.wipe();
    if (current.psks !== psks) wipeAll(current.psks);
  });
  const reload = (dryRun = false): ReloadReport => {
    const read = (options.reread ?? (() => rereadFile(file.source)))();
    const about = { dry_run: dryRun, file: file.source };
    if (!read.ok) {
      const nothing = { gateway: [], connections: [], unchanged: 0, problems: [] };
      return { ok: false, ...about, errors: read.error, ...nothing };
    }
    const plan = planReload(current, read.value, (config) => running.engineConfig(config));
    const problems: string[] = [];
    if (dryRun || !plan.possible) {
      wipeAll(read.value.psks);
    } else {
      retired.add(current.psks);
      current = read.value;
      const { connections } = current.file;
      for (const { change, from, name } of plan.connections) {
        if (change !== 'rename') continue;
        devices.rename(from!, name);
        shares.rename(from!, name);
      }
      shares.configure(connections.map(({ name }) => name));
      const missing = devices.open(connections);
      const refused = layRoutes(connections);
      problems.push(...[...missing.values()].map(({ message }) => message));
      problems.push(...refused.map(({ error }) => oneLine(error)));
      repair.note(hostProblems(missing, refused));
      running.reload(current, plan.connections);
      devices.close(connections);
    }
    const connections = plan.connections.map(({ steps: _, ...told }) => told);
    const { possible, gateway: changes, unchanged } = plan;
    return { ok: possible, ...about, errors: [], gateway: changes, connections, unchanged, problems };
  };
  const status = (): StatusDocument => ({
    gateway: {
      name: current.file.gateway.name,
      mode: gateway.mode,
      address: gateway.address,
      interface: gateway.interface,
      data_plane: plane.kind,
      raw_esp: rawEsp,
      version,
      started_at: startedAt,
      drops: plane.drops(),
      workers: plane.workers().map(({ children, handedOver, takenOver }) => ({
        ...{ child_sas: children, handed_over: handedOver, taken_over: takenOver },
      })),
    },
    connections: running.status(),
  });
  control.serve(
    new ControlCommands({
      core: running,
      status,
      reload: (dryRun) => logReload(reload(dryRun), logger),
      stop: options.onStopRequest ?? (() => undefined),
    }),
  );
  logger.info(
    {
      gateway: gateway.name,
      address: gateway.address,
      interface: gateway.interface,
      data_plane: plane.kind,
      workers,
      version,
    },
    `gateway ${gateway.name} listens on ${gateway.address}, ${file.connections.length} connections`,
  );

  running.start();

  let stopping: Promise<void> | undefined;
  return {
    status,
    reload: (dryRun) => logReload(reload(dryRun), logger),
    failed,
    stop() {
      stopping ??= (async () => {
        await running.shutdown(FAREWELL_MS);
        await undo.run(logger);
        logger.info({ gateway: gateway.name }, `gateway ${gateway.name} has ended`);
      })();
      return stopping;
    },
  };
}

/** The portable path has the main thread alone. */
function workersOf({ dataPlane, workers, file }: GatewayOptions): number {
  if (dataPlane === 'portable') return 1;
  return workers ?? file.gateway.workers ?? defaultWorkers(availableParallelism());
}

/** Devices and routes that were refused, as the status of their connections tells them. */
function hostProblems(
  missing: ReadonlyMap<string, ConnectionProblem>,
  refused: readonly RouteProblem[],
): Map<string, ConnectionProblem[]> {
  const out = new Map([...missing].map(([name, problem]) => [name, [problem]]));
  for (const { connection, error } of refused) {
    const problem = { cause: 'local_route_conflict', message: oneLine(error) } as const;
    out.set(connection, [...(out.get(connection) ?? []), problem]);
  }
  return out;
}

/** What a reload did, one line for each thing that changed. */
function logReload(report: ReloadReport, logger: Logger): ReloadReport {
  const { ok, dry_run: dryRun, errors, gateway, connections, unchanged, problems } = report;
  if (dryRun) return report;
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
  else logger.error('the configuration was not applied: everything goes on as before');
  return report;
}

function wipeAll(keys: ReadonlyMap<string, SecretKey>): void {
  for (const key of keys.values()) key.wipe();
}

/** A peer's new address must not be looked for behind its own tunnel. */
function leadAround(routes: GatewayRoutes | undefined, addresses: readonly string[], logger: Logger): void {
  for (const address of addresses) {
    try {
      routes?.leadAround(address);
    } catch (error) {
      logger.error(oneLine(error));
    }
  }
}
