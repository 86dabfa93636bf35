/**
 * `culvert/esp`: ESP SAs in tunnel mode (RFC 4303), one packet at a time. `OutboundSa.seal` turns an IP packet into an
 * ESP packet; `InboundSa.open` turns it back after it has verified the ICV, the replay window (RFC 6479) and the
 * trailer. Both keep their keys until `wipe` is called. UDP encapsulation (RFC 3948) is the caller's: the octets begin
 * with the SPI.
 */
export { DROP_REASONS, type DropReason } from './drops.js';
export { type EspLayout, espLayout, espLength, innerMtu } from './layout.js';
export { InboundSa, type InboundSaOptions } from './open.js';
export { DEFAULT_REPLAY_WINDOW, type EspPair } from './params.js';
export { OutboundSa, type OutboundSaOptions } from './seal.js';
export { SelectorSet } from './selectors.js';
