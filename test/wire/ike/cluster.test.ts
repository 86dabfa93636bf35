import t from 'tap';
import { fromHex, toHex } from '../../../src/util/bytes.js';
import {
  decodeMessageIdSync,
  decodeReplayCounterSync,
  encodeMessageIdSync,
} from '../../../src/wire/ike/cluster.js';

t.test(
  'IKEV2_MESSAGE_ID_SYNC: nonce, next request sent, next request received (RFC 6311 §6.3)',
  async (t) => {
    const data = fromHex('0001feff8000000100000007');
    const sync = decodeMessageIdSync(data);
    t.same(sync, { nonce: fromHex('0001feff'), nextSent: 0x80000001, nextReceived: 7 });
    t.equal(toHex(encodeMessageIdSync(sync!)), toHex(data));
    data[0] = 9;
    t.equal(sync!.nonce[0], 0, 'a copy');
    for (const length of [0, 8, 11, 13, 16]) t.equal(decodeMessageIdSync(new Uint8Array(length)), undefined);
    t.throws(() => encodeMessageIdSync({ nonce: new Uint8Array(5), nextSent: 1, nextReceived: 1 }), /four/);
  },
);

t.test(
  'IPSEC_REPLAY_COUNTER_SYNC: four octets without extended sequence numbers (RFC 6311 §6.4)',
  async (t) => {
    t.equal(decodeReplayCounterSync(fromHex('80000000')), 2 ** 31);
    for (const length of [0, 3, 5, 8]) t.equal(decodeReplayCounterSync(new Uint8Array(length)), undefined);
  },
);
