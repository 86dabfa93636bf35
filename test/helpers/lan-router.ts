import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { LabSite } from './site-lab.js';

/** Octets of the longest packet between the router and the host behind it. */
export const NARROW_MTU = 1000;

/** A host behind a router behind a gateway, over a link that is narrower than the tunnel. */
export interface BehindRouter {
  readonly host: string;
  /** The router's address on the side of the gateway: its ICMP errors come from it. */
  readonly router: string;
}

/**
 * Adds both to a site. The host has an address of the site's network, 10.n.0.130.
 * @param router first three octets of the network between gateway and router
 */
export async function addRouterBehind(
  lab: NetworkLab,
  { node, inside }: LabSite,
  router: string,
): Promise<BehindRouter> {
  const [r, h] = [`${node}r`, `${node}h`];
  const lan = inside.replace(/\.1$/, '');
  await lab.add(r);
  await lab.add(h);
  await lab.link(
    { node, device: 'lan', addresses: [`${router}.253/30`] },
    { node: r, device: 'gw', addresses: [`${router}.254/30`] },
  );
  await lab.link(
    { node: r, device: 'lan', addresses: [`${lan}.129/26`] },
    { node: h, device: 'lan', addresses: [`${lan}.130/26`] },
    NARROW_MTU,
  );
  await lab.forward(node);
  // With the whole network on its loopback device the gateway would take every address of it for its own.
  await lab.check(node, ['ip', 'address', 'add', `${inside}/32`, 'dev', 'lo']);
  await lab.check(node, ['ip', 'address', 'del', `${inside}/24`, 'dev', 'lo']);
  await lab.forward(r);
  await lab.check(node, ['ip', 'route', 'add', `${lan}.128/26`, 'via', `${router}.254`]);
  await lab.check(r, ['ip', 'route', 'add', 'default', 'via', `${router}.253`]);
  await lab.check(h, ['ip', 'route', 'add', 'default', 'via', `${lan}.129`]);
  return { host: `${lan}.130`, router: `${router}.254` };
}

/** What the router tells a sender in `from`: of a packet that is too big, and of one whose time runs out at it. */
export async function routerErrors(
  lab: NetworkLab,
  from: LabSite,
  { host }: BehindRouter,
): Promise<{ readonly reached: boolean; readonly tooBig: string; readonly expired: string }> {
  const ping = async (...more: string[]): Promise<string> => {
    const argv = ['ping', '-n', '-c', '1', '-W', '3', ...more, '-I', from.inside, host];
    return (await lab.run(from.node, argv)).stdout;
  };
  return {
    reached: / 1 received/.test(await ping('-s', '200')),
    tooBig: await ping('-M', 'do', '-s', '1200'),
    expired: await ping('-t', '2'),
  };
}
