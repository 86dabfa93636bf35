import type { QuirkCode } from '../ike/quirks.js';
import type { ConnectionId } from '../util/ids.js';

/** The status document: what `culvert status --output json`, the console and the API are made of. */

export type ConnectionStatus = 'up' | 'down' | 'degraded';

/** The public codes of the control plane's contract. */
export type StatusReasonCode =
  | 'cannot_authenticate_connection'
  | 'ike_policy_mismatch'
  | 'ike_v1_id_local_remote_cidr_mismatch'
  | 'ike_v2_local_remote_cidr_mismatch'
  | 'ipsec_policy_mismatch'
  | 'peer_not_responding'
  | 'internal_error';

/** Why a connection is not up, as `status_reasons` carries it. */
export interface StatusReason {
  readonly code: StatusReasonCode;
  /** One or two sentences: what is wrong and what to do. */
  readonly message: string;
  readonly more_info?: string;
  /** `cause` is one of the finer causes; the rest is evidence. */
  readonly details?: { readonly cause: string; readonly [field: string]: unknown };
}

/** What a status advises, whether the connection is up or not: the engine's codes and those of this room. */
export const ADVISORY_CODES = [
  'weak_algorithm',
  'one_way_traffic',
  'flapping',
  'renewal_pending',
  'pfs_unverified',
  'pfs_mismatch',
  'rekey_refused',
  'plain_proposals',
  'clock_or_lifetime',
  'ts_narrowed',
  'one_family',
  'peer_address_beside_tunnel',
  'identity_of_private_address',
  'admin_down',
  'stopped_by_operator',
  'weak_psk',
] as const;

/** What an operator should know about a connection that works all the same, as `advisories` carries it. */
export interface Advisory {
  readonly code: (typeof ADVISORY_CODES)[number];
  readonly message: string;
}

/** How the peer deviates from the RFCs, which is forgiven. */
export interface Quirk {
  readonly code: QuirkCode;
  readonly message: string;
}

/** Times are RFC 3339 in UTC. */
export interface IkeStatus {
  readonly version: 1 | 2;
  readonly state: 'connecting' | 'established' | 'deleting';
  readonly role: 'initiator' | 'responder';
  readonly initiator_spi: string;
  readonly responder_spi: string;
  readonly encryption: string;
  readonly integrity: string | null;
  readonly prf: string;
  readonly dh_group: string;
  /** Those that followed the exchange in the group (RFC 9370), in their order: `ml_kem_768` and so on. */
  readonly additional_key_exchanges: readonly string[];
  /** `peer_may_force`: only the peer says that it is behind a NAT, which is also how UDP encapsulation is asked for. */
  readonly nat: { readonly local: boolean; readonly peer: boolean; readonly peer_may_force: boolean };
  readonly local_endpoint: string;
  readonly peer_endpoint: string;
  readonly peer_identity: string;
  readonly established_at: string;
  readonly rekey_at: string;
}

/** SPIs are 8 hexadecimal digits; selectors are readable, for example `10.1.0.0/24`. */
export interface ChildStatus {
  readonly state: 'installed' | 'rekeyed';
  readonly local_ts: readonly string[];
  readonly peer_ts: readonly string[];
  readonly spi_in: string;
  readonly spi_out: string;
  readonly encryption: string;
  readonly integrity: string | null;
  readonly dh_group: string | null;
  readonly additional_key_exchanges: readonly string[];
  readonly encapsulation: 'udp' | 'esp';
  /** Octets of the longest packet on the way to the peer, as far as the kernel has learned it. */
  readonly path_mtu?: number;
  /** Octets of the longest packet that fits into the tunnel under this suite. */
  readonly inner_mtu?: number;
  /** Number of the packet worker it belongs to, where there are several. */
  readonly worker?: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly packets_in: number;
  readonly packets_out: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly established_at: string;
  readonly rekey_at: string;
}

/** One configured pair of networks. */
export interface CoverageCell {
  readonly local: string;
  readonly peer: string;
  /** `pending`: no child SA carries it yet; `refused`: the peer did not want it; `down`: nothing is tried. */
  readonly state: 'covered' | 'pending' | 'refused' | 'down';
  /** Why and when the peer refused it, and when it is asked for again by itself. */
  readonly cause?: string;
  readonly refused_at?: string;
  readonly next_attempt_at?: string;
  /** Of the child SA that carries it. */
  readonly spi_in?: string;
  readonly spi_out?: string;
}

