import t from 'tap';
import { explain } from '../../src/connection/explain.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import type { CloseReason, Failure, IkeEvent } from '../../src/ike/events.js';
import { FedTracker } from './fed.js';
import { childInfo, comesUp, connection, ikeInfo, network } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };
const toUtc = (at: number): string => new Date(Date.UTC(2026, 0, 1) + at).toISOString();
const SILENT: Failure = {
  cause: 'peer_silent',
  message: 'no answer',
  details: { exchange: 'IKE_SA_INIT', tries: 3, unanswered: 'message 1' },
};

class Bench {
  readonly tracker = new FedTracker(toUtc);

  constructor(config: ConnectionConfig = connection('c')) {
    this.tracker.configure([{ config, peer: '192.0.2.2' }]);
  }

  feed(now: number, ...events: readonly IkeEvent[]): this {
    for (const event of events) this.tracker.handle(event, now);
    return this;
  }

  status(now = 0) {
    return this.tracker.status(new Map(), new Map(), now)[0]!;
  }

  explain(now = 0) {
    return explain(this.status(now), this.tracker.history('c'), { now, toUtc });
  }

  /** An attempt of ours: one request and one repetition of it. */
  attempt(now: number, outcome: Failure = SILENT, to = PEER): this {
    return this.feed(
      now,
      { kind: 'ike-initiating', connection: 'c', ikeId: 5, version: 2, peer: to },
      { kind: 'message', direction: 'out', peer: to, connection: 'c', ikeId: 5, summary: 'IKE_SA_INIT' },
      { kind: 'retransmit', connection: 'c', ikeId: 5, exchange: 'IKE_SA_INIT', attempt: 2, peer: to },
      { kind: 'ike-failed', connection: 'c', ikeId: 5, role: 'initiator', peer: to, failure: outcome },
    );
  }

  /** Comes up and is closed after `age`. */
  life(id: number, from: number, age: number, reason: CloseReason, planned = 3_000_000): this {
    const times = { establishedAt: from, rekeyAt: from + planned };
    return this.feed(
      from,
      { kind: 'ike-established', connection: 'c', ike: ikeInfo(id, times) },
      { kind: 'child-established', connection: 'c', child: childInfo(id, id, times) },
    ).feed(
      from + age,
      { kind: 'child-closed', connection: 'c', childId: id, reason },
      { kind: 'ike-closed', connection: 'c', ikeId: id, reason },
    );
  }
}

const heard: IkeEvent = {
  kind: 'message',
  direction: 'in',
  peer: PEER,
  connection: 'c',
  ikeId: 4,
  summary: 'IKE_SA_INIT response',
};

t.test(
  'nothing ever came back: what was sent, to where and when, and that silence does not tell why',
  async (t) => {
    const told = new Bench().attempt(1000).attempt(9000).explain(10_000);
    t.equal(told.cause, 'port_500_blocked');
    t.match(
      told.verdict,
      /nothing has ever come back from 192\.0\.2\.2:500, after 4 requests.*does not show which/i,
    );
    t.match(told.connection.status_reasons[0]?.details, {
      confidence: 'possible',
      sent_to: ['192.0.2.2:500'],
      sent: 4,
      first_sent: toUtc(1000),
      last_sent: toUtc(9000),
      last_heard: undefined,
    });
    t.match(told.advice[0], /peer address.*port 500.*tcpdump/);
  },
);

t.test('the peer reaches us but never answers: its port 500 is likely to be blocked', async (t) => {
  const bench = new Bench().attempt(1000);
  bench.feed(1500, { kind: 'ike-responding', ikeId: 9, version: 2, peer: PEER }).attempt(2000);
  const told = bench.explain(2000);
  t.equal(told.cause, 'port_500_blocked');
  t.match(told.connection.status_reasons[0]?.details, { confidence: 'likely', last_heard: toUtc(1500) });
});

