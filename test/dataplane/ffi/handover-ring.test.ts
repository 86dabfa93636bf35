import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import {
  createHandoverRing,
  HANDOVER_ROOM,
  HandoverReader,
  HandoverWriter,
  MAX_HANDOVER,
} from '../../../src/dataplane/ffi/memory/handover-ring.js';
import { addressOf, hostBuffer } from '../../../src/linux/ffi.js';
import { lengthOf, type ProducerSetup, writePacket } from '../../helpers/handover-producer.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

const skip = skipWithoutFfi();

/** A ring whose counters have gone nearly round 2^32, so that they wrap during the test. */
function oldRing(): SharedArrayBuffer {
  const ring = createHandoverRing();
  const words = new Int32Array(ring);
  words[0] = -3 * HANDOVER_ROOM;
  words[16] = -3 * HANDOVER_ROOM;
  return ring;
}

t.test('packets arrive whole, once and in order, however the ring wraps', { skip }, async () => {
  const from = hostBuffer(HANDOVER_ROOM);
  const to = hostBuffer(HANDOVER_ROOM);
  const name = hostBuffer(32);
  const nameTo = hostBuffer(32);
  const step = fc.record({
    length: fc.oneof(fc.nat(1500), fc.integer({ min: 60_000, max: 65_545 }), fc.constant(MAX_HANDOVER)),
    take: fc.nat(4),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const ring = oldRing();
      const writer = new HandoverWriter(ring);
      const reader = new HandoverReader(ring);
      const inside: { length: number; mark: number }[] = [];
      let mark = 0;
      const takeOne = (): boolean => {
        const wanted = inside.shift();
        if (!reader.next()) return wanted === undefined;
        if (wanted === undefined) return false;
        const { kind, length, trafficClass } = reader;
        if (length !== wanted.length || kind !== wanted.mark % 3) return false;
        if (trafficClass !== (wanted.mark & 0xff)) return false;
        to[length] = 0xee;
        reader.copyPacket(addressOf(to));
        reader.copyName(addressOf(nameTo));
        reader.release();
        if (to[length] !== 0xee || nameTo.some((octet) => octet !== (wanted.mark & 0xff))) return false;
        return to.subarray(0, length).every((octet) => octet === (wanted.mark & 0xff));
      };
      for (const { length, take } of steps) {
        mark++;
        from.fill(mark & 0xff, 0, length);
        name.fill(mark & 0xff);
        const { used } = writer;
        const fits = writer.put(mark % 3, addressOf(from), length, mark & 0xff, addressOf(name));
        if (fits) inside.push({ length, mark });
        // It may be refused only where less than twice its length is free.
        else if (used + 2 * (length + 64) <= HANDOVER_ROOM || used !== writer.used) return false;
        if (writer.used > HANDOVER_ROOM) return false;
        for (let i = 0; i < take; i++) if (!takeOne()) return false;
      }
      while (inside.length > 0) if (!takeOne()) return false;
      return !reader.next() && reader.used === 0;
    }),
    { numRuns: 150 },
  );
});

t.test('a full ring refuses and loses nothing of what is in it', { skip }, async (t) => {
  const ring = createHandoverRing();
  const writer = new HandoverWriter(ring);
  const reader = new HandoverReader(ring);
  const bytes = hostBuffer(65_545);
  let put = 0;
  while (writer.put(1, addressOf(bytes.fill(put + 1)), bytes.length, 0, 0)) put++;
  t.equal(put, 15, 'so many of the longest super-packets are in it');
  t.notOk(writer.put(1, addressOf(bytes), bytes.length, 0, 0), 'it stays full');
  let small = 0;
  while (writer.put(2, addressOf(bytes), 64, 0, 0)) small++;
  t.ok(small > 500, `${small} short ones still find room`);
  t.ok(reader.next());
  reader.release();
  t.ok(writer.put(1, addressOf(bytes.fill(99)), 65_000, 0, 0), 'room again after one was taken');
  for (const mark of [...Array.from({ length: put - 1 }, (_, i) => i + 2)]) {
    t.ok(reader.next());
    reader.copyPacket(addressOf(bytes));
    t.ok(bytes.every((octet) => octet === mark));
    reader.release();
  }
  for (let i = 0; i < small; i++) {
    reader.next();
    t.equal(reader.kind, 2);
    reader.release();
  }
  t.ok(reader.next());
  reader.copyPacket(addressOf(bytes));
  t.ok(bytes.subarray(0, 65_000).every((octet) => octet === 99));
  reader.release();
  t.notOk(reader.next());
  t.throws(() => writer.put(1, addressOf(bytes), MAX_HANDOVER + 1, 0, 0), RangeError);
});

t.test('two threads: one gives as fast as it can, the other takes', { skip }, async (t) => {
  const setup: ProducerSetup = {
    ring: oldRing(),
    packets: 60_000,
    refusals: new SharedArrayBuffer(4),
  };
  const producer = new Worker(new URL('../../helpers/handover-producer.ts', import.meta.url), {
    workerData: setup,
  });
  const failures: unknown[] = [];
  producer.on('error', (error) => failures.push(error));
  const ended = new Promise((resolve) => producer.once('exit', resolve));
  const reader = new HandoverReader(setup.ring);
  const got = hostBuffer(70_000);
  const name = hostBuffer(32);
  const wanted = hostBuffer(70_000);
  const refused = new Int32Array(setup.refusals);
  let wrong = 0;
  let taken = 0;
  while (taken < setup.packets && failures.length === 0) {
    // Now and then the reader sleeps until the ring is full.
    const until = Atomics.load(refused, 0) + 1;
    while (taken % 10_000 === 5000 && taken < 50_000 && Atomics.load(refused, 0) < until) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    let burst = 0;
    for (; burst < 2000 && reader.next(); burst++, taken++) {
      const length = lengthOf(taken);
      reader.copyPacket(addressOf(got));
      reader.copyName(addressOf(name));
      const about = reader.length === length && reader.kind === (taken & 1) + 1;
      reader.release();
      writePacket(wanted, taken);
      const same = Buffer.compare(got.subarray(0, length), wanted.subarray(0, length)) === 0;
      if (!about || !same || name.some((octet) => octet !== (taken & 0x7f))) wrong++;
      if (taken % 10_000 === 4999) {
        burst++;
        taken++;
        break;
      }
    }
    if (burst === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  t.same(failures, []);
  t.equal(taken, setup.packets);
  t.equal(wrong, 0);
  t.ok(Atomics.load(refused, 0) >= 5, 'the ring was full now and then');
  t.notOk(reader.next());
});
