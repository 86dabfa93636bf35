import { type V1Keys, wipeV1Keys } from '../../crypto/keymat-v1.js';
import type { DhExchange, IkeSuite } from '../../crypto/types.js';
import { toHex } from '../../util/bytes.js';
import type { Endpoint } from '../../util/ip.js';
import type { SecretKey } from '../../util/secret.js';
import type { ByteCount, Millis } from '../../util/units.js';
import type { V1Header, V1Payload, V1Proposal, V1Sealed } from '../../wire/ike/v1/payloads.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure, Role } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import type { NatReport } from '../path/nat-detection.js';
import type { Candidates, KeyGroup } from '../policy/candidates.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { V1Lifetimes } from '../policy/proposals-v1.js';
import type { QuirkLedger } from '../quirks.js';
import { Branches, pick, type Refusal } from '../sa/branches.js';
import type { Retransmission } from '../sa/retransmission.js';
import { type Phase, TabledSa } from '../sa/table.js';
import { DpdState } from './dpd-state.js';
import type { FragmentBuffer } from './fragments.js';
import { MessageIds } from './message-ids.js';
import type { V1Protection } from './protect.js';
import type { QuickExchange } from './quick.js';
import type { NatDialect } from './vendor-ids.js';

/**
 * - `sa-sent`, `ke-sent`, `id-sent`: initiator, message 1, 3 or 5 of main mode is on its way
 * - `sa-answered`, `ke-answered`: responder, half-open: message 2 or 4 was sent
 * - `established`: in use
 * - `superseded`: a newer one of the same connection is in use; this one still takes the peer's messages
 * - `closing`: the peer has deleted it and left ESP SAs; only their DELETEs, which it has overtaken, are still read
 * - `gone`: keys are wiped
 */
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
] as const;

export type IsakmpState = (typeof ISAKMP_STATES)[number];

/** How often the peer refused a pair of networks in a row, and when it is asked for again. */
export interface PairRetry {
  readonly tries: number;
  readonly notBefore: Millis;
}

/** A message 5 whose key is being looked for. */
export interface KeyTrial {
  readonly message: {
    readonly header: V1Header;
    readonly payloads: readonly V1Payload[];
    readonly datagram: DatagramInput;
  };
  readonly sealed: V1Sealed;
  /** Keys to try. The first `free` have nothing to do with the budget: they are those of the peer's address. */
  readonly groups: readonly KeyGroup[];
  readonly free: number;
  next: number;
  nextAt: Millis;
  failure: Failure;
}

/** What an initiator knows of its attempt, whichever of the answers to it is the peer's. */
export interface MainModeAttempt {
  /** It counts when no real answer overtakes it. */
  refusal: Refusal | undefined;
  /** Messages 2 that were taken. */
  answers: number;
  /** A message 1 to port 4500 that only asks whether the port is open, see `probePort`. */
  portProbe: { readonly cookie: string; readonly bytes: Uint8Array } | undefined;
}

/** What main mode keeps until both ends are authenticated (RFC 2409 §5.4). */
export interface MainModeNegotiation {
  dh: DhExchange | undefined;
  /** The SA payload of message 1 behind its generic header: both hashes cover it. */
  saBody: Uint8Array;
  initiatorPublic: Uint8Array;
  responderPublic: Uint8Array;
  initiatorNonce: Uint8Array;
  responderNonce: Uint8Array;
  /** Responder: message 1, until the peer is authenticated. */
  messageOne: Uint8Array | undefined;
  /** Responder: connections the peer's address allows. */
  candidates: Candidates;
  /** Responder: the proposal that was taken. */
  answer: V1Proposal | undefined;
  /** Responder: g^xy, once message 5 came in. Tried with the key of every candidate. */
  shared: SecretKey | undefined;
  /** Initiator: inbound SPIs of ESP SAs whose DELETE is all that it is made for. */
  readonly farewell: readonly number[] | undefined;
  /** Initiator: what all answers have in common. */
  readonly attempt: MainModeAttempt;
  /** Initiator: messages 4 that were tried with the Diffie-Hellman exchange. */
  agreements: number;
  /** Initiator: further addresses of the peer to try when this one stays silent. */
  addressesLeft: number;
  /** Responder: the message 5 whose key is being looked for, and how many were tried so far. */
  trial: KeyTrial | undefined;
  trials: number;
  /** Responder: message 5 was rubbish, and that was reported. */
  reported: boolean;
  /** Initiator: the SA that this one is to replace. */
  replaces: number | undefined;
  /** Initiator: all ESP SAs are to be re-established once it is up. */
  renewing: boolean;
}

