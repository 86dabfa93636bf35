import type { CookiePair } from '../../crypto/keymat-v1.js';
import { HASH_LENGTHS } from '../../crypto/transforms.js';
import type { CryptoBackend, HashName } from '../../crypto/types.js';
import { equalBytes, writeU16 } from '../../util/bytes.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import type { Random } from '../../util/random.js';
import type { V1NatDPayload, V1Payload } from '../../wire/ike/v1/payloads.js';
import type { NatFinding } from '../path/nat-detection.js';
import type { NatDialect } from './vendor-ids.js';

/** HASH(CKY-I | CKY-R | address | port) with the negotiated hash, RFC 3947 §3.2. @throws RangeError */
function natDHash(
  crypto: CryptoBackend,
  hash: HashName,
  cookies: CookiePair,
  endpoint: Endpoint,
): Uint8Array {
  const address = parseIp(endpoint.address);
  if (address === undefined) throw new RangeError(`"${endpoint.address}" is not an IP address`);
  const port = new Uint8Array(2);
  writeU16(port, 0, endpoint.port);
  return crypto.hash(hash, cookies.initiator, cookies.responder, address, port);
}

/**
 * The NAT-D payloads of a message from `local` to `remote`: first where it goes, then where it comes from
 * (RFC 3947 §3.2). With `force` the second is random octets, so that the peer finds a NAT and encapsulates.
 */
export function natDPayloads(
  crypto: CryptoBackend,
  random: Random,
  hash: HashName,
  cookies: CookiePair,
  path: { readonly local: Endpoint; readonly remote: Endpoint; readonly force: boolean },
  dialect: NatDialect,
): V1NatDPayload[] {
  const source = path.force
    ? random.bytes(HASH_LENGTHS[hash].digest)
    : natDHash(crypto, hash, cookies, path.local);
  return [natDHash(crypto, hash, cookies, path.remote), source].map((data) =>
    dialect === 'draft' ? { kind: 'nat-d', data, draft: true } : { kind: 'nat-d', data },
  );
}

/** Compares the peer's NAT-D payloads with the addresses its message really came over. */
export function detectNatV1(
  crypto: CryptoBackend,
  hash: HashName,
  cookies: CookiePair,
  payloads: readonly V1Payload[],
  path: { readonly local: Endpoint; readonly remote: Endpoint },
): NatFinding {
  const [destination, ...sources] = payloads.flatMap((one) => (one.kind === 'nat-d' ? [one.data] : []));
  if (destination === undefined || sources.length === 0)
    return { supported: false, local: false, peer: false };
  const actualSource = natDHash(crypto, hash, cookies, path.remote);
  return {
    supported: true,
    local: !equalBytes(destination, natDHash(crypto, hash, cookies, path.local)),
    peer: !sources.some((one) => equalBytes(one, actualSource)),
  };
}
