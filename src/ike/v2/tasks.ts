import type { DhExchange } from '../../crypto/types.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import type { ConnectionConfig } from '../config.js';
import { withinFamilies } from '../policy/carried-pairs.js';

/**
 * The exchanges this end begins on an IKE SA. A task waits in the SA's queue until no other request is
 * under way, is then built into a request, and lives until the answer.
 */
export type Task =
  | { readonly kind: 'init' }
  | { readonly kind: 'auth' }
  | CreateChildTask
  | RekeyIkeTask
  /** DELETE of child SAs that are out of use here already, by their inbound SPIs. */
  | { readonly kind: 'delete-children'; readonly spis: readonly number[] }
  | { readonly kind: 'delete-ike' }
  /** An empty INFORMATIONAL: is the peer alive (RFC 7296 §2.4)? */
  | { readonly kind: 'probe' }
  /** Tells a responder that its AUTH does not hold (RFC 7296 §2.21.2). */
  | { readonly kind: 'refuse-auth' };

export type TaskKind = Task['kind'];

/** Selectors of a child SA, ours and the peer's. */
export interface SelectorLists {
  readonly local: readonly TrafficSelector[];
  readonly peer: readonly TrafficSelector[];
}

/** All networks of the connection that make pairs, as this end proposes them. */
export function wholeOffer({ local, peer }: ConnectionConfig): SelectorLists {
  const { localTs, peerTs } = withinFamilies({ localTs: local.selectors, peerTs: peer.selectors });
  return { local: localTs, peer: peerTs };
}

/** CREATE_CHILD_SA for a new child SA, or for one that replaces `rekeys`. */
export interface CreateChildTask {
  readonly kind: 'create-child';
  readonly rekeys: number | undefined;
  /** One pair of networks that no child SA carries; undefined for all that are configured. */
  readonly pair: SelectorLists | undefined;
  /** Rekeys early to find out whether both ends agree on PFS. */
  readonly verifies: boolean;
  /** Group to use, when the peer asked for it by INVALID_KE_PAYLOAD; else the first configured. */
  readonly group: number | undefined;
  /** Groups the peer has refused already. */
  readonly groupsTried: readonly number[];
  /** What was proposed, when the request has left. */
  proposed: SelectorLists | undefined;
  spi: number;
  nonce: Uint8Array | undefined;
  dh: DhExchange | undefined;
  /** The child SA that the peer made in place of the same one while our request was under way (§2.8.1). */
  rival: number | undefined;
}

/** CREATE_CHILD_SA for a new IKE SA in place of this one (RFC 7296 §1.3.2). */
export interface RekeyIkeTask {
  readonly kind: 'rekey-ike';
  readonly group: number | undefined;
  readonly groupsTried: readonly number[];
  spi: Uint8Array | undefined;
  nonce: Uint8Array | undefined;
  dh: DhExchange | undefined;
  /** The IKE SA that the peer made in place of the same one while our request was under way (§2.8.2). */
  rival: number | undefined;
}

export function createChildTask(
  wish: Partial<Pick<CreateChildTask, 'rekeys' | 'pair' | 'verifies' | 'group' | 'groupsTried'>> = {},
): CreateChildTask {
  const { rekeys, pair, verifies = false, group, groupsTried = [] } = wish;
  return {
    kind: 'create-child',
    rekeys,
    pair,
    verifies,
    group,
    groupsTried,
    proposed: undefined,
    spi: 0,
    nonce: undefined,
    dh: undefined,
    rival: undefined,
  };
}

export function rekeyIkeTask(group?: number, groupsTried: readonly number[] = []): RekeyIkeTask {
  return {
    kind: 'rekey-ike',
    group,
    groupsTried,
    spi: undefined,
    nonce: undefined,
    dh: undefined,
    rival: undefined,
  };
}