/** A request of phase 1 that is not answered yet. */
export interface PendingMessage {
  readonly bytes: Uint8Array;
  readonly retransmission: Retransmission;
}

/** How often traffic has made us ask for a pair of networks, and when it may again. */
export interface Demand {
  readonly tries: number;
  readonly notBefore: Millis;
}

export interface IsakmpSaInit {
  readonly id: number;
  readonly role: Role;
  readonly state: IsakmpState;
  readonly initiatorCookie: Uint8Array;
  readonly responderCookie: Uint8Array;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
  readonly createdAt: Millis;
  readonly negotiation: MainModeNegotiation;
}

/** What each message 2 and each message 4 makes anew, see `Branches`. */
const BRANCH = [
  'state',
  'responderCookie',
  'local',
  'remote',
  'natTraversalPort',
  'dialect',
  'natTraversal',
  'nat',
  'peerDpd',
  'peerFragmentation',
  'peerVendors',
  'suite',
  'lifetimes',
  'keys',
  'protection',
  'negotiation',
  'lastIn',
  'lastOut',
  'pending',
  'portProven',
] as const satisfies readonly (keyof IsakmpSa)[];

export type V1Branch = Pick<IsakmpSa, (typeof BRANCH)[number]>;

function wipeBranch({ keys, negotiation }: V1Branch): void {
  if (keys !== undefined) wipeV1Keys(keys);
  negotiation?.dh?.wipe();
  negotiation?.shared?.wipe();
}

/** One ISAKMP SA (IKE SA of version 1): a record of what is known, changed by the exchange modules only. */
export class IsakmpSa extends TabledSa<Phase & { readonly at: IsakmpState }, ConnectionConfig> {
  readonly id: number;
  readonly role: Role;
  readonly createdAt: Millis;
  readonly initiatorCookie: Uint8Array;
  /** Zero for an initiator until message 2. */
  responderCookie: Uint8Array;
  local: Endpoint;
  natTraversalPort: boolean;
  dialect: NatDialect | undefined;
  /** The peer sent NAT-D payloads: UDP encapsulation can be used. */
  natTraversal = false;
  nat: { local: boolean; peer: boolean } = { local: false, peer: false };
  /** What main mode has shown of a NAT, once both ends are authenticated. */
  natReport: NatReport | undefined;
  peerDpd = false;
  peerFragmentation = false;
  peerVendors: readonly string[] = [];
  /** Deviations of the peer that were forgiven. */
  readonly quirks: QuirkLedger = new Map();
  peerIdentity = '';
  suite: IkeSuite | undefined;
  lifetimes: V1Lifetimes = {};
  keys: V1Keys | undefined;
  protection: V1Protection | undefined;
  negotiation: MainModeNegotiation | undefined;
  /** Initiator, until the peer is authenticated: the other answers to its messages, and those messages. */
  readonly branches = new Branches<V1Branch>(this, wipeBranch);
  /** Source address it is counted under while half-open. */
  halfOpenSource: string | undefined;
  /** Octets it is counted with while half-open. */
  halfOpenHeld: ByteCount = 0;
  /** Message 3 has shown that the address is real. */
  halfOpenProven = false;
  firstRequestKey: string | undefined;
  /** Times the peer sent its last message of phase 1 again, as if it had no answer. */
  repeats = 0;

