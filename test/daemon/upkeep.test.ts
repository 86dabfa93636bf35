import { mock } from 'node:test';
import t from 'tap';
import { SaLedger } from '../../src/connection/ledger.js';
import { STANDSTILL } from '../../src/connection/projections/lifetimes.js';
import { TrafficReports } from '../../src/daemon/core/traffic-reports.js';
import { Upkeep } from '../../src/daemon/core/upkeep.js';
import type { ChildCounters } from '../../src/dataplane/dataplane.js';
import { createLogger } from '../../src/telemetry/log.js';
import { comesUp } from '../connection/samples.js';

const PEER = { address: '192.0.2.2', port: 4500 };

/** An upkeep whose every visit is a line. */
function setUp() {
  const done: string[] = [];
  const lines: string[] = [];
  const clock = { at: 1000, now: () => clock.at, epoch: 0 };
  const ledger = new SaLedger();
  for (const event of comesUp('c')) ledger.apply(event);
  let looks = 0;
  const counters = [{ id: 1, packetsIn: 4, lastInbound: 900 }, { id: 2 }].map(
    (one) =>
      ({
        ...{
          packetsIn: 0,
          bytesIn: 0,
          packetsOut: 0,
          bytesOut: 0,
          lastInbound: 0,
          sequenceOut: 0,
          drops: {},
        },
        ...one,
      }) as unknown as ChildCounters,
  );
  const upkeep = new Upkeep({
    clock,
    logger: createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } }),
    tracker: {
      traffic: (byChild, now) =>
        void done.push(`traffic of ${[...byChild.keys()]}: ${byChild.get(1)?.packetsIn} at ${now}`),
      stoodStill: (length, now) => void done.push(`stood still ${length} until ${now}`),
    },
    totals: { mark: (all, now) => void done.push(`mark ${all.length} at ${now}`) },
    reports: new TrafficReports(ledger),
    sampler: { look: (all) => void done.push(`samples of ${all.length}`) },
    keepalives: { take: (now) => (now < 20_000 ? [] : [PEER]) },
    peerNames: { refreshDue: () => void done.push('names') },
    lines: { flush: (now) => void done.push(`flush at ${now}`) },
    counters: () => {
      looks++;
      return counters;
    },
    input: (input) => void done.push(`input ${input.kind}`),
    sendKeepalive: ({ address }) => void done.push(`keepalive to ${address}`),
  });
  return { upkeep, clock, lines, take: () => done.splice(0), looks: () => looks };
}

t.test('one look reads the counters once and visits everything that has no deadline', async (t) => {
  const it = setUp();
  it.upkeep.look();
  t.same(it.take(), [
    'traffic of 1,2: 4 at 1000',
    'mark 2 at 1000',
    'samples of 2',
    'input inbound-traffic',
    'names',
    'flush at 1000',
  ]);
  t.equal(it.looks(), 1);
  it.upkeep.look();
  t.same(
    it.take(),
    ['traffic of 1,2: 4 at 1000', 'mark 2 at 1000', 'samples of 2', 'names', 'flush at 1000'],
    'the engine knows that packet',
  );
  it.clock.at = 20_000;
  it.upkeep.look();
  t.ok(it.take().includes('keepalive to 192.0.2.2'));
  t.same(it.lines, []);
});

t.test('a standstill is logged, and known before the counters are judged', async (t) => {
  const it = setUp();
  it.upkeep.look(STANDSTILL + 2400);
  t.equal(it.take()[0], `stood still ${STANDSTILL + 2400} until 1000`);
  t.match(JSON.parse(it.lines[0]!), { level: /./, seconds: Math.round((STANDSTILL + 2400) / 1000) });
  t.equal(it.lines.length, 1);
});

t.test('once started it looks every second, learns of a standstill by its clock, and stops', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const it = setUp();
  const second = (passed = 1000): void => {
    it.clock.at += passed;
    mock.timers.tick(1000);
  };
  it.upkeep.start();
  second();
  second(1200);
  t.equal(it.looks(), 2);
  t.same(it.lines, [], 'a little late is no standstill');
  it.take();
  second(1000 + STANDSTILL);
  t.equal(it.take()[0], `stood still ${STANDSTILL} until ${it.clock.at}`);
  second();
  t.notMatch(it.take().join(), 'stood still', 'that one is over');
  it.upkeep.stop();
  second(1000 + STANDSTILL);
  t.same(it.take(), []);
});
