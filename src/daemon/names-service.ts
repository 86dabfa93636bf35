import { lookup } from 'node:dns/promises';
import { formatIp, parseIp } from '../util/ip.js';

/** The addresses of a host name in canonical text, in the resolver's order. Rejects when there are none. */
export type Resolve = (name: string, family: 4 | 6) => Promise<readonly string[]>;

/** The system's resolver: /etc/hosts, DNS, whatever nsswitch.conf says. */
export const systemResolve: Resolve = async (name, family) => {
  const found = await lookup(name, { all: true, family, order: 'verbatim' });
  const out = found.flatMap(({ address }) => {
    const ip = parseIp(address);
    return ip === undefined ? [] : [formatIp(ip)];
  });
  return [...new Set(out)];
};
