import t from 'tap';
import type { ConnectionNote } from '../../src/connection/document.js';
import { explain } from '../../src/connection/explain.js';
import { FlapCounter } from '../../src/connection/projections/flaps.js';
import { ConnectionHistory } from '../../src/connection/projections/history.js';
import { TrafficWatch } from '../../src/connection/projections/traffic-watch.js';
import type { StatusCause } from '../../src/connection/reasons.js';
import type { ConnectionView } from '../../src/connection/reconcile-types.js';
import type { ChildTraffic } from '../../src/connection/sa-status.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import type { FailureCause, IkeEvent } from '../../src/ike/events.js';
import { FedTracker } from './fed.js';
import { childInfo, comesUp, connection, ikeInfo, network } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };
const toUtc = (at: number): string => new Date(Date.UTC(2026, 0, 1) + at).toISOString();

class Bench {
  readonly tracker = new FedTracker(toUtc);
  readonly note: ConnectionNote;

  constructor(config: ConnectionConfig = connection('c'), note: Partial<ConnectionNote> = {}) {
    this.tracker.configure([{ config, peer: '192.0.2.2' }]);
    this.note = { stopped: false, ...note };
  }

  feed(events: readonly IkeEvent[], now = 0): this {
    for (const event of events) this.tracker.handle(event, now);
    return this;
  }

  status(now = 0, traffic: ReadonlyMap<number, ChildTraffic> = new Map()) {
    return this.tracker.status(traffic, new Map([['c', this.note]]), now)[0]!;
  }

  explain(now = 0) {
    return explain(this.status(now), this.tracker.history('c'), { now, toUtc });
  }
}

const view = (state: ConnectionView['state'], over: Partial<ConnectionView> = {}): ConnectionView => ({
  state,
  failures: 0,
  nextAttemptAt: undefined,
  renewing: false,
  ...over,
});

function fails(cause: FailureCause, role: 'initiator' | 'responder' = 'initiator'): IkeEvent {
  const failure = { cause, message: `it was ${cause}`, details: { ours: ['A'], theirs: ['B'] } };
  return { kind: 'ike-failed', connection: 'c', ikeId: 5, role, peer: PEER, failure };
}

t.test(
  'what comes from an address is read once, however many connections have their peer there',
  async (t) => {
    const tracker = new FedTracker(toUtc);
    const names = Array.from({ length: 300 }, (_, n) => `c${n}`);
    tracker.configure(names.map((name) => ({ config: connection(name), peer: PEER.address })));
    let reads = 0;
    const dropped = {
      kind: 'datagram-dropped',
      reason: 'unknown_spi',
      peer: PEER,
      get detail() {
        reads++;
        return 'SPI 1 is not known';
      },
    } as const;
    tracker.handle(dropped, 10);
    const once = reads;
    t.ok(once > 0 && once < 10, `read ${once} times`);
    for (const name of names) t.match(tracker.history(name), [{ kind: 'dropped', lastAt: 10 }]);
    t.equal(reads, once, 'and no more by those who look');

    const [first, ...others] = names;
    tracker.configure([{ config: connection(first!), peer: PEER.address }]);
    tracker.handle(dropped, 20);
    t.match(tracker.history(first!), [{ kind: 'dropped', firstAt: 10, lastAt: 20, count: 2 }]);
    t.same(tracker.history(others[0]!), [], 'one that is no longer configured has no history');
  },
);

