import type { NoncePair } from '../../crypto/keymat.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { NotifyPayload, Payload, TrafficSelector } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { acceptEspAnswer, type EspSelection, selectEsp } from '../policy/proposals.js';
import { covers, narrow } from '../policy/selectors.js';
import { type AgreedChild, spiNumber } from './child.js';
import { childRefused, failure, selectorMismatch } from './failures.js';
import { find, findError, findNotify, hasExactlyOne, notify } from './payloads.js';
import type { SelectorLists } from './tasks.js';

/** What a responder grants of a child SA request. */
export interface GrantedChild {
  readonly selection: EspSelection;
  readonly spiOut: number;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
}

/** Why a child SA request is refused, and what to tell the peer. */
export interface Refusal {
  readonly answer: NotifyPayload;
  readonly failure: Failure;
}

/**
 * As responder: proposal and selectors of a child SA request (RFC 7296 §1.2, §1.3.1, §2.9). `withDh` is false
 * in IKE_AUTH.
 */
export function grantChild(
  connection: ConnectionConfig,
  payloads: readonly Payload[],
  withDh: boolean,
): Result<GrantedChild, Refusal> {
  if (!hasExactlyOne(payloads, 'sa', 'tsi', 'tsr')) {
    const reason = failure('invalid_syntax', 'the request lacks one of SA, TSi and TSr, or has one twice');
    return err({ answer: notify(NotifyType.INVALID_SYNTAX), failure: reason });
  }
  const selection = selectEsp(connection.espProposals, find(payloads, 'sa')!.proposals, withDh);
  if (!selection.ok) {
    return err({ answer: notify(NotifyType.NO_PROPOSAL_CHOSEN), failure: selection.error });
  }
  const proposed = { peer: find(payloads, 'tsi')!.selectors, local: find(payloads, 'tsr')!.selectors };
  const localTs = narrow(connection.local.selectors, proposed.local);
  const peerTs = narrow(connection.peer.selectors, proposed.peer);
  if (localTs.length === 0 || peerTs.length === 0) {
    const message =
      'the peer proposes networks of which none is configured here: its local and remote CIDRs must mirror ours';
    return err({
      answer: notify(NotifyType.TS_UNACCEPTABLE),
      failure: selectorMismatch(connection, proposed, message),
    });
  }
  const spiOut = spiNumber(selection.value.peerSpi)!;
  return ok({ selection: selection.value, spiOut, localTs, peerTs });
}

/** As initiator: what the answer to our request makes of the child SA. `spiIn` is the SPI we offered. */
export function acceptChild(
  connection: ConnectionConfig,
  payloads: readonly Payload[],
  request: {
    readonly spiIn: number;
    readonly proposed: SelectorLists;
    readonly withDh: boolean;
    readonly nonces: NoncePair;
    readonly exchange: 'IKE_AUTH' | 'CREATE_CHILD_SA';
    readonly shared?: SecretKey;
  },
): Result<AgreedChild, Failure> {
  const { spiIn, proposed, nonces, exchange, shared } = request;
  if (!hasExactlyOne(payloads, 'sa', 'tsi', 'tsr')) {
    const error = findError(payloads);
    return err(
      error === undefined
        ? failure('invalid_syntax', 'the answer lacks one of SA, TSi and TSr, or has one twice', exchange)
        : childRefused(connection, error, exchange, proposed),
    );
  }
  const answer = acceptEspAnswer(connection.espProposals, find(payloads, 'sa')!.proposals, request.withDh);
  if (!answer.ok) return err(answer.error);
  const spiOut = spiNumber(answer.value.peerSpi);
  const localTs = find(payloads, 'tsi')!.selectors;
  const peerTs = find(payloads, 'tsr')!.selectors;
  const subset =
    localTs.length > 0 &&
    peerTs.length > 0 &&
    covers(proposed.local, localTs) &&
    covers(proposed.peer, peerTs);
  if (spiOut === undefined || !subset) {
    const message = 'the peer answered with networks that we did not propose';
    return err(selectorMismatch(connection, { local: localTs, peer: peerTs }, message));
  }
  return ok({
    spiIn,
    spiOut,
    suite: answer.value.suite,
    localTs: localTs.map(ownCopy),
    peerTs: peerTs.map(ownCopy),
    nonces,
    ...(shared === undefined ? {} : { shared }),
    initiated: true,
    final: !(covers(localTs, proposed.local) && covers(peerTs, proposed.peer)) && !mayHaveMore(payloads),
  });
}

/** Decoded selectors are views into the datagram. */
function ownCopy(selector: TrafficSelector): TrafficSelector {
  return {
    ...selector,
    startAddress: selector.startAddress.slice(),
    endAddress: selector.endAddress.slice(),
  };
}

/** Whether the peer says that it narrowed to a part of what it would grant, and the rest may be asked for (§2.9). */
function mayHaveMore(payloads: readonly Payload[]): boolean {
  return findNotify(payloads, NotifyType.ADDITIONAL_TS_POSSIBLE) !== undefined;
}
