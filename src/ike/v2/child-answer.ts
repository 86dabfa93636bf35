import type { NoncePair } from '../../crypto/keymat.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { NotifyPayload, Payload, TrafficSelector } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { exactlyOne } from '../payloads.js';
import { withinFamilies } from '../policy/carried-pairs.js';
import { acceptEspAnswer, type EspSelection, selectEsp } from '../policy/proposals.js';
import { MAX_PIECES } from '../policy/selector-form.js';
import type { SelectorLists } from '../policy/selectors.js';
import { covers, narrowWithinBudget } from '../policy/selectors.js';
import { failure } from '../sa/failures.js';
import type { AgreedChild } from './agreed.js';
import { spiNumber } from './child.js';
import { childRefused, selectorMismatch } from './failures.js';
import { findError, findNotify, notify } from './payloads.js';

/** What a responder grants of a child SA request. */
export interface GrantedChild {
  readonly selection: EspSelection;
  readonly spiOut: number;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
}

/** Why a child SA request is refused, and what to answer the peer. */
export interface ChildRefusal {
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
): Result<GrantedChild, ChildRefusal> {
  const request = exactlyOne(payloads, 'sa', 'tsi', 'tsr');
  if (request === undefined) {
    const reason = failure('invalid_syntax', 'the request lacks one of SA, TSi and TSr, or has one twice');
    return err({ answer: notify(NotifyType.INVALID_SYNTAX), failure: reason });
  }
  const selection = selectEsp(connection.espProposals, request.sa.proposals, withDh);
  if (!selection.ok) {
    return err({ answer: notify(NotifyType.NO_PROPOSAL_CHOSEN), failure: selection.error });
  }
  const proposed = { localTs: request.tsr.selectors, peerTs: request.tsi.selectors };
  const granted = grantSelectors(connection, proposed);
  if (!granted.ok) {
    const reason = selectorMismatch(connection, proposed, granted.error);
    return err({ answer: notify(NotifyType.TS_UNACCEPTABLE), failure: reason });
  }
  const spiOut = spiNumber(selection.value.peerSpi);
  if (spiOut === undefined) throw new Error('an ESP proposal was selected whose SPI has not 4 octets');
  return ok({ selection: selection.value, spiOut, ...granted.value });
}

/** What is common, of the address families that both sides have; the reason in words when that is nothing. */
function grantSelectors(
  { local, peer }: ConnectionConfig,
  proposed: SelectorLists,
): Result<Pick<GrantedChild, 'localTs' | 'peerTs'>, string> {
  const localTs = narrowWithinBudget(local.selectors, proposed.localTs);
  const peerTs = localTs && narrowWithinBudget(peer.selectors, proposed.peerTs);
  if (localTs === undefined || peerTs === undefined) {
    return err(
      `the selectors that the peer proposes cut one another into more than ${MAX_PIECES} pieces: let it propose whole networks`,
    );
  }
  const granted = withinFamilies({ localTs, peerTs });
  if (granted.localTs.length > 0 && granted.peerTs.length > 0) return ok(granted);
  return err(
    localTs.length > 0 && peerTs.length > 0
      ? 'the peer proposes networks of one address family at its end and of the other at ours, between which no packet passes'
      : 'the peer proposes networks of which none is configured here: its local and remote CIDRs must mirror ours',
  );
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
  const agreed = exactlyOne(payloads, 'sa', 'tsi', 'tsr');
  if (agreed === undefined) {
    const error = findError(payloads);
    return err(
      error === undefined
        ? failure('invalid_syntax', 'the answer lacks one of SA, TSi and TSr, or has one twice', exchange)
        : childRefused(connection, error, exchange, proposed),
    );
  }
  const answer = acceptEspAnswer(connection.espProposals, agreed.sa.proposals, request.withDh);
  if (!answer.ok) return err(answer.error);
  const spiOut = spiNumber(answer.value.peerSpi);
  const localTs = agreed.tsi.selectors;
  const peerTs = agreed.tsr.selectors;
  const subset =
    localTs.length > 0 &&
    peerTs.length > 0 &&
    covers(proposed.localTs, localTs) &&
    covers(proposed.peerTs, peerTs) &&
    withinFamilies({ localTs, peerTs }).localTs.length > 0;
  if (spiOut === undefined || !subset) {
    const message = 'the peer answered with networks that we did not propose';
    return err(selectorMismatch(connection, { localTs, peerTs }, message));
  }
  return ok({
    spiIn,
    spiOut,
    suite: answer.value.suite,
    localTs: localTs.map(copyOfSelector),
    peerTs: peerTs.map(copyOfSelector),
    nonces,
    ...(shared === undefined ? {} : { shared }),
    initiated: true,
    final: !(covers(localTs, proposed.localTs) && covers(peerTs, proposed.peerTs)) && !mayHaveMore(payloads),
  });
}

/** Decoded selectors are views into the datagram. */
function copyOfSelector(selector: TrafficSelector): TrafficSelector {
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