t.test('each cause is named, with a verdict, advice and the evidence', async (t) => {
  const causes: FailureCause[] = [
    'dns_failed',
    'peer_silent',
    'port_4500_blocked',
    'psk_mismatch',
    'psk_mismatch_likely',
    'identity_mismatch',
    'authentication_refused',
    'ike_version_mismatch',
    'ike_proposal_mismatch',
    'child_proposal_mismatch',
    'ts_mismatch',
    'pfs_mismatch',
    'peer_deleted',
    'dpd_timeout',
    'rekey_failed',
    'half_open_limit',
    'child_sa_limit',
    'cookie_loop',
  ];
  for (const cause of causes) {
    const told = new Bench().feed([fails(cause)]).explain();
    t.equal(told.cause, cause);
    t.match(told.verdict, new RegExp(`^The connection is down\\. It was ${cause}\\.$`));
    t.equal(told.advice.length, 1, cause);
    t.notOk(told.verdict.includes(told.advice[0]!), 'the advice stands apart');
    t.match(told.connection.status_reasons[0]?.details, { ours: ['A'], theirs: ['B'] });
    t.match(told.timeline, [{ what: 'failed', count: 1, first_at: '2026-01-01T00:00:00.000Z' }]);
  }
});

t.test('causes that come from this host and from what is wanted', async (t) => {
  const cases: [StatusCause, Bench][] = [
    ['admin_down', new Bench(connection('c', { adminUp: false }), { view: view('disabled') })],
    ['admin_down', new Bench(connection('c'), { stopped: true, view: view('stopped') })],
    [
      'waiting_for_peer',
      new Bench(connection('c', { establishMode: 'peer_only' }), { view: view('passive') }),
    ],
    ['waiting_for_peer', new Bench(connection('c'), { view: view('passive') })],
    [
      'local_route_conflict',
      new Bench(connection('c'), { problems: [{ cause: 'local_route_conflict', message: 'x' }] }),
    ],
    ['tun_error', new Bench(connection('c'), { problems: [{ cause: 'tun_error', message: 'x' }] })],
  ];
  for (const [cause, bench] of cases) {
    const told = bench.explain();
    t.equal(told.cause, cause);
    t.ok(told.advice.length > 0, `${cause} has advice`);
  }
  const conflict = new Bench(connection('c'), {
    problems: [{ cause: 'local_route_conflict', message: 'no route' }],
  });
  conflict.feed(comesUp('c'));
  t.match(conflict.status(), {
    status: 'degraded',
    status_reasons: [{ details: { cause: 'local_route_conflict' } }],
  });
});

t.test('what happens next', async (t) => {
  const due = new Bench(connection('c'), { view: view('due', { failures: 3, nextAttemptAt: 12_000 }) });
  t.same(due.explain(2000).next, ['The next attempt is made in 10 s, after 3 failed attempts in a row.']);
  t.match(due.status(2000), {
    activity: 'due',
    failed_attempts: 3,
    next_attempt_at: '2026-01-01T00:00:12.000Z',
  });
  t.match(new Bench(connection('c'), { view: view('trapped') }).explain(), {
    verdict: /waiting for traffic/,
    next: [/first packet/],
  });
  t.match(new Bench(connection('c'), { view: view('connecting') }).explain(), {
    cause: null,
    next: [/under way/],
  });
  const up = new Bench(connection('c'), { view: view('up') }).feed([
    { kind: 'ike-established', connection: 'c', ike: ikeInfo(1, { rekeyAt: 100_000 }) },
    { kind: 'child-established', connection: 'c', child: childInfo(1, 1, { rekeyAt: 50_000 }) },
  ]);
  t.match(up.explain(10_000), {
    status: 'up',
    cause: null,
    advice: [],
    verdict: 'The connection with 192.0.2.2 is up for 1 pair of networks.',
    next: ['The IKE SA is rekeyed in 1 min 30 s.', 'The next child SA is rekeyed in 40 s.'],
  });
});

