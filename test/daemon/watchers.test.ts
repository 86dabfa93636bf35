import t from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { type Watched, Watchers } from '../../src/daemon/core/watchers.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { comesUp, ikeInfo } from '../connection/samples.js';

class Scene implements Watched {
  at = 0;
  attempts = 0;
  document: Partial<ConnectionStatusDocument> | undefined = { status: 'down', status_reasons: [] };
  readonly watchers = new Watchers(this);

  revision(): number {
    return this.at;
  }
  status(): ConnectionStatusDocument | undefined {
    return this.document as ConnectionStatusDocument | undefined;
  }
  failures(): number {
    return this.attempts;
  }
  step(...events: readonly IkeEvent[]): void {
    for (const event of events) this.watchers.on(event);
    this.watchers.notify();
  }
}

const [UP] = comesUp('c');
const never = new AbortController().signal;
const down = (message: string): Partial<ConnectionStatusDocument> => ({
  status: 'down',
  status_reasons: [{ code: 'peer_not_responding', message }],
});

t.test('watchers are called once per change of status, with the events of the step', async (t) => {
  const scene = new Scene();
  const calls: number[] = [];
  const end = scene.watchers.subscribe((events) => calls.push(events.length));
  scene.step();
  t.same(calls, [0], 'the first status');
  scene.step(UP!);
  t.same(calls, [0], 'an event that changes no status');
  scene.at++;
  scene.step(UP!, UP!);
  t.same(calls, [0, 2]);
  scene.watchers.on(UP!);
  scene.at++;
  scene.step(UP!);
  t.same(calls, [0, 2, 2], 'events collected before the step ended are with it');
  end();
  scene.at++;
  scene.step();
  t.equal(calls.length, 3);
});

t.test('a wait ends with the status when the connection is up, and tells what happens', async (t) => {
  const scene = new Scene();
  const lines: string[] = [];
  const wait = scene.watchers.waitUp('c', (line) => lines.push(line), never);
  scene.at++;
  scene.step(...comesUp('other', 5), {
    kind: 'ike-initiating',
    connection: 'c',
    ikeId: 1,
    version: 2,
    peer: ikeInfo(1).peer,
  });
  scene.document = { status: 'up', status_reasons: [] };
  scene.at++;
  scene.step(...comesUp('c'));
  t.match(await wait, { ok: true, value: { status: 'up' } });
  t.match(lines.join('\n'), /^initiating IKEv2 to 192\.0\.2\.2:\d+\n.*established/);
  t.notMatch(lines.join('\n'), 'SA 5');
  const told = lines.length;
  scene.at++;
  scene.step(UP!);
  t.equal(lines.length, told, 'nobody waits any more');
  t.match(await scene.watchers.waitUp('c', () => t.fail('no progress'), never), { ok: true });
});

t.test(
  'a wait ends with the reasons when an attempt fails, when time is over, when it is removed',
  async (t) => {
    const scene = new Scene();
    const failed = scene.watchers.waitUp('c', () => undefined, never);
    scene.document = down('No answer.');
    scene.attempts++;
    scene.at++;
    scene.step();
    t.same(await failed, { ok: false, error: 'c is not up. No answer.' });

    const over = new AbortController();
    const patient = scene.watchers.waitUp('c', () => undefined, over.signal);
    scene.document = down('Still no answer.');
    over.abort();
    t.same(await patient, { ok: false, error: 'c is not up. Still no answer.' });

    const removed = scene.watchers.waitUp('c', () => undefined, never);
    scene.document = undefined;
    scene.at++;
    scene.step();
    t.same(await removed, { ok: false, error: 'c is no longer configured' });
  },
);
