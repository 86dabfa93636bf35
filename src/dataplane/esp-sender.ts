import type { Endpoint } from '../util/ip.js';

/**
 * Sends one ESP packet, in UDP (RFC 3948 §2.1) or as IP protocol 50. `dropped` is called, at once or later, when it did
 * not leave.
 */
export type SendEsp = (
  local: Endpoint,
  remote: Endpoint,
  packet: Uint8Array,
  dropped: (reason: 'send_error' | 'queue_full') => void,
) => void;
