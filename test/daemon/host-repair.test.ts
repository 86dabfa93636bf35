import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type HostProblems, HostRepair } from '../../src/daemon/host/repair.js';
import { constantRandom } from '../connection/samples.js';
import { exampleGateway } from '../helpers/example-gateway.js';

const CONFLICT: HostProblems = new Map([
  ['c', [{ cause: 'local_route_conflict', message: 'route 10.2.0.0/24 exists' }]],
]);
const FILE = exampleGateway();
const NONE: HostProblems = new Map();

t.test('what this host refused is tried again until it is there, and the status tells when', async (t) => {
  const told: HostProblems[] = [];
  let attempts = 0;
  const clock = { now: () => Math.floor(performance.now()), epoch: 0 };
  const repair = new HostRepair({
    clock,
    random: constantRandom(0),
    arrange: (file) => {
      t.equal(file, FILE);
      return ++attempts < 2 ? CONFLICT : NONE;
    },
    changed: (problems) => told.push(problems),
  });
  t.teardown(() => repair.stop());
  // The timer does not keep a process alive; this one waits for it.
  const before = clock.now();
  repair.note(FILE, CONFLICT);
  t.match([...told[0]!], [['c', [{ cause: 'local_route_conflict', message: /exists/ }]]]);
  t.ok(told[0]!.get('c')![0]!.retryAt! > before);
  for (let tries = 0; told.length < 3 && tries < 400; tries++) await sleep(25);
  t.equal(attempts, 2);
  t.equal(told.at(-1)!.size, 0, 'and it is told that nothing is in the way any more');
});

t.test('a reload that mends it, and the end, leave nothing to be tried', async (t) => {
  let attempts = 0;
  const repair = new HostRepair({
    clock: { now: () => 0, epoch: 0 },
    random: constantRandom(0),
    arrange: () => {
      attempts++;
      return NONE;
    },
    changed: () => undefined,
  });
  repair.note(FILE, CONFLICT);
  repair.note(FILE, NONE);
  repair.note(FILE, CONFLICT);
  repair.stop();
  await sleep(1500);
  t.equal(attempts, 0);
});
