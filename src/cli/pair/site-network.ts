import { type LinkEnd, NetworkLab } from '../../linux/namespaces.js';

/** One site of the private network: a gateway with a network behind it and one host in that network. */
export interface Site {
  readonly name: 'site-a' | 'site-b';
  /** Namespaces. */
  readonly gateway: string;
  readonly host: string;
  /** Outer address of the gateway. */
  readonly address: string;
  readonly cidr: string;
  readonly gatewayInside: string;
  readonly hostAddress: string;
}

/** Networks from RFC 5737 outside; any private ones (RFC 1918) inside, since nothing leaves the namespaces. */
export const SITE_A: Site = {
  name: 'site-a',
  gateway: 'gw-a',
  host: 'lan-a',
  address: '192.0.2.1',
  cidr: '10.1.0.0/24',
  gatewayInside: '10.1.0.1',
  hostAddress: '10.1.0.10',
};

/** The other end of the private network, see `SITE_A`. */
export const SITE_B: Site = {
  name: 'site-b',
  gateway: 'gw-b',
  host: 'lan-b',
  address: '192.0.2.2',
  cidr: '10.2.0.0/24',
  gatewayInside: '10.2.0.1',
  hostAddress: '10.2.0.10',
};

/**
 * `lan-a - gw-a = gw-b - lan-b`: four namespaces in a row. The gateways forward, the hosts have them as
 * default route, and without a tunnel nothing passes from host to host.
 */
export async function createSiteNetwork(): Promise<NetworkLab> {
  const lab = NetworkLab.create();
  try {
    for (const site of [SITE_A, SITE_B]) {
      await lab.add(site.gateway);
      await lab.add(site.host);
    }
    await lab.link(wan(SITE_A), wan(SITE_B));
    for (const site of [SITE_A, SITE_B]) {
      await lab.link(
        { node: site.gateway, device: 'lan0', addresses: [`${site.gatewayInside}/24`] },
        { node: site.host, device: 'eth0', addresses: [`${site.hostAddress}/24`] },
      );
      await lab.check(site.host, ['ip', 'route', 'add', 'default', 'via', site.gatewayInside]);
      await lab.forward(site.gateway);
    }
    return lab;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

function wan(site: Site): LinkEnd {
  return { node: site.gateway, device: 'wan0', addresses: [`${site.address}/24`] };
}
