import type { DhExchange } from '../../crypto/types.js';
import { type SecretKey, wipeSecrets } from '../../util/secret.js';
import type { ConnectionConfig } from '../config.js';
import { type NetworkPair, withinFamilies } from '../policy/carried-pairs.js';
import type { SelectorLists } from '../policy/selectors.js';
import type { AgreedChild, AgreedIke } from './agreed.js';

/**
 * The exchanges this end begins on an IKE SA. A task waits in the SA's queue until no other request is
 * under way, and is then built into a request.
 */
export type Task =
  | { readonly kind: 'init' }
  /** The next additional key exchange of an IKE SA that is being negotiated (RFC 9370 §2.2.2). */
  | { readonly kind: 'intermediate' }
  | { readonly kind: 'auth' }
  | CreateChildTask
  | RekeyIkeTask
  | FollowupTask
  /** DELETE of child SAs that are out of use here already, by their inbound SPIs. */
  | { readonly kind: 'delete-children'; readonly spis: readonly number[] }
  | { readonly kind: 'delete-ike' }
  /** An empty INFORMATIONAL: is the peer alive (RFC 7296 §2.4)? */
  | { readonly kind: 'probe' }
  /** Informs a responder that its AUTH does not verify (RFC 7296 §2.21.2). */
  | { readonly kind: 'refuse-auth' };

/** All networks of the connection that make pairs, as this end proposes them. */
export function wholeOffer({ local, peer }: ConnectionConfig): SelectorLists {
  const { localTs, peerTs } = withinFamilies({ localTs: local.selectors, peerTs: peer.selectors });
  return { localTs, peerTs };
}

/** CREATE_CHILD_SA for a new child SA, or for one that replaces `rekeys`. */
export interface CreateChildTask {
  readonly kind: 'create-child';
  readonly rekeys: number | undefined;
  /** One pair of networks that no child SA carries; undefined for all that are configured. */
  readonly pair: NetworkPair | undefined;
  /** Rekeys early to find out whether both ends agree on PFS. */
  readonly verifies: boolean;
  /** Group to use, when the peer asked for it by INVALID_KE_PAYLOAD; else the first configured. */
  readonly group: number | undefined;
  /** Groups the peer has refused already. */
  readonly groupsTried: readonly number[];
}

/** The same when its request has left. */
export interface CreateChildExchange extends CreateChildTask {
  readonly proposed: SelectorLists;
  readonly spi: number;
  readonly nonce: Uint8Array;
  readonly dh: DhExchange | undefined;
  /** The child SA that the peer made in place of the same one while our request was under way (§2.8.1). */
  rival: number | undefined;
}

/** CREATE_CHILD_SA for a new IKE SA in place of this one (RFC 7296 §1.3.2). */
export interface RekeyIkeTask {
  readonly kind: 'rekey-ike';
  readonly group: number | undefined;
  readonly groupsTried: readonly number[];
}

/** The same when its request has left. */
export interface RekeyIkeExchange extends RekeyIkeTask {
  readonly spi: Uint8Array;
  readonly nonce: Uint8Array;
  readonly dh: DhExchange;
  /** The IKE SA that the peer made in place of the same one while our request was under way (§2.8.2). */
  rival: number | undefined;
}

/** IKE_INTERMEDIATE with an additional key exchange, when its request has left. */
export interface IntermediateExchange {
  readonly kind: 'intermediate';
  readonly dh: DhExchange;
}

/** A child SA that CREATE_CHILD_SA has agreed on, and the exchange that asked for it. */
export interface AgreedCreate {
  readonly task: Omit<CreateChildExchange, 'dh'>;
  readonly child: AgreedChild;
}

/** An IKE SA that CREATE_CHILD_SA has agreed on, and the exchange that asked for it. */
export interface AgreedRekey {
  readonly task: Omit<RekeyIkeExchange, 'dh'>;
  readonly ike: AgreedIke;
}

/** IKE_FOLLOWUP_KE: the next additional key exchange of an SA that CREATE_CHILD_SA has agreed on (RFC 9370 §2.2.4). */
export interface FollowupTask {
  readonly kind: 'followup-ke';
  readonly of: AgreedCreate | AgreedRekey;
  /** Key exchanges that are to be made, the next one first. */
  readonly left: readonly number[];
  /** Of those that were made. */
  readonly secrets: readonly SecretKey[];
  /** By which the responder knows what the exchange is for. */
  readonly link: Uint8Array;
}

/** The same when its request has left. */
export interface FollowupExchange extends FollowupTask {
  readonly dh: DhExchange;
}

/** Tasks that have more to them when their request has left. */
type Prepared = CreateChildTask | RekeyIkeTask | FollowupTask | { readonly kind: 'intermediate' };

/** A task whose request waits for its answer. */
export type Exchange =
  | Exclude<Task, Prepared>
  | IntermediateExchange
  | CreateChildExchange
  | RekeyIkeExchange
  | FollowupExchange;

/** Returns a CREATE_CHILD_SA task; without a wish, a further child SA for all networks in the default group. */
export function createChildTask(wish: Partial<Omit<CreateChildTask, 'kind'>> = {}): CreateChildTask {
  const { rekeys, pair, verifies = false, group, groupsTried = [] } = wish;
  return { kind: 'create-child', rekeys, pair, verifies, group, groupsTried };
}

/** Returns a task that rekeys the IKE SA, in `group` where the peer asked for another one (INVALID_KE_PAYLOAD). */
export function rekeyIkeTask(group?: number, groupsTried: readonly number[] = []): RekeyIkeTask {
  return { kind: 'rekey-ike', group, groupsTried };
}

/** What an exchange is for: IKE_FOLLOWUP_KE is part of what CREATE_CHILD_SA has begun. */
export function purposeOf(
  exchange: Exchange | undefined,
): Exclude<Exchange, FollowupExchange> | AgreedCreate['task'] | AgreedRekey['task'] | undefined {
  return exchange?.kind === 'followup-ke' ? exchange.of.task : exchange;
}

/** Forgets the private value of an exchange that has one, and the secrets of those before it. */
export function wipeExchange(exchange: Exchange): void {
  if ('dh' in exchange) exchange.dh?.wipe();
  if (exchange.kind === 'followup-ke') wipeSecrets(exchange);
}