t.test('the timeline has the messages of both directions, counts repetitions and is bounded', async (t) => {
  const bench = new Bench();
  const message = (direction: 'in' | 'out', summary: string, ids: object): IkeEvent => ({
    kind: 'message',
    direction,
    peer: PEER,
    summary,
    ...ids,
  });
  // A responder does not know whose negotiation it is until IKE_AUTH.
  bench.feed(
    [message('in', 'IKE_SA_INIT request', {}), message('out', 'IKE_SA_INIT response', { ikeId: 7 })],
    10,
  );
  t.equal(bench.tracker.history('c').length, 1, 'only what its address shows');
  bench.feed([{ ...fails('psk_mismatch', 'responder'), ikeId: 7 } as IkeEvent], 30);
  t.same(
    bench.explain().timeline.map(({ what }) => what),
    ['received', 'sent', 'failed'],
  );
  const retransmit: IkeEvent = {
    kind: 'retransmit',
    connection: 'c',
    ikeId: 8,
    exchange: 'IKE_SA_INIT',
    attempt: 1,
    peer: PEER,
  };
  for (let i = 0; i < 7; i++) bench.feed([retransmit], 100 + i);
  t.match(bench.explain().timeline.at(-1), { what: 'repeated', count: 7, last_at: toUtc(106) });

  const history = new ConnectionHistory();
  for (let i = 0; i < 5000; i++) history.add('sent', `${i} ${'x'.repeat(2000)}`, i);
  t.equal(history.entries.length, 100);
  t.ok(history.entries.every(({ text }) => text.length <= 501));
  for (let i = 0; i < 5000; i++) bench.feed([message('out', 'x', { ikeId: 1000 + i })]);
  t.ok(bench.tracker.history('c').length <= 100);
});

t.test('the coverage matrix', async (t) => {
  const local = {
    ...connection('c').local,
    selectors: ['10.1.0.0/24', '10.7.0.0/24', 'fd00:1::/64'].map(network),
  };
  const peer = { ...connection('c').peer, selectors: ['10.2.0.0/24', 'fd00:2::/64'].map(network) };
  const config = connection('c', { local, peer });
  const bench = new Bench(config).feed(comesUp('c'));
  t.match(bench.status().coverage, {
    pairs: 3,
    covered: 1,
    matrix: [
      {
        local: '10.1.0.0/24',
        peer: '10.2.0.0/24',
        state: 'covered',
        spi_in: 'c0000001',
        spi_out: '0000000a',
      },
      { local: '10.7.0.0/24', peer: '10.2.0.0/24', state: 'pending' },
      { local: 'fd00:1::/64', peer: 'fd00:2::/64', state: 'pending' },
    ],
  });
  t.equal(bench.status().status, 'degraded');
  const failure = { cause: 'ts_mismatch', message: 'TS_UNACCEPTABLE' } as const;
  bench.feed([{ kind: 'child-failed', connection: 'c', ikeId: 1, role: 'initiator', failure }]);
  t.equal(bench.status().coverage?.matrix[1]?.state, 'refused');
  bench.feed([
    {
      kind: 'child-established',
      connection: 'c',
      child: childInfo(2, 1, { localTs: [local.selectors[1]!] }),
    },
    {
      kind: 'child-established',
      connection: 'c',
      child: childInfo(3, 1, { localTs: [local.selectors[2]!], peerTs: [peer.selectors[1]!] }),
    },
  ]);
  t.match(bench.status(), { status: 'up', coverage: { covered: 3 } }, 'several child SAs cover it together');
  t.match(new Bench(connection('c', { adminUp: false })).status().coverage?.matrix, [{ state: 'down' }]);

  const many = Array.from({ length: 40 }, (_, i) => network(`10.${i}.0.0/16`));
  const wide = new Bench(
    connection('c', { local: { ...local, selectors: many }, peer: { ...peer, selectors: many } }),
  );
  t.match(wide.status().coverage, { pairs: 1600, covered: 0 });
  t.equal(wide.status().coverage?.matrix.length, 256);
});

