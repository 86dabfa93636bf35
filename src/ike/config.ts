import type { CipherId } from '../crypto/types.js';
import type { ConnectionId } from '../util/ids.js';
import type { SecretKey } from '../util/secret.js';
import type { Seconds } from '../util/units.js';
import type { IKE_PORT, NAT_TRAVERSAL_PORT } from '../wire/ike/constants.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';

/**
 * The desired state of the engine: the desired connections in the engine's own terms. The daemon derives it
 * from the configuration file or the API; the engine never sees a file.
 */
export interface EngineConfig {
  readonly connections: readonly ConnectionConfig[];
}

/** An IKE identity (RFC 7296 §3.5): type number and octets as in the ID payload. */
export interface Identity {
  readonly idType: number;
  readonly data: Uint8Array;
}

/**
 * One proposal with a choice per transform type, most preferred first: it means every combination of
 * its parts. AEAD and other ciphers never share one (RFC 7296 §3.3); with AEAD `integrity` is empty.
 */
export interface IkeProposalSpec {
  readonly encryption: readonly CipherId[];
  readonly integrity: readonly number[];
  readonly prf: readonly number[];
  readonly dh: readonly number[];
  /**
   * Additional key exchanges, the first made first (RFC 9370 §2.2.1): for each one its methods, of which 0 means that
   * it may be left out. Seven at most. IKEv2 only.
   */
  readonly additional?: readonly (readonly number[])[];
}

/** As `IkeProposalSpec` for ESP. `dh` is empty without PFS; with additional key exchanges it is not. */
export interface EspProposalSpec {
  readonly encryption: readonly CipherId[];
  readonly integrity: readonly number[];
  readonly dh: readonly number[];
  readonly additional?: readonly (readonly number[])[];
}

/** Whether we initiate a connection, or wait for the peer to. */
export type EstablishMode = 'bidirectional' | 'peer_only';
/** What follows on a dead peer: initiate again, close, initiate at the next packet, or nothing, as without DPD. */
export type DpdAction = 'restart' | 'clear' | 'hold' | 'none';

/** Where an initiator may begin: port 4500 is for a peer that port 500 does not reach (RFC 7296 §2.23). */
export type FirstPort = typeof IKE_PORT | typeof NAT_TRAVERSAL_PORT;

/** `interval`: idle time before a probe. `timeout`: time without authentic inbound traffic until dead. */
export interface DpdConfig {
  readonly action: DpdAction;
  readonly interval: Seconds;
  readonly timeout: Seconds;
}

/** A connection as the engine has it: addresses, identities, selectors, proposals and lifetimes. Times in seconds. */
export interface ConnectionConfig {
  /** By which inputs and events speak of the connection. It stays when the connection gets another name. */
  readonly id: ConnectionId;
  /** What messages for people call it; its id when left out. Nothing is found by it. */
  readonly name?: string;
  readonly psk: SecretKey;
  /** Version used as initiator. */
  readonly initiateVersion: 1 | 2;
  /** Versions accepted as responder. */
  readonly acceptVersions: readonly (1 | 2)[];
  readonly establishMode: EstablishMode;
  /** False: requests for this connection are refused and it is never initiated. */
  readonly adminUp: boolean;
  readonly local: {
    /** Address this gateway uses towards the peer. */
    readonly address: string;
    readonly identity: Identity;
    readonly selectors: readonly TrafficSelector[];
  };
  readonly peer: {
    /**
     * Addresses of the peer, tried in turn. Empty while a host name is not resolved. A `peer_only`
     * connection with an explicit identity also takes a peer from any other address.
     */
    readonly addresses: readonly string[];
    /** UDP port at both ends of the first message of an IKE SA that is begun here. */
    readonly port: FirstPort;
    readonly identity: Identity;
    readonly selectors: readonly TrafficSelector[];
  };
  /** In order of preference, as initiator and as responder. */
  readonly ikeProposals: readonly IkeProposalSpec[];
  readonly espProposals: readonly EspProposalSpec[];
  readonly ikeLifetime: Seconds;
  readonly childLifetime: Seconds;
  readonly dpd: DpdConfig;
  /** `always`: ask for UDP encapsulation even without a NAT (RFC 7296 §2.23). */
  readonly encapsulation: 'always' | 'auto';
}

/** The name of a connection in a message for people. */
export function connectionName({ id, name }: Pick<ConnectionConfig, 'id' | 'name'>): string {
  return name ?? id;
}
