import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { DeviceRoute } from '../../linux/routes.js';
import { formatCidr, formatIp, parseCidr, parseIp } from '../../util/ip.js';
import type { HostNetwork } from '../network.js';

/** What is needed to take a route away. */
interface Marked {
  readonly network: string;
  readonly device: string;
  readonly gateway?: string;
}

/**
 * The host's network with a memory: a file at `mark` names the routes that would outlive a process that is killed,
 * which are those around the tunnel; routes through a TUN device go with the device.
 */
export function markingNetwork(network: HostNetwork, mark: string): HostNetwork {
  const key = ({ cidr, device }: DeviceRoute): string => `${formatCidr(cidr)} ${device}`;
  const marked = new Map<string, Marked>();
  const write = (): void => {
    if (marked.size === 0) rmSync(mark, { force: true });
    else writeFileSync(mark, `${JSON.stringify([...marked.values()])}\n`, { mode: 0o600 });
  };
  return {
    getRoute: (destination) => network.getRoute(destination),
    ownRoutes: () => network.ownRoutes(),
    localAddresses: () => network.localAddresses(),
    addRoute(route, outlives) {
      if (!outlives) return network.addRoute(route, outlives);
      // The mark first: at no moment is there a route that nobody would remove.
      marked.set(key(route), plain(route));
      write();
      try {
        network.addRoute(route, outlives);
      } catch (error) {
        marked.delete(key(route));
        write();
        throw error;
      }
    },
    removeRoute(route) {
      network.removeRoute(route);
      if (marked.delete(key(route))) write();
    },
  };
}

/** Removes the routes that a mark names, and the mark. Routes that are gone already are no error. @throws LinuxError */
export function removeMarkedRoutes(mark: string, network: Pick<HostNetwork, 'removeRoute'>): void {
  for (const { network: text, device, gateway } of readMark(mark)) {
    const cidr = parseCidr(text);
    const hop = gateway === undefined ? undefined : parseIp(gateway);
    if (typeof cidr === 'string') continue;
    try {
      network.removeRoute({ cidr, device, ...(hop === undefined ? {} : { gateway: hop }) });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'ESRCH' && code !== 'ENODEV') throw error;
    }
  }
  rmSync(mark, { force: true });
}

function plain({ cidr, device, gateway }: DeviceRoute): Marked {
  const hop = gateway === undefined ? {} : { gateway: formatIp(gateway) };
  return { network: formatCidr(cidr), device, ...hop };
}

function readMark(mark: string): readonly Marked[] {
  try {
    return JSON.parse(readFileSync(mark, 'utf8')) as Marked[];
  } catch {
    // There is none, or its writer was killed in the middle of it, before the route was laid.
    return [];
  }
}
