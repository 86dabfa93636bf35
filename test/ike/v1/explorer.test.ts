import t, { type Test } from 'tap';
import { deleteChild, ESTABLISHED, end, holds as holdsIn, initiate, renew } from '../../helpers/explored.js';
import type { Scenario } from '../../helpers/explorer.js';

/**
 * After each step what an end sends on is held by the other one, as in version 2; what must hold in the end is
 * less there (see `restFaultV1`).
 */
function holds(t: Test, scenario: Omit<Scenario, 'version'>): void {
  holdsIn(t, { version: 1, ...scenario });
}

const WATCH = { dpd: { action: 'restart', interval: 15, timeout: 20 } } as const;
/** Both ends find out what the other one has not. */
const WATCHED = { east: WATCH, west: WATCH, horizon: 45_000 } as const;

t.test('one end makes new ESP SAs by quick mode', async (t) => {
  holds(t, { ...ESTABLISHED, accidents: 2, stimuli: [renew('east', 'children')] });
});

t.test('quick modes of both ends cross', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'children'), renew('west', 'children')] });
});

t.test('quick mode against DELETE of the ESP SAs', async (t) => {
  const stimuli = [renew('east', 'children'), deleteChild('west')];
  holds(t, { ...ESTABLISHED, stimuli, mayBreak: true, outcome: 'agree' });
});

t.test('both ends delete the ESP SAs', async (t) => {
  const stimuli = [deleteChild('east'), deleteChild('west')];
  holds(t, { ...ESTABLISHED, accidents: 2, stimuli, mayBreak: true, outcome: 'agree' });
});

t.test('one end authenticates anew', async (t) => {
  holds(t, { ...ESTABLISHED, accidents: 2, stimuli: [renew('east', 'ike')] });
});

t.test('main modes of both ends cross while the old ISAKMP SA stands', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'ike'), renew('west', 'ike')] });
});

t.test('main mode against quick mode', async (t) => {
  const stimuli = [renew('east', 'ike'), renew('west', 'children')];
  holds(t, { ...ESTABLISHED, overtaking: 'accident', stimuli });
});

t.test('one end makes the whole connection anew', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'connection')] });
});

t.test('main mode against DELETE of the ISAKMP SA', async (t) => {
  const stimuli = [renew('east', 'ike'), end('west')];
  // A DELETE that overtakes message 6, or comes after that of the ISAKMP SA which protects it, cannot be read.
  const rest = {
    overtaking: 'accident',
    mayBreak: true,
    outcome: 'agree',
    leftovers: true,
  } as const;
  holds(t, { ...ESTABLISHED, stimuli, ...rest });
});

t.test('both ends end the connection', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    accidents: 2,
    stimuli: [end('east'), end('west')],
    mayBreak: true,
    outcome: 'down',
  });
});

t.test('both ends initiate', async (t) => {
  holds(t, { established: false, accidents: 1, stimuli: [initiate('east'), initiate('west')] });
});

t.test('probes of dead peer detection cross a DELETE', async (t) => {
  // A DELETE of the ESP SAs that is lost leaves them at the other end, which finds out by a main mode and then has them
  // anew: what it comes to must be the same at both ends.
  const rest = { ...WATCHED, mayBreak: true, outcome: 'agree' } as const;
  holds(t, { ...ESTABLISHED, stimuli: [end('east')], ...rest });
});
