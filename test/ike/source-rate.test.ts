import t from 'tap';
import { SourceRate } from '../../src/ike/admission/source-rate.js';
import { pair } from '../helpers/engine-pair.js';

t.test('one source has its share, and gets it back with time', async (t) => {
  const rate = new SourceRate(10);
  let admitted = 0;
  for (let i = 0; i < 100; i++) if (rate.take('192.0.2.9', 1000)) admitted++;
  t.equal(admitted, 20, 'two seconds of it at once');
  t.ok(rate.take('192.0.2.10', 1000), 'another source has its own');
  t.notOk(rate.take('192.0.2.9', 1050));
  t.ok(rate.take('192.0.2.9', 1100), 'a tenth of a second later one more');
});

t.test('forged sources do not fill the memory', async (t) => {
  const rate = new SourceRate(1);
  for (let i = 0; i < 50_000; i++) rate.take(`10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`, i);
  t.equal(rate.size, 4096);
});

t.test('a peer that repeats itself without end is cut, established SAs and others are not', async (t) => {
  const { sim, east, west } = pair({ limits: { requestsPerSecond: 5 } });
  const first = sim.initiate(east).find((output) => output.kind === 'send')!;
  if (first.kind !== 'send') throw new Error('unreachable');
  const flood = {
    kind: 'datagram',
    local: first.remote,
    remote: { address: '203.0.113.7', port: 500 },
  } as const;
  for (let i = 0; i < 200; i++) {
    sim.input(west, { ...flood, natTraversalPort: false, bytes: first.bytes });
  }
  t.equal(west.eventsOf('cookie-demanded').length, 190, 'all but ten are only told to prove their address');
  t.ok(
    sim.run(5000, () => east.childInfo.size === 1 && west.childInfo.size === 1),
    'the real peer connects',
  );
});

t.test('IKE SAs of one peer address are bounded', async (t) => {
  const { sim, east, west } = pair({ limits: { ikeSasPerPeer: 1 } });
  sim.initiate(east);
  sim.run(1000);
  t.equal(west.ikes.size, 1);
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'connection' });
  sim.run(3000);
  t.match(
    west.eventsOf('datagram-dropped').filter((event) => event.detail.includes('which is the limit'))[0],
    { reason: 'half_open_limit' },
  );
});
