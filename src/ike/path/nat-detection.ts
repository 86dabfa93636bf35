import type { CryptoBackend } from '../../crypto/types.js';
import { equalBytes, writeU16 } from '../../util/bytes.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import type { Random } from '../../util/random.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import { notification } from '../payloads.js';

/** Octets of a SHA-1 digest. */
const HASH_LENGTH = 20;

/** The SPIs of the header that carries the notification: SPIr is zero in the first request. */
export interface HeaderSpis {
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
}

/** What the notifications of one message show. */
export interface NatFinding {
  /** The peer sent NAT detection: it can do UDP encapsulation. */
  readonly supported: boolean;
  /** This end is behind a NAT: the peer sees our address or port changed, or aims at another. */
  readonly local: boolean;
  /** The peer is behind a NAT, or says so to have ESP encapsulated. */
  readonly peer: boolean;
}

/** What is reported of an established IKE SA. */
export interface NatReport {
  readonly local: boolean;
  readonly peer: boolean;
  /**
   * With `peer`: nothing but its notification says so, since its packets come from an address it is configured
   * with, and from the ports of IKE. It may sit behind a NAT that changes neither, or only want its ESP in UDP.
   */
  readonly peerMayForce: boolean;
}

/**
 * A peer that sends a wrong hash to have ESP encapsulated cannot be distinguished from one behind a NAT by that hash
 * (RFC 7296 §2.23, RFC 3947 §3.2), but where its packets come from may prove the NAT.
 * @param expected addresses the peer is configured with
 */
export function natReport(
  found: { readonly local: boolean; readonly peer: boolean },
  remote: Endpoint,
  expected: readonly string[],
): NatReport {
  const { local, peer } = found;
  const from = parseIp(remote.address);
  const known = expected.some((text) => {
    const one = parseIp(text);
    return one !== undefined && from !== undefined && equalBytes(one, from);
  });
  const standard = remote.port === IKE_PORT || remote.port === NAT_TRAVERSAL_PORT;
  return { local, peer, peerMayForce: peer && known && standard };
}

/** SHA-1(SPIi | SPIr | address | port), RFC 7296 §2.23. @throws RangeError when the address is none */
export function natDetectionHash(crypto: CryptoBackend, spis: HeaderSpis, endpoint: Endpoint): Uint8Array {
  const address = parseIp(endpoint.address);
  if (address === undefined) throw new RangeError(`"${endpoint.address}" is not an IP address`);
  const port = new Uint8Array(2);
  writeU16(port, 0, endpoint.port);
  return crypto.hash('sha1', spis.initiatorSpi, spis.responderSpi, address, port);
}

/**
 * The two notifications of a message from `local` to `remote`. With `force` the source hash is random
 * octets: the peer then finds a NAT in front of us and encapsulates too (RFC 7296 §2.23 leaves this as the
 * way to ask for it; it is what other gateways do).
 */
export function natDetectionNotifies(
  crypto: CryptoBackend,
  random: Random,
  spis: HeaderSpis,
  path: { readonly local: Endpoint; readonly remote: Endpoint; readonly force: boolean },
): NotifyPayload[] {
  const source = path.force ? random.bytes(HASH_LENGTH) : natDetectionHash(crypto, spis, path.local);
  const destination = natDetectionHash(crypto, spis, path.remote);
  return [
    notification(NotifyType.NAT_DETECTION_SOURCE_IP, { data: source }),
    notification(NotifyType.NAT_DETECTION_DESTINATION_IP, { data: destination }),
  ];
}

/**
 * Compares the peer's notifications with the addresses its message really came over. A peer that does not
 * know which of its addresses it sends from gives several sources: one match is enough (RFC 7296 §2.23).
 */
export function detectNat(
  crypto: CryptoBackend,
  spis: HeaderSpis,
  payloads: readonly Payload[],
  path: { readonly local: Endpoint; readonly remote: Endpoint },
): NatFinding {
  const sources = hashes(payloads, NotifyType.NAT_DETECTION_SOURCE_IP);
  const destinations = hashes(payloads, NotifyType.NAT_DETECTION_DESTINATION_IP);
  if (sources.length === 0 || destinations.length === 0) {
    return { supported: false, local: false, peer: false };
  }
  const actualSource = natDetectionHash(crypto, spis, path.remote);
  const actualDestination = natDetectionHash(crypto, spis, path.local);
  return {
    supported: true,
    local: !destinations.some((hash) => equalBytes(hash, actualDestination)),
    peer: !sources.some((hash) => equalBytes(hash, actualSource)),
  };
}

function hashes(payloads: readonly Payload[], type: number): Uint8Array[] {
  return payloads.flatMap((p) => (p.kind === 'notify' && p.type === type ? [p.data] : []));
}
