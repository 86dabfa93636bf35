import t from 'tap';
import { toHex } from '../../../src/util/bytes.js';
import { encodeMessage, encodePayloads, sealedMessagePrefix } from '../../../src/wire/ike/message.js';
import type { Payload } from '../../../src/wire/ike/payloads.js';
import { Dh, ExchangeType } from '../../../src/wire/ike/registry.js';
import { plainOctets } from '../../../src/wire/ike/v2/plain.js';
import { FIRST_HEADER } from '../../helpers/ike-headers.js';

const HEADER = {
  ...FIRST_HEADER,
  responderSpi: new Uint8Array(8).fill(9),
  exchangeType: ExchangeType.IKE_INTERMEDIATE,
  messageId: 1,
};
const KE: Payload = { kind: 'ke', group: Dh.ML_KEM_768, data: new Uint8Array(1184).fill(7) };
const { first, bytes: text } = encodePayloads([KE]);

/** What a sealed message is in front of its body, with a body of some octets. */
function sealed(kind: 'sk' | 'skf', fragment?: { fragment: number; total: number }): Uint8Array {
  const prefix = sealedMessagePrefix(HEADER, kind, first, 100, fragment);
  const out = new Uint8Array(prefix.length + 100).fill(0xee);
  out.set(prefix);
  return out;
}

t.test('IKE header, header of the encrypted payload and text, with lengths of just these', async (t) => {
  const whole = plainOctets(sealed('sk'), text)!;
  t.equal(whole.length, 28 + 4 + 8 + 1184);
  const hex = toHex(whole);
  t.equal(hex.slice(0, 32), toHex(HEADER.initiatorSpi) + toHex(HEADER.responderSpi));
  // SK, version 2.0, IKE_INTERMEDIATE, flag I, message id 1, 1224 octets.
  t.equal(hex.slice(32, 56), `2e202b08${'00000001'}000004c8`);
  // KE comes first; 1196 octets with this header; method 36.
  t.equal(hex.slice(56, 80), '220004ac000004a800240000');
  t.equal(toHex(plainOctets(sealed('skf', { fragment: 1, total: 3 }), text)!), hex, 'the same of fragments');
});

t.test('the reserved octet is as it was sent, the critical bit included', async (t) => {
  for (const kind of ['sk', 'skf'] as const) {
    const message = sealed(kind, { fragment: 1, total: 2 });
    message[29] = 0x81;
    t.equal(plainOctets(message, text)![29], 0x81);
  }
});

t.test('nothing but the encrypted payload', async (t) => {
  t.equal(plainOctets(encodeMessage(HEADER, [KE]), text), undefined);
});