t.test('traffic that leaves while nothing returns', async (t) => {
  const watch = new TrafficWatch();
  const counts = (packetsIn: number, packetsOut: number, id = 1) => [{ id, packetsIn, packetsOut }];
  watch.traffic(counts(5, 5), 0);
  watch.traffic(counts(5, 20), 1000);
  t.equal(watch.oneWay(30_999), undefined, 'not too soon');
  watch.traffic([...counts(5, 20), ...counts(0, 10, 2)], 31_000);
  t.same(watch.oneWay(46_000), { since: 1000, packets: 25 }, 'over a rekey');
  watch.traffic([...counts(5, 20), ...counts(1, 10, 2)], 47_000);
  t.equal(watch.oneWay(90_000), undefined, 'an answer ends it');
  watch.traffic(counts(1, 12, 2), 100_000);
  t.equal(watch.oneWay(200_000), undefined, 'two packets prove nothing');
  watch.traffic([], 201_000);
  watch.traffic(counts(0, 50, 3), 202_000);
  t.same(watch.oneWay(240_000), { since: 202_000, packets: 50 });

  const bench = new Bench().feed(comesUp('c'));
  const traffic = (packetsOut: number) =>
    new Map([
      [1, { id: 1, packetsIn: 0, bytesIn: 0, packetsOut, bytesOut: 0, drops: { replay: 2, no_sa: 0 } }],
    ]);
  bench.tracker.traffic(traffic(0), 0);
  bench.tracker.traffic(traffic(100), 1000);
  t.match(bench.status(46_000, traffic(100)), {
    status: 'up',
    advisories: [
      { code: 'one_way_traffic', message: /^We send, but nothing has come back for 45 s \(100 packets\)/ },
    ],
    drops: { replay: 2 },
  });
  t.same(Object.keys(bench.status(46_000, traffic(100)).drops!), ['replay']);
});

t.test('flapping: more than three unwanted losses in ten minutes', async (t) => {
  const bench = new Bench();
  const cycle = (at: number, reason: 'peer-dead' | 'terminated'): void => {
    bench.feed(comesUp('c'), at);
    bench.feed(
      [
        { kind: 'child-closed', connection: 'c', childId: 1, reason },
        { kind: 'ike-closed', connection: 'c', ikeId: 1, reason },
      ],
      at + 10,
    );
  };
  for (let i = 0; i < 3; i++) cycle(i * 60_000, 'peer-dead');
  for (let i = 0; i < 9; i++) cycle(i * 60_000, 'terminated');
  t.same(bench.status(190_000).flaps, { total: 3, last_10_minutes: 3 });
  t.same(bench.status(190_000).advisories, []);
  cycle(200_000, 'peer-dead');
  t.match(bench.status(201_000), {
    flaps: { total: 4, last_10_minutes: 4 },
    advisories: [
      { code: 'flapping', message: /lost 4 times in ten minutes: raise .*timeout from 10 to 30 s/ },
    ],
  });
  t.same(bench.status(900_000).flaps, { total: 4, last_10_minutes: 0 });
  t.same(bench.status(900_000).advisories, []);
  const flaps = new FlapCounter();
  for (let i = 0; i < 1000; i++) flaps.lost(i);
  t.same([flaps.total, flaps.recent(1000)], [1000, 64], 'in bounded memory');
});

t.test('our own limits that keep the peer out are a cause', async (t) => {
  const bench = new Bench().feed([
    { kind: 'datagram-dropped', reason: 'half_open_limit', peer: PEER, detail: '500 half-open' },
    { kind: 'datagram-dropped', reason: 'malformed', peer: PEER, detail: 'x' },
    {
      kind: 'datagram-dropped',
      reason: 'half_open_limit',
      peer: { address: '203.0.113.1', port: 500 },
      detail: 'x',
    },
  ]);
  t.match(bench.explain(), {
    cause: 'half_open_limit',
    verdict: /Requests from 192\.0\.2\.2 are dropped here/,
  });
  t.equal(bench.tracker.history('c').length, 2, 'what others send is not its history');
});

t.test('a renewal that has not succeeded yet is told', async (t) => {
  const bench = new Bench(connection('c'), { view: view('up', { renewing: true }) }).feed(comesUp('c'));
  t.match(bench.status().advisories, [{ code: 'renewal_pending' }]);
});
