import { listAddresses } from '../linux/addresses.js';
import { addRoute, type DeviceRoute, getRoute, listRoutes, removeRoute } from '../linux/routes.js';
import type { GatewayConnection } from '../store/model.js';
import {
  type Cidr,
  cidrRange,
  formatCidr,
  type IpBytes,
  parseCidr,
  parseIp,
  rangeContains,
} from '../util/ip.js';

/** What the daemon asks of the host's routing. Tests without rights put their own in its place. */
export interface HostNetwork {
  addRoute(route: DeviceRoute): void;
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

/**
 * The routes of one gateway: to the networks of its peers through the TUN device, and around it to peers whose
 * own address lies in such a network. They stand from start to stop, whether the tunnel is up or not, so that
 * nothing meant for the tunnel leaves in the clear.
 */
export class GatewayRoutes {
  readonly #network: HostNetwork;
  readonly #tun: string;
  readonly #added: DeviceRoute[] = [];
  readonly #tunnelled: Cidr[] = [];
  /** Peers that have a route around the tunnel, in canonical text. */
  readonly #around = new Set<string>();

  constructor(network: HostNetwork, tun: string) {
    this.#network = network;
    this.#tun = tun;
  }

  /** Networks that go through the TUN device, in canonical text. */
  get networks(): readonly string[] {
    return this.#tunnelled.map(formatCidr);
  }

  /**
   * Installs the routes of the connections that are administratively up. When one is refused, those already
   * there stay until `remove`.
   * @param peers known outer addresses of all peers
   * @throws LinuxError naming the route
   */
  install(connections: readonly GatewayConnection[], peers: readonly string[]): void {
    const wanted = connections.filter((one) => one.adminStateUp);
    const own = this.#network.localAddresses();
    const routes = wanted.flatMap((one) => {
      const source = sourceIn(own, one.local.cidrs.map(toCidr));
      return one.peer.cidrs
        .map(toCidr)
        .flatMap(halves)
        .map((cidr) => ({ cidr, source }));
    });
    for (const { cidr } of routes) this.#tunnelled.push(cidr);
    // First around, while the routing table still shows the way without the tunnel.
    for (const peer of peers) this.leadAround(peer);
    for (const { cidr, source } of routes) {
      const fits = source !== undefined && source.length === cidr.address.length;
      this.#add({ cidr, device: this.#tun, ...(fits ? { source } : {}) });
    }
  }

  /** Gives a peer that would be reached through its own tunnel a route around it. @throws LinuxError */
  leadAround(peer: string): void {
    const address = parseIp(peer);
    if (address === undefined || this.#around.has(peer)) return;
    const inside = this.#tunnelled.some((cidr) => rangeContains(cidrRange(cidr), address));
    if (!inside) return;
    const { device, gateway } = this.#network.getRoute(peer);
    // The way is lost already: a route that came up late cannot be found behind our own.
    if (device === this.#tun) return;
    const cidr = { address, prefix: address.length * 8 };
    const route = { cidr, device, ...(gateway === undefined ? {} : { gateway }) };
    try {
      this.#add(route);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
      // The operator's own route does as well as ours; one that a crash left behind is ours to remove.
      const ours = this.#network.ownRoutes().some((own) => formatCidr(own) === formatCidr(cidr));
      if (ours) this.#added.push(route);
    }
    this.#around.add(peer);
  }

  /** Removes every route that was installed. Routes that are gone already are no error. */
  remove(): void {
    const errors: unknown[] = [];
    for (let route = this.#added.pop(); route !== undefined; route = this.#added.pop()) {
      try {
        this.#network.removeRoute(route);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== 'ESRCH' && code !== 'ENODEV') errors.push(error);
      }
    }
    this.#tunnelled.length = 0;
    this.#around.clear();
    if (errors.length > 0) throw errors[0];
  }

  #add(route: DeviceRoute): void {
    this.#network.addRoute(route);
    this.#added.push(route);
  }
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
    for (const cidr of connection.peer.cidrs.map(toCidr)) {
      const holds = rangeContains(cidrRange(cidr), destination);
      if (holds && (best === undefined || cidr.prefix > best.prefix))
        best = { connection, prefix: cidr.prefix };
    }
  }
  return best?.connection;
}
