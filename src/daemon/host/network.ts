import type { DeviceRoute } from '../../linux/routes.js';
import type { GatewayConnection } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import {
  type Cidr,
  cidrOf,
  cidrRange,
  formatCidr,
  formatIp,
  type IpBytes,
  parseIp,
  rangeContains,
} from '../../util/ip.js';
import { StartError } from '../start-error.js';
import { Fence, ownerMetric } from './fence.js';
import type { HostNetwork, HostRoute, Way } from './host-network.js';

/** A route that the configuration wants, and the connection it is for. */
export interface WantedRoute {
  readonly connection: ConnectionId;
  readonly route: DeviceRoute;
  /** Devices of the group that it leads to. */
  readonly members?: readonly string[];
}

/** A group of next hops, and the devices in it. */
export interface DeviceGroup {
  readonly id: number;
  readonly devices: readonly string[];
}

/** A peer's outer address, which is reached outside of every tunnel, and the connection to it. */
export interface PeerAddress {
  readonly connection: ConnectionId;
  readonly address: string;
}

/** Why a route could not be laid or taken away. */
export interface RouteProblem {
  /** Undefined for a route that is of no single connection. */
  readonly connection: ConnectionId | undefined;
  readonly error: unknown;
  /** The network is the peer's own address: no route is in the way, the configuration is. */
  readonly ownAddress?: boolean;
}

/** Makes a change, for a connection or for none, and notes it when it is refused. */
type Attempt = (connection: ConnectionId | undefined, change: () => void) => void;

/**
 * The routes of one gateway: to the networks of its peers through a TUN device, around it to peers whose own address
 * lies in such a network, and the fence that remains when the device is gone. They are in force from start to stop,
 * whether the tunnel is up or not, so that nothing meant for the tunnel leaves in the clear.
 */
export class GatewayRoutes {
  readonly #network: HostNetwork;
  readonly #metric: number;
  readonly #fence: Fence;
  /** By what they are: network, device or group, and source. */
  readonly #laid = new Map<string, WantedRoute>();
  /** Keys of those that are wanted another way, by their network. */
  readonly #leaving = new Map<string, string>();
  /** Routes to peers around the tunnel, by the peer's canonical text. */
  readonly #around = new Map<string, DeviceRoute>();
  /** Such routes of a process before this one that were not wanted yet. */
  readonly #left: DeviceRoute[];
  /** Routes through the device that a process before this one has laid, when the device outlived it, by their network. */
  readonly #standing = new Map<string, HostRoute[]>();
  #devices = new Set<string>();
  #tunnelled: readonly Cidr[] = [];

  /**
   * Finds what a process before this one has left.
   * @param device the gateway's TUN device: by it the routes of gateways in one network namespace are distinguished
   * @throws LinuxError
   */
  constructor(network: HostNetwork, device: string) {
    this.#network = network;
    this.#metric = ownerMetric(device);
    this.#fence = new Fence(network, this.#metric);
    this.#left = network.routesOf(this.#metric).filter(({ kind }) => kind !== 'unreachable');
    for (const route of network.routesThrough(device)) {
      const network = formatCidr(route.cidr);
      this.#standing.set(network, [...(this.#standing.get(network) ?? []), route]);
    }
  }

  /** Networks that go through a TUN device, in canonical text. */
  get networks(): readonly string[] {
    return this.#tunnelled.map(formatCidr);
  }

  /**
   * What `update` wants for these connections. Those that are administratively down have no routes.
   * @param groupOf the group that a network of `routes` is distributed over
   */
  wanted(
    connections: readonly GatewayConnection[],
    deviceOf: (connection: GatewayConnection) => string,
    groupOf: (network: string) => DeviceGroup | undefined = () => undefined,
  ): WantedRoute[] {
    const own = this.#network.localAddresses();
    const sources = new Map<string, IpBytes | undefined>();
    return connections
      .filter((one) => one.adminStateUp)
      .flatMap((one) => {
        const source = sourceIn(own, one.local.cidrs.map(cidrOf));
        const device = deviceOf(one);
        return [...one.peer.cidrs, ...one.routes].flatMap((network) => {
          const group = groupOf(network);
          return halves(cidrOf(network)).map((cidr): WantedRoute => {
            const fits = source !== undefined && source.length === cidr.address.length;
            // Connections that share a network of the peer share its route.
            const place = `${formatCidr(cidr)} ${device}`;
            if (!sources.has(place)) sources.set(place, fits ? source : undefined);
            const shared = sources.get(place);
            const route = { cidr, device, ...(shared === undefined ? {} : { source: shared }) };
            if (group === undefined) return { connection: one.id, route };
            return { connection: one.id, route: { ...route, group: group.id }, members: group.devices };
          });
        });
      });
  }

