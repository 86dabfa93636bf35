import type { V1NotifyPayload } from '../../wire/ike/v1/payloads.js';
import { V1Notify, v1NameOf } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { formatIdentity } from '../policy/identity.js';
import { describeEspSpecs } from '../policy/proposals.js';
import { describeIkeSpecsV1 } from '../policy/proposals-v1.js';
import { pairMismatch } from '../policy/quick-identities-v1.js';
import { failure } from '../sa/failures.js';

const MAIN_MODE = 'MAIN_MODE';
const QUICK_MODE = 'QUICK_MODE';

/** RFC 2408 §3.14.1: types below are errors. */
export const FIRST_STATUS_NOTIFY = 16384;

/** What an error that came in during our main mode means. Nothing proves that the peer sent it. */
export function mainRefused(
  connection: ConnectionConfig,
  error: Pick<V1NotifyPayload, 'type'>,
  waitingFor: 'message 2' | 'message 4' | 'message 6',
): Failure {
  const name = v1NameOf('notify', error.type);
  const details = { notify: name, exchange: MAIN_MODE };
  switch (error.type) {
    case V1Notify.NO_PROPOSAL_CHOSEN:
    case V1Notify.BAD_PROPOSAL_SYNTAX:
    case V1Notify.ATTRIBUTES_NOT_SUPPORTED:
      return {
        cause: 'ike_proposal_mismatch',
        message:
          'the peer refused all IKE proposals we offered and does not say why: compare its IKE policy with ours, or let the peer initiate once to see its offer; one that does not take IKEv1 at all often says the same',
        details: { ...details, ours: describeIkeSpecsV1(connection.ikeProposals) },
      };
    case V1Notify.INVALID_MAJOR_VERSION:
    case V1Notify.INVALID_MINOR_VERSION:
      return { cause: 'ike_version_mismatch', message: 'the peer does not speak IKEv1', details };
    case V1Notify.INVALID_EXCHANGE_TYPE:
    case V1Notify.UNSUPPORTED_EXCHANGE_TYPE:
      return {
        cause: 'unsupported',
        message: 'the peer does not accept main mode; it probably expects aggressive mode',
        details,
      };
    default:
  }
  if (waitingFor !== 'message 6') {
    return { cause: 'unsupported', message: `the peer refused main mode with ${name}`, details };
  }
  switch (error.type) {
    case V1Notify.INVALID_ID_INFORMATION:
    case V1Notify.AUTHENTICATION_FAILED:
      return {
        cause: 'authentication_refused',
        message: `the peer refused our authentication as ${formatIdentity(connection.local.identity)}: the pre-shared key or one of the identities differs; the peer's log tells which`,
        details,
      };
    // A wrong key shows as a message that does not decrypt to payloads.
    case V1Notify.PAYLOAD_MALFORMED:
    case V1Notify.INVALID_PAYLOAD_TYPE:
    case V1Notify.UNEQUAL_PAYLOAD_LENGTHS:
    case V1Notify.INVALID_HASH_INFORMATION:
      return {
        ...pskLikely('the peer could not read or verify our authentication', connection),
        details,
      };
    default:
      return {
        cause: 'authentication_refused',
        message: `the peer refused our authentication with ${name}`,
        details,
      };
  }
}

/**
 * A pre-shared key that differs shows in version 1 only as rubbish: the key goes into the encryption.
 * @param named whose identity we gave: some peers treat one that they do not expect as they treat another key
 */
export function pskLikely(evidence: string, named?: ConnectionConfig): Failure {
  const otherwise =
    named === undefined
      ? ''
      : `; where the keys agree, it expects another identity than ${formatIdentity(named.local.identity)}`;
  return {
    cause: 'psk_mismatch_likely',
    message: `${evidence}: pre-shared key mismatch, very likely${otherwise}`,
    details: { exchange: MAIN_MODE },
  };
}

/** The peer's HASH does not verify although its message is well-formed under our key. */
export function pskMismatch(): Failure {
  return mainFailure(
    'psk_mismatch',
    "the peer's authentication does not hold: enter the same pre-shared key at both ends",
  );
}

/** What an error in place of quick mode means. `authentic` by the HASH of the informational exchange. */
export function quickRefused(connection: ConnectionConfig, type: number): Failure {
  const name = v1NameOf('notify', type);
  const details = { notify: name, exchange: QUICK_MODE };
  switch (type) {
    case V1Notify.NO_PROPOSAL_CHOSEN:
    case V1Notify.BAD_PROPOSAL_SYNTAX:
    case V1Notify.ATTRIBUTES_NOT_SUPPORTED:
    case V1Notify.INVALID_TRANSFORM_ID:
      return {
        cause: 'child_proposal_mismatch',
        message:
          'the peer refused all ESP proposals we offered: compare the IPsec policies, PFS group included',
        details: { ...details, ours: describeEspSpecs(connection.espProposals) },
      };
    case V1Notify.INVALID_ID_INFORMATION: {
      const message =
        'the peer does not accept the pair of networks we proposed: its local and remote CIDRs must mirror ours exactly';
      const mismatch = pairMismatch(connection, undefined, message);
      return { ...mismatch, details: { ...mismatch.details, ...details } };
    }
    case V1Notify.INVALID_KEY_INFORMATION:
      return {
        cause: 'pfs_mismatch',
        message: 'the peer wants another PFS group, or none',
        details: { ...details, ours: describeEspSpecs(connection.espProposals) },
      };
    default:
      return { cause: 'unsupported', message: `the peer refused quick mode with ${name}`, details };
  }
}

/** No answer to quick mode from a peer that is there: many refuse silently. */
export function quickSilent(connection: ConnectionConfig, tries: number): Failure {
  const mismatch = pairMismatch(
    connection,
    undefined,
    'the peer does not answer quick mode: IKEv1 peers refuse networks or proposals they do not have without a word, so compare both',
  );
  const ours = describeEspSpecs(connection.espProposals);
  return {
    ...mismatch,
    cause: 'peer_silent',
    details: { ...mismatch.details, exchange: QUICK_MODE, tries, ours },
  };
}

/** No answer to the main mode that was to replace an SA. */
export function rekeySilent(): Failure {
  return {
    cause: 'rekey_failed',
    message: 'the peer did not answer the main mode that was to replace the ISAKMP SA',
    details: { exchange: MAIN_MODE },
  };
}

/** What the refusal of a rekeying means once the lifetime of the SA is over. */
export function rekeyRefused(why: Failure): Failure {
  return {
    ...why,
    cause: why.cause.includes('_mismatch') ? why.cause : 'rekey_failed',
    message: `the ISAKMP SA reached the end of its lifetime, since it could not be rekeyed: ${why.message}`,
  };
}

/** A plain failure with the exchange in which it happened. */
export function mainFailure(cause: Failure['cause'], message: string): Failure {
  return failure(cause, message, MAIN_MODE);
}

/** Returns a failure in quick mode. */
export function quickFailure(cause: Failure['cause'], message: string): Failure {
  return failure(cause, message, QUICK_MODE);
}
