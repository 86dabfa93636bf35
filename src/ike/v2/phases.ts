import type { IkeKeys } from '../../crypto/keymat.js';
import type { DhExchange, IkeSuite } from '../../crypto/types.js';
import type { ByteCount, Millis } from '../../util/units.js';
import type { IkeProposalSpec } from '../config.js';
import type { CloseReason, Failure } from '../events.js';
import type { IkePath } from '../path/first-path.js';
import type { Candidates } from '../policy/candidates.js';
import type { SelectorLists } from '../policy/selectors.js';
import type { QuirkLedger } from '../quirks.js';
import type { UnprovenRefusal } from '../sa/branches.js';
import type { Protection } from './protect.js';
import type { Reassembly } from './reassembly.js';
import type { Service } from './service.js';
import type { SentRequest } from './window.js';

/** The way to the peer, what it can do, and our exchanges with it. One phase hands it on to the next. */
export interface Link extends IkePath {
  /** Zero for an initiator until the first answer. */
  readonly responderSpi: Uint8Array;
  /** The peer sent NAT detection. */
  readonly natTraversal: boolean;
  readonly nat: { readonly local: boolean; readonly peer: boolean };
  /** Both ends take IKE fragments (RFC 7383 §2.3). */
  readonly fragmentation: boolean;
  /** Fragments of the peer's request, and of its answer. */
  reassembly: { readonly request: Reassembly; readonly response: Reassembly } | undefined;
  readonly peerVendors: readonly string[];
  /** Deviations of the peer that were forgiven; a rekeyed SA keeps them. */
  readonly quirks: QuirkLedger;
  /** Message id of our next request. One is under way at most (window size 1, RFC 7296 §2.3). */
  nextMessageId: number;
  active: SentRequest | undefined;
}

/** The link of an SA that knows nothing of its peer but where it is. */
export function firstLink(
  { local, remote, natTraversalPort }: Readonly<IkePath>,
  responderSpi: Uint8Array,
): Link {
  return {
    responderSpi,
    local,
    remote,
    natTraversalPort,
    natTraversal: false,
    nat: NO_NAT,
    fragmentation: false,
    reassembly: undefined,
    peerVendors: [],
    quirks: new Map(),
    nextMessageId: 0,
    active: undefined,
  };
}

const NO_NAT = { local: false, peer: false } as const;

/** What protects an IKE SA, and what it was made from. */
export interface Keyed {
  readonly suite: IkeSuite;
  readonly keys: IkeKeys;
  readonly protection: Protection;
  /** Nonces of the exchange that made the SA, initiator's first. Not secret. */
  readonly nonces: readonly Uint8Array[];
}

/** What AUTH covers of the IKE_INTERMEDIATE exchanges so far (RFC 9242 §3.3.2). */
export interface IntAuth {
  /** IntAuth_iN and IntAuth_rN. */
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
  /** N. */
  readonly exchanges: number;
}

/** An IKE_SA_INIT request as it was sent, and what answers to it are combined with. */
export interface FirstRequest {
  readonly dh: DhExchange;
  readonly bytes: Uint8Array;
}

/** What an initiator keeps from the first request to the last answer, whichever of the answers is the peer's. */
export interface InitiatorNegotiation {
  /** What is offered, the same in every form of the request. */
  readonly proposals: readonly IkeProposalSpec[];
  /** Of the request sent last. */
  dh: DhExchange;
  readonly nonce: Uint8Array;
  /** All forms in which the request was sent, with other groups or cookies: an answer may be to any of them. */
  readonly requests: FirstRequest[];
  cookie: Uint8Array | undefined;
  /** Times the responder asked for another cookie, or for the one it got. */
  cookieChanges: number;
  cookieRepeats: number;
  /** Groups that were sent: none is sent twice. */
  readonly groupsTried: Set<number>;
  /** A cookie or group that is asked for by someone, and when the request is sent with it. */
  revision: { readonly cookie?: Uint8Array; readonly group?: number; at: Millis } | undefined;
  /** Further addresses of the peer to try when this one stays silent. */
  addressesLeft: number;
  /** It counts when no real answer overtakes it (RFC 7296 §2.21.1). `sealed`: under the keys of an answer. */
  refusal: (UnprovenRefusal & { readonly sealed: boolean }) | undefined;
  /** When the first answer was taken, how many were, and how many more came to nothing. */
  answeredAt: Millis | undefined;
  answers: number;
  fruitless: number;
  /** SPI and selectors offered for the first child SA, once they were. */
  child: { readonly spi: number; readonly proposed: SelectorLists } | undefined;
}