t.test('what went to port 4500 and was not answered is told of that port', async (t) => {
  const natt = { ...PEER, port: 4500 };
  const told = new Bench().attempt(1000, SILENT, natt).explain(1000);
  t.equal(told.cause, 'port_4500_blocked');
  t.match(told.verdict, /nothing has ever come back from 192\.0\.2\.2:4500.*UDP port 4500 is blocked/i);
  t.match(told.connection.status_reasons[0]?.details, { confidence: 'possible' });
  t.match(told.advice[0], /UDP 4500.*peer address/);
  t.notMatch(told.advice[0], /\b500\b/);

  const heardOf = new Bench().attempt(1000, SILENT, natt);
  heardOf
    .feed(1500, { kind: 'ike-responding', ikeId: 9, version: 2, peer: natt })
    .attempt(2000, SILENT, natt);
  t.match(heardOf.explain(2000), {
    cause: 'port_4500_blocked',
    verdict: /what we send to its UDP port 4500/,
  });
});

t.test('a peer that answered before is down, or cut off, not blocked', async (t) => {
  const bench = new Bench().feed(500, heard).attempt(1000);
  t.equal(bench.explain(1000).cause, 'peer_silent');
  t.match(bench.explain(1000).verdict, /was last heard from at 2026-01-01T00:00:00\.500Z/);
});

t.test('what the kernel says of a send is certain, until a send succeeds', async (t) => {
  const bench = new Bench();
  bench.feed(1000, {
    kind: 'message',
    direction: 'out',
    peer: PEER,
    connection: 'c',
    ikeId: 5,
    summary: 'IKE_SA_INIT',
  });
  bench.tracker.sendFailed(PEER, 'EPERM', 'operation not permitted (EPERM)', 1000);
  bench.feed(1100, { kind: 'ike-failed', connection: 'c', role: 'initiator', peer: PEER, failure: SILENT });
  t.match(bench.status().status_reasons[0]?.details, {
    cause: 'port_500_blocked',
    confidence: 'certain',
    send_error: 'operation not permitted (EPERM)',
  });
  bench.attempt(2000);
  bench.tracker.sendFailed(PEER, 'ENETUNREACH', 'there is no route to it (ENETUNREACH)', 2000);
  bench.feed(2100, { kind: 'ike-failed', connection: 'c', role: 'initiator', peer: PEER, failure: SILENT });
  t.match(bench.status().status_reasons[0], {
    message: /cannot send to .* no route to it/,
    details: { cause: 'peer_silent' },
  });
  bench.attempt(3000);
  t.match(bench.status().status_reasons[0]?.details, { confidence: 'possible', send_error: undefined });
});

t.test('silence after an answer is told as the engine has it', async (t) => {
  const later: Failure = { cause: 'port_4500_blocked', message: 'no IKE_AUTH answer' };
  t.equal(new Bench().attempt(1000, later).explain().cause, 'port_4500_blocked');
});

t.test('the peer ends the connection at the same age again and again: lifetimes differ', async (t) => {
  const bench = new Bench();
  bench.life(1, 0, 60_000, 'peer-deleted').life(2, 61_000, 61_000, 'peer-deleted');
  t.equal(bench.explain(122_000).cause, 'peer_deleted', 'twice may be chance');
  bench.life(3, 123_000, 60_500, 'peer-deleted');
  const told = bench.explain(183_500);
  t.equal(told.cause, 'clock_or_lifetime');
  t.match(told.connection.status_reasons[0]?.details, { ended_after: [60, 61, 61], rekey_after: 3000 });
  t.match(told.advice[0], /same key lifetimes at both ends/);
  bench.feed(184_000, ...comesUp('c', 4));
  const up = bench.explain(184_000);
  t.match(up, { status: 'up', cause: 'clock_or_lifetime', verdict: /is up .* But something is wrong/ });
  t.match(up.connection.advisories, [{ code: 'clock_or_lifetime' }]);
  bench.feed(190_000, {
    kind: 'child-established',
    connection: 'c',
    child: childInfo(5, 4, { replaces: 4 }),
  });
  bench.feed(190_000, {
    kind: 'ike-established',
    connection: 'c',
    ike: ikeInfo(6, { replaces: 4 }),
  });
  t.match(bench.explain(190_000), { cause: null, connection: { advisories: [] } }, 'a rekeying ends it');
});

