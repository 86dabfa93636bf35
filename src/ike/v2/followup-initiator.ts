import { copyOf } from '../../util/bytes.js';
import type { Result } from '../../util/result.js';
import { err, ok } from '../../util/result.js';
import { type SecretKey, wipeSecrets } from '../../util/secret.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import { exactlyOne } from '../payloads.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import { beginDelete } from './close.js';
import { createFailed, createGivesWay, createPutOff, finishCreate } from './create-child-initiator.js';
import type { IkeSaIn, ServingSa } from './ike-sa.js';
import { exchangePolicy } from './liveness.js';
import { findError, findNotify, notify } from './payloads.js';
import { finishRekeyIke, giveWay, putOff, rekeyFailed } from './rekey-ike.js';
import { sendRequest } from './send.js';
import type { AgreedCreate, FollowupExchange, FollowupTask } from './tasks.js';
import type { Inbound, World } from './world.js';

/** HDR, SK {KEi(n), N(ADDITIONAL_KEY_EXCHANGE)(link)}, RFC 9370 §2.2.4. */
export function sendFollowup(world: World, sa: ServingSa, task: FollowupTask): void {
  const { crypto, random } = world.ctx;
  const method = task.left[0];
  if (method === undefined) throw new Error('no additional key exchange is left to be made');
  const dh = crypto.keyExchange(method).begin(random);
  const payloads: Payload[] = [
    { kind: 'ke', group: method, data: dh.publicValue },
    notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, task.link),
  ];
  const exchange = { ...task, dh };
  sendRequest(world, sa, exchange, ExchangeType.IKE_FOLLOWUP_KE, payloads, exchangePolicy(world, sa));
}

/** HDR, SK {KEr(n) [, N(ADDITIONAL_KEY_EXCHANGE)(link)]}, or an error. */
export function followupAnswered(
  world: World,
  sa: ServingSa,
  task: FollowupExchange,
  message: Inbound,
): void {
  const { payloads } = message;
  const { of } = task;
  const error = findError(payloads);
  if (error !== undefined) {
    wipe(task);
    refused(world, sa, of, error);
    return;
  }
  const [method, ...left] = task.left;
  const agreed = agree(task, payloads);
  const link = findNotify(payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE);
  if (!agreed.ok || (left.length > 0 && link === undefined)) {
    wipe(task);
    if (agreed.ok) agreed.value.wipe();
    const why = agreed.ok
      ? failure('invalid_syntax', `no link after ${nameOf('dh', method ?? 0)}`, NAME)
      : agreed.error;
    failed(world, sa, of, why, left.length === 0);
    return;
  }
  const secrets = [...task.secrets, agreed.value];
  if (left.length > 0 && link !== undefined) {
    if (givesWay(world, sa, of)) wipeSecrets({ of, secrets });
    else sa.tasks.unshift({ kind: 'followup-ke', of, left, secrets, link: copyOf(link.data) });
  } else if (isCreate(of)) {
    finishCreate(world, sa, of.task, { ...of.child, additional: secrets });
  } else {
    finishRekeyIke(world, sa, of.task, of.ike, secrets);
  }
}

/**
 * The same when the IKE SA was ordered to end meanwhile. With its last key exchange the peer has made what it was for: a
 * child SA ends with this IKE SA, a new IKE SA is made here too, so that it can be deleted at both ends.
 */
export function followupAnsweredWhileDeleting(
  world: World,
  sa: IkeSaIn<'deleting'>,
  task: FollowupExchange,
  { payloads }: Inbound,
): void {
  const { of } = task;
  const made = findError(payloads) === undefined && task.left.length === 1 && !isCreate(of);
  const agreed = made ? agree(task, payloads) : undefined;
  if (agreed?.ok === true && !isCreate(of)) {
    finishRekeyIke(world, sa, of.task, of.ike, [...task.secrets, agreed.value]);
    return;
  }
  if (isCreate(of)) releaseSpi(world, of.task.spi);
  wipe(task);
}

const NAME = 'IKE_FOLLOWUP_KE';

function agree(task: FollowupExchange, payloads: readonly Payload[]): Result<SecretKey, Failure> {
  const ke = exactlyOne(payloads, 'ke')?.ke;
  if (ke?.group !== task.dh.group) {
    const what = `the answer has not exactly one KE payload, of ${nameOf('dh', task.dh.group)}`;
    return err(failure('invalid_syntax', what, NAME));
  }
  const shared = task.dh.agree(ke.data);
  return shared.ok ? ok(shared.value) : err(failure('invalid_syntax', shared.error.message, NAME));
}

function isCreate(of: FollowupTask['of']): of is AgreedCreate {
  return 'child' in of;
}

function givesWay(world: World, sa: ServingSa, of: FollowupTask['of']): boolean {
  return isCreate(of) ? createGivesWay(world, sa, of) : giveWay(world, sa, of);
}

/** What the responder has forgotten, or cannot go on with now, is begun again from CREATE_CHILD_SA on. */
function refused(world: World, sa: ServingSa, of: FollowupTask['of'], error: NotifyPayload): void {
  const again = error.type === NotifyType.STATE_NOT_FOUND || error.type === NotifyType.TEMPORARY_FAILURE;
  const name = nameOf('notify', error.type);
  if (!again)
    failed(
      world,
      sa,
      of,
      failure('rekey_failed', `the peer refused a key exchange with ${name}`, NAME),
      false,
    );
  else if (isCreate(of)) createPutOff(world, sa, of.task);
  else putOff(world, sa);
}

/** `atEnd`: the peer has made the SA, which we cannot have. */
function failed(world: World, sa: ServingSa, of: FollowupTask['of'], why: Failure, atEnd: boolean): void {
  if (isCreate(of)) createFailed(world, sa, of.task, why, atEnd);
  else if (atEnd) beginDelete(world, sa, 'failed', why);
  else rekeyFailed(world, sa, why);
}

function wipe(task: FollowupExchange): void {
  task.dh.wipe();
  wipeSecrets({ of: task.of, secrets: task.secrets });
}
