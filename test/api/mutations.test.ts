import t from 'tap';
import { ApiMutations } from '../helpers/api-mutations.js';
import { SeededRandom } from '../helpers/seeded-random.js';

/** Overridable, so that a run that failed can be had again. */
const SEED = Number(process.env.CULVERT_SEED ?? 20_261_122);
const REQUESTS = 5000;

t.test(`${REQUESTS} mutated requests, seed ${SEED}`, { timeout: 100_000 }, async (t) => {
  const requests = await ApiMutations.open(t, new SeededRandom(SEED));
  const { counts } = requests;
  const faults: string[] = [];
  for (let n = 0; n < REQUESTS && faults.length <= 4; n++) faults.push(...(await requests.next()));
  t.same(
    faults,
    [],
    'no 5xx, no answer outside the document, nothing half done, no key shown, no error logged',
  );
  const done = [...counts].sort(([a], [b]) => a - b);
  t.comment(done.map(([status, count]) => `${status}: ${count}`).join(', '));
  t.ok((counts.get(201) ?? 0) > 50 && (counts.get(200) ?? 0) > 50, 'many are done');
  t.ok((counts.get(400) ?? 0) > 1000, 'and many refused');
  t.equal(
    [...counts.values()].reduce((sum, count) => sum + count, 0),
    REQUESTS,
  );
});
