import type { IkeSpiPair, NoncePair } from '../../crypto/keymat.js';
import type { IkeSuite } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';
import type { Role } from '../events.js';
import type { NegotiatedChild } from '../sa/child.js';
import type { ChildRecord } from './child-record.js';

/** A child SA that was agreed on, before its keys are made. */
export interface AgreedChild extends Omit<NegotiatedChild, 'encapsulation'> {
  /** Nonces of the exchange that made it (those of IKE_SA_INIT for the first one). */
  readonly nonces: NoncePair;
  /** The secret of its own Diffie-Hellman exchange, with PFS. Wiped here. */
  readonly shared?: SecretKey;
  /** Those of its additional key exchanges, in their order (RFC 9370 §2.2.4). Wiped here too. */
  readonly additional?: readonly SecretKey[];
  /** This end sent the request. */
  readonly initiated: boolean;
  /** The peer narrowed what we asked for and did not say that there is more (RFC 7296 §2.9). */
  readonly final?: boolean;
  readonly replaces?: ChildRecord;
  /** Another IKE SA of the connection carries its traffic: nothing is sent here before the peer is known to have it. */
  readonly standby?: boolean;
}

/** What the keys of a rekeyed IKE SA are made from. */
export interface AgreedIke {
  readonly role: Role;
  readonly spis: IkeSpiPair;
  readonly suite: IkeSuite;
  readonly nonces: NoncePair;
  readonly shared: SecretKey;
}
