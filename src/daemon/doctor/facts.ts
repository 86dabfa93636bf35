import type { Explanation } from '../../connection/explain.js';
import type { StatusDocument } from '../../connection/status.js';
import type { Capability } from '../../linux/capabilities.js';
import type { GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import type { IpBytes } from '../../util/ip.js';
import type { Result } from '../../util/result.js';
import type { HostRoute, Way } from '../host/host-network.js';
import type { ReadSysctl } from '../host/preflight.js';
import type { Firewall } from './firewall/model.js';
import type { IkeAnswer } from './ike-probe.js';
import type { PortHolder } from './port-holders.js';
import type { TunnelProbe } from './tunnel-probe.js';

/*
 * What the doctor judges by. Gathering (gather-host.ts and the probes) touches the machine and the network and judges
 * nothing; checks judge and touch nothing, so that a test can put any machine in front of them. An error is why a
 * thing could not be looked at, as the rest of "not checked, because".
 */

/** Devices over which packets of one IP version are distributed. */
export interface DistributionGroup {
  readonly family: 4 | 6;
  readonly devices: readonly string[];
}

/** What can be seen of this host. */
export interface HostFacts {
  readonly sysctl: ReadSysctl;
  readonly capabilities: readonly Capability[];
  readonly addresses: Result<readonly IpBytes[], string>;
  readonly routes: Result<readonly HostRoute[], string>;
  /** Devices over which this program distributes traffic, by group. */
  readonly groups: Result<readonly DistributionGroup[], string>;
  /** How the kernel sends to an address. @throws LinuxError when nothing leads there */
  readonly wayTo: (address: string) => Way;
  /** Octets of the longest packet on a device; undefined when there is no such device. */
  readonly mtuOf: (device: string) => number | undefined;
  /** Every packet filter that is in force, but for the tables of Culvert itself. */
  readonly firewall: Result<Firewall, string>;
  /** Why packets of the peers cannot be filtered by nftables; undefined when they can. */
  readonly nftables: string | undefined;
  /** Who listens on the UDP ports of IKE. */
  readonly portHolders: Result<readonly PortHolder[], string>;
  readonly clock: ClockFacts;
}

/** The system's time, in milliseconds since 1970. */
export interface ClockFacts {
  readonly now: number;
  /** Whether NTP keeps it; undefined when the kernel could not be asked. */
  readonly synchronised: boolean | undefined;
  /** It is later than this: this program, or the configuration, was written then. */
  readonly notBefore: number;
}

/** What a gateway that runs knows by itself. */
export interface RunningFacts {
  readonly gateway: StatusDocument['gateway'];
  readonly explanations: ReadonlyMap<ConnectionId, Explanation>;
}

/** What was tried on the way to the peers, by connection. */
export interface PathFacts {
  /** What the host name of a peer was resolved to, or the resolver's words. */
  readonly resolved: ReadonlyMap<ConnectionId, Result<readonly string[], string>>;
  /** Where no gateway runs that would know. */
  readonly ike: ReadonlyMap<ConnectionId, IkeAnswer>;
  /** Where a tunnel is up. */
  readonly tunnel: ReadonlyMap<ConnectionId, Result<TunnelProbe, string>>;
}

/** All of it. */
export interface Facts {
  readonly host: HostFacts;
  /** Undefined when no gateway was named or found: then only the host is judged. */
  readonly file: GatewayFile | undefined;
  readonly running: RunningFacts | undefined;
  readonly path: PathFacts;
}
