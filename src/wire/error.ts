/**
 * Why octets could not be read as what they claim to be. Every decoder of this room reports this one type;
 * `offset` counts from the start of the datagram, `context` names the structure being read, for example
 * `SA payload > proposal 2 > transform 1`.
 */
export interface WireError {
  readonly code: WireErrorCode;
  readonly offset: number;
  readonly context: string;
  readonly message: string;
  /** With `unsupported_critical_payload`: the payload type to name in the answer (RFC 7296 §2.5). */
  readonly payloadType?: number;
}

/** Why octets could not be decoded. */
export type WireErrorCode =
  /** The octets end before the structure does. */
  | 'truncated'
  /** A length field contradicts its surroundings. */
  | 'bad_length'
  /** The major version is not one this decoder reads. */
  | 'bad_version'
  /** An unknown payload with the critical bit (RFC 7296 §2.5). */
  | 'unsupported_critical_payload'
  /** A field has a value that the RFC forbids. */
  | 'bad_value'
  /** More items than `LIMITS` allows: refused to bound the work one datagram can cause. */
  | 'too_many'
  /** Octets are left over after the last structure. */
  | 'trailing_octets';
