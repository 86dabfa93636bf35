import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { ConnectionNames } from '../../connection/connection-names.js';
import type { StatusDocument } from '../../connection/status.js';
import { createOpensslBackend } from '../../crypto/backends/openssl/backend.js';
import type { CryptoBackend } from '../../crypto/types.js';
import { defaultWorkers } from '../../dataplane/ffi/loop/worker-group.js';
import { DEFAULT_OFFLOAD, type Offload } from '../../dataplane/offload.js';
import type { PacketDevice } from '../../dataplane/packet-device.js';
import { Engine } from '../../ike/engine.js';
import { DEFAULT_LIMITS, type EngineLimits } from '../../ike/limits.js';
import type { GatewayFile } from '../../store/model.js';
import { exposedKeys } from '../../store/psk.js';
import type { Logger } from '../../telemetry/log.js';
import { programVersion } from '../../telemetry/program.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { SecretKey } from '../../util/secret.js';
import { ControlCommands } from '../control/commands.js';
import { type ControlServer, listenControl } from '../control/server.js';
import { GatewayCore } from '../core/core.js';
import { GatewayEffects } from '../core/gateway-effects.js';
import { linuxFilter } from '../host/clear-guard.js';
import { ConnectionDevices } from '../host/devices.js';
import { linuxNetwork } from '../host/host-network.js';
import { type Host, HostSide, hostProblems } from '../host/host-side.js';
import { type DataPlaneChoice, openPacketPath } from '../host/packet-path.js';
import { hostWarnings, networkWarnings, weakPolicyWarnings, weakPskWarnings } from '../host/preflight.js';
import { type HostProblems, HostRepair } from '../host/repair.js';
import { WorkerShares } from '../host/worker-shares.js';
import { type Clock, systemClock, utcText } from '../system/clock.js';
import { type Resolve, systemResolve } from '../system/names-service.js';
import { type Ports, STANDARD_PORTS } from '../system/ports.js';
import { systemRandom } from '../system/random.js';
import { UndoStack } from '../undo.js';
import type { FreshConfig } from './fresh-config.js';
import { GatewayReload } from './gateway-reload.js';
import type { ReloadReport, Reread } from './reload.js';

export interface GatewayOptions {
  readonly file: GatewayFile;
  /** By connection id, from `readPsks`. The caller wipes them after `stop`. */
  readonly psks: ReadonlyMap<ConnectionId, SecretKey>;
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
  /**
   * Reads the configuration again for a reload. Left out where a supervisor hands over configurations
   * (`reconfigure`), so that nothing is read again here.
   */
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
  /** `none`: routing and packet filter of the host stay as they are. */
  readonly host?: Host | 'none';
}

/**
 * What becomes of the networks behind the peers when the gateway has stopped. `open`: the host is as it was before,
 * as an operator wants it who stops the gateway. `closed`: they stay unreachable, and clear packets from them are
 * discarded, until the next start takes both over: for a restart, and where nobody asked for the end.
 */
export type AfterStop = 'open' | 'closed';

/** A running gateway. */
export interface Gateway {
  status(): StatusDocument;
  /** Reads the configuration again and applies the difference, or with `dryRun` only reports it. */
  reload(dryRun?: boolean): ReloadReport;
  /** Takes over a configuration that the caller has read. Takes its keys, or wipes them. */
  reconfigure(fresh: FreshConfig): ReloadReport;
  /** Deletes the SAs at the peers and undoes all that the start did, `open` when left out. Safe to call twice. */
  stop(how?: AfterStop): Promise<void>;
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
  const ports = options.ports ?? STANDARD_PORTS;
  const startedAt = clock.now();
  const host = hostOf(options);
  const ending: Ending = { how: undefined, side: undefined };
  // First, since it is undone last: while anything of the gateway still stands nothing leaves in the clear.
  undo.push('the fence around the networks', () => endHost(ending));
  const exposed = exposedKeys(file);
  if (exposed !== undefined) logger.warn({ file: file.source }, exposed);
  for (const warning of weakPolicyWarnings(file)) logger.warn(warning);
  for (const { connection, message } of [...networkWarnings(file), ...weakPskWarnings(file, psks)]) {
    logger.warn({ connection }, message);
  }

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
      ports,
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

