import type { DhExchange, IkeSuite } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';
import type { ByteCount, Millis } from '../../util/units.js';
import type { V1Header, V1Payload, V1Proposal, V1Sealed } from '../../wire/ike/v1/payloads.js';
import type { Failure } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import type { IkePath } from '../path/first-path.js';
import type { NatReport } from '../path/nat-detection.js';
import type { Candidates, KeyGroup } from '../policy/candidates.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { V1Lifetimes } from '../policy/proposals-v1.js';
import type { UnprovenRefusal } from '../sa/branches.js';
import type { PairTries } from '../sa/pair-schedule.js';
import type { Retransmission } from '../sa/retransmission.js';
import type { DpdState } from './dpd-state.js';
import type { V1Protection } from './protect.js';
import type { QuickExchange } from './quick.js';
import type { NatDialect } from './vendor-ids.js';

/**
 * The life of an ISAKMP SA: a phase has what is known in it and in no other.
 *
 * - `sa-sent`, `ke-sent`, `id-sent`: initiator, message 1, 3 or 5 of main mode is on its way
 * - `sa-answered`, `ke-answered`: responder, half-open: message 2 or 4 was sent
 * - `established`: in use
 * - `superseded`: a newer one of the same connection is in use; this one still takes the peer's messages
 * - `closing`: the peer has deleted it and left ESP SAs; only their DELETEs, which it has overtaken, are still read
 * - `gone`: keys are wiped
 */
export type Phase =
  | SaSent
  | KeSent
  | IdSent
  | SaAnswered
  | KeAnswered
  | Established
  | Superseded
  | Closing
  | Gone;

/** The name of a phase. */
export type IsakmpState = Phase['at'];

/** Every state, in the order of a life. */
export const ISAKMP_STATES = [
  'sa-sent',
  'ke-sent',
  'id-sent',
  'sa-answered',
  'ke-answered',
  'established',
  'superseded',
  'closing',
  'gone',
] as const satisfies readonly IsakmpState[];

/** The way to the peer, and the cookie that the responder chose: zero for an initiator until message 2. */
export interface Link extends IkePath {
  readonly responderCookie: Uint8Array;
}

/** What messages 1 and 2 agree on, and what the peer's messages in the clear say that it can do. */
export interface Terms {
  readonly suite: IkeSuite;
  readonly lifetimes: V1Lifetimes;
  readonly dialect: NatDialect | undefined;
  readonly dpd: boolean;
  readonly fragmentation: boolean;
  readonly vendors: readonly string[];
}

/** What the NAT-D payloads of messages 3 and 4 have shown (RFC 3947 §3.2). */
export interface NatFacts {
  /** The peer sent some: UDP encapsulation can be used. */
  readonly natTraversal: boolean;
  readonly nat: { readonly local: boolean; readonly peer: boolean };
}

/** What the keys and both hashes are made of, beside the pre-shared key (RFC 2409 §5). */
export interface Transcript {
  /** The SA payload of message 1 without its generic header. */
  readonly saBody: Uint8Array;
  readonly initiatorPublic: Uint8Array;
  readonly responderPublic: Uint8Array;
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
}

/** The last message of phase 1 that was taken, and a responder's answer to it. */
export interface LastMessage {
  readonly message: Uint8Array;
  readonly answer: Uint8Array | undefined;
}

/** A request of phase 1 that is not answered yet. */
export interface PendingMessage {
  readonly bytes: Uint8Array;
  readonly retransmission: Retransmission;
}

/** What an initiator knows of its attempt, whichever of the answers to it is the peer's. */
export interface Attempt {
  readonly saBody: Uint8Array;
  readonly nonce: Uint8Array;
  /** The SA that this one is to replace. */
  readonly replaces: number | undefined;
  /** All ESP SAs are to be re-established once it is up. */
  readonly renewing: boolean;
  /** Inbound SPIs of ESP SAs whose DELETE is all that it is made for. */
  readonly farewell: readonly number[] | undefined;
  /** It counts when no real answer overtakes it. */
  refusal: UnprovenRefusal | undefined;
  /** Messages 2 that were taken. */
  answers: number;
  /** A message 1 to port 4500 that only asks whether the port is open, see `probePort`. */
  portProbe: { readonly cookie: string; readonly bytes: Uint8Array } | undefined;
}

interface Starting {
  readonly link: Link;
  readonly attempt: Attempt;
  /** Nothing is repeated any more where later answers are being tried. */
  pending: PendingMessage | undefined;
}

/** Initiator: message 1, the offer, was sent. */
export interface SaSent extends Starting {
  readonly at: 'sa-sent';
  /** Further addresses of the peer to try when this one stays silent. */
  addressesLeft: number;
}

/** Initiator: message 3, key exchange and nonce, was sent. */
export interface KeSent extends Starting {
  readonly at: 'ke-sent';
  readonly terms: Terms;
  readonly last: LastMessage;
  readonly dh: DhExchange;
  readonly initiatorPublic: Uint8Array;
  /** Messages 4 that were tried with the Diffie-Hellman exchange. */
  agreements: number;
  /** The peer has answered on port 4500. */
  portProven: boolean;
}

/** Initiator: message 5, identity and hash, was sent under the new keys. */
export interface IdSent extends Starting, NatFacts {
  readonly at: 'id-sent';
  readonly terms: Terms;
  readonly last: LastMessage;
  readonly transcript: Transcript;
  readonly protection: V1Protection;
  portProven: boolean;
}

