import t from 'tap';
import type { Command } from '../../src/connection/reconcile-types.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { FedReconciler } from './fed.js';
import { comesUp, connection, constantRandom } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };
const FAILURE = { cause: 'peer_silent', message: 'no answer' } as const;

const failed = (name = 'c'): IkeEvent[] => [
  { kind: 'ike-failed', connection: name, ikeId: 9, role: 'initiator', peer: PEER, failure: FAILURE },
];
const heard: IkeEvent[] = [{ kind: 'ike-responding', ikeId: 7, version: 2, peer: PEER }];
const kinds = (commands: readonly Command[]): string[] => commands.map((command) => command.kind);

function started(over = {}, octet = 0xff): FedReconciler {
  const reconciler = new FedReconciler(constantRandom(octet));
  reconciler.handle({ kind: 'configure', connections: [connection('c', over)] }, 0);
  return reconciler;
}

t.test('500 connections start, and come back after a loss, one after the other', async (t) => {
  const reconciler = new FedReconciler(constantRandom(0));
  const connections = Array.from({ length: 500 }, (_, i) => connection(`c${i}`));
  const times: number[] = [];
  const run = (first: readonly Command[], at: number): void => {
    for (const _ of first) times.push(at);
    for (
      let due = reconciler.nextDeadline();
      times.length < 500 && due !== undefined;
      due = reconciler.nextDeadline()
    ) {
      for (const _ of reconciler.handle({ kind: 'timer' }, due)) times.push(due);
    }
  };
  run(reconciler.handle({ kind: 'configure', connections }, 0), 0);
  t.equal(times.length, 500);
  t.same(
    times,
    Array.from({ length: 500 }, (_, i) => i * 10),
    'a hundred a second',
  );

  times.length = 0;
  for (const { id: name } of connections)
    reconciler.handle({ kind: 'events', events: comesUp(name) }, 20_000);
  const dead = connections.flatMap(({ id: name }): IkeEvent[] => [
    { kind: 'ike-closed', connection: name, ikeId: 1, reason: 'peer-dead' },
  ]);
  run(reconciler.handle({ kind: 'events', events: dead }, 60_000), 60_000);
  t.equal(times.length, 500);
  t.equal(
    times.at(-1),
    60_000 + 499 * 10,
    'restart at once means at once for the first, and soon for the last',
  );
});

t.test("an operator's up does not wait for its turn", async (t) => {
  const reconciler = new FedReconciler(constantRandom(0));
  reconciler.handle({ kind: 'configure', connections: ['a', 'b'].map((name) => connection(name)) }, 0);
  t.equal(reconciler.view('b')!.state, 'due');
  t.same(kinds(reconciler.handle({ kind: 'up', connection: 'b' }, 1)), ['initiate']);
});

t.test(
  'a packet of the peer resets the backoff, but a forger cannot make us hurry without end',
  async (t) => {
    const reconciler = started();
    for (let i = 0; i < 8; i++) {
      reconciler.handle({ kind: 'events', events: failed() }, i * 100_000);
      reconciler.handle({ kind: 'timer' }, i * 100_000 + 90_000);
    }
    const at = 1_000_000;
    reconciler.handle({ kind: 'events', events: failed() }, at);
    t.equal(reconciler.nextDeadline(), at + 60_000);
    reconciler.handle({ kind: 'events', events: heard }, at + 10);
    t.equal(reconciler.nextDeadline(), at + 1010, 'a short wait');
    t.equal(reconciler.view('c')!.failures, 0);
    reconciler.handle({ kind: 'timer' }, at + 1010);
    reconciler.handle({ kind: 'events', events: failed() }, at + 1020);
    reconciler.handle({ kind: 'timer' }, at + 2100);
    reconciler.handle({ kind: 'events', events: failed() }, at + 2200);
    t.equal(reconciler.view('c')!.failures, 2);
    reconciler.handle({ kind: 'events', events: heard }, at + 2300);
    t.equal(reconciler.view('c')!.failures, 2, 'not again within ten seconds');
    const elsewhere = heard.map(
      (event) => ({ ...event, peer: { address: '203.0.113.1', port: 500 } }) as IkeEvent,
    );
    reconciler.handle({ kind: 'events', events: elsewhere }, at + 60_000);
    t.equal(reconciler.view('c')!.failures, 2, 'another address is not the peer');
  },
);

