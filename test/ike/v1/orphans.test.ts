import t from 'tap';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { type ConnectionPatch, connection, type Pair, type SimNode } from '../../helpers/engine-pair.js';
import { establishedV1, v1, v1Faults } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

const UNWATCHED: ConnectionPatch = { dpd: { action: 'none', interval: 10, timeout: 40 } };
const WATCHED: ConnectionPatch = { dpd: { action: 'restart', interval: 5, timeout: 20 } };

const isMainMode = ({ bytes }: Packet): boolean => bytes[18] === V1Exchange.MAIN_MODE;

/** ESP SAs at both ends whose ISAKMP SA has reached its lifetime, since no main mode came through. */
function orphaned(east: ConnectionPatch, west: ConnectionPatch = east): Pair {
  const lives = { ikeLifetime: 300, childLifetime: 3600 };
  const made = establishedV1({ east: { ...lives, ...east }, west: { ...lives, ...west } });
  const { sim } = made;
  let blocked = true;
  sim.net.impair((packet) => blocked && isMainMode(packet), { kind: 'drop' }, Number.POSITIVE_INFINITY);
  while (made.east.ikes.size + made.west.ikes.size > 0 && sim.now < 400_000) carry(made, 1000);
  blocked = false;
  if (made.east.ikes.size + made.west.ikes.size > 0) throw new Error('an ISAKMP SA stands');
  return made;
}

/** Time passes while packets go both ways through the tunnel, each second. */
function carry({ sim, east, west }: Pair, forMillis: number): void {
  for (const end = sim.now + forMillis; sim.now < end; ) {
    for (const node of [east, west])
      for (const childId of node.childInfo.keys())
        sim.input(node, { kind: 'inbound-traffic', childId, at: sim.now });
    sim.run(sim.now + 1000);
  }
}

const begun = (node: SimNode): number => node.eventsOf('ike-initiating').length;

t.test('ESP SAs outlive their ISAKMP SA, and one is made when they are to be rekeyed', async (t) => {
  const made = orphaned(UNWATCHED);
  const { sim, east, west } = made;
  t.equal(east.childInfo.size, 1);
  t.equal(west.childInfo.size, 1);
  const before = begun(east) + begun(west);
  sim.run(sim.now + 600_000);
  t.equal(begun(east) + begun(west), before, 'as long as nothing needs one there is none');
  t.ok(
    sim.run(3_600_000, () => east.eventsOf('child-established').length > 1),
    'before the end of their life',
  );
  sim.run(sim.now + 20_000);
  t.equal(v1Faults(made), undefined);
  for (const node of [east, west]) {
    t.strictSame(
      node.eventsOf('child-closed').map(({ reason }) => reason),
      ['rekeyed'],
    );
  }
});

t.test(
  'silent ESP SAs without an ISAKMP SA: the peer is asked by a main mode, which renews them',
  async (t) => {
    const made = orphaned(WATCHED);
    const { sim, east, west } = made;
    const before = begun(east) + begun(west);
    carry(made, 120_000);
    t.equal(begun(east) + begun(west), before, 'traffic is a sign of life');
    sim.run(sim.now + 30_000);
    t.ok(begun(east) + begun(west) > before);
    t.equal(v1Faults(made), undefined);
    t.ok(east.eventsOf('child-established').length > 1, 'the peer may have ended them with its ISAKMP SA');
  },
);

t.test('the same with a peer that is gone: they end as dead', async (t) => {
  const { sim, east, west } = orphaned(WATCHED);
  sim.net.impair(() => true, { kind: 'drop' }, Number.POSITIVE_INFINITY);
  sim.run(sim.now + 120_000);
  for (const node of [east, west]) {
    t.match(node.eventsOf('child-closed'), [{ reason: 'peer-dead' }]);
    t.equal(node.children.size, 0);
  }
});

t.test('they are ended at the peer too, by an ISAKMP SA made for it', async (t) => {
  for (const input of [{ kind: 'terminate', connection: 'site' }, { kind: 'shutdown' }] as const) {
    const { sim, east, west } = orphaned(UNWATCHED);
    const established = east.eventsOf('ike-established').length;
    sim.input(east, input);
    t.equal(east.children.size, 0, 'traffic stops at once');
    t.ok(east.engine.closing, 'and the peer is still to be told');
    sim.run(sim.now + 2000);
    t.notOk(east.engine.closing);
    t.equal(west.children.size, 0, input.kind);
    t.equal(east.engine.sizes.ikeSas + west.engine.sizes.ikeSas, 0);
    t.equal(east.eventsOf('ike-established').length, established, 'which nobody takes for the connection');
  }
});

