import t from 'tap';
import { deleteChild, ESTABLISHED, end, holds, initiate, renew, traffic } from '../helpers/explored.js';

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
