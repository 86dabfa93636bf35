import t from 'tap';
import { addCounters, noTraffic } from '../../../src/connection/traffic-totals.js';
import { createArena } from '../../../src/dataplane/ffi/memory/arena.js';
import {
  addChild,
  Counter,
  claimBlock,
  counterBase,
  Drop,
  readChild,
} from '../../../src/dataplane/ffi/memory/counters.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

t.test(
  'counters that are added up are those that are read one by one',
  { skip: skipWithoutFfi() },
  async (t) => {
    const arena = createArena();
    const toClock = (monotonic: number): number => monotonic + 1000;
    for (const [block, id] of [
      [1, 7],
      [2, 8],
    ] as const) {
      claimBlock(arena, block, id);
      const base = counterBase(block);
      for (const at of [Counter.PACKETS_IN, Counter.BYTES_IN, Counter.PACKETS_OUT, Counter.BYTES_OUT])
        arena.f64[base + at] = 100 * id + at;
      arena.f64[base + Counter.LAST_INBOUND] = id;
      arena.f64[base + Counter.DROPS + Drop.replay] = id;
    }
    const [total, expected] = [noTraffic(), noTraffic()];
    for (const [block, id] of [
      [1, 7],
      [2, 8],
      // Not this one's: the worker has not installed it yet.
      [2, 9],
    ] as const) {
      addChild(arena, block, { id, total, toClock });
      addCounters(expected, readChild(arena, block, id, toClock));
    }
    t.same(total, expected);
    t.match(total, { packetsIn: 1500, lastInbound: 1008 });
    t.equal(total.drops[Drop.replay], 15);
  },
);
