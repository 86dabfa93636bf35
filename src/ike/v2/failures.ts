import { describeSelector } from '../../wire/ike/dissect.js';
import type { NotifyPayload } from '../../wire/ike/payloads.js';
import { NotifyType, nameOf } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { formatIdentity } from '../policy/identity.js';
import { describeEspSpecs, describeIkeSpecs } from '../policy/proposals.js';
import type { SelectorLists } from '../policy/selectors.js';
import { failure } from '../sa/failures.js';

/** What an error notification in answer to IKE_SA_INIT means. Nothing proves that the peer sent it. */
export function initRefused(connection: ConnectionConfig, error: NotifyPayload): Failure {
  const name = nameOf('notify', error.type);
  const details = { notify: name, exchange: 'IKE_SA_INIT' };
  switch (error.type) {
    case NotifyType.NO_PROPOSAL_CHOSEN:
      return {
        cause: 'ike_proposal_mismatch',
        message:
          'the peer refused all IKE proposals we offered and does not say why: compare its IKE policy with ours, or let the peer initiate once to see its offer; one that does not take IKEv2 at all often says the same',
        details: { ...details, ours: describeIkeSpecs(connection.ikeProposals) },
      };
    case NotifyType.INVALID_MAJOR_VERSION:
      return { cause: 'ike_version_mismatch', message: 'the peer does not speak IKEv2', details };
    case NotifyType.INVALID_KE_PAYLOAD:
      return {
        cause: 'ike_proposal_mismatch',
        message: 'the peer wants a DH group that we did not offer, or one that it was already sent',
        details: { ...details, ours: describeIkeSpecs(connection.ikeProposals) },
      };
    case NotifyType.INVALID_SYNTAX:
      return { cause: 'invalid_syntax', message: 'the peer could not read our IKE_SA_INIT request', details };
    default:
      return { cause: 'unsupported', message: `the peer refused IKE_SA_INIT with ${name}`, details };
  }
}

/** What an error notification in answer to IKE_AUTH means for the IKE SA. */
export function authRefused(connection: ConnectionConfig, error: NotifyPayload): Failure {
  const name = nameOf('notify', error.type);
  const details = { notify: name, exchange: 'IKE_AUTH' };
  if (error.type === NotifyType.AUTHENTICATION_FAILED) {
    return {
      cause: 'authentication_refused',
      message: `the peer refused our authentication as ${formatIdentity(connection.local.identity)}: the pre-shared key or one of the identities differs; the peer's log tells which`,
      details,
    };
  }
  const child = childRefused(connection, error, 'IKE_AUTH');
  return child.cause === 'unsupported' ? { ...child, cause: 'authentication_refused' } : child;
}

/** What an error notification in place of a child SA means. `proposed`: the selectors of the request. */
export function childRefused(
  connection: ConnectionConfig,
  error: NotifyPayload,
  exchange: 'IKE_AUTH' | 'CREATE_CHILD_SA',
  proposed: SelectorLists = ownSelectors(connection),
): Failure {
  const name = nameOf('notify', error.type);
  const details = { notify: name, exchange };
  switch (error.type) {
    case NotifyType.NO_PROPOSAL_CHOSEN:
      return {
        cause: 'child_proposal_mismatch',
        message:
          'the peer refused all ESP proposals we offered: compare the IPsec policies, PFS group included',
        details: { ...details, ours: describeEspSpecs(connection.espProposals) },
      };
    case NotifyType.INVALID_KE_PAYLOAD:
      return {
        cause: 'pfs_mismatch',
        message: 'the peer wants a PFS group that our IPsec policy does not allow',
        details: { ...details, ours: describeEspSpecs(connection.espProposals) },
      };
    case NotifyType.TS_UNACCEPTABLE:
    case NotifyType.SINGLE_PAIR_REQUIRED:
    case NotifyType.INVALID_SELECTORS:
      return {
        cause: 'ts_mismatch',
        message:
          'the peer accepts none of the networks we proposed: its local and remote CIDRs must mirror ours',
        details: { ...details, ...described(proposed) },
      };
    case NotifyType.NO_ADDITIONAL_SAS:
      return {
        cause: 'no_additional_sas',
        message: 'the peer accepts no further child SA on this IKE SA (NO_ADDITIONAL_SAS)',
        details,
      };
    case NotifyType.INVALID_SYNTAX: {
      // A peer that takes no child SA here answers so (strongSwan's `childless = force`), and says no more.
      const childless =
        exchange === 'IKE_AUTH'
          ? ', or it wants the IKE SA without a child SA (RFC 6023), which Culvert does not do: let the peer take one in IKE_AUTH'
          : '';
      const message = `the peer could not read our ${exchange} request${childless}`;
      return { cause: 'invalid_syntax', message, details };
    }
    default:
      return { cause: 'unsupported', message: `the peer refused the child SA with ${name}`, details };
  }
}