t.test('the same for child SAs alone, and for several of them at once', async (t) => {
  const config = connection('c');
  const bench = new Bench({
    ...config,
    peer: { ...config.peer, selectors: [network('10.2.0.0/24'), network('10.3.0.0/24')] },
  });
  bench.feed(0, { kind: 'ike-established', connection: 'c', ike: ikeInfo(1, { rekeyAt: 9_000_000 }) });
  for (let n = 0; n < 3; n++) {
    const from = n * 31_000;
    const times = { establishedAt: from, rekeyAt: from + 3_000_000 };
    for (const [i, net] of ['10.2.0.0/24', '10.3.0.0/24'].entries()) {
      const child = childInfo(10 * n + i, 1, { ...times, peerTs: [network(net)] });
      bench.feed(from, { kind: 'child-established', connection: 'c', child });
    }
    if (n === 2) t.equal(bench.explain(from).cause, null, 'two lives of two child SAs are two, not four');
    for (const i of [0, 1]) {
      bench.feed(from + 30_000, {
        kind: 'child-closed',
        connection: 'c',
        childId: 10 * n + i,
        reason: 'peer-deleted',
      });
    }
  }
  t.match(bench.explain(93_000), {
    cause: 'clock_or_lifetime',
    verdict: /last 3 child SAs after 30, 30, 30 s/,
  });
});

t.test('no lifetime: ends at different ages, ends after the time to rekey, and our own', async (t) => {
  const different = new Bench()
    .life(1, 0, 5000, 'peer-deleted')
    .life(2, 6000, 500_000, 'peer-deleted')
    .life(3, 600_000, 90_000, 'peer-deleted');
  t.equal(different.explain(690_000).cause, 'peer_deleted');
  const late = new Bench();
  for (let n = 0; n < 4; n++) late.life(n, n * 70_000, 60_000, 'peer-deleted', 61_000);
  t.equal(late.explain(270_000).cause, 'peer_deleted');
  const own = new Bench();
  for (let n = 0; n < 4; n++) own.life(n, n * 70_000, 60_000, 'terminated');
  t.same(own.status(270_000).advisories, []);
});

