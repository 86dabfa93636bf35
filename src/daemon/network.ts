import { listAddresses } from '../linux/addresses.js';
import { addRoute, type DeviceRoute, getRoute, listRoutes, removeRoute } from '../linux/routes.js';
import type { GatewayConnection } from '../store/model.js';
import {
  type Cidr,
  cidrRange,
  formatCidr,
  formatIp,
  type IpBytes,
  parseCidr,
  parseIp,
  rangeContains,
} from '../util/ip.js';

/** What the daemon asks of the host's routing. Tests without rights put their own in its place. */
export interface HostNetwork {
  /** `outlives`: through a device that stays when this process ends, however it ends. */
  addRoute(route: DeviceRoute, outlives: boolean): void;
  removeRoute(route: DeviceRoute): void;
  /** How the kernel sends to this address now. */
  getRoute(destination: string): { readonly device: string; readonly gateway?: IpBytes };
  /** Networks of routes that a Culvert process has laid, this one or one that crashed. */
  ownRoutes(): readonly Cidr[];
  /** The addresses of this host. */
  localAddresses(): readonly IpBytes[];
}

export const linuxNetwork: HostNetwork = {
  addRoute,
  removeRoute,
  getRoute,
  ownRoutes: () => listRoutes().map((route) => route.cidr),
  localAddresses: () => listAddresses().map((one) => one.address),
};

/** A route that the configuration wants, and the connection it is for. */
export interface WantedRoute {
  readonly connection: string;
  readonly route: DeviceRoute;
}

/** Why a route of a connection could not be laid or taken away. */
export interface RouteProblem {
  readonly connection: string;
  readonly error: unknown;
}

/**
 * The routes of one gateway: to the networks of its peers through a TUN device, and around it to peers whose
 * own address lies in such a network. They stand from start to stop, whether the tunnel is up or not, so that
 * nothing meant for the tunnel leaves in the clear.
 */
export class GatewayRoutes {
  readonly #network: HostNetwork;
  /** By what they are: network, device and source. */
  readonly #laid = new Map<string, WantedRoute>();
  /** Routes to peers around the tunnel, by the peer's canonical text; undefined where the operator has one. */
  readonly #around = new Map<string, DeviceRoute | undefined>();
  #devices = new Set<string>();
  #tunnelled: readonly Cidr[] = [];

  constructor(network: HostNetwork) {
    this.#network = network;
  }

  /** Networks that go through a TUN device, in canonical text. */
  get networks(): readonly string[] {
    return this.#tunnelled.map(formatCidr);
  }

  /** What `update` wants for these connections. Those that are administratively down have no routes. */
  wanted(
    connections: readonly GatewayConnection[],
    deviceOf: (connection: GatewayConnection) => string,
  ): WantedRoute[] {
    const own = this.#network.localAddresses();
    return connections
      .filter((one) => one.adminStateUp)
      .flatMap((one) => {
        const source = sourceIn(own, one.local.cidrs.map(toCidr));
        const device = deviceOf(one);
        return [...one.peer.cidrs, ...one.routes]
          .map(toCidr)
          .flatMap(halves)
          .map((cidr) => {
            const fits = source !== undefined && source.length === cidr.address.length;
            return { connection: one.name, route: { cidr, device, ...(fits ? { source } : {}) } };
          });
      });
  }

  /**
   * Lays the routes that are missing and takes away those that are not wanted any more; no other is touched.
   * @param peers known outer addresses of all peers
   * @returns what was refused; a route that could not be laid is tried again at the next call
   */
  update(wanted: readonly WantedRoute[], peers: readonly string[]): RouteProblem[] {
    const problems: RouteProblem[] = [];
    const attempt = (connection: string, change: () => void): void => {
      try {
        change();
      } catch (error) {
        problems.push({ connection, error });
      }
    };
    const keys = new Set(wanted.map(({ route }) => keyOf(route)));
    for (const [key, { route, connection }] of [...this.#laid]) {
      if (keys.has(key)) continue;
      this.#laid.delete(key);
      attempt(connection, () => this.#take(route));
    }
    this.#tunnelled = wanted.map(({ route }) => route.cidr);
    this.#devices = new Set(wanted.map(({ route }) => route.device));
    // First around, while the routing table still shows the way without the tunnel.
    for (const peer of peers) attempt('', () => this.leadAround(peer));
    for (const one of wanted) {
      const key = keyOf(one.route);
      const known = this.#laid.has(key);
      attempt(one.connection, () => {
        if (!known) this.#network.addRoute(one.route, false);
        this.#laid.set(key, one);
      });
    }
    return problems;
  }

  /** Gives a peer that would be reached through its own tunnel a route around it. @throws LinuxError */
  leadAround(peer: string): void {
    const address = parseIp(peer);
    if (address === undefined || this.#around.has(peer)) return;
    const inside = this.#tunnelled.some((cidr) => rangeContains(cidrRange(cidr), address));
    if (!inside) return;
    const { device, gateway } = this.#network.getRoute(peer);
    // The way is lost already: a route that came up late cannot be found behind our own.
    if (this.#devices.has(device)) return;
    const cidr = { address, prefix: address.length * 8 };
    const route = { cidr, device, ...(gateway === undefined ? {} : { gateway }) };
    try {
      this.#network.addRoute(route, true);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
      // The operator's own route does as well as ours; one that a crash left behind is ours to remove.
      const ours = this.#network.ownRoutes().some((own) => formatCidr(own) === formatCidr(cidr));
      this.#around.set(peer, ours ? route : undefined);
      return;
    }
    this.#around.set(peer, route);
  }

  /** Removes every route that was laid. Routes that are gone already are no error. @throws the first error */
  remove(): void {
    const problems = this.update([], []);
    for (const [peer, route] of this.#around) {
      this.#around.delete(peer);
      if (route === undefined) continue;
      try {
        this.#take(route);
      } catch (error) {
        problems.push({ connection: '', error });
      }
    }
    if (problems.length > 0) throw problems[0]!.error;
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

function keyOf({ cidr, device, source }: DeviceRoute): string {
  return `${formatCidr(cidr)} ${device} ${source === undefined ? '' : formatIp(source)}`;
}

/** Networks in a read configuration are right already. */
function toCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (typeof cidr === 'string') throw new RangeError(`network ${text} ${cidr}`);
  return cidr;
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

/** The connection whose peer networks hold this address; the most specific network wins. */
export function connectionTo(
  destination: IpBytes,
  connections: readonly GatewayConnection[],
): GatewayConnection | undefined {
  let best: { readonly connection: GatewayConnection; readonly prefix: number } | undefined;
  for (const connection of connections) {
    for (const cidr of [...connection.peer.cidrs, ...connection.routes].map(toCidr)) {
      const holds = rangeContains(cidrRange(cidr), destination);
      if (holds && (best === undefined || cidr.prefix > best.prefix))
        best = { connection, prefix: cidr.prefix };
    }
  }
  return best?.connection;
}
