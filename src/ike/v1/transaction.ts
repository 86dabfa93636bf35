import { equalConstantTime } from '../../crypto/compare.js';
import { hash1 } from '../../crypto/keymat-v1.js';
import type { V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, v1NameOf } from '../../wire/ike/v1/registry.js';
import { drop } from '../sa/world.js';
import { quickFailure } from './failures.js';
import { heard, type UpSa } from './isakmp-sa.js';
import { noteExchange, reportOpened } from './send.js';
import type { Inbound, World } from './world.js';

const NAME = v1NameOf('exchange', V1Exchange.TRANSACTION);
/** For the log, where a transaction exchange is dropped. */
export const UNSPOKEN = `an exchange of type ${NAME}, which is not spoken here`;

/**
 * HDR*, HASH, ATTR: Mode Config, and XAUTH on top of it (draft-dukes-ike-mode-cfg-02 §3.1). Neither is spoken here. A
 * peer that wants one of them delays everything else until it is answered, dead peer detection too: so the end of
 * the SA, which is near, has this for its reason.
 */
export function transaction(world: World, sa: UpSa, message: Inbound, sealed: V1Sealed): void {
  const { header, datagram } = message;
  const { protection, session } = sa.phase;
  if (sa.messageIds.has(header.messageId)) {
    drop(world, datagram, 'unexpected', UNSPOKEN);
    return;
  }
  const { messageId } = header;
  const opened = protection.open(protection.exchange(messageId), sealed);
  const first = opened.ok ? opened.value.payloads[0] : undefined;
  if (!opened.ok || first?.kind !== 'hash') {
    drop(world, datagram, 'decryption_failed', `a message of ${NAME} does not decrypt`);
    return;
  }
  const behind = opened.value.plaintext.subarray(4 + first.data.length);
  if (!equalConstantTime(hash1(protection.prf, protection.keys.skeyidA, messageId, behind), first.data)) {
    drop(world, datagram, 'decryption_failed', `HASH of ${NAME} does not hold`);
    return;
  }
  reportOpened(world, sa, message, opened.value.payloads);
  noteExchange(world, sa, messageId);
  heard(sa, world.ctx.now);
  drop(world, datagram, 'unexpected', UNSPOKEN);
  if (session.unsupported !== undefined) return;
  const words =
    'the peer asks for an address or a login (Mode Config or XAUTH, exchange TRANSACTION), which is not spoken here, and waits for it: take virtual addresses and XAUTH out of its configuration';
  const failure = quickFailure('unsupported', words);
  session.unsupported = { ...failure, details: { exchange: NAME } };
  world.ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'responder',
    failure: session.unsupported,
  });
}
