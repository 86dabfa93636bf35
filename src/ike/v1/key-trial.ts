import { equalConstantTime } from '../../crypto/compare.js';
import { hashI, wipeV1Keys } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { ByteCount, Millis } from '../../util/units.js';
import { encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1IdPayload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import type { Candidates, KeyGroup } from '../policy/candidates.js';
import { pskLikely, pskMismatch } from './failures.js';
import type { IsakmpSa, KeyTrial } from './isakmp-sa.js';
import { keySa, transcriptOf } from './keys.js';
import type { OpenedV1 } from './protect.js';
import { drop, find, type Inbound, type World } from './world.js';

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
  readonly psk: SecretKey;
  /** The connections that have this key. */
  readonly connections: Candidates;
}

/**
 * Begins to look for the key of message 5. Which key it is stands in nothing but the encryption (RFC 2409 §5.4), so
 * all of those have to be tried that the peer may have: a stranger's rubbish costs as much as there are keys. So there
 * are few trials, in turns, and within a budget. False when this message is not tried.
 */
export function beginTrial(world: World, sa: IsakmpSa, message: Inbound, sealed: V1Sealed): boolean {
  const negotiation = sa.negotiation!;
  const { datagram } = message;
  const refuse = (reason: 'too_large' | 'rate_limited' | 'unexpected', why: string): false => {
    drop(world, datagram, reason, why);
    return false;
  };
  if (datagram.bytes.length > MAX_MESSAGE)
    return refuse('too_large', `message 5 of main mode has ${datagram.bytes.length} octets`);
  if (negotiation.trial !== undefined)
    return refuse('unexpected', 'keys are still being tried on the message 5 before');
  if (negotiation.trials >= MAX_TRIALS)
    return refuse(
      'rate_limited',
      `${MAX_TRIALS} messages 5 of this main mode were not made with a key of ours`,
    );
  negotiation.trials++;
  const { named, others } = negotiation.candidates.keys;
  // Views of the datagram hold for this input only, and the trial may go on after it.
  const own = ownCopy(message, sealed);
  negotiation.trial = {
    ...own,
    groups: [...named, ...others],
    free: named.length,
    next: 0,
    nextAt: world.ctx.now,
    failure: pskLikely('message 5 of main mode decrypts to rubbish'),
  };
  return true;
}

/**
 * Tries the next keys. The key that fits, and the SA has its keys; `rubbish` when none does; undefined while there
 * are more to try.
 */
export function tryKeys(world: World, sa: IsakmpSa): FoundKey | 'rubbish' | undefined {
  const trial = sa.negotiation!.trial!;
  const { now } = world.ctx;
  for (let turn = 0; turn < KEYS_PER_TURN && trial.next < trial.groups.length; turn++) {
    if (trial.next >= trial.free && !world.keyTrials.take(now)) {
      trial.nextAt = now + LONG_PAUSE;
      return undefined;
    }
    const found = tryKey(world, sa, trial, trial.groups[trial.next++]!);
    if (found !== undefined) return found;
  }
  if (trial.next === trial.groups.length) return 'rubbish';
  trial.nextAt = now + PAUSE;
  return undefined;
}

function tryKey(world: World, sa: IsakmpSa, trial: KeyTrial, group: KeyGroup): FoundKey | undefined {
  const { psk, connections } = group;
  keySa(world, sa, psk, sa.negotiation!.shared!);
  const protection = sa.protection!;
  const opened = protection.open(protection.phase1, trial.sealed);
  const id = opened.ok ? find(opened.value.payloads, 'id') : undefined;
  const hash = opened.ok ? find(opened.value.payloads, 'hash')?.data : undefined;
  if (opened.ok && id !== undefined && hash !== undefined) {
    const prf = world.ctx.crypto.prf(sa.suite!.prf);
    const expected = hashI(prf, sa.keys!.skeyid, transcriptOf(sa), encodeV1Body(id));
    if (equalConstantTime(expected, hash)) return { opened: opened.value, id, psk, connections };
    trial.failure = pskMismatch();
  }
  wipeV1Keys(sa.keys!);
  sa.keys = undefined;
  sa.protection = undefined;
  return undefined;
}

function ownCopy(message: Inbound, sealed: V1Sealed): Pick<KeyTrial, 'message' | 'sealed'> {
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
