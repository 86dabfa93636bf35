import type { IkeEvent, IkeSaInfo } from '../../ike/events.js';
import type { ConnectionId } from '../../util/ids.js';
import { type Millis, seconds } from '../../util/units.js';
import type { Resolve } from '../system/names-service.js';

/** When a resolver reports no time to live, or an odd one. */
const USUAL_LIFE: Millis = 300_000;
const MIN_LIFE: Millis = 5000;
const MAX_LIFE: Millis = 3_600_000;
/** After a look-up that failed. Attempts to connect look up by themselves. */
const AFTER_FAILURE: Millis = 30_000;

/** How host names of peers are resolved, and who hears of changed addresses. Only addresses of `family` count. */
export interface PeerNamesOptions {
  readonly resolve: Resolve;
  readonly family: 4 | 6;
  readonly now: () => Millis;
  /** The name has other addresses than before. */
  readonly changed: (connection: ConnectionId, fqdn: string, addresses: readonly string[]) => void;
}

interface Known {
  readonly fqdn: string;
  addresses: readonly string[];
  /** When it is to be looked up again. */
  at: Millis;
  asking: Promise<string | undefined> | undefined;
}

/** The addresses of peers that are configured by host name, kept as fresh as their time to live asks. */
export class PeerNames {
  readonly #options: PeerNamesOptions;
  readonly #known = new Map<ConnectionId, Known>();
  #closed = false;

  constructor(options: PeerNamesOptions) {
    this.#options = options;
  }

  /** Connections with the host names of their peers; what is known of a name that stays is kept. */
  configure(wanted: ReadonlyMap<ConnectionId, string>): void {
    for (const [connection, { fqdn }] of this.#known) {
      if (wanted.get(connection) !== fqdn) this.#known.delete(connection);
    }
    for (const [connection, fqdn] of wanted) {
      if (this.#known.has(connection)) continue;
      this.#known.set(connection, { fqdn, addresses: [], at: this.#options.now(), asking: undefined });
    }
  }

  /** Whether the peer of the connection has a host name. */
  has(connection: ConnectionId): boolean {
    return this.#known.has(connection);
  }

  /** The addresses by connection; those not resolved yet have none. */
  addresses(): ReadonlyMap<ConnectionId, readonly string[]> {
    return new Map([...this.#known].map(([connection, { addresses }]) => [connection, addresses]));
  }

  /** Looks the peer's name up; resolves with what went wrong, undefined when its addresses are up to date. */
  refresh(connection: ConnectionId): Promise<string | undefined> {
    const known = this.#known.get(connection);
    if (known === undefined) return Promise.resolve(undefined);
    known.asking ??= this.#ask(connection, known).finally(() => {
      known.asking = undefined;
    });
    return known.asking;
  }

  /** Looks up what has become old. */
  refreshDue(): void {
    const now = this.#options.now();
    for (const [connection, { at }] of this.#known) if (at <= now) void this.refresh(connection);
  }

  close(): void {
    this.#closed = true;
  }

  async #ask(connection: ConnectionId, known: Known): Promise<string | undefined> {
    const { resolve, family, now, changed } = this.#options;
    try {
      const { addresses, ttl } = await resolve(known.fqdn, family);
      const life = ttl === undefined ? USUAL_LIFE : seconds(ttl);
      known.at = now() + Math.min(MAX_LIFE, Math.max(MIN_LIFE, life));
      if (addresses.length === 0) return 'it has no address of the right family';
      // Its name may have left the configuration meanwhile.
      if (this.#closed || this.#known.get(connection) !== known) return undefined;
      // Another order is how name servers spread load: no change.
      if ([...known.addresses].sort().join() === [...addresses].sort().join()) return undefined;
      known.addresses = addresses;
      changed(connection, known.fqdn, addresses);
      return undefined;
    } catch (error) {
      known.at = now() + AFTER_FAILURE;
      return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    }
  }
}

/** An attempt that was not made: the peer's host name has no address. */
export function unresolvedAttempt(
  connection: ConnectionId,
  fqdn: string,
  port: number,
  problem: string,
): IkeEvent {
  const message = `The host name ${fqdn} cannot be resolved: ${problem}`;
  const failure = { cause: 'dns_failed', message } as const;
  return { kind: 'ike-failed', connection, role: 'initiator', peer: { address: fqdn, port }, failure };
}

/** Whether the peer of an IKE SA is at none of these addresses, which its host name has now. */
export function isElsewhere({ nat, peer }: IkeSaInfo, addresses: readonly string[]): boolean {
  // Behind a NAT the address that packets come from need not be the one in the name.
  return (!nat.peer || nat.peerMayForce) && !addresses.includes(peer.address);
}
