import t from 'tap';
import { wipeRecord } from '../../../src/ike/sa/record.js';
import { isV1Record } from '../../../src/ike/v1/record.js';
import { Encr, Integ } from '../../../src/wire/ike/registry.js';
import type { ConnectionPatch } from '../../helpers/engine-pair.js';
import { establishedV1, v1Faults } from '../../helpers/v1-pair.js';

const CLEAR = { latency: [5, 5], loss: 0, duplicate: 0 } as const;
const DEAD = { latency: [5, 5], loss: 1, duplicate: 0 } as const;
const PFS: ConnectionPatch = {
  espProposals: [
    {
      encryption: [{ id: Encr.AES_CBC, keyBits: 256 }],
      integrity: [Integ.HMAC_SHA2_256_128],
      dh: [14],
    },
  ],
};

t.test('a quick mode with PFS under way is finished by the engine that takes over', async (t) => {
  const made = establishedV1({ east: PFS, west: PFS });
  const { sim, east, west } = made;
  sim.net.conditions = { ...DEAD };
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  sim.run(sim.now + 100);
  const sent = sim.net.sent.at(-1)!.bytes;
  const [record] = east.engine.export();
  if (record === undefined || !isV1Record(record)) throw new Error('no record');
  t.match(record.ike?.quicks.at(-1), { state: 'sent', dh: { group: 14 }, retransmission: { sent: 1 } });
  t.equal(record.children.length, 1);
  wipeRecord(record);
  sim.handOver(east);
  sim.net.conditions = { ...CLEAR };
  sim.run(sim.now + 15_000);
  const again = sim.net.sent.filter(({ bytes }) => Buffer.from(bytes).equals(sent));
  t.ok(again.length > 1, 'repeated octet by octet');
  t.equal(east.eventsOf('child-failed').length, 0);
  t.equal(v1Faults(made), undefined);
  t.equal(west.childInfo.size, 1);
});

t.test('a responder that was replaced while it waits for message 3 takes it', async (t) => {
  const made = establishedV1({ east: PFS, west: PFS });
  const { sim, east, west } = made;
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  const waits = (): boolean => west.children.size === 2 && west.childInfo.size === 1;
  t.ok(sim.run(sim.now + 5000, waits), 'message 2 was sent');
  sim.handOver(west);
  sim.run(sim.now + 30_000);
  t.equal(v1Faults(made), undefined);
  t.equal(west.eventsOf('child-failed').length, 0);
});

t.test('what was used before is refused after as well', async (t) => {
  const made = establishedV1();
  const { sim, east, west } = made;
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  sim.run(sim.now + 80_000);
  const recorded = sim.net.sent.filter(({ to }) => to.address === west.address);
  sim.handOver(west);
  const before = west.eventsOf('datagram-dropped').length;
  for (const packet of recorded) {
    sim.net.inject(packet, sim.now);
    sim.run(sim.now + 50);
  }
  const reasons = west.eventsOf('datagram-dropped').slice(before);
  t.ok(reasons.filter(({ reason }) => reason === 'outside_window').length >= 3, 'message ids and message 1');
  t.equal(v1Faults(made), undefined);
});

t.test('a record is a copy, and is adopted once', async (t) => {
  const { sim, east } = establishedV1();
  const records = east.engine.export();
  t.match(
    east.engine.adopt(records, sim.now).refused.map(({ reason }) => reason),
    [/the SA id \d+ is in use/],
  );
  for (const record of records) wipeRecord(record);
  t.match(
    east.engine.adopt(records, sim.now).refused.map(({ reason }) => reason),
    [/in use/],
  );
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'ike' });
  sim.run(sim.now + 20_000);
  t.equal(east.ikes.size, 1, 'the keys of the engine are its own');
  t.equal(east.eventsOf('ike-established').length, 2);
  t.notMatch(JSON.stringify(east.engine.export()), /[0-9a-f]{40}/, 'no key is printed');
});

t.test('ESP SAs that have outlived their ISAKMP SA are handed over without one', async (t) => {
  const made = establishedV1({
    east: { ikeLifetime: 60, establishMode: 'peer_only' },
    west: { ikeLifetime: 60, establishMode: 'peer_only' },
  });
  const { sim, east } = made;
  sim.run(sim.now + 90_000);
  t.equal(east.ikes.size, 0);
  t.equal(east.childInfo.size, 1);
  const [record] = east.engine.export();
  t.equal(record?.ike, undefined);
  t.match(record, { ikeVersion: 1, connection: 'site', orphans: { path: { remote: { port: 500 } } } });
  sim.handOver(east);
  t.equal(east.childInfo.size, 1);
  sim.input(east, { kind: 'terminate', connection: 'site' });
  t.equal(east.childInfo.size, 0, 'and end as they would have');
});
