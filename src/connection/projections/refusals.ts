import type { ConnectionConfig } from '../../ike/config.js';
import type { Failure, IkeEvent, Role } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';
import { describeSelector } from '../../wire/ike/describe.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import type { SelectorPair } from '../coverage.js';
import { sameNetworks } from '../coverage.js';
import type { Moment, Projection } from '../projection.js';
import type { Advisory } from '../status.js';

/** Why the peer does not carry a pair of networks. */
export interface PairRefusal {
  readonly failure: Failure;
  readonly at: Millis;
  /** When it is asked for again; undefined when that is up to the next negotiation. */
  readonly retryAt: Millis | undefined;
}

/** Pairs that are kept: more networks than any status shows. */
const MAX_PAIRS = 1024;

/** Which pairs of networks the peer refused, each by itself or all that were offered together. */
export class PairRefusals implements Projection {
  readonly #byPair = new Map<string, PairRefusal>();
  #all: PairRefusal | undefined;

  on(event: IkeEvent, { now }: Moment): void {
    switch (event.kind) {
      case 'ike-established':
        if (event.ike.replaces === undefined) this.clear();
        return;
      case 'child-established':
        this.accepted();
        return;
      case 'child-failed': {
        const { pair, failure, retryAt, rekeys, role } = event;
        if (rekeys === undefined && role === 'initiator') this.refused(pair, { failure, at: now, retryAt });
        return;
      }
      default:
    }
  }

  configure(config: ConnectionConfig, before: ConnectionConfig | undefined): void {
    if (before !== undefined && !sameNetworks(before, config)) this.clear();
  }

  /** `pair` undefined: a child SA for all networks was refused. */
  refused(
    pair: { readonly local: TrafficSelector; readonly peer: TrafficSelector } | undefined,
    refusal: PairRefusal,
  ): void {
    if (pair === undefined) {
      this.#all = refusal;
      return;
    }
    const key = keyOf({ local: describeSelector(pair.local), peer: describeSelector(pair.peer) });
    this.#byPair.delete(key);
    this.#byPair.set(key, refusal);
    if (this.#byPair.size > MAX_PAIRS) this.#byPair.delete(this.#byPair.keys().next().value!);
  }

  /** A child SA is established: what the peer refused as a whole is open again, pair by pair. */
  accepted(): void {
    this.#all = undefined;
  }

  /** A new negotiation, or other networks: earlier refusals do not count any more. */
  clear(): void {
    this.#byPair.clear();
    this.#all = undefined;
  }

  /** Whether a refusal is still known. */
  get any(): boolean {
    return this.#all !== undefined || this.#byPair.size > 0;
  }

  of(pair: SelectorPair): PairRefusal | undefined {
    return this.#byPair.get(keyOf(pair)) ?? this.#all;
  }
}

function keyOf({ local, peer }: SelectorPair): string {
  return `${local} ${peer}`;
}

/** Why a child SA was not rekeyed. */
export interface RekeyRefusal {
  readonly failure: Failure;
  /** The peer had asked for it: what is left of the child SA is up to the lifetime there. */
  readonly byPeer: boolean;
}

/** Rekeyings of child SAs that were refused, by the peer or by us. */
export class RekeyRefusals implements Projection {
  readonly #byChild = new Map<number, RekeyRefusal>();
  /** Of the last child SA that could not be rekeyed and is gone, until one is rekeyed. */
  #last: RekeyRefusal | undefined;

  on(event: IkeEvent, { change }: Moment): void {
    switch (event.kind) {
      case 'child-failed':
        if (event.rekeys !== undefined) this.refused(event.rekeys, event.role, event.failure);
        return;
      case 'child-established':
        if (event.child.replaces !== undefined) this.rekeyed();
        return;
      case 'child-closed':
        if (change.superseded) this.replaced(event.childId);
        else this.lost(event.childId);
        break;
      case 'ike-closed':
        break;
      default:
        return;
    }
    if (change.emptied) this.clear();
  }

  /** Why this child SA could not be rekeyed. */
  of(childId: number): RekeyRefusal | undefined {
    return this.#byChild.get(childId);
  }

  /** @param role ours in the exchange */
  refused(childId: number, role: Role, failure: Failure): void {
    const byPeer = role === 'responder' || this.#byChild.get(childId)?.byPeer === true;
    this.#byChild.set(childId, { failure, byPeer });
  }

  /** A child SA is gone, and no other one has taken its place. */
  lost(childId: number): void {
    const refusal = this.#byChild.get(childId);
    this.#byChild.delete(childId);
    this.#last = refusal ?? this.#last;
  }

  /** A child SA is gone that another one has taken over from. */
  replaced(childId: number): void {
    this.#byChild.delete(childId);
  }

  /** A child SA was rekeyed: whatever prevented it is resolved. */
  rekeyed(): void {
    this.#last = undefined;
  }

  /** No SA is left. */
  clear(): void {
    this.#byChild.clear();
    this.#last = undefined;
  }

  /** The refusal of a rekeying that the peer had asked for, be the child SA still there or not. */
  get ofPeer(): RekeyRefusal | undefined {
    return [...this.#all()].find(({ byPeer }) => byPeer);
  }

  get failures(): Failure[] {
    return [...this.#all()].map(({ failure }) => failure);
  }

  *#all(): Iterable<RekeyRefusal> {
    if (this.#last !== undefined) yield this.#last;
    yield* this.#byChild.values();
  }
}

/**
 * Rekeyings of child SAs that were refused, by the peer or by us, while the child SAs still work.
 * @param reported codes the engine advises by itself: it reports a PFS mismatch of version 2
 */
export function rekeyAdvisories(refusals: Iterable<Failure>, reported: ReadonlySet<string>): Advisory[] {
  const messages = new Map<string, Advisory['code']>();
  for (const { cause, message } of refusals) {
    const code = cause === 'pfs_mismatch' ? cause : 'rekey_refused';
    if (code === 'rekey_refused' || !reported.has(code)) messages.set(message, code);
  }
  return [...messages].map(([message, code]) => ({
    code,
    message: `A child SA could not be rekeyed: ${message}. It is tried again, and what cannot be rekeyed is replaced by a new IKE SA before its lifetime is over.`,
  }));
}
