import type { IkeHeader } from '../../src/wire/ike/payloads.js';
import { ExchangeType } from '../../src/wire/ike/registry.js';
import type { V1Header } from '../../src/wire/ike/v1/payloads.js';
import { V1Exchange } from '../../src/wire/ike/v1/registry.js';

/** Of the first request of an IKE SA (version 2). */
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

/** Of the first message of main mode (version 1). */
export const FIRST_V1_HEADER: V1Header = {
  initiatorCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  responderCookie: new Uint8Array(8),
  minorVersion: 0,
  exchangeType: V1Exchange.MAIN_MODE,
  encrypted: false,
  commit: false,
  authenticationOnly: false,
  messageId: 0,
};
