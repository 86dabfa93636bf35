import type { ChildId } from '../../util/ids.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { Failure, Role } from '../events.js';
import type { NatReport } from '../path/nat-detection.js';
import type { Lifetime } from '../sa/lifetime.js';
import type { AgreedChild, AgreedIke } from './agreed.js';
import { ChildSet } from './child-set.js';

/** How often a pair of networks was asked for, and when it may be again. */
export interface Gap {
  tries: number;
  notBefore: Millis;
}

/** Whether the SA stays, of several that one connection has (RFC 7296 §2.8.1, §2.8.3). */
export type Standing =
  | { readonly kind: 'sole' }
  /**
   * Another IKE SA, `to`, is to stay. This one is deleted at `retireAt`, which is known when the other one is
   * confirmed: packets on their way when that took over are still received until then.
   */
  | { readonly kind: 'redundant'; readonly to: number; readonly retireAt: Millis | undefined };

/** No other IKE SA of the connection competes with this one. */
export const SOLE: Standing = { kind: 'sole' };

/** What both ends support for the case that the peer is a cluster (RFC 6311 §5). */
export interface ClusterSupport {
  /** A member that takes over may synchronize message ids. */
  readonly messageIds: boolean;
  /** It may have outbound sequence numbers moved on. */
  readonly counters: boolean;
  readonly last: LastTakeover | undefined;
}

/** The last time that a member of the peer synchronized message ids. */
interface LastTakeover {
  /** M1: the id that it went on from. */
  readonly nextSent: number;
  /** M2: the id that its next request was to have. Until that comes, the answer may have been lost. */
  readonly nextReceived: number;
  readonly request: Uint8Array;
  readonly answer: readonly Uint8Array[];
}

/** What an IKE SA has while both ends are authenticated. Points in time are infinite while nothing is planned. */
export interface Service {
  readonly peerIdentity: string;
  /** What the first authenticated messages show of a NAT; a rekeyed SA has it from the one it replaces. */
  readonly natReport: NatReport;
  readonly establishedAt: Millis;
  /** Place of the establishment in the order of all ids: what came to be before what. */
  readonly establishedOrder: number;
  /** This end's role when both were authenticated: a rekey may turn `role` around. */
  readonly authenticatedAs: Role;
  /** Responder: nothing has shown yet that the initiator has got our answer to IKE_AUTH. */
  unconfirmed: boolean;
  cluster: ClusterSupport;
  standing: Standing;

  rekeyAt: Millis;
  /** The same as it was reported last: the time itself is used up when the rekey begins. */
  reportedRekeyAt: Millis;
  /** When a new one is negotiated from the start because it was not rekeyed, or its authentication ends. */
  renewAt: Millis;
  expiresAt: Millis;
  /** When this end authenticates itself again, since the peer wants that (RFC 4478). */
  reauthenticateAt: Millis;
  /** Message ids are used up so far that a rekey was asked for. */
  spent: boolean;
  /** Why its last rekeying was refused. */
  rekeyRefused: Failure | undefined;
  /** Since when the peer answers TEMPORARY_FAILURE only, and how often. */
  busy: { readonly since: Millis; times: number } | undefined;

  readonly children: ChildSet;
  /** It had a child SA at some time. */
  carried: boolean;
  /** Since when it has none. */
  childlessSince: Millis;
  /** Why the last request for a child SA was refused; undefined when it was not. */
  refusal: Failure | undefined;
  /** When a child SA that the peer put off is asked for again. */
  retryChildAt: Millis;
  /** When the pairs of networks that no child SA carries are looked at again. */
  gapsAt: Millis;
  /** Pairs that were asked for, by name. */
  readonly gaps: Map<string, Gap>;
  /** An address that traffic wants to go to: its pair is asked for first. */
  wanted: Uint8Array | undefined;
  /** PFS is configured and no exchange has shown yet that the peer agrees. */
  pfsUnverified: boolean;
  /** What the peer's CREATE_CHILD_SA was granted, while IKE_FOLLOWUP_KE is to follow. One at a time. */
  pending: Pending | undefined;
}

/** An SA that the peer was granted and whose additional key exchanges are not all made (RFC 9370 §2.2.4). */
export interface Pending {
  readonly of: PendingChild | PendingIke;
  /** Key exchanges that are to be made, the next one first. */
  readonly left: readonly number[];
  /** Of those that were made. */
  readonly secrets: readonly SecretKey[];
  /** By which the next request names it. */
  readonly link: Uint8Array;
  /** RFC 9370 §2.2.4: an initiator that has lost its state never goes on. */
  readonly forgetAt: Millis;
}

/** A child SA: `rekeys` is the id of the one that it is to replace. */
export interface PendingChild {
  readonly kind: 'child';
  readonly rekeys: ChildId | undefined;
  readonly child: AgreedChild;
}

/** An IKE SA in place of the one that the exchanges are made on. */
export interface PendingIke {
  readonly kind: 'ike';
  readonly ike: AgreedIke;
}

const NO_CLUSTER: ClusterSupport = { messageIds: false, counters: false, last: undefined };

/** What does not change as long as the SA is in service, and its lifetime. */
type ServiceInit = Pick<
  Service,
  'peerIdentity' | 'natReport' | 'establishedAt' | 'establishedOrder' | 'authenticatedAs' | 'reauthenticateAt'
> &
  Lifetime;

/** The service of an SA that has just been established and has no child SA yet. */
export function createService(init: ServiceInit): Service {
  // The spread comes last: after one V8 adds every further field by a slow path, microseconds in each handshake.
  return {
    reportedRekeyAt: init.rekeyAt,
    unconfirmed: false,
    cluster: NO_CLUSTER,
    standing: SOLE,
    spent: false,
    rekeyRefused: undefined,
    busy: undefined,
    children: new ChildSet(),
    carried: false,
    childlessSince: init.establishedAt,
    refusal: undefined,
    retryChildAt: Number.POSITIVE_INFINITY,
    gapsAt: Number.POSITIVE_INFINITY,
    gaps: new Map(),
    wanted: undefined,
    pfsUnverified: false,
    pending: undefined,
    ...init,
  };
}

/** Whether another IKE SA is to stay in place of the one of this service. */
export function isRedundant({ standing }: Service): boolean {
  return standing.kind === 'redundant';
}

/** The IKE SA with the id `to` is to stay; a time to retire that was set before still counts. */
export function makeRedundant(service: Service, to: number): void {
  const { standing } = service;
  const retireAt = standing.kind === 'redundant' ? standing.retireAt : undefined;
  service.standing = { kind: 'redundant', to, retireAt };
}

/** Whether the IKE SA with the id `to` is to stay in its place. */
export function isRedundantTo({ standing }: Service, to: number): boolean {
  return standing.kind === 'redundant' && standing.to === to;
}
