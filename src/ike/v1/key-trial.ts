import { equalConstantTime } from '../../crypto/compare.js';
import { hashI } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { ByteCount, Millis } from '../../util/units.js';
import { encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1IdPayload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { find } from '../payloads.js';
import type { Candidates, KeyGroup } from '../policy/candidates.js';
import { drop } from '../sa/world.js';
import { pskLikely, pskMismatch } from './failures.js';
import type { IsakmpSaIn } from './isakmp-sa.js';
import { protectionOf } from './keys.js';
import type { KeyTrial } from './phases.js';
import type { OpenedV1, V1Protection } from './protect.js';
import type { Inbound, World } from './world.js';

/** Different messages 5 that are tried for one half-open SA. A peer sends one, and repeats it. */
const MAX_TRIALS = 4;
/** Octets of a message 5 that is tried: identity, hash and a notification take some hundred. */
const MAX_MESSAGE: ByteCount = 2048;
/** Keys that are tried at once; the others' turn comes when what else is due was done. */
const KEYS_PER_TURN = 2;
/** How long a trial waits for its next turn, and how long when the budget is used up. */
const PAUSE: Millis = 2;
const LONG_PAUSE: Millis = 20;

/** The key that opens a message 5, and what is in it. */
export interface FoundKey {
  readonly opened: OpenedV1;
  readonly id: V1IdPayload;
  /** Under this key. The caller owns it. */
  readonly protection: V1Protection;
  /** The connections that have this key. */
  readonly connections: Candidates;
}

/** Whether keys may be tried on this message 5; counts it as tried then. */
export function mayTry(world: World, sa: IsakmpSaIn<'ke-answered'>, { datagram }: Inbound): boolean {
  const { phase } = sa;
  const refuse = (reason: 'too_large' | 'rate_limited' | 'unexpected', why: string): false => {
    drop(world, datagram, reason, why);
    return false;
  };
  if (datagram.bytes.length > MAX_MESSAGE)
    return refuse('too_large', `message 5 of main mode has ${datagram.bytes.length} octets`);
  if (phase.trial !== undefined)
    return refuse('unexpected', 'keys are still being tried on the message 5 before');
  if (phase.trials >= MAX_TRIALS)
    return refuse(
      'rate_limited',
      `${MAX_TRIALS} messages 5 of this main mode were not made with a key of ours`,
    );
  phase.trials++;
  return true;
}

/**
 * Begins to look for the key of message 5. Only the encryption shows which key it is (RFC 2409 §5.4), so
 * all of those have to be tried that the peer may have: a stranger's rubbish costs as much as there are keys. So there
 * are few trials, in turns, and within a budget.
 */
export function beginTrial(
  world: World,
  sa: IsakmpSaIn<'ke-answered'>,
  message: Inbound,
  sealed: V1Sealed,
  shared: SecretKey,
): KeyTrial {
  const { named, others } = sa.phase.offer.candidates.keys;
  return {
    // Views of the datagram are valid for this input only, and the trial may go on after it.
    ...copyOfMessage(message, sealed),
    shared,
    groups: [...named, ...others],
    free: named.length,
    next: 0,
    nextAt: world.ctx.now,
    failure: pskLikely('message 5 of main mode decrypts to rubbish'),
  };
}

/** Tries the next keys: the one that fits; `rubbish` when none does; undefined while there are more to try. */
export function tryKeys(
  world: World,
  sa: IsakmpSaIn<'ke-answered'>,
  trial: KeyTrial,
): FoundKey | 'rubbish' | undefined {
  const { now } = world.ctx;
  for (let turn = 0; turn < KEYS_PER_TURN; turn++) {
    const group = trial.groups[trial.next];
    if (group === undefined) return 'rubbish';
    if (trial.next >= trial.free && !world.keyTrials.take(now)) {
      trial.nextAt = now + LONG_PAUSE;
      return undefined;
    }
    trial.next++;
    const found = tryKey(world, sa, trial, group);
    if (found !== undefined) return found;
  }
  if (trial.next === trial.groups.length) return 'rubbish';
  trial.nextAt = now + PAUSE;
  return undefined;
}

function tryKey(
  world: World,
  { cookies, phase }: IsakmpSaIn<'ke-answered'>,
  trial: KeyTrial,
  { psk, connections }: KeyGroup,
): FoundKey | undefined {
  const { terms, transcript } = phase;
  const agreement = { suite: terms.suite, cookies, transcript, shared: trial.shared };
  const protection = protectionOf(world, agreement, psk);
  const opened = protection.open(protection.phase1, trial.sealed);
  const id = opened.ok ? find(opened.value.payloads, 'id') : undefined;
  const hash = opened.ok ? find(opened.value.payloads, 'hash')?.data : undefined;
  if (opened.ok && id !== undefined && hash !== undefined) {
    const seen = { ...transcript, cookies };
    const expected = hashI(protection.prf, protection.keys.skeyid, seen, encodeV1Body(id));
    if (equalConstantTime(expected, hash)) return { opened: opened.value, id, protection, connections };
    trial.failure = pskMismatch();
  }
  protection.wipe();
  return undefined;
}

function copyOfMessage(message: Inbound, sealed: V1Sealed): Pick<KeyTrial, 'message' | 'sealed'> {
  const { datagram, header } = message;
  const bytes = copyOf(datagram.bytes);
  const body = bytes.subarray(sealed.offset, sealed.offset + sealed.body.length);
  const cookies = {
    initiatorCookie: copyOf(header.initiatorCookie),
    responderCookie: copyOf(header.responderCookie),
  };
  const copied = { header: { ...header, ...cookies }, payloads: [], datagram: { ...datagram, bytes } };
  return { message: copied, sealed: { ...sealed, body } };
}
