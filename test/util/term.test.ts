import t from 'tap';
import { NO_TERM, termFault } from '../../src/util/term.js';

const LAST_TERM = 0xffffffff;

t.test('terms rise, within 32 bits', async (t) => {
  for (const [next, before] of [
    [NO_TERM, NO_TERM],
    [1, NO_TERM],
    [7, 7],
    [8, 7],
    [LAST_TERM, 7],
    [LAST_TERM, LAST_TERM],
  ] as const)
    t.equal(termFault(next, before), undefined, `${next} after ${before}`);
  t.match(termFault(6, 7), /term 6 is over: keys were used in term 7 already/);
  t.match(termFault(NO_TERM, 7), /term 0 is over/, 'nor is high availability switched off under living keys');
  for (const none of [-1, 0.5, Number.NaN, LAST_TERM + 1])
    t.match(termFault(none), /use a whole number from 0 to 4294967295/);
});
