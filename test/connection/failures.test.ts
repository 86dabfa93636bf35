import t from 'tap';
import { FailureMemory } from '../../src/connection/projections/failures.js';

const utc = (at: number): string => `at ${at}`;

t.test('the same failure in both roles is one: counted together, in the role of the last', async (t) => {
  const memory = new FailureMemory();
  const failure = { cause: 'psk_mismatch', message: 'the keys differ' } as const;
  memory.record('responder', failure, 2, 1000);
  memory.record('responder', failure, 2, 2000);
  memory.record('initiator', failure, 2, 3000);
  t.match(memory.reasons('192.0.2.2', utc), [
    { details: { role: 'initiator', count: 3, first_at: 'at 1000', last_at: 'at 3000' } },
  ]);
  memory.record('responder', failure, 2, 9000);
  t.match(memory.reasons('192.0.2.2', utc), [
    { details: { role: 'responder', count: 4, first_at: 'at 1000', last_at: 'at 9000' } },
  ]);
});

t.test('different failures stay apart, the more telling one first', async (t) => {
  const memory = new FailureMemory();
  memory.record('initiator', { cause: 'peer_silent', message: 'no answer' }, 2, 5000);
  memory.record('responder', { cause: 'psk_mismatch', message: 'the keys differ' }, 2, 4000);
  const reasons = memory.reasons('192.0.2.2', utc);
  t.match(reasons[0], {
    details: { cause: 'psk_mismatch', role: 'responder', count: 1, last_at: 'at 4000' },
  });
  t.equal(reasons.length, 2);
});
