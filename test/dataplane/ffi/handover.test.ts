import { Worker } from 'node:worker_threads';
import t from 'tap';
import { WorkerGroup } from '../../../src/dataplane/ffi/loop/worker-group.js';
import { HANDOVER_ROOM, Handed } from '../../../src/dataplane/ffi/memory/handover-ring.js';
import { addressOf, hostBuffer } from '../../../src/linux/ffi.js';
import { Sleeper } from '../../helpers/handover-echo.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';
import { SeededRandom } from '../../helpers/seeded-random.js';

const skip = skipWithoutFfi();

t.test('whoever sleeps is woken for every packet', { skip }, async (t) => {
  const group = new WorkerGroup(2);
  t.teardown(() => group.close());
  const sleeper = new Sleeper(group.setupOf(0)!);
  const thread = new Worker(new URL('../../helpers/handover-echo.ts', import.meta.url), {
    workerData: { echo: group.setupOf(1) },
  });
  const ended = new Promise((resolve) => thread.once('exit', resolve));
  await new Promise((resolve) => thread.once('online', resolve));
  const bytes = hostBuffer(70_000);
  const random = new SeededRandom(3);
  const rounds = 10_000;
  let number = 0;
  let back = 0;
  let wrong = 0;
  for (let round = 0; round < rounds; round++) {
    // One packet as a rule: the other end is asleep or about to be when it comes.
    const burst = random.below(4) === 0 ? 1 + random.below(20) : 1;
    for (let i = 0; i < burst; i++) {
      bytes.fill(number & 0xff, 0, 64);
      if (!sleeper.handover.give(1, Handed.INNER, addressOf(bytes), 64, 0, 0)) wrong++;
      number++;
      // Now and then each is announced by itself.
      if (random.below(2) === 0) sleeper.handover.flush();
    }
    sleeper.handover.flush();
    while (back < number) {
      const woken = sleeper.turn(10_000, (reader) => {
        reader.copyPacket(addressOf(bytes));
        if (bytes[63] !== (back & 0xff)) wrong++;
        back++;
      });
      if (!woken) break;
    }
    if (back < number) break;
  }
  t.equal(back, number, 'all came back, and none waited for another');
  t.equal(wrong, 0);
  sleeper.handover.give(1, Handed.INNER, addressOf(bytes), 1, 0, 0);
  sleeper.handover.flush();
  await ended;
});

t.test('a burst is taken in parts, and the rest is not forgotten', { skip }, async (t) => {
  const group = new WorkerGroup(2);
  t.teardown(() => group.close());
  const [giver, taker] = [new Sleeper(group.setupOf(0)!), new Sleeper(group.setupOf(1)!)];
  const bytes = hostBuffer(65_000);
  let given = 0;
  while (giver.handover.give(1, Handed.INNER, addressOf(bytes), bytes.length, 0, 0)) given++;
  t.ok(given * bytes.length > HANDOVER_ROOM * 0.9);
  // A full ring wakes the reader without a flush: the giver may be about to give much more.
  let taken = 0;
  let turns = 0;
  while (taken < given && taker.turn(1000, () => taken++)) turns++;
  t.equal(taken, given);
  t.ok(turns > 2, `in ${turns} turns`);
  giver.handover.flush();
  t.notOk(taker.turn(0, () => taken++) && taken > given, 'nothing is taken twice');
});

t.test('owners by SPI, of both signs', { skip }, async (t) => {
  const group = new WorkerGroup(8);
  t.teardown(() => group.close());
  const { handover } = new Sleeper(group.setupOf(3)!);
  t.equal(handover.index, 3);
  t.same(
    [0x100, 0xffffffff, -1, 0x80000004].map((spi) => handover.ownerOfSpi(spi)),
    [0, 7, 7, 4],
  );
});
