import t from 'tap';
import { SaLedger } from '../../src/connection/ledger.js';
import { KEEPALIVE, Keepalives } from '../../src/daemon/core/keepalives.js';
import { PeerNames } from '../../src/daemon/core/peer-names.js';
import type { IkeEvent, IkeSaInfo } from '../../src/ike/events.js';
import { ikeInfo } from '../connection/samples.js';

/** Keepalives with their ledger, fed as the event bus does. */
function fed(ike: IkeSaInfo) {
  const ledger = new SaLedger();
  const keepalives = new Keepalives(ledger);
  const feed = (event: IkeEvent): void => {
    ledger.apply(event);
    keepalives.on(event, 0);
  };
  feed({ kind: 'ike-established', connection: 'c', ike });
  return { keepalives, feed };
}

t.test('keepalives leave from behind a NAT only', async (t) => {
  const cases = [
    [{ local: false, peer: false }, 0],
    [{ local: false, peer: true }, 0],
    [{ local: true, peer: false }, 1],
    [{ local: true, peer: true }, 1],
  ] as const;
  for (const [nat, count] of cases) {
    const { keepalives } = fed(ikeInfo(1, { nat: { ...nat, peerMayForce: nat.peer } }));
    t.same(keepalives.take(KEEPALIVE - 1), [], 'not before their time');
    t.equal(keepalives.take(KEEPALIVE).length, count, JSON.stringify(nat));
  }
});

t.test('every 20 seconds, to where the peer is now, until the SA is gone', async (t) => {
  const nat = { local: true, peer: true, peerMayForce: false };
  const { keepalives, feed } = fed(ikeInfo(1, { nat }));
  const moved = { address: '198.51.100.3', port: 61_000 };
  t.same(keepalives.take(20_000), [{ address: '192.0.2.2', port: 4500 }]);
  t.same(keepalives.take(21_000), []);
  feed({ kind: 'peer-moved', connection: 'c', ikeId: 1, from: ikeInfo(1).peer, to: moved });
  t.same(keepalives.take(40_000), [moved]);
  feed({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'terminated' });
  t.same(keepalives.take(90_000), []);
});

t.test('host names are looked up when their time to live is over', async (t) => {
  let now = 0;
  let answer: { addresses: string[]; ttl?: number } | Error = { addresses: ['192.0.2.1'], ttl: 60 };
  let asked = 0;
  const changes: string[] = [];
  const names = new PeerNames({
    family: 4,
    now: () => now,
    resolve: async () => {
      asked++;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    changed: (connection, _, addresses) => changes.push(`${connection} ${addresses.join(' ')}`),
  });
  const due = async (at: number): Promise<number> => {
    now = at;
    const before = asked;
    names.refreshDue();
    await new Promise((resolve) => setImmediate(resolve));
    return asked - before;
  };
  names.configure(new Map([['c', 'b.example']]));
  t.equal(await due(0), 1);
  t.same(changes, ['c 192.0.2.1']);
  t.equal(await due(59_999), 0);
  answer = { addresses: ['192.0.2.9', '192.0.2.1'], ttl: 0 };
  t.equal(await due(60_000), 1);
  t.same(changes.at(-1), 'c 192.0.2.9 192.0.2.1', 'all addresses');
  t.equal(await due(64_999), 0, 'a time to live of 0 is no reason to ask all the time');
  answer = { addresses: ['192.0.2.1', '192.0.2.9'] };
  t.equal(await due(65_000), 1);
  t.equal(changes.length, 2, 'another order is no change');
  t.equal(await due(364_999), 0, 'without a time to live five minutes');
  answer = Object.assign(new Error('x'), { code: 'ESERVFAIL' });
  t.equal(await due(365_000), 1);
  t.same(names.addresses().get('c'), ['192.0.2.9', '192.0.2.1'], 'a failure keeps what was known');
  t.equal(await names.refresh('c'), 'ESERVFAIL');
  t.ok(names.has('c') && !names.has('d'));
  names.configure(new Map([['c', 'other.example']]));
  t.same(names.addresses().get('c'), [], 'another name is another matter');
  answer = { addresses: [] };
  t.match(await names.refresh('c'), /no address/);
});
