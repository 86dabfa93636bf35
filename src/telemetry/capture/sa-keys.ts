import type { EspKeys, EspSuite } from '../../crypto/types.js';
import type { SaRecord } from '../../ike/sa/record.js';
import type { V1SaRecord } from '../../ike/v1/record.js';
import type { V2SaRecord } from '../../ike/v2/record.js';
import { parseIp } from '../../util/ip.js';
import { espLine, ikev1Line, ikev2Line, type KeyLine } from './wireshark-keys.js';

/** The lines for the IKE SA of a record: none for a suite that Wireshark lacks. The record stays its owner's. */
export function ikeKeyLines(record: SaRecord): KeyLine[] {
  if (record.ikeVersion === 1) {
    const { ike, closing } = record as V1SaRecord;
    const sa = ike ?? closing?.ike;
    return sa === undefined ? [] : [ikev1Line(sa.initiatorSpi, sa.keys.encryption)];
  }
  const { initiatorSpi, responderSpi, suite, keys } = (record as V2SaRecord).ike;
  const line = ikev2Line(initiatorSpi, responderSpi, suite, keys);
  return line === undefined ? [] : [line];
}

/** A child SA, as far as its packets are decrypted by it. */
export interface KeyedChild {
  readonly suite: EspSuite;
  readonly spiIn: number;
  readonly spiOut: number;
  readonly keysIn: EspKeys;
  readonly keysOut: EspKeys;
  readonly local: { readonly address: string };
}

/** The lines for both directions of a child SA: none for a suite that Wireshark lacks. The keys stay their owner's. */
export function espKeyLines({ suite, spiIn, spiOut, keysIn, keysOut, local }: KeyedChild): KeyLine[] {
  const family = parseIp(local.address)?.length === 16 ? 6 : 4;
  return [
    { spi: spiIn, keys: keysIn },
    { spi: spiOut, keys: keysOut },
  ].flatMap(({ spi, keys }) => {
    const encryption = keys.encryption.expose();
    const integrity = keys.integrity?.expose() ?? new Uint8Array(0);
    return espLine(suite, { family, spi, encryption, integrity }) ?? [];
  });
}
