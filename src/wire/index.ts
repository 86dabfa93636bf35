/**
 * `culvert/wire`: codecs between octets and plain records, for IKE of both versions (RFC 7296 §3, RFC 2408 §3) and
 * the frame of ESP (RFC 4303 §2, RFC 3948 §2). Decoders are total: whatever the octets are, they return a record or a
 * `WireError` with the place of the fault, and never throw. Records hold copies, so that a buffer may be used again.
 */
export type { WireError, WireErrorCode } from './error.js';
export {
  classifyPort4500,
  ESP_HEADER_LENGTH,
  type EspHeader,
  NAT_KEEPALIVE_OCTET,
  NON_ESP_MARKER,
  type Port4500Kind,
  readEspHeader,
  withNonEspMarker,
} from './esp.js';
export {
  describeIdentity,
  describeProposal,
  describeSelector,
  describeTransform,
  describeWireError,
  dissect,
  summarize,
} from './ike/dissect.js';
export { decodeHeader, decodeMessage, decodePayloads, encodeMessage, encodePayloads } from './ike/message.js';
export type * from './ike/payloads.js';
export * from './ike/registry.js';
export { dissectV1, summarizeV1 } from './ike/v1/dissect.js';
export { decodeV1Message, decodeV1Payloads, encodeV1Message, encodeV1Payloads } from './ike/v1/message.js';
export type * from './ike/v1/payloads.js';
export * from './ike/v1/registry.js';