  const shares = new WorkerShares(workers);
  shares.configure(file.connections.map(({ id }) => id));
  const devices = new ConnectionDevices(plane, gateway, (connection) => shares.of(connection));
  const side = host === undefined ? undefined : new HostSide({ host, gateway, ports, devices, logger });
  ending.side = side;
  if (side !== undefined) undo.push('the routes', () => side.removeRoutes());
  const arrange = (wanted: GatewayFile): HostProblems =>
    side?.arrange(wanted) ?? hostProblems(devices.open(wanted.connections));
  const lacking = side?.start(file) ?? arrange(file);
  if (side !== undefined) {
    const tuns = new Set(file.connections.map(({ id }) => devices.nameOf(id) ?? gateway.interface));
    for (const warning of new Set([...tuns].flatMap((tun) => hostWarnings(tun)))) logger.warn(warning);
  }

  const names = new ConnectionNames();
  names.configure(file.connections);
  const running = new GatewayCore({
    file,
    psks,
    engine: new Engine({
      crypto,
      random,
      limits: options.limits ?? { ...DEFAULT_LIMITS, ...file.limits },
      config: { connections: [] },
      spiSteering: { mask: workers - 1, bitsOf: (connection) => shares.of(connection) },
    }),
    effects: new GatewayEffects({
      ...{ plane, devices, names, sockets, logger },
      leadAround: (addresses) => side?.leadAround(addresses),
    }),
    names,
    counters: () => plane.counters(),
    devices,
    clock,
    random,
    logger,
    resolve: options.resolve ?? systemResolve,
  });
  core = running;
  undo.push('timers', () => running.stop());
  sockets.receive({
    ike: (input) => running.input(input),
    esp: (local, remote, bytes) => plane.espDatagram(local, remote, bytes),
    sendFailed: (remote, code, message) => running.sendFailed(remote, code, message),
  });
  const repair = new HostRepair({
    clock,
    random,
    attempt: () => arrange(configured.file),
    changed: (problems) => running.statuses.setProblems(problems),
  });
  undo.push('the timer of refused routes', () => repair.stop());
  const configured = new GatewayReload(
    { file, psks },
    {
      ...{ core: running, devices, shares, logger },
      ...(options.reread === undefined ? {} : { reread: options.reread }),
      arrange: (wanted) => {
        const refused = arrange(wanted);
        repair.note(refused);
        return refused;
      },
    },
  );
  undo.push('keys of later configurations', () => configured.wipe());
  const gatewayStatus = (): StatusDocument['gateway'] => ({
    name: configured.file.gateway.name,
    mode: gateway.mode,
    address: gateway.address,
    interface: gateway.interface,
    data_plane: plane.kind,
    raw_esp: rawEsp,
    version: programVersion,
    started_at: utcText(clock, startedAt),
    drops: plane.drops(),
    ...(side === undefined ? {} : { clear_packets: side.status() }),
    workers: plane.workers().map(({ children, handedOver, takenOver }) => ({
      ...{ child_sas: children, handed_over: handedOver, taken_over: takenOver },
    })),
  });
  const status = (): StatusDocument => ({ gateway: gatewayStatus(), connections: running.statuses.all() });
  control.serve(
    new ControlCommands({
      core: running,
      names,
      status,
      gatewayStatus,
      reload: (dryRun) => configured.reload(dryRun),
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
      version: programVersion,
    },
    `gateway ${gateway.name} listens on ${gateway.address}, ${file.connections.length} connections`,
  );

  for (const [connection, problems] of lacking) {
    for (const { message } of problems) logger.error({ connection: names.nameOf(connection) }, message);
  }
  repair.note(lacking);
  running.start();

  let stopping: Promise<void> | undefined;
  return {
    status,
    reload: (dryRun) => configured.reload(dryRun),
    reconfigure: (fresh) => configured.apply(fresh),
    failed,
    stop(how = 'open') {
      stopping ??= (async () => {
        await running.shutdown(FAREWELL_MS);
        ending.how = how;
        await undo.run(logger);
        logger.info({ gateway: gateway.name }, `gateway ${gateway.name} has ended`);
      })();
      return stopping;
    },
  };
}

/** What the end of a gateway does to the host. */
interface Ending {
  /** Undefined as long as nobody has stopped it: its start failed. */
  how: AfterStop | undefined;
  side: HostSide | undefined;
}

function endHost({ how, side }: Ending): void {
  if (how === undefined) side?.undoStart();
  else if (how === 'open') side?.open();
}

function hostOf({ host, device }: GatewayOptions): Host | undefined {
  if (host === 'none') return undefined;
  return host ?? (device === undefined ? { network: linuxNetwork, filter: linuxFilter } : undefined);
}

/** The portable path has the main thread alone. */
function workersOf({ dataPlane, workers, file }: GatewayOptions): number {
  if (dataPlane === 'portable') return 1;
  return workers ?? file.gateway.workers ?? defaultWorkers(availableParallelism());
}
