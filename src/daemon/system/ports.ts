import type { Endpoint } from '../../util/ip.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';

/** The UDP ports of IKE and of NAT traversal (RFC 7296 §2.23). Others are for tests without rights only. */
export interface Ports {
  readonly ike: number;
  readonly natt: number;
}

/** Ports 500 and 4500. */
export const STANDARD_PORTS: Ports = { ike: IKE_PORT, natt: NAT_TRAVERSAL_PORT };

/**
 * The engine knows the standard ports only. Where a gateway and its peers listen on others, this translates:
 * every other port, that of a NAT for example, stays what it is.
 */
export function toWire(endpoint: Endpoint, ports: Ports): Endpoint {
  if (endpoint.port === STANDARD_PORTS.ike) return { address: endpoint.address, port: ports.ike };
  if (endpoint.port === STANDARD_PORTS.natt) return { address: endpoint.address, port: ports.natt };
  return endpoint;
}

/** The opposite of `toWire`. */
export function fromWire(endpoint: Endpoint, ports: Ports): Endpoint {
  if (endpoint.port === ports.ike) return { address: endpoint.address, port: STANDARD_PORTS.ike };
  if (endpoint.port === ports.natt) return { address: endpoint.address, port: STANDARD_PORTS.natt };
  return endpoint;
}
