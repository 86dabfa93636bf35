import type { ConnectionStatusDocument } from '../../connection/status.js';
import { createOpensslBackend } from '../../crypto/backends/openssl/backend.js';
import { toEngineConfig } from '../../store/engine-config.js';
import type { GatewayConnection, GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import {
  cidrOf,
  cidrRange,
  type IpBytes,
  ipFromNumber,
  ipToNumber,
  parseIp,
  rangeContains,
} from '../../util/ip.js';
import { oneLine } from '../../util/operator-error.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import { systemClock } from '../system/clock.js';
import { systemResolve } from '../system/names-service.js';
import { remoteNetworks } from './checks/subject.js';
import type { HostFacts, PathFacts, RunningFacts } from './facts.js';
import { type IkeAnswer, probeIke } from './ike-probe.js';
import { probeTunnel, type TunnelProbe } from './tunnel-probe.js';

/** What is to be tried on the way to the peers. */
export interface PathWish {
  readonly connections: readonly GatewayConnection[];
  readonly file: GatewayFile;
  readonly host: HostFacts;
  readonly running: RunningFacts | undefined;
  /** Of a configuration that no gateway runs: what a first message is made with. */
  readonly psks: ReadonlyMap<ConnectionId, SecretKey> | undefined;
  /** Nothing is sent. */
  readonly passive: boolean;
  /** An address behind a peer that answers a ping. */
  readonly probe: string | undefined;
}

/** As many peers and tunnels are tried at once. */
const MAX_PROBED = 8;
/** Addresses in the peer's networks that are asked for an echo. */
const MAX_TARGETS = 4;

/** No attempt was made. */
export const NO_PATH: PathFacts = { resolved: new Map(), ike: new Map(), tunnel: new Map() };

/** Resolves names of peers, asks them by IKE where no gateway runs, and sends echoes through tunnels that are up. */
export async function gatherPath(wish: PathWish): Promise<PathFacts> {
  if (wish.passive) return NO_PATH;
  const resolved = wish.running === undefined ? await resolveNames(wish) : new Map();
  return {
    resolved,
    ike: wish.running === undefined ? await askPeers(wish, resolved) : new Map(),
    tunnel: await tryTunnels(wish),
  };
}

type Resolved = Map<ConnectionId, Result<readonly string[], string>>;

async function resolveNames({ connections, file }: PathWish): Promise<Resolved> {
  const family = file.gateway.address.includes(':') ? 6 : 4;
  const named = connections.filter(({ peer }) => peer.fqdn !== undefined).slice(0, MAX_PROBED);
  const found = await Promise.all(
    named.map(async ({ id, peer }): Promise<[ConnectionId, Result<readonly string[], string>]> => {
      try {
        const { addresses } = await systemResolve(peer.fqdn!, family);
        return [id, addresses.length === 0 ? err(`it has no IPv${family} address`) : ok(addresses)];
      } catch (error) {
        return [id, err(oneLine(error))];
      }
    }),
  );
  return new Map(found);
}

/** One after the other: each takes ports 500 and 4500 of this host for its time. */
async function askPeers(
  { connections, file, psks }: PathWish,
  resolved: Resolved,
): Promise<Map<ConnectionId, IkeAnswer>> {
  const out = new Map<ConnectionId, IkeAnswer>();
  if (psks === undefined) return out;
  const crypto = createOpensslBackend();
  const configured = toEngineConfig(file, psks, new Map()).connections;
  for (const { id, peer } of connections.slice(0, MAX_PROBED)) {
    const known = resolved.get(id);
    const address = peer.address ?? (known?.ok === true ? known.value[0] : undefined);
    const connection = configured.find((one) => one.id === id);
    if (address === undefined || connection === undefined) continue;
    out.set(id, await probeIke({ connection, address, crypto, clock: systemClock }));
  }
  return out;
}

async function tryTunnels(wish: PathWish): Promise<Map<ConnectionId, Result<TunnelProbe, string>>> {
  const { connections, running } = wish;
  const up = connections.flatMap((connection) => {
    const document = running?.explanations.get(connection.id)?.connection;
    return document === undefined || document.children.length === 0 ? [] : [{ connection, document }];
  });
  const tried = await Promise.all(
    up.map(async ({ connection, document }, n): Promise<[ConnectionId, Result<TunnelProbe, string>]> => {
      if (n < MAX_PROBED) return [connection.id, await tryTunnel(connection, document, wish)];
      return [connection.id, err(`${MAX_PROBED} tunnels are tried at once: name this connection`)];
    }),
  );
  return new Map(tried);
}

async function tryTunnel(
  connection: GatewayConnection,
  { interface: device = '', children }: ConnectionStatusDocument,
  { host, probe }: PathWish,
): Promise<Result<TunnelProbe, string>> {
  const source = ownAddressIn(connection.local.cidrs, host);
  if (source === undefined)
    return err('this host has no IPv4 address in the local networks that an echo could come from');
  const targets = targetsOf(connection, probe);
  if (targets.length === 0) return err('the networks of the peer name no IPv4 address to ask');
  const lengths = [host.mtuOf(device), ...children.map(({ inner_mtu: inner }) => inner)];
  const longest = Math.min(...lengths.filter((length) => length !== undefined));
  if (!Number.isFinite(longest)) return err(`the MTU of ${device} is not known`);
  return await probeTunnel({ source, targets, longest });
}

/** Of the addresses that are ours, one that the peer knows as such; in route mode any. */
function ownAddressIn(networks: readonly string[], { addresses }: HostFacts): IpBytes | undefined {
  const own = (addresses.ok ? addresses.value : []).filter((ip) => ip.length === 4 && ip[0] !== 127);
  const ranges = networks.map((text) => cidrRange(cidrOf(text)));
  return own.find((address) => ranges.some((range) => rangeContains(range, address)));
}

/** The named address, or the first and the last ones of the networks, which routers have as a rule. */
function targetsOf(connection: GatewayConnection, probe: string | undefined): IpBytes[] {
  const named = probe === undefined ? undefined : parseIp(probe);
  if (named !== undefined) return named.length === 4 ? [named] : [];
  const out = remoteNetworks(connection).flatMap((text) => {
    const { address, prefix } = cidrOf(text);
    if (address.length !== 4 || prefix === 0) return [];
    if (prefix >= 31) return [address];
    const { start, end } = cidrRange({ address, prefix });
    return [ipFromNumber(ipToNumber(start) + 1n, 4), ipFromNumber(ipToNumber(end) - 1n, 4)];
  });
  return out.slice(0, MAX_TARGETS);
}
