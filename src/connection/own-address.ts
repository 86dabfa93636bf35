import type { ConnectionConfig } from '../ike/config.js';
import { isEverything } from '../ike/policy/everything.js';
import { equalBytes } from '../util/bytes.js';
import { parseIp, rangeContains } from '../util/ip.js';
import { describeSelector } from '../wire/ike/describe.js';

/**
 * A network of the peer contains the peer's own outer address. IKE and ESP have to go there around the tunnel, so
 * nothing else for that address can go through it: what an operator should know of it, or undefined.
 */
export function peerAddressBesideTunnel(config: ConnectionConfig): string | undefined {
  const { peer, adminUp } = config;
  // In route mode the networks are everything, and routes decide.
  if (!adminUp || isEverything(config)) return undefined;
  for (const address of peer.addresses) {
    const ip = parseIp(address);
    const network = peer.selectors.find(
      ({ startAddress: start, endAddress: end }) =>
        // A network of that address alone has no route at all, which is said elsewhere.
        ip !== undefined && !equalBytes(start, end) && rangeContains({ start, end }, ip),
    );
    if (network === undefined) continue;
    return (
      `The peer's own address ${address} lies in its network ${describeSelector(network)}: IKE and ESP go there ` +
      'outside the tunnel, and other traffic between our networks and that address cannot use the tunnel. It is ' +
      'discarded, or with gateway.fail_closed: false sent in the clear. Reach what runs there by another address of ' +
      'the peer, or take this one out of peer.cidrs.'
    );
  }
  return undefined;
}