t.test('a connection that leaves the configuration takes them along', async (t) => {
  const { sim, east } = orphaned(UNWATCHED);
  sim.input(east, { kind: 'configure', config: { connections: [] } });
  t.match(east.eventsOf('child-closed'), [{ reason: 'configuration-changed' }]);
});

t.test('an end that is peer_only keeps them, begins nothing, and is found by its peer', async (t) => {
  const made = orphaned(UNWATCHED, { ...UNWATCHED, ikeLifetime: 28_800, establishMode: 'peer_only' });
  const { sim, east, west } = made;
  t.equal(west.childInfo.size, 1);
  sim.input(west, { kind: 'acquire', connection: 'site', destination: Uint8Array.of(10, 1, 0, 9) });
  sim.run(sim.now + 600_000);
  t.equal(begun(west), 0);
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'connection' });
  sim.run(sim.now + 20_000);
  t.equal(v1Faults(made), undefined);
});

t.test('where neither end rekeys, ESP goes on to its own end', async (t) => {
  const lives = { ikeLifetime: 300, childLifetime: 3600, ...UNWATCHED };
  const made = establishedV1({
    east: { ...lives, establishMode: 'peer_only' },
    west: { ...lives, establishMode: 'peer_only' },
  });
  const { sim, east, west } = made;
  sim.run(310_000);
  t.equal(east.ikes.size + west.ikes.size, 0);
  t.equal(east.children.size, 1);
  t.equal(west.children.size, 1);
  sim.run(3_610_000);
  t.equal(east.children.size + west.children.size, 0);
});

t.test(
  'a peer that has lost the ISAKMP SA: one unanswered quick mode, and main mode begins at once',
  async (t) => {
    for (const role of ['east', 'west'] as const) {
      const lives = { ikeLifetime: 28_800, childLifetime: 3600, ...UNWATCHED };
      const quiet = { ...lives, establishMode: 'peer_only' } as const;
      const other = role === 'east' ? 'west' : 'east';
      const made = establishedV1({ [role]: lives, [other]: lives });
      const { sim } = made;
      const node = made[role];
      const rebooted = made[other];
      sim.input(rebooted, { kind: 'configure', config: { connections: [connection(other, v1(quiet))] } });
      rebooted.config = { connections: [connection(other, v1(quiet))] };
      sim.run(1_000_000);
      sim.restart(rebooted);
      const silent = (): boolean =>
        node.eventsOf('child-failed').some(({ failure }) => failure.cause === 'peer_silent');
      t.ok(sim.run(3_600_000, silent), 'the rekeying is not answered');
      const at = sim.now;
      t.ok(
        sim.run(at + 2000, () => v1Faults(made) === undefined || node.ikes.size > 0),
        'the new ISAKMP SA is up within seconds',
      );
      t.match(node.eventsOf('ike-closed'), [{ reason: 'peer-dead', failure: { cause: 'peer_silent' } }]);
      sim.run(sim.now + 20_000);
      t.equal(v1Faults(made), undefined, 'and all ESP SAs are new');
    }
  },
);

t.test('networks that the peer refuses without a word cost neither ISAKMP SA nor ESP SAs', async (t) => {
  const cidrs = { local: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] } };
  const made = establishedV1({ east: UNWATCHED, west: UNWATCHED });
  const { sim, east, west } = made;
  const [first] = east.childInfo.keys();
  // The refusals do not reach us.
  sim.net.impair(
    ({ from, bytes }) => from.address === west.address && bytes[18] === V1Exchange.INFORMATIONAL,
    { kind: 'drop' },
    Number.POSITIVE_INFINITY,
  );
  sim.input(east, {
    kind: 'configure',
    config: { connections: [connection('east', v1({ ...UNWATCHED, ...cidrs }))] },
  });
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'networks' });
  sim.run(sim.now + 600_000);
  t.ok(east.eventsOf('child-failed').length > 1);
  t.strictSame(east.eventsOf('ike-closed'), []);
  t.ok(east.childInfo.has(first!));
});
