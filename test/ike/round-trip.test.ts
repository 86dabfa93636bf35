import t from 'tap';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { Retransmission } from '../../src/ike/sa/retransmission.js';
import { DpdState } from '../../src/ike/v1/dpd-state.js';

t.test('a request measures while it was sent once, by this engine', async (t) => {
  const request = new Retransmission(DEFAULT_LIMITS.retransmit, 0);
  t.ok(request.measures);
  t.notOk(Retransmission.from(request.record).measures, 'the clock of another engine is another one');
  request.expire(1000);
  t.notOk(request.measures);
});

t.test('so does R-U-THERE', async (t) => {
  const dpd = new DpdState();
  t.equal(dpd.roundTrip(5), undefined, 'nothing was asked');
  const number = dpd.ask(7, 100, 1000);
  t.equal(dpd.roundTrip(112), 12);
  t.equal(DpdState.from(dpd.record).roundTrip(112), undefined, 'it was asked by another engine');
  t.ok(dpd.acknowledged(number));
  t.equal(dpd.roundTrip(113), undefined, 'it was answered');
  dpd.ask(7, 200, 1000);
  dpd.ask(7, 1200, 1000);
  t.equal(dpd.roundTrip(1210), undefined, 'it was asked again under its number');
  dpd.heard();
  dpd.ask(7, 3000, 1000);
  t.equal(dpd.roundTrip(3003), 3, 'the next one measures again');
});
