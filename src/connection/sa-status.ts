import type { ChildSaInfo, IkeSaInfo } from '../ike/events.js';
import { formatEndpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import { describeSelector } from '../wire/ike/describe.js';
import { espSuiteNames, hex32, ikeSuiteNames } from './names.js';
import type { ChildStatus, IkeStatus } from './status.js';

/** Traffic of one child SA, as the packet path counts it. Octets are those of inner packets. */
export interface ChildTraffic {
  readonly id: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly pathMtu?: number;
  readonly innerMtu?: number;
  readonly worker?: number;
}

/** Where the traffic of child SAs is looked up: by those that a document shows only. */
export type TrafficSource = Pick<ReadonlyMap<number, ChildTraffic>, 'get'>;

/** An IKE SA as the status document shows it. */
export function ikeStatus(ike: IkeSaInfo, toUtc: (at: Millis) => string): IkeStatus {
  return {
    version: ike.version,
    state: 'established',
    role: ike.role,
    initiator_spi: ike.initiatorSpi,
    responder_spi: ike.responderSpi,
    ...ikeSuiteNames(ike.suite),
    nat: { local: ike.nat.local, peer: ike.nat.peer, peer_may_force: ike.nat.peerMayForce },
    local_endpoint: formatEndpoint(ike.local),
    peer_endpoint: formatEndpoint(ike.peer),
    peer_identity: ike.peerIdentity,
    established_at: toUtc(ike.establishedAt),
    rekey_at: toUtc(ike.rekeyAt),
  };
}

/** A child SA with its traffic; `replaced` by a newer one that takes over from it. */
export function childStatus(
  child: ChildSaInfo,
  replaced: boolean,
  traffic: ChildTraffic | undefined,
  toUtc: (at: Millis) => string,
): ChildStatus {
  return {
    state: replaced ? 'rekeyed' : 'installed',
    local_ts: child.localTs.map(describeSelector),
    peer_ts: child.peerTs.map(describeSelector),
    spi_in: hex32(child.spiIn),
    spi_out: hex32(child.spiOut),
    ...espSuiteNames(child.suite),
    encapsulation: child.encapsulation,
    ...(traffic?.pathMtu === undefined ? {} : { path_mtu: traffic.pathMtu }),
    ...(traffic?.innerMtu === undefined ? {} : { inner_mtu: traffic.innerMtu }),
    ...(traffic?.worker === undefined ? {} : { worker: traffic.worker }),
    bytes_in: traffic?.bytesIn ?? 0,
    bytes_out: traffic?.bytesOut ?? 0,
    packets_in: traffic?.packetsIn ?? 0,
    packets_out: traffic?.packetsOut ?? 0,
    drops: traffic?.drops ?? {},
    established_at: toUtc(child.establishedAt),
    rekey_at: toUtc(child.rekeyAt),
  };
}

/** During a rekey there are two IKE SAs: the younger one is the one in use. */
export function newest(ikes: Iterable<IkeSaInfo>): IkeSaInfo | undefined {
  let best: IkeSaInfo | undefined;
  for (const one of ikes) if (best === undefined || one.establishedAt >= best.establishedAt) best = one;
  return best;
}
