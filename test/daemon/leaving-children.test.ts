import t from 'tap';
import { LeavingChildren, MAX_LEAVING } from '../../src/daemon/core/leaving-children.js';
import { MAX_CHILDREN } from '../../src/dataplane/ffi/memory/arena.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';

t.test('replaced child SAs that still receive never take a place that the engine counts on', async (t) => {
  t.ok(DEFAULT_LIMITS.childSas + MAX_LEAVING <= MAX_CHILDREN, 'one worker has places for both');
  const held = new Set<number>();
  const leaving = new LeavingChildren({
    retire: (id) => void held.add(id),
    remove: (id) => void held.delete(id),
  });
  for (let id = 0; id < MAX_LEAVING + 100; id++) leaving.add(id);
  t.equal(held.size, MAX_LEAVING);
  t.notOk(held.has(99), 'those that have waited longest go first');
  t.ok(held.has(100));
  leaving.end();
  t.equal(held.size, 0);
});