/** How a responder's SA is counted while its peer is not authenticated. */
export interface HalfOpen {
  /** Source address it is counted under. */
  readonly source: string;
  /** Octets it is counted with. */
  held: ByteCount;
  /** Message 3 has shown that the address is real. */
  proven: boolean;
  /** When it is forgotten. */
  readonly forgetAt: Millis;
  /** Times the peer sent its last message again, as if it had no answer. */
  repeats: number;
}

/** What a responder keeps of message 1, and chose in answer, until the peer is authenticated. */
export interface Offer {
  readonly messageOne: Uint8Array;
  /** A view into message 1, see `Transcript`. */
  readonly saBody: Uint8Array;
  /** Connections the peer's address allows. */
  readonly candidates: Candidates;
  /** The proposal that was taken. */
  readonly proposal: V1Proposal;
  readonly nonce: Uint8Array;
}

interface Answering {
  readonly link: Link;
  readonly halfOpen: HalfOpen;
  readonly offer: Offer;
  readonly terms: Terms;
}

/** Responder: message 2, the choice from the offer, was sent. */
export interface SaAnswered extends Answering {
  readonly at: 'sa-answered';
  /** Undefined where message 2 was sent before there was an SA, see `OfferMemory`. */
  last: LastMessage | undefined;
}

/** Responder: message 4 was sent. Message 5 decides between the candidates, and so between their keys. */
export interface KeAnswered extends Answering, NatFacts {
  readonly at: 'ke-answered';
  last: LastMessage | undefined;
  readonly transcript: Transcript;
  readonly dh: DhExchange;
  /** g^xy, once message 5 came in. Tried with the key of every candidate. */
  shared: SecretKey | undefined;
  /** The message 5 whose key is being looked for, and how many were tried so far. */
  trial: KeyTrial | undefined;
  trials: number;
  /** Message 5 was rubbish, and that was reported. */
  reported: boolean;
}

/** A message 5 whose key is being looked for. */
export interface KeyTrial {
  readonly message: {
    readonly header: V1Header;
    readonly payloads: readonly V1Payload[];
    readonly datagram: DatagramInput;
  };
  readonly sealed: V1Sealed;
  /** g^xy: the phase's, which wipes it. */
  readonly shared: SecretKey;
  /** Keys to try. The first `free` have nothing to do with the budget: they are those of the peer's address. */
  readonly groups: readonly KeyGroup[];
  readonly free: number;
  next: number;
  nextAt: Millis;
  failure: Failure;
}

/** What both ends know of each other once they are authenticated. */
export interface Authenticated extends NatFacts {
  readonly link: Link;
  readonly terms: Terms;
  readonly last: LastMessage;
  readonly protection: V1Protection;
  readonly session: Session;
}

/** Both ends have authenticated, and no newer SA of the connection has. */
export interface Established extends Authenticated {
  readonly at: 'established';
}

/** Established, but a newer SA of the connection carries our exchanges. */
export interface Superseded extends Authenticated {
  readonly at: 'superseded';
  /** When it is deleted at the peer; without a time it lasts until it expires. */
  deleteAt: Millis | undefined;
}

/** Deleted by the peer, and kept for a moment for the DELETEs of its ESP SAs. */
export interface Closing extends Authenticated {
  readonly at: 'closing';
  readonly forgetAt: Millis;
}

/** Removed from the table; the path stays for the last log lines. */
export interface Gone {
  readonly at: 'gone';
  readonly link: Link;
}

/**
 * What an SA has come to since both ends are authenticated. It passes from phase to phase: a superseded SA takes over
 * again when the newer one ends.
 */
export interface Session {
  readonly peerIdentity: string;
  /** What main mode has shown of a NAT. */
  readonly natReport: NatReport;
  readonly establishedAt: Millis;
  readonly establishedOrder: number;
  rekeyAt: Millis;
  /** The same as it was reported: the time itself is used up when the rekey begins. */
  reportedRekeyAt: Millis;
  expiresAt: Millis;
  /** Why its last rekeying did not succeed. */
  rekeyRefused: Failure | undefined;
  /** Last sign of life of the peer: an IKE message that was new, or ESP. */
  lastInbound: Millis;
  /** The same of IKE alone, which shows that the peer still has this SA. */
  lastMessage: Millis;
  readonly dpd: DpdState;
  /** Quick modes by message id, finished ones for a while too: their last message may be asked for again. */
  readonly quicks: Map<number, QuickExchange>;
  /** Pairs of networks that we want SAs for on this SA, one quick mode at a time. */
  wanted: NetworkPair[];
  /** Pairs that traffic has asked for, by name. */
  readonly demands: Map<string, PairTries>;
  /** Pairs that the peer refused, by name. */
  readonly pairRetries: Map<string, PairTries>;
  /** When to ask for the pairs the peer has left out or refused. */
  completeAt: Millis | undefined;
  /** The peer waits for an exchange that is not spoken here, and will answer nothing else. */
  unsupported: Failure | undefined;
}

/** What one phase hands on to the next, once both ends are authenticated. */
export function authenticatedOf(phase: Authenticated): Authenticated {
  const { link, terms, natTraversal, nat, last, protection, session } = phase;
  return { link, terms, natTraversal, nat, last, protection, session };
}

/** Forgets the secrets of a phase. Safe to call twice. */
export function wipePhase(phase: Phase): void {
  switch (phase.at) {
    case 'ke-sent':
      phase.dh.wipe();
      return;
    case 'ke-answered':
      phase.dh.wipe();
      phase.shared?.wipe();
      return;
    case 'id-sent':
    case 'established':
    case 'superseded':
    case 'closing':
      phase.protection.wipe();
      return;
    default:
  }
}
