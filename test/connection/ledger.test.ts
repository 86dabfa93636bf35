import t from 'tap';
import { SaLedger } from '../../src/connection/ledger.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { childInfo, comesUp, ikeInfo } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };

function fed(...events: readonly IkeEvent[]): SaLedger {
  const ledger = new SaLedger();
  for (const event of events) ledger.apply(event);
  return ledger;
}

const ikeClosed = (ikeId: number): IkeEvent => ({
  kind: 'ike-closed',
  connection: 'c',
  ikeId,
  reason: 'terminated',
});
const childClosed = (childId: number): IkeEvent => ({
  kind: 'child-closed',
  connection: 'c',
  childId,
  reason: 'terminated',
});
const established = (ikeId: number, over = {}): IkeEvent => ({
  kind: 'ike-established',
  connection: 'c',
  ike: ikeInfo(ikeId, over),
});
const child = (childId: number, ikeId: number, over = {}): IkeEvent => ({
  kind: 'child-established',
  connection: 'c',
  child: childInfo(childId, ikeId, over),
});

t.test('which IKE SAs are established, and where their peers are', async (t) => {
  const ledger = fed(
    { kind: 'ike-established', connection: 'c', ike: ikeInfo(1) },
    { kind: 'ike-established', connection: 'd', ike: ikeInfo(2) },
  );
  const to = { address: '198.51.100.3', port: 61_000 };
  ledger.apply({ kind: 'peer-moved', connection: 'c', ikeId: 1, from: ikeInfo(1).peer, to });
  const ikesOf = (connection: string) => [...ledger.of(connection).ikes.values()];
  t.match(ikesOf('c'), [{ ikeId: 1, peer: to }]);
  t.match(ledger.ike(1), { peer: to }, 'the same by its id');
  t.same(ikesOf('e'), []);
  ledger.apply(ikeClosed(1));
  t.same(ikesOf('c'), []);
  t.equal(ledger.ikeCount, 1);
  t.equal(ledger.ike(1), undefined);
});

t.test('a change has the SA as it is, and as it was when it is gone', async (t) => {
  const ledger = fed(...comesUp('c'));
  t.match(ledger.apply({ kind: 'rescheduled', connection: 'c', ikeId: 1, rekeyAt: 77 }), {
    ike: { ikeId: 1, rekeyAt: 77 },
  });
  t.match(ledger.apply({ kind: 'rescheduled', connection: 'c', ikeId: 1, childId: 1, rekeyAt: 78 }), {
    child: { childId: 1, rekeyAt: 78 },
  });
  t.equal(ledger.child(1)?.rekeyAt, 78);
  t.equal(ledger.ike(1)?.rekeyAt, 77);
  const gone = ledger.apply(childClosed(1));
  t.match(gone, { child: { childId: 1, rekeyAt: 78 }, ike: { ikeId: 1 } });
  t.equal(gone.emptied, undefined, 'the IKE SA is left');
  t.match(ledger.apply(ikeClosed(1)), { ike: { ikeId: 1 }, emptied: true });
  const unknown = ledger.apply(ikeClosed(1));
  t.equal(unknown.ike, undefined, 'it had been gone before');
  t.equal(unknown.emptied, true);
});

t.test('child SAs end with their last IKE SA in version 2, and go on alone in version 1', async (t) => {
  const two = fed(established(1), child(7, 1));
  t.equal(two.apply(ikeClosed(1)).emptied, true);
  t.equal(two.child(7), undefined);
  const one = fed(established(1, { version: 1 }), child(7, 1));
  t.equal(one.apply(ikeClosed(1)).emptied, undefined);
  t.equal(one.of('c').children.size, 1);
  const last = one.apply(childClosed(7));
  t.match(last, { child: { childId: 7 }, emptied: true });
  t.equal(last.ike, undefined, 'an orphan has no IKE SA');
});

t.test('a rekeyed IKE SA hands its child SAs over, a rekeyed child SA has a successor', async (t) => {
  const ledger = fed(established(1), child(7, 1), established(2, { replaces: 1 }));
  t.equal(ledger.child(7)?.ikeId, 2);
  t.equal(ledger.of('c').children.get(7)?.ikeId, 2);
  t.equal(ledger.apply(ikeClosed(1)).emptied, undefined);
  ledger.apply(child(8, 2, { replaces: 7 }));
  t.same([...ledger.of('c').superseded], [7]);
  t.equal(ledger.apply(childClosed(7)).superseded, true);
  t.equal(ledger.apply(childClosed(8)).superseded, undefined);
  t.same([...ledger.of('c').superseded], []);
});

t.test('our attempts, until they end in whatever way', async (t) => {
  const begun = (ikeId: number): IkeEvent => ({
    kind: 'ike-initiating',
    connection: 'c',
    ikeId,
    version: 1,
    peer: PEER,
  });
  const again = (attempt: number): IkeEvent => ({
    kind: 'retransmit',
    connection: 'c',
    ikeId: 3,
    exchange: 'IKE_AUTH',
    attempt,
    peer: PEER,
  });
  const ledger = fed(begun(3));
  t.match(ledger.apply(again(1)).attempt, { retransmits: 0 }, 'as it was before');
  t.match(ledger.apply(again(2)).attempt, { retransmits: 1 });
  t.strictSame(ledger.of('c').attempts.get(3), { version: 1, retransmits: 2 });
  const failure = { cause: 'peer_silent', message: 'no answer' } as const;
  const failed = {
    kind: 'ike-failed',
    connection: 'c',
    ikeId: 3,
    role: 'initiator',
    peer: PEER,
    failure,
  } as const;
  t.match(ledger.apply(failed).attempt, { version: 1, retransmits: 2 });
  t.equal(ledger.of('c').attempts.size, 0);
  t.equal(ledger.apply(again(3)).attempt, undefined, 'no attempt of ours');
  for (const event of [established(4), ikeClosed(4)]) {
    ledger.apply(begun(4));
    ledger.apply(event);
    t.equal(ledger.of('c').attempts.size, 0, event.kind);
  }
  for (let id = 100; id < 200; id++) ledger.apply(begun(id));
  t.ok(ledger.of('c').attempts.size <= 8, 'those whose end has no event do not pile up');
  t.ok(ledger.of('c').attempts.has(199));
});