  /**
   * Lays the routes that are missing and takes away those that are not wanted any more; no other is touched.
   * @param peers known outer addresses of all peers
   * @param failClosed whether the networks stay closed when the process is gone
   * @returns what was refused; a route that could not be laid is tried again at the next call
   */
  update(wanted: readonly WantedRoute[], peers: readonly PeerAddress[], failClosed: boolean): RouteProblem[] {
    const problems: RouteProblem[] = [];
    const attempt: Attempt = (connection, change) => {
      try {
        change();
      } catch (error) {
        problems.push({ connection, error });
      }
    };
    const possible = wanted.filter(({ connection, route }) => {
      const own = isOwnAddress(route.cidr, peers);
      if (own) problems.push({ connection, error: ownAddressError(route.cidr), ownAddress: true });
      return !own;
    });
    const fenced = failClosed ? possible : [];
    // The fence first: at no moment does a packet find the way without the tunnel.
    for (const { connection, route } of fenced) attempt(connection, () => this.#fence.add(route.cidr));
    this.#takeUnwanted(possible, attempt);
    this.#tunnelled = possible.map(({ route }) => route.cidr);
    this.#devices = new Set(possible.flatMap(({ route, members = [] }) => [route.device, ...members]));
    // First around, while the routing table still shows the way without the tunnel.
    for (const { address, connection } of peers) attempt(connection, () => this.pinBypass(address));
    for (const one of possible) attempt(one.connection, () => this.#lay(one));
    for (const network of this.#standing.keys()) attempt(undefined, () => this.#takeStanding(network));
    const closed = new Set(fenced.map(({ route }) => formatCidr(route.cidr)));
    attempt(undefined, () => this.#fence.keepOnly(closed));
    this.#forgetAround(attempt);
    return problems;
  }

  /** Gives a peer that would be reached through its own tunnel a route around it. @throws LinuxError */
  pinBypass(peer: string): void {
    const address = parseIp(peer);
    if (address === undefined || this.#around.has(peer) || !this.#isInside(address)) return;
    const way = this.#wayTo(peer);
    if (way === undefined) return;
    const { device, gateway } = way;
    const cidr = { address, prefix: address.length * 8 };
    const metric = this.#metric;
    const route = { cidr, device, metric, ...(gateway === undefined ? {} : { gateway }) };
    try {
      this.#network.addRoute(route);
    } catch (error) {
      // The metric is ours alone: a process before this one has laid it.
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
    this.#around.set(peer, route);
  }

  /**
   * Removes every route that was laid, but not the fence. Routes that are gone already are no error.
   * @throws the first error
   */
  remove(): void {
    const problems: unknown[] = [];
    for (const [key, { route }] of this.#laid) {
      this.#laid.delete(key);
      this.#attempt(problems, () => this.#take(route));
    }
    this.#tunnelled = [];
    this.#forgetAround((_, change) => this.#attempt(problems, change));
    if (problems.length > 0) throw problems[0];
  }

  /**
   * Opens the networks: by the operator's wish, or after a start that failed, when only what this process has closed
   * is opened. @throws LinuxError
   */
  open(which: 'all' | 'new'): void {
    if (which === 'all') this.#fence.remove();
    else this.#fence.removeNew();
  }

  /** Networks that stay closed without this process, in canonical text. */
  get fenced(): readonly string[] {
    return this.#fence.networks;
  }

  #takeUnwanted(wanted: readonly WantedRoute[], attempt: Attempt): void {
    const keys = new Set(wanted.map(({ route }) => keyOf(route)));
    const networks = new Set(wanted.map(({ route }) => formatCidr(route.cidr)));
    this.#leaving.clear();
    for (const [key, { route, connection }] of this.#laid) {
      if (keys.has(key)) continue;
      const network = formatCidr(route.cidr);
      if (networks.has(network)) {
        this.#leaving.set(network, key);
        continue;
      }
      this.#laid.delete(key);
      attempt(connection, () => this.#take(route));
    }
  }

  #attempt(problems: unknown[], change: () => void): void {
    try {
      change();
    } catch (error) {
      problems.push(error);
    }
  }

  #lay(one: WantedRoute): void {
    const key = keyOf(one.route);
    const { cidr } = one.route;
    const network = formatCidr(cidr);
    const leaving = this.#leaving.get(network);
    if (leaving !== undefined) {
      this.#network.replaceRoute(one.route);
      this.#leaving.delete(network);
      this.#laid.delete(leaving);
    } else if (!this.#laid.has(key)) {
      // Its source may have been another one. What comes for it meanwhile is refused by the fence.
      this.#takeStanding(network);
      const others = cidr.address.length === 16 ? this.#network.routesTo(cidr) : [];
      // The kernel does not refuse a second IPv6 route to a network, and takes the one with the lower metric.
      const shadowed = others.find(({ kind, metric }) => kind === 'unicast' && metric <= METRIC_V6);
      if (shadowed !== undefined) throw conflictError(cidr, [shadowed]);
      try {
        this.#network.addRoute(one.route);
      } catch (error) {
        if ((error as { code?: string }).code !== 'EEXIST') throw error;
        throw conflictError(cidr, this.#network.routesTo(cidr)) ?? error;
      }
    }
    this.#laid.set(key, one);
  }

  #takeStanding(network: string): void {
    const routes = this.#standing.get(network) ?? [];
    this.#standing.delete(network);
    for (const route of routes) this.#take(route);
  }

  #isInside(address: IpBytes): boolean {
    return this.#tunnelled.some((cidr) => rangeContains(cidrRange(cidr), address));
  }

  /** The way without the tunnel; undefined when there is none (yet). */
  #wayTo(peer: string): Way | undefined {
    try {
      const way = this.#network.getRoute(peer);
      if (!this.#devices.has(way.device)) return way;
    } catch {
      // Nothing leads there, or only the fence.
    }
    return this.#network.wayBeside(peer);
  }

  /** Routes around the tunnel that nothing needs any more, of this process and of one before it. */
  #forgetAround(attempt: Attempt): void {
    for (const [peer, route] of this.#around) {
      if (this.#isInside(route.cidr.address)) continue;
      this.#around.delete(peer);
      attempt(undefined, () => this.#take(route));
    }
    for (const route of this.#left.splice(0)) {
      if (!this.#around.has(formatIp(route.cidr.address))) {
        attempt(undefined, () => this.#take({ ...route, metric: this.#metric }));
      }
    }
  }

  #take(route: DeviceRoute): void {
    try {
      this.#network.removeRoute(route);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'ESRCH' && code !== 'ENODEV') throw error;
    }
  }
}

/** What the kernel gives an IPv6 route without a metric. */
const METRIC_V6 = 1024;

function isOwnAddress({ address, prefix }: Cidr, peers: readonly PeerAddress[]): boolean {
  const text = formatIp(address);
  return prefix === address.length * 8 && peers.some((peer) => peer.address === text);
}

function ownAddressError(cidr: Cidr): StartError {
  return new StartError(
    `${formatCidr(cidr)} is the peer's own address, to which IKE and ESP must go outside of the tunnel: ` +
      'packets to it do not use the tunnel',
    'take it out of the networks of the peer, or give the peer another address for what is to be protected',
  );
}

/** Who has a route to this network already, and what can be done about it. */
function conflictError(cidr: Cidr, others: readonly HostRoute[]): StartError | undefined {
  const text = formatCidr(cidr);
  const found = others.find(({ kind }) => kind === 'unicast');
  if (found === undefined) return undefined;
  const adding = `the route ${text} cannot be added`;
  const { device, by } = found;
  if (by === 'culvert') {
    return new StartError(
      `${adding}: another connection or gateway of Culvert routes ${text} through device "${device}"`,
      'give it to one of them only',
    );
  }
  if (by === 'kernel') {
    return new StartError(
      `${adding}: ${text} is the network of device "${device}" itself, by the address it has`,
      'take it out of the networks of the peer, or name the parts of it that lie behind the peer',
    );
  }
  return new StartError(
    `${adding}: there is a route to ${text} already, through device "${device}"`,
    `see \`ip route show ${text}\`, and remove it or change the peer's networks`,
  );
}

function keyOf({ cidr, device, source, group }: DeviceRoute): string {
  const from = source === undefined ? '' : formatIp(source);
  return `${formatCidr(cidr)} ${group === undefined ? device : `group ${group}`} ${from}`;
}

/** A default route is laid as two halves: they win against the host's own and leave it untouched. */
function halves(cidr: Cidr): Cidr[] {
  if (cidr.prefix > 0) return [cidr];
  const upper = new Uint8Array(cidr.address.length);
  upper[0] = 0x80;
  return [
    { address: cidr.address, prefix: 1 },
    { address: upper, prefix: 1 },
  ];
}

/** An address of this host inside its own networks: the host's packets into the tunnel must come from there. */
function sourceIn(own: readonly IpBytes[], networks: readonly Cidr[]): IpBytes | undefined {
  for (const network of networks) {
    const range = cidrRange(network);
    const found = own.find((address) => rangeContains(range, address));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The connection whose peer networks contain this address; the most specific network wins. */
export function connectionTo(
  destination: IpBytes,
  connections: readonly GatewayConnection[],
): GatewayConnection | undefined {
  let best: { readonly connection: GatewayConnection; readonly prefix: number } | undefined;
  for (const connection of connections) {
    for (const cidr of [...connection.peer.cidrs, ...connection.routes].map(cidrOf)) {
      const holds = rangeContains(cidrRange(cidr), destination);
      if (holds && (best === undefined || cidr.prefix > best.prefix))
        best = { connection, prefix: cidr.prefix };
    }
  }
  return best?.connection;
}
