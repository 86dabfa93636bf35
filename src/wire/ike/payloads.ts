/**
 * IKEv2 payloads as plain records (RFC 7296 §3.2-3.16, RFC 7383 §2.5). Arrays of octets in decoded records
 * are views into the datagram: copy what must live longer.
 */

/** RFC 7296 §3.3.5. Fixed form attributes have a number, variable ones octets. */
export interface TransformAttribute {
  readonly type: number;
  readonly value: number | Uint8Array;
}

/** RFC 7296 §3.3.2. `keyBits` is the Key Length attribute; all other attributes are in `attributes`. */
export interface Transform {
  readonly type: number;
  readonly id: number;
  readonly keyBits?: number;
  readonly attributes?: readonly TransformAttribute[];
}

/** RFC 7296 §3.3.1. `spi` is empty, 4 octets (ESP, AH) or 8 (IKE rekey). */
export interface Proposal {
  readonly number: number;
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly transforms: readonly Transform[];
}

/**
 * One traffic selector, RFC 7296 §3.13.1. Protocol 0 means any. Addresses have 4 or 16 octets. A selector
 * of another type than the two address ranges is carried through: `other` is all after its length field,
 * the addresses are empty.
 */
export interface TrafficSelector {
  readonly tsType: number;
  readonly protocol: number;
  readonly startPort: number;
  readonly endPort: number;
  readonly startAddress: Uint8Array;
  readonly endAddress: Uint8Array;
  readonly other?: Uint8Array;
}

/** RFC 7296 §3.15.1. */
export interface ConfigAttribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Every payload may carry the critical bit; a sender sets it only on types newer than RFC 7296 (§2.5). */
interface Common {
  readonly critical?: boolean;
}

/** Security Association payload (RFC 7296 §3.3). */
export interface SaPayload extends Common {
  readonly kind: 'sa';
  readonly proposals: readonly Proposal[];
}
/** Key Exchange payload: the group and the sender's public value (RFC 7296 §3.4). */
export interface KePayload extends Common {
  readonly kind: 'ke';
  readonly group: number;
  readonly data: Uint8Array;
}
/** `reserved` are the three octets after the type: AUTH covers them as sent (RFC 7296 §2.15). */
export interface IdPayload extends Common {
  readonly kind: 'idi' | 'idr';
  readonly idType: number;
  readonly data: Uint8Array;
  readonly reserved?: number;
}
/** Certificate payload (RFC 7296 §3.6); `data` in the form that `encoding` says. */
export interface CertPayload extends Common {
  readonly kind: 'cert';
  readonly encoding: number;
  readonly data: Uint8Array;
}
/** Certificate Request payload (RFC 7296 §3.7); `authorities` are SHA-1 hashes of 20 octets each, concatenated. */
export interface CertReqPayload extends Common {
  readonly kind: 'certreq';
  readonly encoding: number;
  readonly authorities: Uint8Array;
}
/** Authentication payload (RFC 7296 §3.8). */
export interface AuthPayload extends Common {
  readonly kind: 'auth';
  readonly method: number;
  readonly data: Uint8Array;
}
/** Nonce payload, of 16 to 256 octets (RFC 7296 §3.9). */
export interface NoncePayload extends Common {
  readonly kind: 'nonce';
  readonly data: Uint8Array;
}
/** Notify payload (RFC 7296 §3.10). `spi` is empty unless it is about an SA; `protocol` is 0 then. */
export interface NotifyPayload extends Common {
  readonly kind: 'notify';
  readonly protocol: number;
  readonly spi: Uint8Array;
  readonly type: number;
  readonly data: Uint8Array;
}
/** IKE SA: protocol 1 and no SPI. ESP and AH: SPIs of 4 octets, those the sender expects inbound. */
export interface DeletePayload extends Common {
  readonly kind: 'delete';
  readonly protocol: number;
  readonly spis: readonly Uint8Array[];
}
/** Vendor ID payload, of any octets (RFC 7296 §3.12). */
export interface VendorPayload extends Common {
  readonly kind: 'vendor';
  readonly data: Uint8Array;
}
/** Traffic Selector payload of the initiator or the responder (RFC 7296 §3.13). */
export interface TsPayload extends Common {
  readonly kind: 'tsi' | 'tsr';
  readonly selectors: readonly TrafficSelector[];
}
/** Configuration payload (RFC 7296 §3.15). */
export interface ConfigPayload extends Common {
  readonly kind: 'cp';
  readonly cfgType: number;
  readonly attributes: readonly ConfigAttribute[];
}
/** EAP payload (RFC 7296 §3.16); `data` is a whole EAP message. */
export interface EapPayload extends Common {
  readonly kind: 'eap';
  readonly data: Uint8Array;
}
/**
 * Encrypted and still sealed (RFC 7296 §3.14): `body` is IV, ciphertext, ICV. Always the last payload of a
 * message. `first` is the type of the first payload inside, `offset` where `body` begins in the datagram.
 */
export interface SkPayload extends Common {
  readonly kind: 'sk';
  readonly first: number;
  readonly body: Uint8Array;
  readonly offset: number;
}
/** Encrypted fragment (RFC 7383 §2.5); `first` is 0 in all fragments but number 1. */
export interface SkfPayload extends Common {
  readonly kind: 'skf';
  readonly first: number;
  readonly fragment: number;
  readonly total: number;
  readonly body: Uint8Array;
  readonly offset: number;
}
/** A type this codec does not know, without the critical bit: carried through untouched. */
export interface UnknownPayload extends Common {
  readonly kind: 'unknown';
  readonly type: number;
  readonly body: Uint8Array;
}

/** Any payload of IKEv2, told apart by `kind`. */
export type Payload =
  | SaPayload
  | KePayload
  | IdPayload
  | CertPayload
  | CertReqPayload
  | AuthPayload
  | NoncePayload
  | NotifyPayload
  | DeletePayload
  | VendorPayload
  | TsPayload
  | ConfigPayload
  | EapPayload
  | SkPayload
  | SkfPayload
  | UnknownPayload;

/** RFC 7296 §3.1, without the length, which the encoder computes. SPIs have 8 octets. */
export interface IkeHeader {
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
  readonly majorVersion: number;
  readonly minorVersion: number;
  readonly exchangeType: number;
  /** Flag I: sent by the original initiator of the IKE SA. */
  readonly fromInitiator: boolean;
  /** Flag V: the sender can speak a higher major version. */
  readonly higherVersion: boolean;
  /** Flag R: an answer to the request with the same message id. */
  readonly response: boolean;
  readonly messageId: number;
}

/** A message of IKEv2: its header and the payloads of its chain, in order (RFC 7296 §3.1 and §3.2). */
export interface IkeMessage {
  readonly header: IkeHeader;
  readonly payloads: readonly Payload[];
}
