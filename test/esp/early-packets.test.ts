import t from 'tap';
import {
  EARLY_MILLIS,
  EarlyPackets,
  MAX_EARLY,
  MAX_EARLY_OCTETS,
  MAX_EARLY_PER_SPI,
  MAX_EXPECTED,
} from '../../src/esp/early-packets.js';

function subject() {
  const seen = { dropped: 0 };
  const early = new EarlyPackets<string>((packets) => {
    seen.dropped += packets;
  });
  return { early, seen };
}

const packet = (n: number, length = 8) => new Uint8Array(length).fill(n);

t.test('a few packets wait for an SA that is being agreed on', async (t) => {
  const { early, seen } = subject();
  t.notOk(early.hold(500, packet(1), 'a', 0), 'nobody has given out this SPI');
  early.expect(500);
  early.expect(600);
  const buffer = packet(1);
  t.ok(early.hold(500, buffer, 'a', 0));
  buffer.fill(9);
  t.ok(early.hold(600, packet(7), 'x', 0));
  t.ok(early.hold(500, packet(2), 'b', 10));
  t.same(
    early.take(500, EARLY_MILLIS).map(({ bytes, from }) => [bytes[0], from]),
    [
      [1, 'a'],
      [2, 'b'],
    ],
    'copies, in the order of arrival',
  );
  t.notOk(early.hold(500, packet(3), 'a', 10), 'the SA is there now');
  t.ok(early.waiting);
  early.forget(600);
  t.notOk(early.waiting);
  t.equal(seen.dropped, 1);
});

t.test('what waits too long is dropped and counted', async (t) => {
  const { early, seen } = subject();
  early.expect(500);
  early.hold(500, packet(1), 'a', 0);
  early.hold(500, packet(2), 'a', 60);
  early.expire(EARLY_MILLIS);
  t.equal(seen.dropped, 0);
  t.same(
    early.take(500, EARLY_MILLIS + 1).map(({ bytes }) => bytes[0]),
    [2],
  );
  t.equal(seen.dropped, 1);
});

t.test('every bound holds', async (t) => {
  const { early, seen } = subject();
  for (let spi = 256; spi < 256 + MAX_EXPECTED; spi++) early.expect(spi);
  early.expect(9_999);
  t.notOk(early.hold(9_999, packet(1), 'a', 0), 'more SPIs than are waited for');
  let kept = 0;
  for (let i = 0; i < 100; i++) kept += Number(early.hold(256, packet(1), 'a', 0));
  t.equal(kept, MAX_EARLY_PER_SPI);
  for (let spi = 257; spi < 600; spi++) {
    for (let i = 0; i < MAX_EARLY_PER_SPI; i++) kept += Number(early.hold(spi, packet(1), 'a', 0));
  }
  t.equal(kept, MAX_EARLY);
  t.ok(early.hold(700, packet(1), 'a', EARLY_MILLIS + 1), 'old ones make room');
  t.equal(seen.dropped, MAX_EARLY);
  early.forget(700);
  const large = packet(1, 65_535);
  let octets = 0;
  for (let spi = 256; spi < 300; spi++) if (early.hold(spi, large, 'a', 200)) octets += large.length;
  t.ok(octets <= MAX_EARLY_OCTETS && octets > MAX_EARLY_OCTETS - large.length, `${octets} octets`);
  early.clear();
  t.notOk(early.waiting);
  t.notOk(early.hold(256, packet(1), 'a', 300));
});
