import fc from 'fast-check';
import t from 'tap';
import { At, createArena } from '../../../src/dataplane/ffi/memory/arena.js';
import { Drop } from '../../../src/dataplane/ffi/memory/counters.js';
import {
  createTapRing,
  droppedTap,
  Tap,
  TapReader,
  TapWriter,
} from '../../../src/dataplane/ffi/memory/tap-ring.js';
import { TAP_ROOM } from '../../../src/dataplane/packet-tap.js';
import { writeSockaddr } from '../../../src/linux/sockaddr.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

const skip = skipWithoutFfi();
const WHOLE = { snap: 65_535, inner: true, dropped: true };

function ends(now: () => number = () => 1) {
  const arena = createArena();
  const ring = createTapRing();
  return { arena, ring, writer: new TapWriter(arena, ring, WHOLE, now), reader: new TapReader(ring) };
}

t.test('copies come out as they went in, in order, however the ring wraps', { skip }, async (t) => {
  const { arena, writer, reader } = ends();
  fc.assert(
    fc.property(fc.array(fc.nat(65_000), { minLength: 1, maxLength: 40 }), (lengths) => {
      for (const [i, length] of lengths.entries()) {
        arena.bytes.fill(i + 1, At.plain, At.plain + length);
        writer.put(Tap.INNER, i, At.plain, length, -1);
      }
      return lengths.every((length, i) => {
        const copy = reader.next();
        return (
          copy?.childId === i &&
          copy.length === length &&
          copy.bytes.length === length &&
          copy.bytes.every((octet) => octet === i + 1)
        );
      });
    }),
  );
  t.equal(reader.next(), undefined);
  t.equal(reader.lost, 0);
});

t.test('all that is said of a packet comes along', { skip }, async (t) => {
  const { arena, writer, reader } = ends(() => 1234.5);
  writeSockaddr(arena.bytes, At.rxNames, Uint8Array.of(192, 0, 2, 7), 4500);
  writer.put(droppedTap(Tap.OUT, Drop.send_error), 5, At.plain, 10, At.rxNames);
  writer.put(droppedTap(Tap.RAW, Drop.unknown_spi), -1, At.plain, 9, At.rxNames);
  t.match(reader.next(), {
    ...{ at: 1234.5, layer: 'outer', direction: 'out', form: 'udp', childId: 5, drop: 'send_error' },
    remote: { address: '192.0.2.7', port: 4500 },
  });
  t.match(reader.next(), {
    ...{ layer: 'outer', direction: 'in', form: 'esp', childId: undefined, drop: 'unknown_spi' },
    remote: { address: '192.0.2.7', port: 0 },
  });
});

t.test('a full ring loses the newest, counts them, and goes on when there is room', { skip }, async (t) => {
  const { writer, reader } = ends();
  const fit = Math.floor(TAP_ROOM / (65_000 + 64));
  for (let i = 0; i < fit + 3; i++) writer.put(Tap.INNER, i, At.plain, 65_000, -1);
  t.equal(reader.lost, 3);
  t.equal(reader.next()?.childId, 0, 'the oldest is still there');
  t.equal(reader.next()?.childId, 1);
  writer.put(Tap.INNER, 99, At.plain, 60_000, -1);
  t.equal(reader.lost, 3);
  let last: number | undefined;
  for (let copy = reader.next(); copy !== undefined; copy = reader.next()) last = copy.childId;
  t.equal(last, 99);
});

t.test('nothing is left of copies when it is wiped', { skip }, async (t) => {
  const { arena, ring, writer } = ends();
  arena.bytes.fill(7, At.plain, At.plain + 500);
  writer.put(Tap.INNER, 1, At.plain, 500, -1);
  writer.wipe();
  t.notOk(new Uint8Array(ring).includes(7));
});
