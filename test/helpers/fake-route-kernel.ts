import type { RouteKernel } from '../../src/daemon/serve/route-kernel.js';
import { slotOf, wayKey } from '../../src/daemon/serve/route-plan.js';
import { Errno, linuxError } from '../../src/linux/errors.js';
import type { NextHop } from '../../src/linux/next-hop-codec.js';
import type { SourceRule } from '../../src/linux/policy-rules.js';
import { ROUTE_PROTOCOL } from '../../src/linux/routes.js';
import type { TableRoute } from '../../src/linux/table-routes.js';
import { formatCidr } from '../../src/util/ip.js';
import { FakeNextHops } from './fake-next-hops.js';

/** A kernel's routes, rules and next hops, kept in memory; what goes with a device that is lost goes here, too. */
export class FakeRouteKernel implements RouteKernel {
  /** Everything that was done, in order. */
  readonly log: string[] = [];
  readonly devices: Set<string>;
  readonly #laid = new Map<string, TableRoute>();
  readonly #rules: SourceRule[] = [];
  readonly #hops: FakeNextHops;

  constructor(...devices: string[]) {
    this.devices = new Set(devices);
    this.#hops = new FakeNextHops(this.log, this.devices, (id) =>
      this.#forget(({ way }) => way.kind === 'group' && way.id === id),
    );
  }

  readonly setting = (): undefined => undefined;

  within<T>(_: string | undefined, work: () => T): T {
    return work();
  }

  routes(chosen: (table: number) => boolean) {
    const found = [...this.#laid.values()].filter(({ table }) => chosen(table));
    return found.map((route) => ({ route, protocol: ROUTE_PROTOCOL }));
  }

  addRoute(route: TableRoute): void {
    if (this.#laid.has(slotOf(route))) throw linuxError(Errno.EEXIST, 'adding a route');
    this.#lay('+', route);
  }

  replaceRoute(route: TableRoute): void {
    this.#lay('~', route);
  }

  removeRoute(route: TableRoute): void {
    if (!this.#laid.delete(slotOf(route))) throw linuxError(Errno.ESRCH, 'removing a route');
    this.log.push(`-${this.#text(route)}`);
  }

  rules(): readonly SourceRule[] {
    return [...this.#rules];
  }

  addRule(rule: SourceRule): void {
    this.#rules.push(rule);
    this.log.push(`+rule from ${formatCidr(rule.source)}`);
  }

  removeRule(rule: SourceRule): void {
    this.#rules.splice(this.#rules.indexOf(rule), 1);
    this.log.push(`-rule from ${formatCidr(rule.source)}`);
  }

  nextHops(chosen: (id: number) => boolean): readonly NextHop[] {
    return this.#hops.nextHops(chosen);
  }

  addNextHop(hop: NextHop): void {
    this.#hops.addNextHop(hop);
  }

  replaceNextHop(hop: NextHop): void {
    this.#hops.replaceNextHop(hop);
  }

  removeNextHop(id: number): void {
    this.#hops.removeNextHop(id);
  }

  /** A device goes with its process, and what leads through it with the device. */
  lose(device: string): void {
    this.devices.delete(device);
    this.#forget(({ way }) => way.kind === 'device' && way.device === device);
    this.#hops.lose(device);
  }

  /** Through which devices packets go by the route of this destination and metric. */
  devicesTo(destination: string, metric: number): string[] {
    const route = [...this.#laid.values()].find(
      (one) => formatCidr(one.cidr) === destination && one.metric === metric,
    );
    if (route?.way.kind === 'device') return [route.way.device];
    return route?.way.kind === 'group' ? this.#hops.devicesOf(route.way.id) : [];
  }

  /** How many next hops and groups there are. */
  get hopCount(): number {
    return this.#hops.count;
  }

  #lay(sign: string, route: TableRoute): void {
    const { way } = route;
    if (way.kind === 'device' && !this.devices.has(way.device)) {
      throw linuxError(Errno.ENODEV, `using device ${way.device}`);
    }
    this.#laid.set(slotOf(route), route);
    this.log.push(`${sign}${this.#text(route)}`);
  }

  #forget(gone: (route: TableRoute) => boolean): void {
    for (const [slot, route] of this.#laid) if (gone(route)) this.#laid.delete(slot);
  }

  #text({ cidr, metric, way }: TableRoute): string {
    const where = way.kind === 'group' ? `group ${this.#hops.nameOf(way.id)}` : wayKey(way);
    return `${formatCidr(cidr)} ${metric} ${where}`;
  }
}
