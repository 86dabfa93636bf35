import type { GatewayFile } from '../../store/model.js';
import { type ControlServer, listenControl } from '../control/server.js';
import type { GatewayCore } from '../core/core.js';
import { ConnectionDevices } from '../host/devices.js';
import { HostSide, hostProblems } from '../host/host-side.js';
import { openPacketPath, type PacketPath, type PacketPathOptions } from '../host/packet-path.js';
import { hashPolicyWarnings, hostWarnings } from '../host/preflight.js';
import type { HostProblems } from '../host/repair.js';
import { distributedFamilies } from '../host/shared-routes.js';
import { WorkerShares } from '../host/worker-shares.js';
import type { UndoStack } from '../undo.js';
import type { AfterStop, GatewaySetup } from './gateway-options.js';
import { PathReports } from './path-reports.js';

/** What the end of a gateway does to the host. */
class HostEnding {
  /** Undefined until it is stopped: its start failed. */
  how: AfterStop | undefined;
  /** Undefined as long as nothing was done to the host. */
  side: HostSide | undefined;

  run(): void {
    if (this.how === undefined) this.side?.undoStart();
    else if (this.how === 'open') this.side?.open();
  }

  /** Who takes over at once goes on with the routes that are there. */
  removeRoutes(): void {
    if (this.how === 'handed') this.side?.leaveRoutes();
    else this.side?.removeRoutes();
  }
}

/** What a gateway takes of the machine: control socket, ports, packet path, TUN devices, routes. */
export class HostParts {
  readonly control: ControlServer;
  readonly path: PacketPath;
  readonly reports: PathReports;
  /** Which worker each connection has. */
  readonly shares: WorkerShares;
  readonly devices: ConnectionDevices;
  /** Undefined where routing and packet filter of the host stay as they are. */
  readonly side: HostSide | undefined;
  readonly ending: HostEnding;
  /** What the host refused when it was arranged for the first time. */
  readonly refused: HostProblems;

  private constructor(parts: Omit<HostParts, 'arrange' | 'connect' | 'refused'>, setup: GatewaySetup) {
    this.control = parts.control;
    this.path = parts.path;
    this.reports = parts.reports;
    this.shares = parts.shares;
    this.devices = parts.devices;
    this.side = parts.side;
    this.ending = parts.ending;
    this.refused = this.side?.start(setup.file) ?? this.arrange(setup.file);
  }

  /**
   * Takes all of it. Each step is noted in `undo` at once, so that the caller can take back what was done before a
   * failure.
   * @throws StartError or LinuxError
   */
  static async open(setup: GatewaySetup, undo: UndoStack): Promise<HostParts> {
    const { file, host, ports, clock, logger } = setup;
    const { gateway, connections } = file;
    const ending = new HostEnding();
    // First, since it is undone last: while anything of the gateway is left nothing leaves in the clear.
    undo.push('the fence around the networks', () => ending.run());
    const control = setup.control ?? (await listenControl(gateway.control, logger));
    if (setup.control === undefined) undo.push('the control socket', () => control.close());
    const reports = new PathReports(logger);
    const path = await openPacketPath(pathOptions(setup, reports), undo);
    const shares = new WorkerShares(setup.workers);
    shares.configure(connections.map(({ id }) => id));
    const devices = new ConnectionDevices(path.plane, gateway, (connection) => shares.of(connection));
    const side =
      host === undefined
        ? undefined
        : new HostSide({
            ...{ host, gateway, ports, devices, logger },
            now: () => clock.now(),
          });
    ending.side = side;
    undo.push('the routes', () => ending.removeRoutes());
    const parts = new HostParts({ control, path, reports, shares, devices, side, ending }, setup);
    if (side !== undefined) {
      const tuns = new Set(connections.map(({ id }) => devices.nameOf(id) ?? gateway.interface));
      const warnings = [
        ...[...tuns].flatMap((tun) => hostWarnings(tun)),
        ...distributedFamilies(connections).flatMap((family) => hashPolicyWarnings(family)),
      ];
      for (const warning of new Set(warnings)) logger.warn(warning);
    }
    return parts;
  }

  /** Makes of the host what these connections need. @returns what it refused */
  arrange(file: GatewayFile): HostProblems {
    return this.side?.arrange(file) ?? hostProblems(this.devices.open(file.connections));
  }

  /** From now on what arrives goes to this core. */
  connect(core: GatewayCore): void {
    const { plane, sockets } = this.path;
    this.reports.connect(core);
    sockets.receive({
      ike: (input) => core.input(input),
      esp: (local, remote, bytes) => plane.espDatagram(local, remote, bytes),
      sendFailed: (remote, code, message) => core.sendFailed(remote, code, message),
    });
  }
}

function pathOptions(setup: GatewaySetup, listener: PathReports): PacketPathOptions {
  const { gateway } = setup.file;
  const { dataPlane, mtu, ports, workers, prepared, tun, offload, device } = setup;
  const { crypto, random, clock, logger } = setup;
  return {
    choice: dataPlane,
    address: gateway.address,
    interface: gateway.interface,
    rawEsp: gateway.encapsulation === 'auto' ? 'required' : 'wanted',
    ...(gateway.mss === undefined ? {} : { mssCeiling: gateway.mss }),
    ...(device === undefined ? {} : { device }),
    ...(prepared === undefined ? {} : { prepared }),
    ...(tun === undefined ? {} : { tun }),
    ...{ mtu, ports, workers, offload, crypto, random, clock, logger, listener },
  };
}
