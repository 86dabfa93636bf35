import { toHex } from '../../util/bytes.js';
import { wipeSecrets } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import type { Role } from '../events.js';
import type { QuirkLedger } from '../quirks.js';
import { Branches } from '../sa/branches.js';
import { type InPhase, TabledSa } from '../sa/table.js';
import type { IkePhase, IkeSaState, InitiatorNegotiation, Keyed, Link } from './phases.js';
import type { Protection } from './protect.js';
import type { Service } from './service.js';
import { type Task, wipeExchange } from './tasks.js';
import { RequestWindow, type SentRequest } from './window.js';

/** Phases in which it is known which connection the SA is of. */
type Named = Exclude<IkeSaState, 'init-answered' | 'gone'>;

/** An IKE SA that is in one of these phases, until `moveTo` moves it on. */
export type IkeSaIn<At extends IkeSaState> = InPhase<IkeSa, At> &
  ([At] extends [Named] ? { readonly connection: ConnectionConfig } : unknown);

/** Both ends are authenticated; another IKE SA may have taken over. */
export type ServingSa = IkeSaIn<'established' | 'rekeyed'>;

/** Our negotiation is under way: in one of the branches, see `answers.ts`. */
export type InitiatingSa = IkeSaIn<'init-sent' | 'intermediate-sent' | 'auth-sent'>;

/** The same where IKE_SA_INIT was answered, by whomever. */
export type AnsweredSa = IkeSaIn<'intermediate-sent' | 'auth-sent'>;

/** What an IKE SA has from its first moment on. */
export interface IkeSaInit {
  readonly id: number;
  readonly role: Role;
  readonly phase: IkePhase;
  readonly initiatorSpi: Uint8Array;
  readonly createdAt: Millis;
  readonly inbound?: RequestWindow;
  readonly firstRequestKey?: string;
}

/**
 * One IKE SA of version 2: what it knows in every phase, and `phase`, what it knows in the present one. Changed by the
 * exchange modules only.
 */
export class IkeSa extends TabledSa<IkePhase, ConnectionConfig> {
  readonly id: number;
  readonly role: Role;
  readonly createdAt: Millis;
  readonly initiatorSpi: Uint8Array;
  /** Under which a responder knows repetitions of the first request. */
  readonly firstRequestKey: string | undefined;
  /** Initiator, until the peer is authenticated: IKE_SA_INIT itself, and the other answers to it. */
  readonly branches = new Branches<IkePhase>(this, wipePhase);
  /** Requests of the peer. */
  readonly inbound: RequestWindow;
  /** Exchanges that wait until none of ours is under way. */
  readonly tasks: Task[] = [];
  /** Last authentic message of the peer, IKE or ESP (RFC 7296 §2.4). */
  lastInbound: Millis;

  constructor(init: IkeSaInit) {
    super(toHex(init.role === 'initiator' ? init.initiatorSpi : init.phase.link.responderSpi), init.phase);
    this.id = init.id;
    this.role = init.role;
    this.initiatorSpi = init.initiatorSpi;
    this.createdAt = init.createdAt;
    this.lastInbound = init.createdAt;
    this.inbound = init.inbound ?? new RequestWindow();
    this.firstRequestKey = init.firstRequestKey;
  }

  get link(): Link {
    return this.phase.link;
  }

  get responderSpi(): Uint8Array {
    return this.phase.link.responderSpi;
  }

  get natTraversal(): boolean {
    return this.phase.link.natTraversal;
  }

  get nat(): { readonly local: boolean; readonly peer: boolean } {
    return this.phase.link.nat;
  }

  get quirks(): QuirkLedger {
    return this.phase.link.quirks;
  }

  /** Our request that is under way. */
  get active(): SentRequest | undefined {
    return this.phase.link.active;
  }

  set active(active: SentRequest | undefined) {
    this.phase.link.active = active;
  }

  get nextMessageId(): number {
    return this.phase.link.nextMessageId;
  }

  set nextMessageId(nextMessageId: number) {
    this.phase.link.nextMessageId = nextMessageId;
  }

  /** Suite and keys, in the phases that have them. */
  get keyed(): Keyed | undefined {
    return 'keyed' in this.phase ? this.phase.keyed : undefined;
  }

  get protection(): Protection | undefined {
    return this.keyed?.protection;
  }

  /** What it has from the time when it was, or is, established. */
  get service(): Service | undefined {
    return 'service' in this.phase ? this.phase.service : undefined;
  }

  /** Forgets all that is secret. */
  end(forgetAt?: Millis): void {
    const { phase, link } = this;
    this.branches.settle();
    wipePhase(phase);
    if ('negotiation' in phase) {
      if (phase.at === 'init-answered') phase.negotiation.dh.wipe();
      else wipeNegotiation(phase.negotiation);
    }
    this.tasks.length = 0;
    link.active = undefined;
    link.reassembly = undefined;
    this.moveTo({ at: 'gone', link, forgetAt });
  }
}

function wipePhase(phase: IkePhase): void {
  if ('keyed' in phase && phase.keyed !== undefined) wipeSecrets(phase.keyed.keys);
  phase.link.reassembly?.request.clear();
  phase.link.reassembly?.response.clear();
  if (phase.link.active !== undefined) wipeExchange(phase.link.active.task);
}

/** The negotiation as initiator is over: whatever the answers needed is forgotten. */
export function wipeNegotiation({ requests, dh }: InitiatorNegotiation): void {
  for (const request of requests) request.dh.wipe();
  dh.wipe();
}

/** Whether the peer is authenticated and the SA carries exchanges of its own. */
export function isEstablished(sa: IkeSa): sa is IkeSaIn<'established'> {
  return sa.state === 'established';
}

/** The same, also when another IKE SA took over. */
export function isServing(sa: IkeSa): sa is ServingSa {
  return sa.state === 'established' || sa.state === 'rekeyed';
}

/** Narrows to an SA of ours whose IKE_SA_INIT, IKE_INTERMEDIATE or IKE_AUTH is not answered yet. */
export function isInitiating(sa: IkeSa): sa is InitiatingSa {
  return sa.state === 'init-sent' || isAnsweredSa(sa);
}

/** Narrows to an SA of ours that continues with an answer to IKE_SA_INIT. */
export function isAnsweredSa(sa: IkeSa): sa is AnsweredSa {
  return sa.state === 'intermediate-sent' || sa.state === 'auth-sent';
}

/** Whether the SA is in this phase. */
export function isIn<At extends IkeSaState>(sa: IkeSa, at: At): sa is IkeSaIn<At> {
  return sa.state === at;
}
