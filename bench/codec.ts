import { fromHex } from '#culvert/util/bytes.js';
import type { Result } from '#culvert/util/result.js';
import { decodeMessage, decodePayloads, encodeMessage, encodePayloads } from '#culvert/wire/ike/message.js';
import type { IkeHeader, Payload } from '#culvert/wire/ike/payloads.js';
import { ExchangeType, NotifyType } from '#culvert/wire/ike/registry.js';

/** One line of the codec table. */
export interface CodecRow {
  readonly operation: string;
  readonly octets: number;
  readonly perSecond: number;
  readonly microseconds: number;
}

/** How long each of the four operations is measured, after a warm-up of a quarter of it. */
const MEASURE_MS = 350;

/**
 * Decoding and encoding of a typical IKE_SA_INIT request and of the payloads inside a typical IKE_AUTH
 * request, on one thread. Takes about 1.8 s.
 */
export function benchCodec(): CodecRow[] {
  const header: IkeHeader = {
    initiatorSpi: new Uint8Array(8).fill(1),
    responderSpi: new Uint8Array(8),
    majorVersion: 2,
    minorVersion: 0,
    exchangeType: ExchangeType.IKE_SA_INIT,
    fromInitiator: true,
    higherVersion: false,
    response: false,
    messageId: 0,
  };
  const init = initPayloads();
  const initBytes = encodeMessage(header, init);
  const auth = authPayloads();
  const { first, bytes: authBytes } = encodePayloads(auth);
  return [
    measure('decode IKE_SA_INIT', initBytes.length, () => must(decodeMessage(initBytes))),
    measure('encode IKE_SA_INIT', initBytes.length, () => encodeMessage(header, init)),
    measure('decode IKE_AUTH payloads', authBytes.length, () => must(decodePayloads(first, authBytes, 0))),
    measure('encode IKE_AUTH payloads', authBytes.length, () => encodePayloads(auth)),
  ];
}

function measure(operation: string, octets: number, run: () => unknown): CodecRow {
  repeat(run, MEASURE_MS / 4);
  const { count, elapsed } = repeat(run, MEASURE_MS);
  return {
    operation,
    octets,
    perSecond: Math.round((count / elapsed) * 1000),
    microseconds: Math.round((elapsed / count) * 1e5) / 100,
  };
}

function repeat(run: () => unknown, milliseconds: number): { count: number; elapsed: number } {
  const start = performance.now();
  let count = 0;
  let elapsed = 0;
  do {
    for (let i = 0; i < 200; i++) run();
    count += 200;
    elapsed = performance.now() - start;
  } while (elapsed < milliseconds);
  return { count, elapsed };
}

function must<T, E>(result: Result<T, E>): T {
  if (!result.ok) throw new Error(`the bench's own message does not decode: ${JSON.stringify(result.error)}`);
  return result.value;
}

function notify(type: number, length: number): Payload {
  return { kind: 'notify', protocol: 0, spi: new Uint8Array(0), type, data: new Uint8Array(length) };
}

/** What a gateway that offers three ciphers, hashes and groups sends first. */
function initPayloads(): Payload[] {
  return [
    {
      kind: 'sa',
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            { type: 1, id: 12, keyBits: 256 },
            { type: 1, id: 12, keyBits: 128 },
            { type: 1, id: 3 },
            { type: 3, id: 12 },
            { type: 3, id: 2 },
            { type: 3, id: 1 },
            { type: 2, id: 5 },
            { type: 2, id: 2 },
            { type: 2, id: 1 },
            { type: 4, id: 14 },
            { type: 4, id: 5 },
            { type: 4, id: 2 },
          ],
        },
      ],
    },
    { kind: 'ke', group: 14, data: new Uint8Array(256).fill(0xab) },
    { kind: 'nonce', data: new Uint8Array(32).fill(0xcd) },
    notify(NotifyType.NAT_DETECTION_SOURCE_IP, 20),
    notify(NotifyType.NAT_DETECTION_DESTINATION_IP, 20),
    notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED, 0),
    notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, 8),
  ];
}

function authPayloads(): Payload[] {
  const any = {
    tsType: 7,
    protocol: 0,
    startPort: 0,
    endPort: 0xffff,
    startAddress: fromHex('0a010000'),
    endAddress: fromHex('0a0100ff'),
  };
  return [
    { kind: 'idi', idType: 2, data: new TextEncoder().encode('a.example') },
    { kind: 'idr', idType: 2, data: new TextEncoder().encode('b.example') },
    { kind: 'auth', method: 2, data: new Uint8Array(32) },
    {
      kind: 'sa',
      proposals: [
        {
          number: 1,
          protocol: 3,
          spi: fromHex('c1a2b3c4'),
          transforms: [
            { type: 1, id: 12, keyBits: 256 },
            { type: 3, id: 12 },
            { type: 5, id: 0 },
          ],
        },
      ],
    },
    { kind: 'tsi', selectors: [any, any] },
    { kind: 'tsr', selectors: [any, any] },
    notify(NotifyType.INITIAL_CONTACT, 0),
    notify(NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED, 0),
  ];
}
