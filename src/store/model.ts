import type { Offload } from '../dataplane/offload.js';
import type { DpdConfig, EstablishMode, FirstPort } from '../ike/config.js';
import type { EngineLimits } from '../ike/limits.js';
import type { IdentityTypeName } from '../ike/policy/identity.js';
import type { Profile } from '../ike/policy/matrix.js';
import type { ConnectionId } from '../util/ids.js';
import type { SecretKey } from '../util/secret.js';
import type { Seconds } from '../util/units.js';
import type { PskEncoding } from './psk-encoding.js';

/** A configuration that was read and found right: every default is filled in, every list has its order. */
export interface GatewayFile {
  /** Where it came from; relative paths in it are relative to its folder. */
  readonly source: string;
  readonly gateway: GatewaySettings;
  readonly ikePolicies: readonly IkePolicy[];
  readonly ipsecPolicies: readonly IpsecPolicy[];
  readonly connections: readonly GatewayConnection[];
  /** What peers, known or not, can make the gateway hold or do. */
  readonly limits: GatewayLimits;
}

/** The bounds an operator may set; the engine's others are not for files. */
export type GatewayLimits = Pick<
  EngineLimits,
  | 'halfOpenTotal'
  | 'halfOpenPerSource'
  | 'halfOpenBytes'
  | 'cookieThreshold'
  | 'ikeSas'
  | 'ikeSasPerPeer'
  | 'messageBytes'
  | 'firstMessageBytes'
  | 'fragmentPacket'
  | 'requestsPerSecondInAll'
  | 'requestsPerSecond'
  | 'childSas'
  | 'requestsPerConnection'
>;

/** The `gateway` section of a configuration, whether from a file or from the server. */
export interface GatewaySettings {
  readonly name: string;
  readonly mode: 'policy' | 'route';
  /** In canonical text. */
  readonly address: string;
  /** Name of the TUN device. */
  readonly interface: string;
  readonly encapsulation: 'always' | 'auto';
  readonly profile: Profile;
  /** Offloads of the kernel that differ from the defaults. */
  readonly offload?: Partial<Offload>;
  /** The largest MSS of TCP connections through the tunnel. */
  readonly mss?: number;
  /** Threads of the packet path, a power of two. */
  readonly workers?: number;
  /** Whether the networks of the peers stay unreachable when the process is gone, until an operator stops it. */
  readonly failClosed: boolean;
  /** Path of the control socket. */
  readonly control: string;
}

/** Algorithms by name, most preferred first. With AEAD ciphers `authentication` names the PRF's hash. */
export interface IkePolicy {
  readonly name: string;
  readonly ikeVersion: 1 | 2;
  readonly encryption: readonly string[];
  readonly authentication: readonly string[];
  readonly dhGroups: readonly number[];
  /** Made one after the other, after that in a group (RFC 9370); absent where there are none. IKEv2 only. */
  readonly additionalKeyExchanges?: readonly string[];
  readonly keyLifetime: Seconds;
}

/** `authentication` is empty with AEAD ciphers. `pfsGroups` are numbers, 0 for "none". */
export interface IpsecPolicy {
  readonly name: string;
  readonly encryption: readonly string[];
  readonly authentication: readonly string[];
  readonly pfsGroups: readonly number[];
  /** As in `IkePolicy`: with each rekey, after the exchange in a PFS group. */
  readonly additionalKeyExchanges?: readonly string[];
  readonly keyLifetime: Seconds;
}

/** An identity of phase 1 in the configuration's words; the engine has it as octets. */
export interface IkeIdentity {
  readonly type: IdentityTypeName;
  readonly value: string;
}

/** Where a pre-shared key comes from. A file is read when the gateway starts or reloads. */
export type PskSource =
  | { readonly kind: 'inline'; readonly key: SecretKey }
  | { readonly kind: 'file'; readonly path: string; readonly encoding: PskEncoding };

/**
 * A connection as it was asked for, in a file or through the API, with the defaults of its own fields. What follows
 * from other objects (identities from addresses) is not in it: see `completed` in connection-settings.ts.
 */
export interface ConnectionSettings {
  readonly name: string;
  readonly adminStateUp: boolean;
  readonly establishMode: EstablishMode;
  readonly deadPeerDetection: DpdConfig;
  /** By which its policies are known: names in a file, ids in the API; absent for auto-negotiation. */
  readonly ikePolicy?: string;
  readonly ipsecPolicy?: string;
  /** What auto-negotiation offers and accepts; absent for that of the gateway. */
  readonly profile?: Profile;
  readonly local: {
    /** Empty in route mode. */
    readonly cidrs: readonly string[];
    /** Empty means the addresses of the gateway. */
    readonly ikeIdentities: readonly IkeIdentity[];
  };
  readonly peer: {
    /** Either of the two is there. */
    readonly address?: string;
    readonly fqdn?: string;
    /** UDP port of the first message, where the default is not meant. */
    readonly port?: FirstPort;
    readonly cidrs: readonly string[];
    /** Absent means the address or the name. */
    readonly ikeIdentity?: IkeIdentity;
  };
  /** In route mode: several tunnels carry its networks at once where they can. */
  readonly distributeTraffic: boolean;
  /** Name of the connection's own TUN device in route mode; chosen by the daemon when it is absent. */
  readonly interface?: string;
  readonly routes?: readonly string[];
}

/** A connection as every part of the program after the readers has it: what it was asked to be, completed. */
export interface GatewayConnection extends ConnectionSettings {
  /** What everything but people knows it by: it stays when the connection gets another name. */
  readonly id: ConnectionId;
  readonly psk: PskSource;
  readonly local: {
    /** Canonical; empty in route mode. */
    readonly cidrs: readonly string[];
    /** One in policy mode, one or two in route mode (one per gateway member). */
    readonly ikeIdentities: readonly IkeIdentity[];
  };
  readonly peer: ConnectionSettings['peer'] & { readonly ikeIdentity: IkeIdentity };
  /** Networks that are routed into its device, canonical. Empty in policy mode. */
  readonly routes: readonly string[];
}