/** What an error in answer to the rekeying of an IKE SA means, once its lifetime is over. */
export function rekeyRefused(connection: ConnectionConfig, error: NotifyPayload): Failure {
  const name = nameOf('notify', error.type);
  const differs =
    error.type === NotifyType.NO_PROPOSAL_CHOSEN || error.type === NotifyType.INVALID_KE_PAYLOAD;
  return {
    cause: differs ? 'ike_proposal_mismatch' : 'rekey_failed',
    message: `the IKE SA reached the end of its lifetime: the peer refused to rekey it with ${name}`,
    details: {
      notify: name,
      exchange: 'CREATE_CHILD_SA',
      ...(differs ? { ours: describeIkeSpecs(connection.ikeProposals) } : {}),
    },
  };
}

/** The selectors of a request or an answer have nothing, or too much, in common with ours. */
export function selectorMismatch(
  connection: ConnectionConfig,
  received: SelectorLists,
  message: string,
): Failure {
  return {
    cause: 'ts_mismatch',
    message,
    details: {
      ...described(ownSelectors(connection)),
      receivedLocalSelectors: received.localTs.map(describeSelector),
      receivedPeerSelectors: received.peerTs.map(describeSelector),
    },
  };
}

/**
 * The peer refused in CREATE_CHILD_SA what it had taken in IKE_AUTH, where no group is negotiated: only PFS
 * is left to differ, which otherwise shows when the first lifetime is over.
 */
export function pfsRefused(connection: ConnectionConfig, refused: Failure): Failure {
  const groups = [...new Set(connection.espProposals.flatMap((spec) => spec.dh))].filter((id) => id !== 0);
  const ours = groups.length === 0 ? 'no PFS' : `PFS with ${groups.map((id) => nameOf('dh', id)).join(', ')}`;
  return {
    ...refused,
    cause: 'pfs_mismatch',
    message: `the peer refused to rekey a child SA that it had made in the same IKE SA: our IPsec policy wants ${ours}, the peer's another group or none`,
  };
}

function ownSelectors(connection: ConnectionConfig): SelectorLists {
  return { localTs: connection.local.selectors, peerTs: connection.peer.selectors };
}

function described(lists: SelectorLists): { localSelectors: string[]; peerSelectors: string[] } {
  return {
    localSelectors: lists.localTs.map(describeSelector),
    peerSelectors: lists.peerTs.map(describeSelector),
  };
}

/** The peer's AUTH does not verify although its identity is the right one. */
export function pskMismatch(): Failure {
  return failure(
    'psk_mismatch',
    'the peer has the expected identity but another pre-shared key: enter the same key at both ends',
    'IKE_AUTH',
  );
}

/** The failure of a peer that authenticates by anything but a pre-shared key. */
export function wrongMethod(method: number): Failure {
  const name = nameOf('authMethod', method);
  return failure(
    'unsupported',
    `the peer authenticates by ${name}; only pre-shared keys are supported here`,
    'IKE_AUTH',
  );
}
