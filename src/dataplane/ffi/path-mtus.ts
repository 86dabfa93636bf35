import type { EspSuite } from '../../crypto/types.js';
import { innerMtu } from '../../esp/layout.js';
import type { EspForm } from '../../esp/params.js';
import { pathMtu } from '../../linux/sockets.js';
import type { Endpoint } from '../../util/ip.js';
import type { ChildCounters } from '../dataplane.js';

/** Path MTUs by peer address, as the kernel knew them when it was asked last. */
export class PathMtus {
  readonly #from: string;
  readonly #known = new Map<string, number>();

  constructor(local: Endpoint) {
    this.#from = local.address;
  }

  /** Octets of the longest outer packet to the peer, 0 when it is not known. Asks the kernel once per address. */
  to(peer: Endpoint): number {
    let mtu = this.#known.get(peer.address);
    if (mtu === undefined) {
      mtu = pathMtu(this.#from, peer);
      this.#known.set(peer.address, mtu);
    }
    return mtu;
  }

  /** The kernel is asked again from now on. */
  forget(): void {
    this.#known.clear();
  }
}

/** What the way to a child SA's peer is known to allow, in octets; nothing as long as it is not known. */
export type KnownMtus = Pick<ChildCounters, 'pathMtu' | 'innerMtu'>;

/**
 * What a path allows a child SA. Worked out when the path changes, since ten thousand are counted every second.
 * @param pathMtu octets of the longest outer packet to the peer; 0 when it is not known
 */
export function mtusOf(
  child: { readonly suite: EspSuite; readonly encapsulation: EspForm; readonly peer: Endpoint },
  pathMtu: number,
): KnownMtus {
  if (pathMtu === 0) return {};
  const family = child.peer.address.includes(':') ? 6 : 4;
  return { pathMtu, innerMtu: innerMtu(child.suite, pathMtu, family, child.encapsulation) };
}