t.test('a change of the configuration or of the address ends the waiting', async (t) => {
  const reconciler = started();
  reconciler.handle({ kind: 'events', events: failed() }, 0);
  t.same(kinds(reconciler.handle({ kind: 'retry', connection: 'c' }, 100)), ['initiate']);
  t.equal(reconciler.view('c')!.failures, 0);
  t.same(kinds(reconciler.handle({ kind: 'retry', connection: 'c' }, 200)), [], 'an attempt is under way');
  reconciler.handle({ kind: 'events', events: comesUp('c') }, 300);
  t.same(kinds(reconciler.handle({ kind: 'retry', connection: 'c' }, 400)), [], 'and what is up stays up');

  const passive = started({ establishMode: 'peer_only' });
  t.same(kinds(passive.handle({ kind: 'retry', connection: 'c' }, 100)), []);
  passive.handle({ kind: 'configure', connections: [connection('c')] }, 200);
  t.same(kinds(passive.handle({ kind: 'retry', connection: 'c' }, 200)), ['initiate'], 'bidirectional now');
});

t.test('what stands is replaced by a new negotiation that is tried until it succeeds', async (t) => {
  const reconciler = started();
  t.same(kinds(reconciler.handle({ kind: 'renew', connection: 'c' }, 5)), [], 'nothing stands');
  reconciler.handle({ kind: 'events', events: comesUp('c') }, 10);
  t.same(kinds(reconciler.handle({ kind: 'renew', connection: 'c' }, 100)), ['renew']);
  t.ok(reconciler.view('c')!.renewing);
  t.same(kinds(reconciler.handle({ kind: 'events', events: failed() }, 200)), []);
  t.equal(reconciler.view('c')!.state, 'up', 'the old SAs work on');
  t.equal(reconciler.nextDeadline(), 1200);
  t.same(kinds(reconciler.handle({ kind: 'timer' }, 1200)), ['renew']);
  reconciler.handle({ kind: 'events', events: failed() }, 1300);
  t.equal(reconciler.nextDeadline(), 3300, 'a longer wait');
  reconciler.handle({ kind: 'timer' }, 3300);
  reconciler.handle({ kind: 'events', events: comesUp('c', 2) }, 3400);
  t.notOk(reconciler.view('c')!.renewing);
  reconciler.handle({ kind: 'events', events: failed() }, 3500);
  t.equal(reconciler.nextDeadline(), undefined, 'a stray failure means nothing any more');
});

t.test('when the old SAs are lost meanwhile, it is an ordinary loss', async (t) => {
  const reconciler = started();
  reconciler.handle({ kind: 'events', events: comesUp('c') }, 10);
  reconciler.handle({ kind: 'renew', connection: 'c' }, 100);
  const lost: IkeEvent = { kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-dead' };
  t.same(kinds(reconciler.handle({ kind: 'events', events: [lost] }, 60_000)), ['initiate']);
  t.notOk(reconciler.view('c')!.renewing);
});

t.test('renegotiate takes down and brings up again', async (t) => {
  const reconciler = started();
  reconciler.handle({ kind: 'events', events: comesUp('c') }, 10);
  t.same(kinds(reconciler.handle({ kind: 'renegotiate', connection: 'c' }, 100)), ['terminate']);
  t.equal(reconciler.view('c')!.state, 'due');
  t.ok(reconciler.nextDeadline()! <= 600);

  const passive = started({ establishMode: 'peer_only' });
  passive.handle({ kind: 'events', events: comesUp('c') }, 10);
  t.same(kinds(passive.handle({ kind: 'renegotiate', connection: 'c' }, 100)), ['terminate']);
  t.equal(passive.view('c')!.state, 'passive', 'the peer brings it back');
});

t.test('a rename keeps everything', async (t) => {
  const reconciler = started();
  reconciler.handle({ kind: 'events', events: comesUp('c') }, 10);
  const renamed = connection('c', { name: 'another' });
  t.same(reconciler.handle({ kind: 'configure', connections: [renamed] }, 30), []);
  t.equal(reconciler.view('c')!.state, 'up');
  t.equal(reconciler.view('another'), undefined, 'nothing goes by names');
});
