import t from 'tap';
import { WorkerShares } from '../../src/daemon/host/worker-shares.js';

t.test('connections are spread evenly and stay where they are', async (t) => {
  const shares = new WorkerShares(4);
  const all = (names: string) => [...names].map((name) => shares.of(name));
  shares.configure([...'abcdef']);
  t.same(all('abcdef'), [0, 1, 2, 3, 0, 1]);
  shares.configure([...'fedcba']);
  t.same(all('abcdef'), [0, 1, 2, 3, 0, 1], 'another order of the file changes nothing');
  shares.configure([...'abefgh']);
  t.same(all('abefgh'), [0, 1, 0, 1, 2, 3], 'new ones fill the place of those that went');
  shares.configure([...'an']);
  t.same(all('an'), [0, 1]);
});

t.test('one worker has them all', async (t) => {
  const shares = new WorkerShares(1);
  t.same(
    ['a', 'b', 'c'].map((name) => shares.of(name)),
    [0, 0, 0],
  );
});