/**
 * The IKE_SA_INIT messages of an initiator, and the responder's nonce in the second. AUTH covers them (RFC 7296 §2.15).
 */
export interface InitExchange {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly responderNonce: Uint8Array;
}

/** What a responder keeps from the first request on. */
export interface ResponderNegotiation {
  readonly suite: IkeSuite;
  readonly dh: DhExchange;
  readonly peerPublic: Uint8Array;
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
  /** Both IKE_SA_INIT messages as they were sent. */
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly candidates: Candidates;
  /** Source address it is counted under while half-open. */
  readonly source: string;
  /** Octets it is counted with while half-open. */
  held: ByteCount;
  /** A cookie has proved that address. */
  readonly proven: boolean;
  /** Times the peer sent its first request again, as if it had no answer. */
  repeats: number;
}

/** Initiator: IKE_SA_INIT is on its way. */
export interface InitSent {
  readonly at: 'init-sent';
  readonly link: Link;
  readonly negotiation: InitiatorNegotiation;
}

/** Responder, half-open: the initiator has not proved who it is. */
export interface InitAnswered {
  readonly at: 'init-answered';
  readonly link: Link;
  readonly negotiation: ResponderNegotiation;
  /** From the first protected message on. */
  keyed: Keyed | undefined;
  /** Additional key exchanges that come before IKE_AUTH, in their order (RFC 9370 §2.2.2). */
  left: readonly number[];
  intAuth: IntAuth | undefined;
  readonly forgetAt: Millis;
}

/** Initiator: IKE_INTERMEDIATE is on its way, one of several perhaps (RFC 9242). */
export interface IntermediateSent {
  readonly at: 'intermediate-sent';
  readonly link: Link;
  readonly negotiation: InitiatorNegotiation;
  readonly init: InitExchange;
  readonly portProven: boolean;
  /** Under which the exchange is protected: each one leads to other keys. */
  readonly keyed: Keyed;
  /** Additional key exchanges that are to be made, the one under way first (RFC 9370 §2.2.2). */
  readonly left: readonly number[];
  /** Of the exchanges before. */
  readonly intAuth: IntAuth | undefined;
}

/** Initiator: IKE_AUTH is on its way. */
export interface AuthSent {
  readonly at: 'auth-sent';
  readonly link: Link;
  readonly negotiation: InitiatorNegotiation;
  /** The exchange that the first keys are from. */
  readonly init: InitExchange;
  /** IKE_SA_INIT was answered on port 4500. */
  readonly portProven: boolean;
  readonly keyed: Keyed;
  /** Of the IKE_INTERMEDIATE exchanges, if there were any. */
  readonly intAuth: IntAuth | undefined;
}

/** Both ends are authenticated, and the SA carries exchanges of its own. */
export interface Established {
  readonly at: 'established';
  readonly link: Link;
  readonly keyed: Keyed;
  readonly service: Service;
}

/** Another IKE SA took over; only its DELETE is still to come (RFC 7296 §2.18). */
export interface Rekeyed {
  readonly at: 'rekeyed';
  readonly link: Link;
  readonly keyed: Keyed;
  readonly service: Service;
  /** The one that took over is none of its own rekeying: the peer made both, or each end one (§2.8.1). */
  readonly superseded: boolean;
  readonly forgetAt: Millis;
}

/** Our DELETE of an SA that was in service is on its way. */
export interface Closing {
  readonly at: 'deleting';
  readonly link: Link;
  readonly keyed: Keyed;
  readonly service: Service;
  readonly reason: CloseReason;
  readonly failure: Failure | undefined;
  readonly forgetAt: Millis;
}

/** The attempt has failed, which was reported; the peer, which may have the SA, has yet to get a DELETE. */
export interface Withdrawn {
  readonly at: 'deleting';
  readonly link: Link;
  readonly keyed: Keyed;
  readonly service: undefined;
}

/** Keys are wiped; an exact repetition of the last request still gets its answer, until it is forgotten. */
export interface Gone {
  readonly at: 'gone';
  readonly link: Link;
  readonly forgetAt: Millis | undefined;
}

/** What an IKE SA knows, by the phase it is in. */
export type IkePhase =
  | InitSent
  | InitAnswered
  | IntermediateSent
  | AuthSent
  | Established
  | Rekeyed
  | Closing
  | Withdrawn
  | Gone;

/** The name of a phase. */
export type IkeSaState = IkePhase['at'];

/** The phases by name, in the order of a life. */
export const IKE_SA_STATES = [
  'init-sent',
  'init-answered',
  'intermediate-sent',
  'auth-sent',
  'established',
  'rekeyed',
  'deleting',
  'gone',
] as const satisfies readonly IkeSaState[];