  /** The last message of phase 1 that was taken, and what was sent in answer. */
  lastIn: Uint8Array | undefined;
  lastOut: Uint8Array | undefined;
  pending: PendingMessage | undefined;

  /** Quick modes by message id, finished ones for a while too: their last message may be asked for again. */
  readonly quicks = new Map<number, QuickExchange>();
  /** Pairs of networks that we want SAs for on this SA, one quick mode at a time. */
  wanted: NetworkPair[] = [];
  /** Pairs that traffic has asked for, by name. */
  readonly demands = new Map<string, Demand>();
  /** Pairs that the peer refused, by name. */
  readonly pairRetries = new Map<string, PairRetry>();
  /** Why its last rekeying did not succeed. */
  rekeyRefused: Failure | undefined;
  /** When to ask for the pairs the peer has left out or refused. */
  completeAt: Millis | undefined;
  readonly messageIds = new MessageIds();
  /** The peer waits for an exchange that is not spoken here, and will answer nothing else. */
  unsupported: Failure | undefined;
  /** The peer has answered on port 4500. */
  portProven = false;
  readonly dpd = new DpdState();
  fragments: FragmentBuffer | undefined;
  fragmentsSent = 0;

  establishedAt: Millis = 0;
  establishedOrder = 0;
  rekeyAt = Number.POSITIVE_INFINITY;
  expiresAt = Number.POSITIVE_INFINITY;
  /** Last sign of life of the peer: an IKE message that was new, or ESP. */
  lastInbound: Millis = 0;
  /** The same of IKE alone, which shows that the peer still has this SA. */
  lastMessage: Millis = 0;
  /** When a half-open SA is forgotten. */
  forgetAt: Millis | undefined;
  /** When a superseded SA is deleted at the peer. */
  deleteAt: Millis | undefined;

  constructor(init: IsakmpSaInit) {
    super(toHex(init.role === 'initiator' ? init.initiatorCookie : init.responderCookie), {
      at: init.state,
      link: { remote: init.remote },
    });
    this.id = init.id;
    this.role = init.role;
    this.initiatorCookie = init.initiatorCookie;
    this.responderCookie = init.responderCookie;
    this.local = init.local;
    this.natTraversalPort = init.natTraversalPort;
    this.createdAt = init.createdAt;
    this.lastInbound = init.createdAt;
    this.negotiation = init.negotiation;
  }

  override get state(): IsakmpState {
    return this.phase.at;
  }

  override set state(at: IsakmpState) {
    this.phase = { at, link: this.phase.link };
  }

  get present(): V1Branch {
    return this;
  }

  get branch(): V1Branch {
    return pick(this, BRANCH);
  }

  set branch(branch: V1Branch) {
    Object.assign(this, branch);
  }

  /** Both ends are authenticated: quick modes and informational exchanges may run. */
  get isUp(): boolean {
    return this.state === 'established' || this.state === 'superseded';
  }

  /** Our main mode as initiator is under way. */
  get isStarting(): boolean {
    return this.state === 'sa-sent' || this.state === 'ke-sent' || this.state === 'id-sent';
  }

  get isHalfOpen(): boolean {
    return this.state === 'sa-answered' || this.state === 'ke-answered';
  }

  get cookies(): { readonly initiator: Uint8Array; readonly responder: Uint8Array } {
    return { initiator: this.initiatorCookie, responder: this.responderCookie };
  }

  /** An authentic message of the peer that is new: it begins an exchange, or answers us. */
  heard(now: Millis): void {
    this.lastMessage = now;
    this.lastInbound = Math.max(this.lastInbound, now);
    this.dpd.heard();
  }

  /** Forgets all that is secret. Safe to call twice. */
  wipe(): void {
    this.branches.settle();
    wipeBranch(this.branch);
    this.negotiation = undefined;
    this.keys = undefined;
    this.protection = undefined;
    this.pending = undefined;
    for (const quick of this.quicks.values()) quick.dh?.wipe();
    this.quicks.clear();
    this.messageIds.clear();
    this.fragments = undefined;
  }
}
