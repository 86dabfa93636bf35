/**
 * IKEv1 payloads as plain records (RFC 2408 §3.4-3.16 in the IPsec DOI, RFC 2407 §4.6). Arrays of octets in
 * decoded records are views into the datagram or the decrypted text: copy what must live longer.
 */
import type { TransformAttribute } from '../payloads.js';

/** RFC 2408 §3.6. Attributes stay in the order sent, in the form sent: basic ones are numbers. */
export interface V1Transform {
  readonly number: number;
  readonly id: number;
  readonly attributes: readonly TransformAttribute[];
}

/** RFC 2408 §3.5. In phase 1 the SPI is empty or whatever the peer sends and is ignored (RFC 2407 §4.4.1). */
export interface V1Proposal {
  readonly number: number;
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly transforms: readonly V1Transform[];
}

/**
 * IPsec DOI, SIT_IDENTITY_ONLY. `body` is the payload after its generic header as received, which HASH_I and
 * HASH_R cover (RFC 2409 §5, `SAi_b`); encoding ignores it.
 */
export interface V1SaPayload {
  readonly kind: 'sa';
  readonly proposals: readonly V1Proposal[];
  readonly body?: Uint8Array;
}
/** RFC 2407 §4.6.2: `protocol` and `port` 0 mean any. */
export interface V1IdPayload {
  readonly kind: 'id';
  readonly idType: number;
  readonly protocol: number;
  readonly port: number;
  readonly data: Uint8Array;
}
/** Certificate or Certificate Request payload (RFC 2408 §3.9 and §3.10). */
export interface V1CertPayload {
  readonly kind: 'cert' | 'certreq';
  readonly encoding: number;
  readonly data: Uint8Array;
}
/** KE, HASH, SIG, nonce, vendor id and NAT-D are nothing but their octets. */
export interface V1DataPayload {
  readonly kind: 'ke' | 'hash' | 'sig' | 'nonce' | 'vendor';
  readonly data: Uint8Array;
}
/** RFC 3947 §3.2. `draft`: with the payload type of the drafts, 130. */
export interface V1NatDPayload {
  readonly kind: 'nat-d';
  readonly data: Uint8Array;
  readonly draft?: boolean;
}
/** Original address, RFC 3947 §5.2. `draft`: with the payload type of the drafts, 131. */
export interface V1NatOaPayload {
  readonly kind: 'nat-oa';
  readonly idType: number;
  readonly address: Uint8Array;
  readonly draft?: boolean;
}
/** RFC 2408 §3.14. */
export interface V1NotifyPayload {
  readonly kind: 'notify';
  readonly doi: number;
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly type: number;
  readonly data: Uint8Array;
}
/** RFC 2408 §3.15. ISAKMP SAs are named by both cookies: SPIs of 16 octets. */
export interface V1DeletePayload {
  readonly kind: 'delete';
  readonly doi: number;
  readonly protocol: number;
  readonly spis: readonly Uint8Array[];
}
/**
 * A part of a whole IKE message, as Cisco and strongSwan send it: `id` is common to all parts, `number`
 * counts from 1, `last` marks the last one.
 */
export interface V1FragmentPayload {
  readonly kind: 'fragment';
  readonly id: number;
  readonly number: number;
  readonly last: boolean;
  readonly data: Uint8Array;
}
/** A type this codec does not know, carried through untouched. */
export interface V1UnknownPayload {
  readonly kind: 'unknown';
  readonly type: number;
  readonly body: Uint8Array;
}

/** Any payload of IKEv1, told apart by `kind`. */
export type V1Payload =
  | V1SaPayload
  | V1IdPayload
  | V1CertPayload
  | V1DataPayload
  | V1NatDPayload
  | V1NatOaPayload
  | V1NotifyPayload
  | V1DeletePayload
  | V1FragmentPayload
  | V1UnknownPayload;

/** RFC 2408 §3.1, without next payload and length. Cookies have 8 octets. */
export interface V1Header {
  readonly initiatorCookie: Uint8Array;
  readonly responderCookie: Uint8Array;
  readonly minorVersion: number;
  readonly exchangeType: number;
  /** Flag E: everything after the header is encrypted. */
  readonly encrypted: boolean;
  /** Flag C: commit. */
  readonly commit: boolean;
  /** Flag A: authenticated, but not encrypted. */
  readonly authenticationOnly: boolean;
  readonly messageId: number;
}

/** Everything after the header of an encrypted message; `first` is the type of the first payload inside. */
export interface V1Sealed {
  readonly first: number;
  readonly body: Uint8Array;
  /** Where `body` begins in the datagram. */
  readonly offset: number;
}

/** With flag E there are no payloads but `sealed`. */
export interface V1Message {
  readonly header: V1Header;
  readonly payloads: readonly V1Payload[];
  readonly sealed?: V1Sealed;
  /** One to three zero octets follow the last payload, within the message. */
  readonly padded?: true;
}