/** All pairs of networks of one family, local by peer. */
export interface CoverageStatus {
  readonly pairs: number;
  readonly covered: number;
  readonly pending: number;
  readonly refused: number;
  /** In the order of the configuration; the first 256, those without a child SA first when there are more. */
  readonly matrix: readonly CoverageCell[];
}

/** A network that is routed into the device of a connection. */
export interface RouteStatus {
  readonly destination: string;
  /** Whether this connection carries its packets now, alone or with others: another one that names it may do that. */
  readonly carries: boolean;
  /** When other connections began to carry it than before; absent when they have not since the start. */
  readonly moved_at?: string;
}

/** What the daemon is doing about a connection. */
export const ACTIVITIES = ['disabled', 'stopped', 'passive', 'trapped', 'due', 'connecting', 'up'] as const;

/** What the gateway is doing about a connection at the moment. */
export type ActivityState = (typeof ACTIVITIES)[number];

/** The status of one connection. Scripts read it: fields are added, never changed. Times are RFC 3339, in UTC. */
export interface ConnectionStatusDocument {
  /** It stays when the connection gets another name. */
  readonly id: ConnectionId;
  readonly name: string;
  readonly status: ConnectionStatus;
  readonly admin_state_up: boolean;
  readonly establish_mode: 'bidirectional' | 'peer_only';
  readonly peer: string;
  readonly ike: IkeStatus | null;
  readonly children: readonly ChildStatus[];
  readonly status_reasons: readonly StatusReason[];
  readonly advisories: readonly Advisory[];
  readonly quirks?: readonly Quirk[];
  /** The TUN device its packets go through. */
  readonly interface?: string;
  /** The networks that the configuration routes into it, in route mode. */
  readonly routes?: readonly RouteStatus[];
  readonly coverage?: CoverageStatus;
  /** What is being done; `due` comes with `next_attempt_at`. */
  readonly activity?: ActivityState;
  readonly failed_attempts?: number;
  readonly next_attempt_at?: string;
  /** Unintended losses, since the start and in the last ten minutes. */
  readonly flaps?: { readonly total: number; readonly last_10_minutes: number };
  /** Packets dropped by its child SAs, by reason. */
  readonly drops?: Readonly<Record<string, number>>;
}

/** A packet that reached a worker by way of another one counts at both. */
export interface WorkerStatus {
  readonly child_sas: number;
  readonly handed_over: number;
  readonly taken_over: number;
}

/** How packets are kept from leaving and coming in the clear. */
export interface ClearPacketStatus {
  /** What becomes of packets for the peers' networks when this process is gone. */
  readonly outbound: 'unreachable' | 'routed_in_clear';
  /** What becomes of packets from the peers' networks that come from anywhere but the TUN device. */
  readonly inbound: 'discarded' | 'not_filtered';
  /** The table of nftables that discards them (`nft list table inet NAME`). */
  readonly table?: string;
  /** Packets that it has discarded since it was made. */
  readonly discarded?: number;
  /** Why they are not filtered. */
  readonly reason?: string;
}

/** The status of a gateway and all its connections, as `culvert status --output json` prints it. */
export interface StatusDocument {
  readonly gateway: {
    readonly name: string;
    readonly mode: 'policy' | 'route';
    readonly address: string;
    readonly interface: string;
    readonly data_plane: 'ffi' | 'portable';
    /** Whether ESP as IP protocol 50 is received beside ESP in UDP; it needs CAP_NET_RAW. */
    readonly raw_esp: boolean;
    readonly version: string;
    readonly started_at: string;
    readonly drops: Readonly<Record<string, number>>;
    /** What keeps packets of the tunnels' networks from leaving and coming in the clear; not without a host network. */
    readonly clear_packets?: ClearPacketStatus;
    /** One entry per thread of the packet path. */
    readonly workers?: readonly WorkerStatus[];
  };
  readonly connections: readonly ConnectionStatusDocument[];
}
