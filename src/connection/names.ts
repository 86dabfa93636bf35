import { encryptionName, integrityName, keyExchangeName, prfName } from '../crypto/names.js';
import type { EspSuite, IkeSuite } from '../crypto/types.js';

/** The names of a negotiated suite as status and API show them. Null where the suite has no such part. */
export interface SuiteNames {
  readonly encryption: string;
  readonly integrity: string | null;
  readonly dh_group: string | null;
  /** Additional key exchanges in their order, for example ml_kem_768; none in most suites. */
  readonly additional_key_exchanges: readonly string[];
}

/** `group_14`, the form of the API's `pfs` field; null for 0, that is, without a key exchange. */
export function groupName(dh: number): string | null {
  return dh === 0 ? null : `group_${dh}`;
}

/** For example aes256, sha256 and group_14; `integrity` is null with an AEAD cipher. */
export function ikeSuiteNames(
  suite: IkeSuite,
): SuiteNames & { readonly prf: string; readonly dh_group: string } {
  return {
    encryption: encryptionName(suite.encryption),
    integrity: suite.integrity === 0 ? null : integrityName(suite.integrity),
    prf: prfName(suite.prf),
    dh_group: groupName(suite.dh) ?? 'none',
    additional_key_exchanges: (suite.additional ?? []).map(keyExchangeName),
  };
}

/** As `ikeSuiteNames`; `dh_group` is null without perfect forward secrecy. */
export function espSuiteNames(suite: EspSuite): SuiteNames {
  return {
    encryption: encryptionName(suite.encryption),
    integrity: suite.integrity === 0 ? null : integrityName(suite.integrity),
    dh_group: groupName(suite.dh),
    additional_key_exchanges: (suite.additional ?? []).map(keyExchangeName),
  };
}

/** One word for a log line, for example `aes256-sha256-group_14`; parts that the suite lacks are left out. */
export function suiteWord(names: SuiteNames): string {
  const { encryption, integrity, dh_group, additional_key_exchanges: more } = names;
  return [encryption, integrity, dh_group, ...more].filter((x) => x !== null).join('-');
}

/** An ESP SPI as the status shows it: eight hexadecimal digits. */
export function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
