import type { CarriedRoute, ConnectionProblem } from '../../connection/document.js';
import type { ClearPacketStatus } from '../../connection/status.js';
import type { GatewayConnection, GatewayFile, GatewaySettings } from '../../store/model.js';
import type { Logger } from '../../telemetry/log.js';
import type { ConnectionId } from '../../util/ids.js';
import { type IpBytes, parseIp } from '../../util/ip.js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';
import type { Ports } from '../system/ports.js';
import { ClearGuard, guardTable, type PacketFilter } from './clear-guard.js';
import type { ConnectionDevices } from './devices.js';
import { removeOwnedRoutes } from './fence.js';
import type { HostNetwork } from './host-network.js';
import { GatewayRoutes, type RouteProblem } from './network.js';
import { protectedPairs } from './protected-pairs.js';
import type { HostProblems } from './repair.js';
import { SharedRoutes, sharedNetworks } from './shared-routes.js';

/** What the gateway may change of this host. */
export interface Host {
  readonly network: HostNetwork;
  readonly filter: PacketFilter;
}

/** What devices, routes and the guard of a gateway are made from. */
export interface HostSideOptions {
  readonly host: Host;
  readonly gateway: GatewaySettings;
  readonly ports: Ports;
  readonly devices: ConnectionDevices;
  readonly logger: Logger;
  /** Milliseconds on the clock of the process. */
  readonly now: () => Millis;
}

/**
 * What a gateway makes of the host around it, beside its sockets: the TUN devices of connections, routes, the fence
 * and the guard against clear packets. What one connection is refused is that connection's problem alone.
 */
export class HostSide {
  readonly #options: HostSideOptions;
  readonly #routes: GatewayRoutes;
  readonly #guard: ClearGuard;
  readonly #shared: SharedRoutes;
  #failClosed: boolean;
  /** Addresses that the host names of peers were resolved to. */
  readonly #resolved = new Set<string>();
  #connections: ReadonlyMap<ConnectionId, GatewayConnection> = new Map();
  /** Those that name a network in `routes` which another one names, too. */
  #sharing: ReadonlySet<ConnectionId> = new Set();
  #isUp: (connection: ConnectionId) => boolean = () => false;

