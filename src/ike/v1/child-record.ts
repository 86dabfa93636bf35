import type { IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis, Seconds } from '../../util/units.js';
import type { NatReport } from '../path/nat-detection.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { LiveChild } from '../sa/child.js';

/**
 * - `pending`: as responder, receives until message 3 shows that the initiator has it
 * - `current`: the newest of its pair of networks
 * - `superseded`: a newer one sends; this one receives until it is deleted or its lifetime is over
 */
export type V1ChildState = 'pending' | 'current' | 'superseded';

/** A pair of ESP SAs; the keys went to the data plane. */
export interface V1Child extends LiveChild {
  /** Its networks, as quick mode names them. */
  readonly pair: NetworkPair;
  /** Place of its quick mode's start in the order of all ids: which of two for one pair is newer. */
  readonly order: number;
  /** The shorter of what both ends asked for. */
  negotiatedSeconds: Seconds | undefined;
  /** Its rekeying waits for an ISAKMP SA. */
  awaitsIsakmp: boolean;
  deleteAt: Millis | undefined;
  state: V1ChildState;
  /** The data plane was ordered to use it for outbound traffic. */
  sends: boolean;
  /** When outbound traffic moves to it, if nothing shows before that the peer has it. */
  switchAt: Millis | undefined;
}

/**
 * ESP SAs that are established without an ISAKMP SA. An ISAKMP SA may end while they go on (RFC 2408 §2.1; RFC 2409 §8
 * even wants it for identities): a DELETE takes what it names (RFC 2408 §3.15), and no more. What they need of an
 * ISAKMP SA (to be rekeyed, to ask whether the peer lives, to be deleted) begins a main mode then.
 */
export interface Orphans {
  /** Where ESP goes, and whether a packet from elsewhere moves it; the ISAKMP SA is the one that is gone. */
  readonly path: {
    readonly ikeId: IkeId;
    remote: Endpoint;
    readonly natTraversalPort: boolean;
    readonly natReport: NatReport | undefined;
  };
  lastInbound: Millis;
  /** When the peer may be asked again, and the wait after that: peers that keep no ISAKMP SA delete each one. */
  notBefore: Millis;
  wait: Millis;
}