t.test('a machine that stood still, and what was lost by it', async (t) => {
  const bench = new Bench().feed(0, ...comesUp('c'));
  bench.tracker.stoodStill(95_000, 100_000);
  bench.feed(110_000, { kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-dead' });
  const told = bench.explain(110_000);
  t.equal(told.cause, 'clock_or_lifetime');
  t.match(told.verdict, /was paused for 95 s until 2026-01-01T00:01:40/);
  t.match(told.advice[0], /suspended/);
  t.ok(told.timeline.some(({ text }) => /stood still/.test(text)));
  bench.feed(111_000, ...comesUp('c', 2));
  t.equal(bench.explain(111_000).cause, null);
  bench.feed(300_000, { kind: 'ike-closed', connection: 'c', ikeId: 2, reason: 'peer-dead' });
  t.equal(bench.explain(300_000).cause, 'dpd_timeout', 'a later loss has another cause');
});

t.test('an SA that nobody rekeyed', async (t) => {
  const passive = new Bench(connection('c', { establishMode: 'peer_only', childLifetime: 600 }));
  passive.feed(0, ...comesUp('c'));
  passive.feed(600_000, { kind: 'child-closed', connection: 'c', childId: 1, reason: 'expired' });
  t.match(passive.explain(600_000), { cause: 'clock_or_lifetime', verdict: /lifetime of 600 s.*peer_only/ });

  const unknown = new Bench().feed(0, ...comesUp('c'));
  unknown.feed(600_000, { kind: 'child-closed', connection: 'c', childId: 1, reason: 'expired' });
  t.equal(unknown.explain(600_000).cause, 'rekey_failed');
});

t.test(
  'a rekeying that is refused threatens first, and is the cause when the lifetime is over',
  async (t) => {
    for (const [cause, ends] of [
      ['child_proposal_mismatch', 'child_proposal_mismatch'],
      ['unsupported', 'rekey_failed'],
    ] as const) {
      const bench = new Bench().feed(0, ...comesUp('c'));
      const failure: Failure = {
        cause,
        message: 'the peer refused',
        details: { notify: 'NO_ADDITIONAL_SAS' },
      };
      bench.feed(1000, {
        kind: 'child-failed',
        connection: 'c',
        ikeId: 1,
        role: 'initiator',
        failure,
        rekeys: 1,
      });
      t.match(bench.explain(1000), { status: 'up', cause: 'rekey_failed', verdict: /could not be rekeyed/ });
      bench.feed(2000, { kind: 'child-closed', connection: 'c', childId: 1, reason: 'expired' });
      const told = bench.explain(2000);
      t.equal(told.cause, ends);
      t.match(told.connection.status_reasons[0]?.details, { notify: 'NO_ADDITIONAL_SAS' });
    }
  },
);

t.test(
  'the peer wants to rekey and we refuse: what ends early then is the mismatch, no lifetime',
  async (t) => {
    for (const version of [1, 2] as const) {
      for (const ends of ['child SA', 'IKE SA'] as const) {
        const bench = new Bench();
        const failure: Failure = { cause: 'pfs_mismatch', message: 'peer offers no DH' };
        for (let id = 1; id <= 4; id++) {
          const from = id * 31_000;
          const times = { establishedAt: from, rekeyAt: from + 3_000_000 };
          const ike = ikeInfo(id, { version, ...times });
          bench.feed(
            from,
            { kind: 'ike-established', connection: 'c', ike },
            { kind: 'child-established', connection: 'c', child: childInfo(id, id, times) },
          );
          const refused = { connection: 'c', ikeId: id, role: 'responder', failure, rekeys: id } as const;
          bench.feed(from + 20_000, { kind: 'child-failed', ...refused });
          t.match(bench.explain(from + 20_000), { status: 'up', cause: 'pfs_mismatch' });
          const closed = { connection: 'c', reason: 'peer-deleted' } as const;
          bench.feed(from + 30_000, { kind: 'child-closed', childId: id, ...closed });
          if (ends === 'IKE SA') bench.feed(from + 30_000, { kind: 'ike-closed', ikeId: id, ...closed });
          const told = bench.explain(from + 30_000);
          t.equal(told.cause, 'pfs_mismatch', `${ends} ${id} of IKEv${version}`);
          t.match(told.verdict, /could not be rekeyed: peer offers no DH/);
          t.notOk(told.connection.advisories.some(({ code }) => code === 'clock_or_lifetime'));
        }
      }
    }
  },
);

t.test('a peer that rekeys in vain takes back what was thought of its lifetime', async (t) => {
  const bench = new Bench().feed(0, ...comesUp('c', 4));
  for (let id = 5; id < 8; id++) {
    const times = { establishedAt: id * 10_000, rekeyAt: 3_000_000 };
    bench.feed(id * 10_000, { kind: 'child-established', connection: 'c', child: childInfo(id, 4, times) });
    const closed = { kind: 'child-closed', connection: 'c', childId: id, reason: 'peer-deleted' } as const;
    bench.feed((id + 1) * 10_000 - 1000, closed);
  }
  t.equal(bench.explain(190_000).cause, 'clock_or_lifetime');
  const failure: Failure = { cause: 'pfs_mismatch', message: 'peer offers no DH' };
  const refused = { connection: 'c', ikeId: 4, failure, rekeys: 4 } as const;
  bench.feed(200_000, { kind: 'child-failed', role: 'initiator', ...refused });
  t.equal(bench.explain(200_000).cause, 'clock_or_lifetime', 'that we do is no sign that the peer does');
  bench.feed(210_000, { kind: 'child-failed', role: 'responder', ...refused });
  t.equal(bench.explain(210_000).cause, 'pfs_mismatch');
});

t.test('a rekeying of ours that was refused does not explain a DELETE of the peer', async (t) => {
  const bench = new Bench().feed(0, ...comesUp('c'));
  const failure: Failure = { cause: 'pfs_mismatch', message: 'the peer refused' };
  const refused = { connection: 'c', ikeId: 1, role: 'initiator', failure, rekeys: 1 } as const;
  bench.feed(30_000, { kind: 'child-failed', ...refused });
  const closed = { connection: 'c', reason: 'peer-deleted' } as const;
  bench.feed(90_000, { kind: 'child-closed', childId: 1, ...closed });
  bench.feed(90_000, { kind: 'ike-closed', ikeId: 1, ...closed });
  t.equal(bench.explain(90_000).cause, 'peer_deleted');
});

t.test('an IKEv1 peer with a lifetime that leaves no time to rekey', async (t) => {
  const bench = new Bench();
  const times = { establishedAt: 0, rekeyAt: 8000 };
  bench.feed(0, ...comesUp('c'));
  t.same(bench.status().advisories, []);
  bench.feed(0, { kind: 'ike-established', connection: 'c', ike: ikeInfo(1, { version: 1, ...times }) });
  t.match(bench.explain(), {
    status: 'up',
    cause: 'clock_or_lifetime',
    advice: [/lifetimes/, /8 s, where 28800 s/],
  });
});

t.test('coverage tells pending from refused, pair by pair', async (t) => {
  const config = connection('c');
  const bench = new Bench({
    ...config,
    peer: { ...config.peer, selectors: ['10.2.0.0/24', '10.3.0.0/24', '10.4.0.0/24'].map(network) },
  });
  const matrix = (now = 0) => bench.status(now).coverage!.matrix.map(({ state }) => state);
  t.same(matrix(), ['pending', 'pending', 'pending']);
  const failure: Failure = { cause: 'ts_mismatch', message: 'none accepted' };
  const refused = { kind: 'child-failed', connection: 'c', ikeId: 1, role: 'initiator', failure } as const;
  bench.feed(1000, refused);
  t.same(matrix(), ['refused', 'refused', 'refused'], 'all were refused together');
  bench.feed(2000, ...comesUp('c'));
  t.same(matrix(), ['covered', 'pending', 'pending'], 'one came: the others are open again');
  const pair = { local: network('10.1.0.0/24'), peer: network('10.3.0.0/24') };
  bench.feed(3000, { ...refused, pair, retryAt: 33_000 });
  t.match(bench.status().coverage, {
    pairs: 3,
    covered: 1,
    pending: 1,
    refused: 1,
    matrix: [
      { state: 'covered' },
      {
        peer: '10.3.0.0/24',
        state: 'refused',
        cause: 'ts_mismatch',
        refused_at: toUtc(3000),
        next_attempt_at: toUtc(33_000),
      },
      { peer: '10.4.0.0/24', state: 'pending' },
    ],
  });
  t.match(
    bench.explain().verdict,
    /no child SA carries 10\.1\.0\.0\/24 with 10\.3\.0\.0\/24 \(1 refused, 1 pending\)/,
  );
  bench.feed(4000, { ...refused, rekeys: 1 });
  t.same(matrix(), ['covered', 'refused', 'pending'], 'a rekeying that fails says nothing of the pairs');
  bench.feed(5000, { kind: 'ike-established', connection: 'c', ike: ikeInfo(7) });
  t.same(matrix(), ['covered', 'pending', 'pending'], 'a negotiation from the start asks anew');
});

t.test('the nearest miss is told once, and then what to do', async (t) => {
  const nearest = {
    proposal: 1,
    differs: ['dh_group'],
    advice: 'peer offers no DH; this policy allows MODP_2048',
  };
  const failure = (message: string): Failure => ({ cause: 'pfs_mismatch', message, details: { nearest } });
  const told = new Bench().attempt(0, failure(`no common ESP proposal: ${nearest.advice}`)).explain();
  t.match(told.verdict, /peer offers no DH; this policy allows MODP_2048\.$/);
  t.match(told.advice, [/^Set the same PFS group at both ends/]);
  const other = new Bench().attempt(0, failure('no common proposal')).explain();
  t.match(other.advice, [/^Peer offers no DH/]);
});

t.test('an old failure of the peer counts less than a new one of ours', async (t) => {
  const bench = new Bench();
  const failure: Failure = { cause: 'psk_mismatch', message: 'another key' };
  bench.feed(0, { kind: 'ike-failed', connection: 'c', role: 'responder', peer: PEER, failure });
  bench.attempt(1000);
  t.equal(bench.explain(1000).cause, 'psk_mismatch');
  bench.attempt(700_000);
  t.equal(bench.explain(700_000).cause, 'port_500_blocked');
});