  /** @throws LinuxError when the host's routes cannot be read */
  constructor(options: HostSideOptions) {
    const { host, gateway, logger } = options;
    this.#options = options;
    const { interface: device } = gateway;
    this.#failClosed = gateway.failClosed;
    this.#routes = new GatewayRoutes(host.network, device);
    this.#guard = new ClearGuard(host.filter, device, logger);
    this.#shared = new SharedRoutes({
      ...{ hops: host.network.hops, device, now: options.now },
      refused: (error) => logger.error(`traffic is not distributed: ${oneLine(error)}`),
      moved: (network, carriers) => {
        const names = [...this.#connections.values()]
          .filter(({ id }) => carriers.includes(id))
          .map(({ name }) => name);
        logger.info({ network }, `${network} is carried by ${names.join(' and ')} from now on`);
      },
    });
  }

  /**
   * As `arrange`, at a start: without the right to change routes there is no gateway.
   * @throws LinuxError EPERM or EACCES
   */
  start(file: GatewayFile): HostProblems {
    const { missing, refused } = this.#apply(file);
    for (const { error } of refused) {
      const { code } = error as { code?: string };
      if (code === 'EPERM' || code === 'EACCES') throw error;
    }
    return hostProblems(missing, refused);
  }

  /**
   * Guards, opens and lays what these connections need and is missing, and takes away what is not wanted any more.
   * @returns what this host refused, by connection
   */
  arrange(file: GatewayFile): HostProblems {
    const { missing, refused } = this.#apply(file);
    return hostProblems(missing, refused);
  }

  /** From now on routes that several connections name follow those that are up. */
  follow(isUp: (connection: ConnectionId) => boolean): void {
    this.#isUp = isUp;
  }

  /** Whether routes may have to move when the status of this connection is another one. */
  sharesRoutes(connection: ConnectionId): boolean {
    return this.#sharing.has(connection);
  }

  /** How the networks in the `routes` of a connection are carried. */
  routesOf(connection: ConnectionId): CarriedRoute[] {
    const { routes = [] } = this.#connections.get(connection) ?? {};
    return routes.map((destination) => ({ destination, ...this.#shared.stateOf(connection, destination) }));
  }

  /** Pins a route to these addresses of a peer outside of its own tunnel. */
  pinBypass(addresses: readonly string[]): void {
    for (const address of addresses) this.#resolved.add(address);
    this.#protect([...this.#connections.values()]);
    for (const address of addresses) {
      try {
        this.#routes.pinBypass(address);
      } catch (error) {
        this.#options.logger.error(oneLine(error));
      }
    }
  }

  status(): ClearPacketStatus {
    return { outbound: this.#failClosed ? 'unreachable' : 'routed_in_clear', ...this.#guard.status() };
  }

  /** Takes the routes through the devices away. Fence and guard stay. @throws the first error */
  removeRoutes(): void {
    this.#guard.stop();
    this.#routes.remove();
    this.#shared.arrange(
      [],
      () => false,
      () => undefined,
    );
    this.#shared.settle();
  }

  /** Leaves all as it is to the process that takes over. */
  leaveRoutes(): void {
    this.#guard.stop();
  }

  /** Takes fence and guard away: the host is as it was before. @throws the first error */
  open(): void {
    this.#guard.remove();
    this.#routes.open('all');
  }

  /** After a start that failed: what a process before this one has closed stays closed. @throws the first error */
  undoStart(): void {
    this.#guard.undoStart();
    this.#routes.open('new');
  }

  #apply({ connections, gateway }: GatewayFile) {
    const { devices, logger } = this.#options;
    const missing = devices.open(connections);
    this.#failClosed = gateway.failClosed;
    this.#protect(connections);
    const routes = this.#routes;
    const shared = this.#shared;
    const carried = shared.arrange(connections, this.#isUp, (id) => devices.nameOf(id));
    const wanted = routes.wanted(
      carried.filter(({ id }) => devices.nameOf(id) !== undefined),
      ({ id }) => devices.nameOf(id)!,
      (network) => shared.groupOf(network),
    );
    const peers = connections.flatMap(({ id, peer: { address } }) =>
      address === undefined ? [] : [{ connection: id, address }],
    );
    const refused = routes.update(wanted, peers, gateway.failClosed);
    shared.settle();
    for (const { connection, error } of refused) if (connection === undefined) logger.error(oneLine(error));
    return { missing, refused };
  }

  #peerAddresses(): IpBytes[] {
    const written = [...this.#connections.values()].flatMap(({ peer: { address } }) => address ?? []);
    return [...new Set([...written, ...this.#resolved])].flatMap((text) => parseIp(text) ?? []);
  }

  #protect(connections: readonly GatewayConnection[]): void {
    this.#connections = new Map(connections.map((one) => [one.id, one]));
    this.#sharing = new Set([...sharedNetworks(connections).values()].flat().map(({ id }) => id));
    const { gateway, ports, devices } = this.#options;
    const names = connections.flatMap(({ id }) => devices.nameOf(id) ?? []);
    this.#guard.update({
      devices: [...new Set([gateway.interface, ...names])],
      pairs: protectedPairs(gateway.mode, connections),
      gateway: parseIp(gateway.address)!,
      ports: [ports.ike, ports.natt],
      // What goes there beside the tunnel goes in the clear.
      peers: this.#failClosed ? this.#peerAddresses() : [],
    });
  }
}

/** TUN devices and routes that were refused, as the status of their connections shows them. */
export function hostProblems(
  missing: ReadonlyMap<ConnectionId, ConnectionProblem>,
  refused: readonly RouteProblem[] = [],
): Map<ConnectionId, ConnectionProblem[]> {
  const out = new Map([...missing].map(([id, problem]) => [id, [problem]]));
  for (const { connection, error, ownAddress } of refused) {
    if (connection === undefined) continue;
    const cause = ownAddress === true ? 'peer_address_in_networks' : 'local_route_conflict';
    out.set(connection, [...(out.get(connection) ?? []), { cause, message: oneLine(error) }]);
  }
  return out;
}

/** Takes away what gateways with this TUN device have left of themselves on the host. @throws LinuxError */
export function openHost({ network, filter }: Host, device: string): void {
  removeOwnedRoutes(network, device);
  if (filter.standing(guardTable(device))) filter.remove(guardTable(device));
}
