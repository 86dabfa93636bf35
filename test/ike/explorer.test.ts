import t, { type Test } from 'tap';
import type { Input, RenewScope } from '../../src/ike/inputs.js';
import { explore, type Scenario, type Side, type Stimulus } from '../helpers/explorer.js';

const on = (side: Side, input: Input): Stimulus => ({ side, input });
const renew = (side: Side, scope: RenewScope): Stimulus =>
  on(side, { kind: 'renew', connection: 'site', scope });
const end = (side: Side): Stimulus => on(side, { kind: 'terminate', connection: 'site' });
const initiate = (side: Side): Stimulus => on(side, { kind: 'initiate', connection: 'site' });
const traffic = (side: Side): Stimulus => ({ side, input: 'traffic' });
const deleteChild = (side: Side): Stimulus => ({ side, input: 'delete-child' });

/** Accidents in one way beyond those of the scenario: CULVERT_EXPLORE=1 takes minutes, 2 hours. */
const DEEPER = Number(process.env.CULVERT_EXPLORE ?? 0);

/** Walks all orders and reports what is wrong with the way to it. */
function holds(t: Test, scenario: Scenario): void {
  const accidents = scenario.accidents + DEEPER;
  const report = explore({ ...scenario, accidents });
  t.comment(`${accidents} accidents: ${report.states} states, ${report.ends} ends`);
  t.strictSame(report.faults, []);
  t.ok(report.ends > 0, 'at least one way ends');
}

const ESTABLISHED = { accidents: 1, established: true } as const;

t.test('one end rekeys its child SA', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'children'), traffic('east'), traffic('west')] });
});

t.test('both ends rekey the child SA', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'children'), renew('west', 'children')] });
});

t.test('one end rekeys the IKE SA', async (t) => {
  holds(t, { ...ESTABLISHED, accidents: 3, stimuli: [renew('east', 'ike')] });
});

t.test('both ends rekey the IKE SA', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'ike'), renew('west', 'ike')] });
});

t.test('an IKE SA rekey and a child SA rekey', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'ike'), renew('west', 'children')] });
});

t.test('a child SA is rekeyed by one end and deleted by the other', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    stimuli: [renew('east', 'children'), deleteChild('west')],
    mayBreak: true,
    outcome: 'agree',
  });
});

t.test('both ends delete the child SA', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    accidents: 2,
    stimuli: [deleteChild('east'), deleteChild('west')],
    mayBreak: true,
    outcome: 'agree',
  });
});

t.test('the IKE SA is rekeyed by one end and deleted by the other', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    stimuli: [renew('east', 'ike'), end('west')],
    mayBreak: true,
    outcome: 'agree',
  });
});

t.test('both ends delete the IKE SA', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    accidents: 2,
    stimuli: [end('east'), end('west')],
    mayBreak: true,
    outcome: 'down',
  });
});

t.test('both ends initiate', async (t) => {
  holds(t, {
    established: false,
    stimuli: [initiate('east'), initiate('west')],
    accidents: 1,
  });
});

t.test('one end makes the whole connection anew beside the old one', async (t) => {
  holds(t, { ...ESTABLISHED, stimuli: [renew('east', 'connection')] });
});

t.test('one end makes the whole connection anew under traffic', async (t) => {
  const stimuli = [renew('east', 'connection'), traffic('east'), traffic('west')];
  holds(t, { ...ESTABLISHED, accidents: 0, overtaking: 'accident', stimuli });
});

t.test('both ends make the whole connection anew', async (t) => {
  holds(t, {
    ...ESTABLISHED,
    accidents: 0,
    overtaking: 'accident',
    stimuli: [renew('east', 'connection'), renew('west', 'connection')],
  });
});
