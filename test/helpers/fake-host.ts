import type { PacketFilter } from '../../src/daemon/host/clear-guard.js';
import type { HostNetwork, HostRoute, Way } from '../../src/daemon/host/host-network.js';
import type { Host } from '../../src/daemon/host/host-side.js';
import { linuxError } from '../../src/linux/errors.js';
import type { GuardPlan } from '../../src/linux/nft-guard.js';
import type { DeviceRoute } from '../../src/linux/routes.js';
import { type Cidr, formatCidr, formatIp, parseIp } from '../../src/util/ip.js';
import { FakeNextHops } from './fake-next-hops.js';

const EEXIST = 17;
const ESRCH = 3;

/** A host's routing, kept in memory. Like the kernel it holds one route for a network and a metric. */
export class FakeNetwork implements HostNetwork {
  readonly held: HostRoute[] = [];
  /** Everything that was done, in order. */
  readonly log: string[] = [];
  /** A route whose text holds this is refused with `errno`. */
  refuse: string | undefined;
  errno = 1;
  readonly hops = new FakeNextHops(this.log);
  default: Way | undefined = { device: 'eth0', gateway: parseIp('192.0.2.254')! };
  addresses = ['10.1.0.1'];

  /** Routes through devices, in the order in which they were laid; those of the operator are left out. */
  get routes(): string[] {
    return this.held.filter(({ kind, by }) => kind === 'unicast' && by === 'culvert').map(textOf);
  }
  get fence(): string[] {
    return this.held.filter(({ kind }) => kind === 'unreachable').map(({ cidr }) => formatCidr(cidr));
  }

  addRoute(route: DeviceRoute): void {
    const { source: _, ...rest } = route;
    this.#add({ metric: 0, ...rest, kind: 'unicast', by: 'culvert' }, route.source);
  }
  removeRoute({ cidr, device, metric }: DeviceRoute): void {
    this.#remove((one) => one.device === device && (metric ?? one.metric) === one.metric, cidr);
  }
  replaceRoute(route: DeviceRoute): void {
    const { source: _, ...rest } = route;
    const before = [...this.held];
    try {
      this.#remove(({ kind, metric }) => kind === 'unicast' && metric === (route.metric ?? 0), route.cidr);
      this.#add({ metric: 0, ...rest, kind: 'unicast', by: 'culvert' }, route.source);
    } catch (error) {
      this.held.splice(0, this.held.length, ...before);
      throw error;
    }
  }
  addUnreachable(cidr: Cidr, metric: number): void {
    this.#add({ cidr, metric, kind: 'unreachable', device: '', by: 'culvert' });
  }
  removeUnreachable(cidr: Cidr, metric: number): void {
    this.#remove((one) => one.kind === 'unreachable' && one.metric === metric, cidr);
  }
  getRoute(): Way {
    if (this.default === undefined) throw linuxError(101, 'route');
    return this.default;
  }
  wayBeside(): Way | undefined {
    return this.default;
  }
  routesOf(metric: number): HostRoute[] {
    return this.held.filter((one) => one.by === 'culvert' && one.metric === metric);
  }
  routesThrough(device: string): HostRoute[] {
    return this.held.filter((one) => one.by === 'culvert' && one.device === device);
  }
  routesTo(cidr: Cidr): HostRoute[] {
    return this.held.filter((one) => formatCidr(one.cidr) === formatCidr(cidr));
  }
  localAddresses(): Uint8Array[] {
    return this.addresses.map((text) => parseIp(text)!);
  }

  #add(route: HostRoute, source?: Uint8Array): void {
    const text = textOf(route) + (source === undefined ? '' : ` src ${formatIp(source)}`);
    if (this.refuse !== undefined && text.includes(this.refuse))
      throw linuxError(this.errno, `adding the route ${text}`);
    if (this.routesTo(route.cidr).some(({ metric }) => metric === route.metric))
      throw linuxError(EEXIST, `adding the route ${text}`);
    this.held.push(source === undefined ? route : ({ ...route, source } as HostRoute));
    this.log.push(`+${text}`);
  }
  #remove(chosen: (route: HostRoute) => boolean, cidr: Cidr): void {
    const at = this.held.findIndex((one) => formatCidr(one.cidr) === formatCidr(cidr) && chosen(one));
    if (at < 0) throw linuxError(ESRCH, `removing the route ${formatCidr(cidr)}`);
    const [gone] = this.held.splice(at, 1);
    this.log.push(`-${textOf(gone!)}`);
  }
}

function textOf(route: HostRoute): string {
  const { cidr, kind, device, gateway } = route;
  const { source, group } = route as { source?: Uint8Array; group?: number };
  if (group !== undefined) return `${formatCidr(cidr)} nhid ${group}`;
  if (kind === 'unreachable') return `unreachable ${formatCidr(cidr)}`;
  const via = gateway === undefined ? '' : ` via ${formatIp(gateway)}`;
  return `${formatCidr(cidr)}${via} dev ${device}${source === undefined ? '' : ` src ${formatIp(source)}`}`;
}

/** A packet filter, kept in memory. */
export class FakeFilter implements PacketFilter {
  readonly tables = new Map<string, GuardPlan & { readonly reversePath: boolean }>();
  installs = 0;
  /** Codes of errors that the next installs are refused with. */
  refusals: string[] = [];

  install(table: string, plan: GuardPlan, reversePath: boolean): void {
    this.installs++;
    const code = this.refusals.shift();
    if (code !== undefined) throw Object.assign(new Error(`refused (${code})`), { code });
    this.tables.set(table, { ...plan, reversePath });
  }
  remove(table: string): void {
    this.tables.delete(table);
  }
  standing(table: string): boolean {
    return this.tables.has(table);
  }
  discarded(): number {
    return 0;
  }
}

export class FakeHost implements Host {
  readonly network = new FakeNetwork();
  readonly filter = new FakeFilter();
}
