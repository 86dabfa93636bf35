import t from 'tap';
import { basisOfInitiator, ownAuth } from '../../src/ike/v2/auth.js';
import { isIn } from '../../src/ike/v2/ike-sa.js';
import { findNotify } from '../../src/ike/v2/payloads.js';
import { headerOf } from '../../src/ike/v2/send.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import type { Payload } from '../../src/wire/ike/payloads.js';
import { AuthMethod, Dh, ExchangeType, NotifyType } from '../../src/wire/ike/registry.js';
import { hybridEsp } from '../helpers/hybrid.js';
import { End } from '../helpers/v2-end.js';

t.test('an IKE SA without a child SA, which CREATE_CHILD_SA makes later (RFC 6023)', async (t) => {
  const patch = { espProposals: [hybridEsp(Dh.ML_KEM_768)] };
  const [east, west] = [new End('east', undefined, patch), new End('west', undefined, patch)];
  const first = west.receive(east.initiate());
  const message = decodeMessage(first[0]!.bytes);
  t.ok(message.ok && findNotify(message.value.payloads, NotifyType.CHILDLESS_IKEV2_SUPPORTED));
  // Its own IKE_AUTH, which asks for a child SA, is kept back.
  east.receive(first);
  const sa = east.sa();
  if (!isIn(sa, 'auth-sent')) throw new Error(sa.state);
  const { local, peer, psk } = sa.connection;
  const payloads: Payload[] = [
    { kind: 'idi', ...local.identity },
    { kind: 'idr', ...peer.identity },
    {
      kind: 'auth',
      method: AuthMethod.SHARED_KEY_MIC,
      data: ownAuth(east.v2.world, basisOfInitiator(sa), local.identity, psk),
    },
  ];
  const header = headerOf(sa, ExchangeType.IKE_AUTH, sa.active!.messageId, false);
  const bytes = sa.phase.keyed.protection.seal(header, payloads);
  const { natTraversalPort } = sa;
  const answers = west.receive([
    { kind: 'datagram', local: sa.remote, remote: sa.local, natTraversalPort, bytes },
  ]);
  t.equal(west.sa().state, 'established');
  t.equal(west.sa().service?.children.size, 0);
  t.notOk(west.log.some((one) => one.kind === 'event' && one.event.kind === 'child-failed'));
  east.receive(answers);
  t.equal(east.sa().state, 'established');
  for (let sent = east.initiate(); sent.length > 0; ) sent = east.receive(west.receive(sent));
  const [child] = west.sa().service?.children.values() ?? [];
  t.same(child?.suite.additional, [Dh.ML_KEM_768], 'the first child SA has a key exchange of its own');
});
