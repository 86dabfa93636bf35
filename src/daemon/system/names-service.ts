import { lookup, Resolver } from 'node:dns/promises';
import { formatIp, parseIp } from '../../util/ip.js';
import type { Seconds } from '../../util/units.js';

/** What a host name resolves to, in canonical text, in the resolver's order. */
export interface ResolvedName {
  readonly addresses: readonly string[];
  /** How long that is valid, when the resolver says. */
  readonly ttl?: Seconds;
}

/** Rejects, with the resolver's `code`, when the name has no address. */
export type Resolve = (name: string, family: 4 | 6) => Promise<ResolvedName>;

/** How long the question for the TTL may take; the addresses do not wait for a name server that is silent. */
const TTL_TIMEOUT_MS = 1000;

/**
 * The system's resolver: /etc/hosts, DNS, whatever nsswitch.conf says. It does not say how long an answer
 * is valid, so the name servers are asked for that as well.
 */
export const systemResolve: Resolve = async (name, family) => {
  const [found, ttl] = await Promise.all([
    lookup(name, { all: true, family, order: 'verbatim' }),
    timeToLive(name, family),
  ]);
  const addresses = found.flatMap(({ address }) => {
    const ip = parseIp(address);
    return ip === undefined ? [] : [formatIp(ip)];
  });
  return { addresses: [...new Set(addresses)], ...(ttl === undefined ? {} : { ttl }) };
};

/** The shortest time to live of the name's records; undefined when no name server knows the name. */
async function timeToLive(name: string, family: 4 | 6): Promise<Seconds | undefined> {
  const resolver = new Resolver({ timeout: TTL_TIMEOUT_MS, tries: 1 });
  const late = setTimeout(() => resolver.cancel(), TTL_TIMEOUT_MS);
  try {
    const ttl = { ttl: true } as const;
    const records = family === 4 ? await resolver.resolve4(name, ttl) : await resolver.resolve6(name, ttl);
    return records.length === 0 ? undefined : Math.min(...records.map((record) => record.ttl));
  } catch {
    return undefined;
  } finally {
    clearTimeout(late);
  }
}
