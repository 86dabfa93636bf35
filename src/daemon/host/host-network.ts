import { listAddresses } from '../../linux/addresses.js';
import { linkNames } from '../../linux/links.js';
import {
  addRoute,
  addUnreachable,
  allRoutes,
  type DeviceRoute,
  getRoute,
  type ListedRoute,
  listRoutes,
  ROUTE_PROTOCOL,
  removeRoute,
  removeUnreachable,
  replaceRoute,
} from '../../linux/routes.js';
import { type Cidr, cidrRange, formatCidr, type IpBytes, parseIp, rangeContains } from '../../util/ip.js';
import { linuxNextHops, type NextHopTable } from './next-hop-groups.js';

/** Where packets to an address go. */
export interface Way {
  readonly device: string;
  readonly gateway?: IpBytes;
}

/** A route in the host's main table. */
export interface HostRoute extends Way {
  readonly cidr: Cidr;
  readonly kind: ListedRoute['kind'];
  readonly metric: number;
  /** Who laid it: this program, the kernel for the network of a device's own address, or another program. */
  readonly by: 'culvert' | 'kernel' | 'other';
}

/** What the daemon asks of the host's routing. Tests without rights put their own in its place. */
export interface HostNetwork {
  addRoute(route: DeviceRoute): void;
  removeRoute(route: DeviceRoute): void;
  /** Puts a route in the place of the one to its network, at once. */
  replaceRoute(route: DeviceRoute): void;
  /** Refuses packets to a network, with an ICMP error, where there is no route with a lower metric. */
  addUnreachable(cidr: Cidr, metric: number): void;
  removeUnreachable(cidr: Cidr, metric: number): void;
  /** How the kernel sends to this address now. @throws LinuxError when nothing leads there */
  getRoute(destination: string): Way;
  /** How the kernel would send to this address if no Culvert process had laid a route. */
  wayBeside(destination: string): Way | undefined;
  /** Routes with this metric that a Culvert process has laid, this one or one that is gone. */
  routesOf(metric: number): readonly HostRoute[];
  /** Routes through this device that a Culvert process has laid. */
  routesThrough(device: string): readonly HostRoute[];
  /** All routes to exactly this network. */
  routesTo(cidr: Cidr): readonly HostRoute[];
  /** The addresses of this host. */
  localAddresses(): readonly IpBytes[];
  /** Next hops as objects of the kernel. */
  readonly hops: NextHopTable;
}

/** rtnetlink(7): RTPROT_KERNEL. */
const BY_KERNEL = 2;

/** Routes and addresses of this network namespace, by rtnetlink. */
export const linuxNetwork: HostNetwork = {
  addRoute,
  removeRoute,
  replaceRoute,
  addUnreachable,
  removeUnreachable,
  getRoute,
  wayBeside,
  routesOf: (metric) => withNames(listRoutes().filter((route) => route.metric === metric)),
  routesThrough: (device) => withNames(listRoutes()).filter((route) => route.device === device),
  routesTo: (cidr) => {
    const text = formatCidr(cidr);
    return withNames(allRoutes().filter((route) => formatCidr(route.cidr) === text));
  },
  localAddresses: () => listAddresses().map((one) => one.address),
  hops: linuxNextHops,
};

/** The routes of the main table, both families. @throws LinuxError */
export function hostRoutes(): HostRoute[] {
  return withNames(allRoutes());
}

/** With the names of their devices. */
function withNames(routes: readonly ListedRoute[]): HostRoute[] {
  const nameOf = linkNames();
  return routes.map(({ cidr, kind, index, gateway, metric, protocol }) => ({
    cidr,
    kind,
    device: nameOf(index),
    ...(gateway === undefined ? {} : { gateway }),
    metric,
    by: protocol === ROUTE_PROTOCOL ? 'culvert' : protocol === BY_KERNEL ? 'kernel' : 'other',
  }));
}

/** The longest prefix wins, then the lowest metric, as in the kernel's lookup of the main table. */
function wayBeside(destination: string): Way | undefined {
  const address = parseIp(destination);
  if (address === undefined) return undefined;
  let best: ListedRoute | undefined;
  for (const route of allRoutes()) {
    const usable = route.kind === 'unicast' && route.protocol !== ROUTE_PROTOCOL && route.index !== 0;
    if (!usable || route.cidr.address.length !== address.length) continue;
    if (!rangeContains(cidrRange(route.cidr), address)) continue;
    const longer = best === undefined || route.cidr.prefix > best.cidr.prefix;
    if (longer || (route.cidr.prefix === best?.cidr.prefix && route.metric < best.metric)) best = route;
  }
  return best === undefined ? undefined : withNames([best])[0];
}
