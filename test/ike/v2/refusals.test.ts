import t from 'tap';
import { childRefused } from '../../../src/ike/v2/failures.js';
import type { NotifyPayload } from '../../../src/wire/ike/payloads.js';
import { NotifyType } from '../../../src/wire/ike/registry.js';
import { connection } from '../../helpers/engine-pair.js';

const INVALID_SYNTAX: NotifyPayload = {
  kind: 'notify',
  protocol: 0,
  spi: new Uint8Array(0),
  type: NotifyType.INVALID_SYNTAX,
  data: new Uint8Array(0),
};

t.test('INVALID_SYNTAX to IKE_AUTH may mean a peer that wants a childless IKE SA (RFC 6023)', async (t) => {
  const first = childRefused(connection('east'), INVALID_SYNTAX, 'IKE_AUTH');
  t.match(first, { cause: 'invalid_syntax', message: /could not read our IKE_AUTH request, or .*RFC 6023/ });
  const later = childRefused(connection('east'), INVALID_SYNTAX, 'CREATE_CHILD_SA');
  t.equal(later.message, 'the peer could not read our CREATE_CHILD_SA request');
});
