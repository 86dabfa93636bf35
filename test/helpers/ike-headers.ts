import type { IkeHeader } from '../../src/wire/ike/payloads.js';
import { ExchangeType } from '../../src/wire/ike/registry.js';

/** Of the first request of an IKE SA. */
export const FIRST_HEADER: IkeHeader = {
  initiatorSpi: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  responderSpi: new Uint8Array(8),
  majorVersion: 2,
  minorVersion: 0,
  exchangeType: ExchangeType.IKE_SA_INIT,
  fromInitiator: true,
  higherVersion: false,
  response: false,
  messageId: 0,
};
