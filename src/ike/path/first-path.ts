import type { Endpoint } from '../../util/ip.js';
import { NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { ConnectionConfig } from '../config.js';

/** The way of IKE messages between two ends. `natTraversalPort`: both are port 4500, the non-ESP marker in front. */
export interface IkePath {
  local: Endpoint;
  remote: Endpoint;
  natTraversalPort: boolean;
}

/**
 * From where to where the first message to a peer goes. A message to port 4500 leaves from port 4500, since the
 * marker of RFC 3948 §2.2 is known there only; an initiator may begin there (RFC 7296 §2.23, RFC 3947 §4).
 * @param address one of the peer's; without one the path is only good to be named in a report
 */
export function firstPath(
  { local, peer }: { readonly local: { readonly address: string }; readonly peer: ConnectionConfig['peer'] },
  address = '0.0.0.0',
): Readonly<IkePath> {
  const { port } = peer;
  return {
    local: { address: local.address, port },
    remote: { address, port },
    natTraversalPort: port === NAT_TRAVERSAL_PORT,
  };
}

/** An IKE SA continues along `path`. */
export function takePath(sa: IkePath, { local, remote, natTraversalPort }: Readonly<IkePath>): void {
  sa.local = local;
  sa.remote = remote;
  sa.natTraversalPort = natTraversalPort;
}

/** With a NAT in between all that follows uses port 4500 (RFC 7296 §2.23, RFC 3947 §4). */
export function floatToNatTraversalPort(sa: IkePath): void {
  if (sa.natTraversalPort) return;
  const port = NAT_TRAVERSAL_PORT;
  takePath(sa, {
    local: { address: sa.local.address, port },
    remote: { address: sa.remote.address, port },
    natTraversalPort: true,
  });
}
