import type { IkeKeys } from '../../crypto/keymat.js';
import { wipeIkeKeys } from '../../crypto/keymat.js';
import type { DhExchange, IkeSuite } from '../../crypto/types.js';
import { toHex } from '../../util/bytes.js';
import type { Endpoint } from '../../util/ip.js';
import type { ByteCount, Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import type { CloseReason, Failure, Role } from '../events.js';
import type { NatReport } from '../path/nat-detection.js';
import type { Candidates } from '../policy/candidates.js';
import type { QuirkLedger } from '../quirks.js';
import { Branches, pick, type Refusal } from '../sa/branches.js';
import { type Phase, TabledSa } from '../sa/table.js';
import { ChildSet } from './child-set.js';
import type { Protection } from './protect.js';
import type { Reassembly } from './reassembly.js';
import type { SelectorLists, Task } from './tasks.js';
import { RequestWindow, type SentRequest } from './window.js';

/**
 * - `init-sent`: initiator, IKE_SA_INIT is on its way
 * - `init-answered`: responder, half-open: the initiator has not proved who it is
 * - `auth-sent`: initiator, IKE_AUTH is on its way
 * - `established`
 * - `rekeyed`: another IKE SA took over; only its DELETE is still to come (RFC 7296 §2.18)
 * - `deleting`: our DELETE, or our refusal of the peer's AUTH, is on its way
 * - `gone`: keys are wiped; an exact repetition of the last request still gets its answer
 */
export const IKE_SA_STATES = [
  'init-sent',
  'init-answered',
  'auth-sent',
  'established',
  'rekeyed',
  'deleting',
  'gone',
] as const;

export type IkeSaState = (typeof IKE_SA_STATES)[number];

/** How often a pair of networks was asked for, and when it may be again. */
export interface Gap {
  tries: number;
  notBefore: Millis;
}

/** An IKE_SA_INIT request as it was sent, and what answers to it are combined with. */
export interface FirstRequest {
  readonly dh: DhExchange;
  readonly bytes: Uint8Array;
}

/** What an initiator keeps from the first request to the last answer of the negotiation. */
export interface InitiatorNegotiation {
  /** Of the request sent last. */
  dh: DhExchange;
  nonce: Uint8Array;
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
  refusal: (Refusal & { readonly sealed: boolean }) | undefined;
  /** When the first answer was taken, how many were, and how many more came to nothing. */
  answeredAt: Millis | undefined;
  answers: number;
  fruitless: number;
  /** SPI and selectors offered for the first child SA. */
  childSpi: number | undefined;
  proposed: SelectorLists | undefined;
}

/** The IKE_SA_INIT messages of an initiator, and the responder's nonce in the second. AUTH covers them (RFC 7296 §2.15). */
export interface InitExchange {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly responderNonce: Uint8Array;
}

/** What each answer to IKE_SA_INIT makes anew, see `Branches`. */
const BRANCH = [
  'state',
  'responderSpi',
  'local',
  'remote',
  'natTraversalPort',
  'portProven',
  'natTraversal',
  'nat',
  'fragmentation',
  'reassembly',
  'suite',
  'keys',
  'protection',
  'init',
  'nonces',
  'peerVendors',
  'quirks',
  'nextMessageId',
  'active',
] as const satisfies readonly (keyof IkeSa)[];

export type Branch = Pick<IkeSa, (typeof BRANCH)[number]>;

function wipeBranch({ keys, reassembly }: Branch): void {
  if (keys !== undefined) wipeIkeKeys(keys);
  reassembly?.request.clear();
  reassembly?.response.clear();
}

/** What a responder keeps from the first request on. */
export interface ResponderNegotiation {
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
}

export interface IkeSaInit {
  readonly id: number;
  readonly role: Role;
  readonly state: IkeSaState;
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
  readonly createdAt: Millis;
}

/** One IKE SA of version 2: a record of what is known, changed by the exchange modules only. */
export class IkeSa extends TabledSa<Phase & { readonly at: IkeSaState }, ConnectionConfig> {
  readonly id: number;
  readonly role: Role;
  readonly createdAt: Millis;
  readonly initiatorSpi: Uint8Array;
  /** Zero for an initiator until the first answer. */
  responderSpi: Uint8Array;
  local: Endpoint;
  natTraversalPort: boolean;
  /** Initiator: IKE_SA_INIT was answered on port 4500. */
  portProven = false;
  /** The peer sent NAT detection. */
  natTraversal = false;
  nat: { local: boolean; peer: boolean } = { local: false, peer: false };
  /** What the first authenticated messages show of a NAT; a rekeyed SA has it from the one it replaces. */
  natReport: NatReport | undefined;
  /** Both ends take IKE fragments (RFC 7383 §2.3). */
  fragmentation = false;
  /** Fragments of the peer's request, and of its answer. */
  reassembly: { readonly request: Reassembly; readonly response: Reassembly } | undefined;
  suite: IkeSuite | undefined;
  keys: IkeKeys | undefined;
  protection: Protection | undefined;
  initiating: InitiatorNegotiation | undefined;
  /** Initiator: the exchange that the keys are from. */
  init: InitExchange | undefined;
  /** Initiator, until the peer is authenticated: IKE_SA_INIT itself, and the other answers to it. */
  readonly branches = new Branches<Branch>(this, wipeBranch);
  responding: ResponderNegotiation | undefined;
  /** Under which the responder knows repetitions of the first request. */
  firstRequestKey: string | undefined;
  /** Times the peer sent its first request again, as if it had no answer. */
  firstRepeats = 0;
  /** Nonces of the exchange that made the SA, initiator's first. Not secret. */
  nonces: readonly Uint8Array[] = [];
  peerVendors: readonly string[] = [];
  /** Deviations of the peer that were forgiven; a rekeyed SA keeps them. */
  quirks: QuirkLedger = new Map();
  peerIdentity = '';
  readonly children = new ChildSet();

  /** Requests of the peer. */
  readonly inbound = new RequestWindow();
  /** Our exchanges: one is under way at most, the others wait (window size 1, RFC 7296 §2.3). */
  nextMessageId = 0;
  readonly tasks: Task[] = [];
  active: SentRequest | undefined;

  establishedAt: Millis = 0;
  /** Place of the establishment in the order of all ids: what came to be before what. */
  establishedOrder = 0;
  rekeyAt = Number.POSITIVE_INFINITY;
  /** When a new one is negotiated from the start because it was not rekeyed, or its authentication ends. */
  renewAt = Number.POSITIVE_INFINITY;
  expiresAt = Number.POSITIVE_INFINITY;
  /** This end's role when both were authenticated: a rekey may turn `role` around. */
  authenticatedAs: Role;
  /** When this end authenticates itself again, since the peer wants that (RFC 4478). */
  reauthenticateAt = Number.POSITIVE_INFINITY;
  /** Message ids are used up so far that a rekey was asked for. */
  spent = false;
  /** Why its last rekeying was refused. */
  rekeyRefused: Failure | undefined;
  /** It had a child SA at some time. */
  carried = false;
  /** Since when it has none. */
  childlessSince: Millis = 0;
  /** Why the last request for a child SA was refused; undefined when it was not. */
  refusal: Failure | undefined;
  /** Since when the peer answers TEMPORARY_FAILURE only, and how often. */
  busy: { readonly since: Millis; times: number } | undefined;
  /** When a child SA that the peer put off is asked for again. */
  retryChildAt: Millis | undefined;
  /** When the pairs of networks that no child SA carries are looked at again. */
  gapsAt: Millis | undefined;
  /** Pairs that were asked for, by name. */
  readonly gaps = new Map<string, Gap>();
  /** An address that traffic wants to go to: its pair is asked for first. */
  wanted: Uint8Array | undefined;
  /** PFS is configured and no exchange has shown yet that the peer agrees. */
  pfsUnverified = false;
  /** Last authentic message of the peer, IKE or ESP (RFC 7296 §2.4). */
  lastInbound: Millis = 0;
  /** Why it ends, while a DELETE is under way. */
  closing:
    | { readonly reason: CloseReason; readonly failure?: Failure; readonly announced: boolean }
    | undefined;
  /** Responder: nothing has shown yet that the initiator has got our answer to IKE_AUTH. */
  unconfirmed = false;
  /** Another IKE SA of the same connection is to stay, and this one goes when that is confirmed. */
  redundantTo: number | undefined;
  /** When it goes: packets on their way when the other one took over are still received until then. */
  retireAt: Millis | undefined;
  /** Another IKE SA stays in its place, and the peer, which made this one, is to delete it. */
  superseded = false;
  /** Point at which the SA is forgotten in states init-answered, rekeyed, deleting and gone. */
  forgetAt: Millis | undefined;

  constructor(init: IkeSaInit) {
    super(toHex(init.role === 'initiator' ? init.initiatorSpi : init.responderSpi), {
      at: init.state,
      link: { remote: init.remote },
    });
    this.id = init.id;
    this.role = init.role;
    this.authenticatedAs = init.role;
    this.initiatorSpi = init.initiatorSpi;
    this.responderSpi = init.responderSpi;
    this.local = init.local;
    this.natTraversalPort = init.natTraversalPort;
    this.createdAt = init.createdAt;
    this.lastInbound = init.createdAt;
  }

  override get state(): IkeSaState {
    return this.phase.at;
  }

  override set state(at: IkeSaState) {
    this.phase = { at, link: this.phase.link };
  }

  get present(): Branch {
    return this;
  }

  get branch(): Branch {
    return pick(this, BRANCH);
  }

  set branch(branch: Branch) {
    Object.assign(this, branch);
  }

  /** Whether the peer is authenticated and the SA carries exchanges of its own. */
  get isEstablished(): boolean {
    return this.state === 'established';
  }

  /** The negotiation as initiator is over: one answer stays, and whatever the others needed is forgotten. */
  endInitiating(): void {
    this.branches.settle();
    for (const { dh } of this.initiating?.requests ?? []) dh.wipe();
    this.initiating?.dh.wipe();
    this.initiating = undefined;
    this.init = undefined;
  }

  /** Forgets all that is secret. Safe to call twice. */
  wipe(): void {
    this.endInitiating();
    this.responding?.dh.wipe();
    this.responding = undefined;
    wipeBranch(this.branch);
    this.keys = undefined;
    this.protection = undefined;
    this.reassembly = undefined;
    for (const task of this.tasks.splice(0)) wipeTask(task);
    if (this.active !== undefined) wipeTask(this.active.task);
    this.active = undefined;
  }
}

/** Forgets the private value of a task that has one. */
export function wipeTask(task: Task): void {
  if ('dh' in task) task.dh?.wipe();
}
