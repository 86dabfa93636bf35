import t from 'tap';
import type { EventCounts } from '../../src/connection/projections/counts.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import { connection, EAST, type SimNode, Simulation, WEST } from '../helpers/engine-pair.js';
import { FedTracker } from './fed.js';
import { childInfo, comesUp, ikeInfo, connection as sample } from './samples.js';

const HOUR = 3_600_000;

/** A tracker that follows one end of a simulation. */
class Followed {
  readonly tracker = new FedTracker((at) => new Date(at).toISOString());
  readonly #node: SimNode;
  #taken = 0;

  constructor(node: SimNode, config: ConnectionConfig) {
    this.#node = node;
    this.tracker.configure([{ config, peer: config.peer.addresses[0]! }]);
  }

  /** Takes what the end has reported since the last call, at this moment. */
  take(now: number): void {
    for (const event of this.#node.events.slice(this.#taken)) this.tracker.handle(event, now);
    this.#taken = this.#node.events.length;
  }

  get counts(): EventCounts {
    return countsOf(this.tracker);
  }
}

function countsOf(tracker: FedTracker): EventCounts {
  return tracker.look(({ projections }) => projections.counts)[0]!;
}

function total(counts: EventCounts, role: 'initiator' | 'responder'): number {
  return counts.handshakes[role].counts.counts.reduce((sum, one) => sum + one, 0);
}

for (const version of [1, 2] as const) {
  t.test(`IKEv${version}: what is counted over a life with rekeyings, until the peer dies`, async (t) => {
    const sim = new Simulation();
    const terms = {
      initiateVersion: version,
      acceptVersions: [version],
      childLifetime: 600,
      ikeLifetime: 3600,
    };
    const dpd = { action: 'restart', interval: 10, timeout: 40 } as const;
    const configs = [connection('east', { ...terms, dpd }), connection('west', { ...terms, dpd })] as const;
    const east = sim.addNode('east', EAST, { connections: [configs[0]] });
    const west = sim.addNode('west', WEST, { connections: [configs[1]] });
    const [ours, theirs] = [new Followed(east, configs[0]), new Followed(west, configs[1])];
    const follow = (until: number): void => {
      sim.run(until, () => {
        ours.take(sim.now);
        theirs.take(sim.now);
        return false;
      });
      ours.take(sim.now);
      theirs.take(sim.now);
    };
    sim.initiate(east);
    follow(2 * HOUR);
    t.equal(ours.tracker.status()[0]?.status, 'up');
    const rekeyed = (node: SimNode) => ({
      ike: node.eventsOf('ike-established').filter(({ ike }) => ike.replaces !== undefined).length,
      child: node.eventsOf('child-established').filter(({ child }) => child.replaces !== undefined).length,
    });
    for (const [end, node] of [
      [ours, east],
      [theirs, west],
    ] as const) {
      t.same(end.counts.rekeyed, rekeyed(node), 'every rekeying, whoever began it');
      t.ok(end.counts.rekeyed.child > 5 && end.counts.rekeyed.ike > 0);
      t.same(end.counts.unrekeyed, { ike: 0, child: 0 });
      t.equal(end.counts.losses.size, 0, 'no rekeying is a loss');
    }
    t.same(ours.counts.attempts, { initiator: 1, responder: 0 });
    t.same(ours.counts.establishments, { initiator: 1, responder: 0 });
    t.same(theirs.counts.establishments, { initiator: 0, responder: 1 });
    t.same([total(ours.counts, 'initiator'), total(ours.counts, 'responder')], [1, 0]);
    t.same([total(theirs.counts, 'initiator'), total(theirs.counts, 'responder')], [0, 1]);
    const { sum } = ours.counts.handshakes.initiator.counts;
    t.ok(sum >= 0.02 && sum < 1, `two round trips of 10 ms at least: ${sum} s`);
    const sent = east.eventsOf('message').filter((one) => one.direction === 'out' && one.connection);
    t.equal(ours.counts.messages.out, sent.length);

    sim.nodes.splice(sim.nodes.indexOf(west), 1);
    follow(sim.now + 200_000);
    t.equal(ours.tracker.status()[0]?.status, 'down');
    t.same([...ours.counts.losses], [['dpd_timeout', 1]], 'one loss, for the reason that the status has');
    t.equal(ours.tracker.status()[0]?.status_reasons[0]?.details?.cause, 'dpd_timeout');
    t.ok(ours.counts.timeouts >= 1, 'in version 1 there may be an older SA beside the one in use');
    t.ok(ours.counts.probes > 0);
    // In version 1 a probe is not sent again: another one is.
    if (version === 2) t.ok(ours.counts.retransmissions > 0);
    t.ok(ours.counts.changedAt! > 2 * HOUR, 'when it went down');
  });
}

function tracker(): FedTracker {
  const out = new FedTracker((at) => new Date(at).toISOString());
  out.configure([{ config: sample('c'), peer: '192.0.2.2' }]);
  return out;
}

t.test('failures and losses have the cause of the status, also beside a connection that is up', async (t) => {
  const one = tracker();
  const failed = (cause: 'psk_mismatch' | 'terminated', role: 'initiator' | 'responder' = 'responder') =>
    one.handle(
      {
        ...{ kind: 'ike-failed', connection: 'c', ikeId: 9, role, peer: { address: '192.0.2.2', port: 500 } },
        failure: { cause, message: 'no' },
      },
      0,
    );
  failed('psk_mismatch');
  failed('terminated', 'initiator');
  for (const event of comesUp('c')) one.handle(event, 10);
  failed('psk_mismatch');
  t.same([...countsOf(one).failures], [['psk_mismatch', 2]], 'what an operator gave up is no failure');
  t.same(countsOf(one).attempts, { initiator: 2, responder: 2 });
  one.handle(
    {
      kind: 'child-failed',
      connection: 'c',
      ikeId: 1,
      role: 'initiator',
      rekeys: 1,
      failure: { cause: 'pfs_mismatch', message: 'no' },
    },
    20,
  );
  t.same(countsOf(one).unrekeyed, { ike: 0, child: 1 });
  one.handle({ kind: 'child-closed', connection: 'c', childId: 1, reason: 'expired' }, 30);
  t.same(
    [...countsOf(one).losses],
    [['pfs_mismatch', 1]],
    'the child SA ended since its rekeying was refused',
  );
  one.handle({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'terminated' }, 40);
  t.same([...countsOf(one).losses.values()], [1], 'its IKE SA is not lost a second time');
});

t.test('an end that is wanted is no loss, and what was adopted was not negotiated here', async (t) => {
  const one = tracker();
  one.handle({ kind: 'ike-established', connection: 'c', ike: ikeInfo(1), adopted: true }, 0);
  one.handle({ kind: 'child-established', connection: 'c', child: childInfo(1, 1), adopted: true }, 0);
  one.handle({ kind: 'child-closed', connection: 'c', childId: 1, reason: 'terminated' }, 10);
  const counts = countsOf(one);
  t.same(counts.establishments, { initiator: 0, responder: 0 });
  t.equal(counts.losses.size, 0);
  t.equal(counts.changedAt, 10);
});
