import { type Cidr, formatCidr } from '../../util/ip.js';
import type { HostNetwork } from './host-network.js';

/** Above every metric that an operator or a routing daemon gives a route: any other route wins. */
const METRICS_BELOW = 0xfe00_0000;

/**
 * The metric of routes that outlive the process which laid them. It differs from gateway to gateway, so that several
 * in one network namespace distinguish their routes and each recognises its own after a crash.
 * @param device the gateway's TUN device, of which there is one of this name in a network namespace
 */
export function ownerMetric(device: string): number {
  // FNV-1a, folded to 24 bits.
  let hash = 0x811c9dc5;
  for (const octet of new TextEncoder().encode(device)) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  return METRICS_BELOW + (((hash >>> 24) ^ hash) & 0xff_ffff);
}

/**
 * The fence around the networks of the tunnels: beside each route into a TUN device an unreachable route of the same
 * prefix and the highest metric. The route through the device goes when the process ends, however it ends; the fence
 * stays, so that nothing for these networks leaves in the clear by another route (RFC 4301 §5.1: PROTECT or discard).
 * The next start takes it over.
 */
export class Fence {
  readonly #network: HostNetwork;
  readonly #metric: number;
  readonly #routes = new Map<string, { readonly cidr: Cidr; readonly adopted: boolean }>();

  constructor(network: HostNetwork, metric: number) {
    this.#network = network;
    this.#metric = metric;
    for (const { cidr, kind } of network.routesOf(metric)) {
      if (kind === 'unreachable') this.#routes.set(formatCidr(cidr), { cidr, adopted: true });
    }
  }

  /** The networks it encloses, in canonical text. */
  get networks(): readonly string[] {
    return [...this.#routes.keys()];
  }

  /** @throws LinuxError */
  add(cidr: Cidr): void {
    const text = formatCidr(cidr);
    if (this.#routes.has(text)) return;
    try {
      this.#network.addUnreachable(cidr, this.#metric);
    } catch (error) {
      // The metric is ours alone: it is what we wanted.
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
    this.#routes.set(text, { cidr, adopted: false });
  }

  /** Takes it away around all networks but these. @throws the first LinuxError */
  keepOnly(networks: ReadonlySet<string>): void {
    this.#take((text) => !networks.has(text));
  }

  /** After a start that failed everything is as it was before. */
  removeNew(): void {
    this.#take((_, adopted) => !adopted);
  }

  remove(): void {
    this.#take(() => true);
  }

  #take(chosen: (text: string, adopted: boolean) => boolean): void {
    let problem: unknown;
    for (const [text, { cidr, adopted }] of this.#routes) {
      if (!chosen(text, adopted)) continue;
      this.#routes.delete(text);
      try {
        this.#network.removeUnreachable(cidr, this.#metric);
      } catch (error) {
        if ((error as { code?: string }).code !== 'ESRCH') problem ??= error;
      }
    }
    if (problem !== undefined) throw problem;
  }
}

/** Takes away every route that gateways of these devices have left. @throws LinuxError */
export function removeOwnedRoutes(network: HostNetwork, device: string): void {
  const metric = ownerMetric(device);
  for (const { cidr, kind, device: through } of network.routesOf(metric)) {
    try {
      if (kind === 'unreachable') network.removeUnreachable(cidr, metric);
      else network.removeRoute({ cidr, device: through, metric });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'ESRCH' && code !== 'ENODEV') throw error;
    }
  }
}
