import { toHex } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import type { Role } from '../events.js';
import type { QuirkLedger } from '../quirks.js';
import { Branches } from '../sa/branches.js';
import { type InPhase, TabledSa } from '../sa/table.js';
import type { FragmentBuffer } from './fragments.js';
import { MessageIds } from './message-ids.js';
import { type IsakmpState, type Phase, type Session, wipePhase } from './phases.js';

/** What an ISAKMP SA has from its first moment on. */
export interface IsakmpSaInit {
  readonly id: number;
  readonly role: Role;
  readonly initiatorCookie: Uint8Array;
  readonly createdAt: Millis;
  readonly connection?: ConnectionConfig;
  readonly firstRequestKey?: string;
}

/** One ISAKMP SA (IKE SA of version 1): what stays the same in all its phases, and the phase it is in. */
export class IsakmpSa extends TabledSa<Phase, ConnectionConfig> {
  readonly id: number;
  readonly role: Role;
  readonly createdAt: Millis;
  readonly initiatorCookie: Uint8Array;
  /** Deviations of the peer that were forgiven. */
  readonly quirks: QuirkLedger = new Map();
  /**
   * Initiator, until the peer is authenticated: the other answers to its messages, and those messages. Each is a phase
   * of its own.
   */
  readonly branches = new Branches<Phase>(this, wipePhase);
  /** Responder: under which repetitions of message 1 are known. */
  readonly firstRequestKey: string | undefined;
  readonly messageIds = new MessageIds();
  fragments: FragmentBuffer | undefined;
  fragmentsSent = 0;

  constructor(init: IsakmpSaInit, phase: Phase) {
    const { initiatorCookie, role } = init;
    super(toHex(role === 'initiator' ? initiatorCookie : phase.link.responderCookie), phase);
    this.id = init.id;
    this.role = role;
    this.initiatorCookie = initiatorCookie;
    this.createdAt = init.createdAt;
    this.firstRequestKey = init.firstRequestKey;
    this.connection = init.connection;
  }

  get responderCookie(): Uint8Array {
    return this.phase.link.responderCookie;
  }

  get cookies(): { readonly initiator: Uint8Array; readonly responder: Uint8Array } {
    return { initiator: this.initiatorCookie, responder: this.responderCookie };
  }

  /** Forgets all that is secret, and with it all that it knew of its peer. */
  end(): void {
    this.branches.settle();
    wipePhase(this.phase);
    this.moveTo({ at: 'gone', link: this.phase.link });
    this.messageIds.clear();
    this.fragments = undefined;
  }
}

/** Phases in which the connection is known: an initiator's, and a responder's from the peer's identity on. */
type Identified = Exclude<IsakmpState, 'sa-answered' | 'ke-answered' | 'gone'>;

/** An SA in one of these phases, until it moves on: what an exchange asks for and what it may then rely on. */
export type IsakmpSaIn<At extends IsakmpState> = InPhase<IsakmpSa, At> &
  ([At] extends [Identified] ? { readonly connection: ConnectionConfig } : unknown);

/** Our main mode as initiator is under way. */
export type StartingSa = IsakmpSaIn<'sa-sent' | 'ke-sent' | 'id-sent'>;
/** We are the responder, and the peer is not authenticated. */
export type HalfOpenSa = IsakmpSaIn<'sa-answered' | 'ke-answered'>;
/** Both ends are authenticated: quick modes and informational exchanges may run. */
export type UpSa = IsakmpSaIn<'established' | 'superseded'>;
/** It has keys. */
export type KeyedSa = IsakmpSaIn<'id-sent' | 'established' | 'superseded' | 'closing'>;

/** Narrows an SA to the phase it is in. */
export function isIn<At extends IsakmpState>(sa: IsakmpSa, at: At): sa is IsakmpSaIn<At> {
  return sa.phase.at === at;
}

/** Narrows to an initiator's SA before main mode is complete. */
export function isStarting(sa: IsakmpSa): sa is StartingSa {
  const { at } = sa.phase;
  return at === 'sa-sent' || at === 'ke-sent' || at === 'id-sent';
}

/** Narrows to a responder's SA whose peer has not authenticated. */
export function isHalfOpen(sa: IsakmpSa): sa is HalfOpenSa {
  return sa.phase.at === 'sa-answered' || sa.phase.at === 'ke-answered';
}

/** Narrows to an SA that is established, whether or not a newer one of its connection is. */
export function isUp(sa: IsakmpSa): sa is UpSa {
  return sa.phase.at === 'established' || sa.phase.at === 'superseded';
}

/** Narrows to an SA that can encrypt: from message 5 on, until its keys are wiped. */
export function isKeyed(sa: IsakmpSa): sa is KeyedSa {
  return 'protection' in sa.phase;
}

/** A new SA. */
export function begin<At extends IsakmpState>(
  init: IsakmpSaInit,
  phase: Extract<Phase, { readonly at: At }>,
): IsakmpSaIn<At> {
  return new IsakmpSa(init, phase) as IsakmpSaIn<At>;
}

/** Moves an SA on. Who holds it as one of the phase before must not use it as that any more. */
export function enter<At extends IsakmpState>(
  sa: IsakmpSa,
  phase: Extract<Phase, { readonly at: At }>,
): IsakmpSaIn<At> {
  sa.moveTo(phase);
  return sa as IsakmpSaIn<At>;
}

/** An authentic message of the peer that is new: it begins an exchange, or answers us. */
export function heard(
  { phase: { session } }: { readonly phase: { readonly session: Session } },
  now: Millis,
): void {
  session.lastMessage = now;
  session.lastInbound = Math.max(session.lastInbound, now);
  session.dpd.heard();
}
