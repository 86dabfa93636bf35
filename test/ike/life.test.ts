import t from 'tap';
import { seconds } from '../../src/util/units.js';
import {
  connection,
  EAST,
  establishedPair,
  faults,
  type Pair,
  pair,
  type SimNode,
  Simulation,
  WEST,
} from '../helpers/engine-pair.js';

/** Everything is gone at both ends, or will be when time passes. */
function isEmpty(made: Pair): boolean {
  return [made.east, made.west].every(
    (node) => node.ikes.size + node.children.size + node.childInfo.size === 0,
  );
}

t.test('terminate deletes both ends, in either role', async (t) => {
  for (const end of ['east', 'west'] as const) {
    const made = establishedPair();
    const other = end === 'east' ? made.west : made.east;
    made.sim.input(made[end], { kind: 'terminate', connection: 'site' });
    t.equal(made[end].children.size, 0, 'traffic stops at once');
    made.sim.run(made.sim.now + 1000);
    t.ok(isEmpty(made));
    t.match(made[end].eventsOf('ike-closed'), [{ reason: 'terminated' }]);
    t.match(made[end].eventsOf('child-closed'), [{ reason: 'terminated' }]);
    t.match(other.eventsOf('ike-closed'), [{ reason: 'peer-deleted' }]);
    t.match(other.eventsOf('child-closed'), [{ reason: 'peer-deleted' }]);
    made.sim.run(made.sim.now + 60_000);
    t.equal(made.east.engine.sizes.ikeSas + made.west.engine.sizes.ikeSas, 0);
  }
});

t.test('DELETEs that cross, and DELETEs that are lost', async (t) => {
  const crossing = establishedPair();
  crossing.sim.input(crossing.east, { kind: 'terminate', connection: 'site' });
  crossing.sim.input(crossing.west, { kind: 'terminate', connection: 'site' });
  crossing.sim.run(crossing.sim.now + 2000);
  t.ok(isEmpty(crossing));
  for (const node of [crossing.east, crossing.west])
    t.match(node.eventsOf('ike-closed'), [{ reason: 'terminated' }]);

  const lost = establishedPair();
  lost.sim.net.impair('INFORMATIONAL response', { kind: 'drop' }, 2);
  lost.sim.input(lost.east, { kind: 'terminate', connection: 'site' });
  lost.sim.run(lost.sim.now + 10_000);
  t.ok(isEmpty(lost));
  t.equal(lost.west.eventsOf('ike-closed').length, 1, 'the repetition was answered from memory');
});

t.test('shutdown deletes everything and takes nothing new', async (t) => {
  const made = establishedPair();
  made.sim.input(made.west, { kind: 'shutdown' });
  made.sim.run(made.sim.now + 1000);
  t.ok(isEmpty(made));
  t.match(made.west.eventsOf('ike-closed'), [{ reason: 'shutdown' }]);
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 60_000);
  t.match(made.east.eventsOf('ike-failed'), [{ failure: { cause: 'peer_silent' } }]);
  t.strictSame(made.sim.initiate(made.west), []);
});

t.test('terminate gives up a negotiation under way', async (t) => {
  const { sim, east } = pair();
  sim.initiate(east);
  sim.input(east, { kind: 'terminate', connection: 'site' });
  t.match(east.eventsOf('ike-failed'), [{ failure: { cause: 'terminated' } }]);
  t.equal(east.engine.sizes.ikeSas, 0);
  t.equal(east.engine.nextDeadline(), undefined);
});

t.test('terminate or shutdown while IKE_AUTH is on its way leaves nothing at the peer', async (t) => {
  for (const kind of ['terminate', 'shutdown'] as const) {
    for (const lost of ['nothing', 'IKE_AUTH request', 'IKE_AUTH response'] as const) {
      const made = pair({ west: { establishMode: 'peer_only' } });
      const { sim, east, west } = made;
      sim.net.impair(lost, { kind: 'drop' });
      sim.initiate(east);
      sim.run(12);
      t.equal(sim.net.sent.at(-1)!.name, 'IKE_AUTH request');
      sim.input(east, kind === 'terminate' ? { kind, connection: 'site' } : { kind });
      t.match(east.eventsOf('ike-failed'), [{ failure: { cause: 'terminated' } }]);
      t.ok(east.engine.closing, 'it waits for the answer');
      t.ok(
        sim.run(sim.now + 5000, () => !east.engine.closing),
        'and not for ever',
      );
      t.equal(west.ikes.size + west.children.size, 0, `${kind} with ${lost} lost`);
      t.equal(west.eventsOf('ike-established').length, 1);
      t.strictSame(east.eventsOf('ike-established'), []);
      t.equal(east.children.size, 0);
      sim.run(sim.now + 60_000);
      t.equal(east.engine.sizes.ikeSas + west.engine.sizes.ikeSas, 0);
    }
  }
  const dead = pair();
  dead.sim.initiate(dead.east);
  dead.sim.run(12);
  dead.sim.net.impair(() => true, { kind: 'drop' }, 999);
  dead.sim.input(dead.east, { kind: 'terminate', connection: 'site' });
  t.ok(dead.sim.run(60_000, () => dead.east.engine.sizes.ikeSas === 0));
});

t.test('a connection that leaves the configuration ends; one that stays does not', async (t) => {
  const made = establishedPair();
  made.sim.input(made.east, {
    kind: 'configure',
    config: { connections: [connection('east', { childLifetime: 1800 })] },
  });
  made.sim.run(made.sim.now + 1000);
  t.equal(faults(made), undefined);
  made.sim.input(made.east, { kind: 'configure', config: { connections: [] } });
  made.sim.run(made.sim.now + 1000);
  t.ok(isEmpty(made));
  t.match(made.east.eventsOf('ike-closed'), [{ reason: 'configuration-changed' }]);
});

t.test('liveness: a probe when idle, and death after the timeout', async (t) => {
  const dpd = { action: 'restart', interval: 2, timeout: 10 } as const;
  const made = establishedPair({ east: { dpd }, west: { dpd: { ...dpd, action: 'none' } } });
  const { sim, east, west } = made;
  sim.run(sim.now + 30_000);
  t.ok(east.eventsOf('liveness-probe').length >= 10);
  t.strictSame(west.eventsOf('liveness-probe'), [], 'action none never probes');
  t.equal(faults(made), undefined);

  sim.net.impair(() => true, { kind: 'drop' }, 999);
  const silentFrom = sim.now;
  t.ok(sim.run(sim.now + 60_000, () => east.ikes.size === 0));
  t.ok(sim.now - silentFrom <= seconds(10) && sim.now - silentFrom > seconds(7), 'dead after the timeout');
  t.match(east.eventsOf('ike-closed'), [{ reason: 'peer-dead', failure: { cause: 'dpd_timeout' } }]);
  t.match(east.eventsOf('child-closed'), [{ reason: 'peer-dead' }]);
  const lastProbe = east.eventsOf('retransmit').filter((event) => event.exchange === 'INFORMATIONAL');
  t.ok(lastProbe.length >= 4, 'several tries fit into the timeout');
  t.equal(west.ikes.size, 1);
});

t.test('round trips: of every probe that is answered at once, none of one that was repeated', async (t) => {
  const dpd = { action: 'restart', interval: 2, timeout: 20 } as const;
  const { sim, east, west } = establishedPair({ east: { dpd }, west: { dpd: { ...dpd, action: 'none' } } });
  sim.run(sim.now + 20_000);
  const measured = east.eventsOf('round-trip');
  t.equal(measured.length, east.eventsOf('liveness-probe').length);
  const [ike] = east.ikes.keys();
  const expected = {
    kind: 'round-trip',
    connection: 'site',
    ikeId: ike,
    exchange: 'INFORMATIONAL',
    time: 10,
  };
  for (const event of measured) t.same(event, expected, '5 ms there and 5 ms back');
  t.same(west.eventsOf('round-trip'), [], 'who answers measures nothing');

  const before = measured.length;
  const probes = east.eventsOf('liveness-probe').length;
  sim.net.impair('INFORMATIONAL response', { kind: 'drop' }, 1);
  t.ok(sim.run(sim.now + 10_000, () => east.eventsOf('liveness-probe').length === probes + 2));
  t.ok(east.eventsOf('retransmit').length > 0, 'one was repeated, and answered then');
  t.equal(east.eventsOf('round-trip').length, before, 'nobody knows which sending was answered');
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  sim.run(sim.now + 1000);
  t.ok(
    east.eventsOf('round-trip').every(({ exchange }) => exchange === 'INFORMATIONAL'),
    'CREATE_CHILD_SA includes what the peer computes',
  );
});

t.test('ESP traffic counts as a sign of life', async (t) => {
  const dpd = { action: 'clear', interval: 2, timeout: 10 } as const;
  const { sim, east, west } = establishedPair({ east: { dpd }, west: { dpd } });
  for (let i = 0; i < 20; i++) {
    for (const node of [east, west]) {
      for (const childId of node.children.keys())
        sim.input(node, { kind: 'inbound-traffic', childId, at: sim.now });
    }
    sim.run(sim.now + 1000);
  }
  t.strictSame(east.eventsOf('liveness-probe'), []);
  t.strictSame(west.eventsOf('liveness-probe'), []);
});

t.test(
  'INITIAL_CONTACT of a restarted peer ends what it has forgotten, of this connection only',
  async (t) => {
    const sim = new Simulation();
    const other = {
      id: 'other',
      local: { identity: 'west-2.example' },
      peer: { identity: 'east-2.example' },
    };
    const mirrored = {
      id: 'other',
      local: { identity: 'east-2.example' },
      peer: { identity: 'west-2.example' },
    };
    const west = sim.addNode('west', WEST, { connections: [connection('west'), connection('west', other)] });
    const east = sim.addNode('east', EAST, {
      connections: [connection('east'), connection('east', mirrored)],
    });
    sim.initiate(east, 'site');
    sim.initiate(east, 'other');
    sim.run(1000);
    t.equal(west.ikes.size, 2);
    // The same address, without any memory.
    sim.nodes.pop();
    const reborn = sim.addNode('reborn', EAST, { connections: [connection('east')] });
    sim.initiate(reborn, 'site');
    sim.run(2000);
    t.equal(reborn.ikes.size, 1);
    t.match(west.eventsOf('ike-closed'), [{ connection: 'site', reason: 'replaced' }]);
    t.equal(west.ikes.size, 2, 'the new one, and the other connection');
    t.equal(west.children.size, 2);
  },
);

/** Of each IKE_AUTH request that a node has sent, whether it says INITIAL_CONTACT. */
const contactsOf = (node: SimNode): boolean[] =>
  node
    .eventsOf('message')
    .filter((event) => event.direction === 'out' && event.summary.startsWith('IKE_AUTH request'))
    .map((event) => event.summary.includes('INITIAL_CONTACT'));

t.test('INITIAL_CONTACT is said when no other IKE SA stands, not beside one', async (t) => {
  const made = establishedPair();
  const { sim, east } = made;
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'connection' });
  sim.run(sim.now + 20_000);
  t.equal(faults(made), undefined);
  t.strictSame(contactsOf(east), [true, false]);
  sim.input(east, { kind: 'terminate', connection: 'site' });
  sim.run(sim.now + 1000);
  sim.initiate(east);
  sim.run(sim.now + 1000);
  t.equal(faults(made), undefined);
  t.strictSame(contactsOf(east), [true, false, true]);
});

t.test('a peer that lived on behind a broken path is told that its SAs are forgotten', async (t) => {
  const watching = { action: 'restart', interval: 1, timeout: 3 } as const;
  const none = { action: 'none', interval: 1, timeout: 3 } as const;
  const made = establishedPair({ east: { dpd: watching }, west: { dpd: none } });
  const { sim, east, west } = made;
  let broken = true;
  sim.net.impair(() => broken, { kind: 'drop' }, 9999);
  t.ok(sim.run(sim.now + 20_000, () => east.ikes.size === 0));
  t.equal(west.ikes.size, 1, 'it has not noticed');
  broken = false;
  sim.initiate(east);
  sim.run(sim.now + 2000);
  t.equal(faults(made), undefined);
  t.strictSame(contactsOf(east), [true, true]);
  t.match(west.eventsOf('ike-closed'), [{ reason: 'replaced' }]);
  t.equal(west.ikes.size, 1);
  t.equal(west.children.size, 1);
});

t.test('of connections with the same identities only the first says INITIAL_CONTACT', async (t) => {
  const sim = new Simulation();
  const patch = (side: 'east' | 'west', n: number) => {
    const net = (which: 'east' | 'west') => ({ cidrs: [`10.${which === 'east' ? 1 : 2}.${n}.0/24`] });
    const other = side === 'east' ? 'west' : 'east';
    // The same names, however they are written (RFC 4343).
    const identity = `${other}.${n === 1 ? 'example' : 'Example'}`;
    return connection(side, { id: `c${n}`, local: net(side), peer: { ...net(other), identity } });
  };
  const east = sim.addNode('east', EAST, { connections: [1, 2].map((n) => patch('east', n)) });
  sim.addNode('west', WEST, { connections: [1, 2].map((n) => patch('west', n)) });
  sim.initiate(east, 'c1');
  sim.initiate(east, 'c2');
  sim.run(2000);
  t.strictSame(contactsOf(east), [true, false], 'both at once');
  sim.input(east, { kind: 'terminate', connection: 'c1' });
  sim.run(sim.now + 1000);
  sim.initiate(east, 'c1');
  sim.run(sim.now + 1000);
  t.strictSame(contactsOf(east), [true, false, false], 'and one of them anew');
});

for (const version of [1, 2] as const) {
  t.test(
    `IKEv${version}: a peer that only forces UDP encapsulation may be behind a NAT, as far as it says`,
    async (t) => {
      const initiateVersion = { initiateVersion: version, acceptVersions: [version] } as const;
      const made = pair({
        east: initiateVersion,
        west: { ...initiateVersion, encapsulation: 'always' },
      });
      made.sim.initiate(made.east);
      made.sim.run(2000);
      const [a] = made.east.ikes.values();
      const [b] = made.west.ikes.values();
      t.strictSame(a!.nat, { local: false, peer: true, peerMayForce: true });
      t.strictSame(b!.nat, { local: false, peer: false, peerMayForce: false });
      t.equal([...made.east.children.values()][0]!.encapsulation, 'udp');
    },
  );
}

t.test('a NAT moves both ends to port 4500 and is found at the right end', async (t) => {
  const made = pair({
    west: { establishMode: 'peer_only' },
  });
  made.sim.net.nats.push({ inside: EAST, outside: '198.51.100.1', portBase: 20_000 });
  made.sim.initiate(made.east);
  made.sim.run(2000);
  t.equal(faults(made), undefined);
  const [a] = made.east.ikes.values();
  const [b] = made.west.ikes.values();
  t.strictSame(a!.nat, { local: true, peer: false, peerMayForce: false });
  t.strictSame(b!.nat, { local: false, peer: true, peerMayForce: false });
  t.equal(a!.peer.port, 4500);
  t.strictSame(b!.peer, { address: '198.51.100.1', port: 24_500 });
  t.strictSame([...made.west.children.values()][0]!.peer, b!.peer);
  t.equal([...made.west.children.values()][0]!.encapsulation, 'udp');
  t.strictSame(
    made.sim.net.sent.map((packet) => packet.natTraversalPort),
    [false, false, true, true],
  );

  // The NAT restarts: the peer follows the next authentic message.
  made.sim.net.nats[0]!.portBase = 30_000;
  made.sim.run(made.sim.now + 12_000);
  t.match(made.west.eventsOf('peer-moved'), [{ to: { address: '198.51.100.1', port: 34_500 } }]);
  t.ok(made.west.outputs.some((output) => output.kind === 'update-peer' && output.peer.port === 34_500));
});

t.test('encapsulation always: asked for by either end, both use it without a NAT', async (t) => {
  for (const end of ['east', 'west'] as const) {
    const made = establishedPair({ [end]: { encapsulation: 'always' } });
    t.equal([...made.east.children.values()][0]!.encapsulation, 'udp');
    t.equal(made.sim.net.sent[2]!.natTraversalPort, true);
  }
});

t.test('a replayed message from elsewhere moves nothing', async (t) => {
  const made = pair({ west: { establishMode: 'peer_only' } });
  made.sim.net.nats.push({ inside: EAST, outside: '198.51.100.1', portBase: 20_000 });
  made.sim.initiate(made.east);
  made.sim.run(2000);
  const request = made.sim.net.sent.find((packet) => packet.name === 'IKE_AUTH request')!;
  const to = { address: WEST, port: 4500 };
  const from = { address: '203.0.113.66', port: 4500 };
  made.sim.net.inject({ ...request, from, to }, made.sim.now);
  made.sim.run(made.sim.now + 100);
  t.strictSame(made.west.eventsOf('peer-moved'), []);
  t.equal(faults(made), undefined);
});

t.test('where encapsulation is only forced, not even a new message moves the peer', async (t) => {
  const made = establishedPair({ east: { encapsulation: 'always' }, west: { encapsulation: 'always' } });
  const { sim } = made;
  for (const [from, to] of [
    [made.east, made.west],
    [made.west, made.east],
  ] as const) {
    // Somebody on the way takes a request out and lets it go on from elsewhere.
    sim.net.impair((packet) => packet.from.address === from.address, { kind: 'drop' });
    sim.input(from, { kind: 'renew', connection: 'site', scope: 'children' });
    const held = sim.net.sent.at(-1)!;
    sim.net.inject({ ...held, from: { address: '203.0.113.66', port: 4500 } }, sim.now);
    sim.run(sim.now + 5000);
    t.equal(to.eventsOf('child-established').length > 1, true, 'it was taken');
    t.strictSame(to.eventsOf('peer-moved'), []);
  }
});

t.test('simultaneous initiation leaves one SA, deleted by one end only, and never a gap', async (t) => {
  let redundant = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const made = pair({ seed, conditions: { latency: [5, 60], loss: 0, duplicate: 0 } });
    const { sim, east, west } = made;
    sim.initiate(east);
    sim.initiate(west);
    let wasUp = false;
    sim.run(5000, () => {
      const up = east.children.size > 0 && west.children.size > 0;
      if (wasUp && !up) t.fail(`seed ${seed}: a gap`);
      wasUp ||= up;
      return false;
    });
    if (faults(made) !== undefined) t.fail(`seed ${seed}: ${faults(made)}`);
    const closed = [...east.eventsOf('ike-closed'), ...west.eventsOf('ike-closed')];
    if (closed.length > 0) redundant++;
    if (closed.some((event) => event.reason !== 'replaced')) t.fail(`seed ${seed}: ${closed[0]!.reason}`);
    const deletes = [...east.eventsOf('message'), ...west.eventsOf('message')].filter(
      (event) => event.direction === 'out' && /request \d+ \[ D/.test(event.summary),
    );
    if (deletes.length > 1) t.fail(`seed ${seed}: ${deletes.length} DELETEs`);
  }
  t.ok(redundant > 100, `${redundant} of 200 pairs had two SAs for a moment`);
});

t.test('secrets do not outlive their SA', async (t) => {
  const made = establishedPair();
  const text = JSON.stringify([made.east.outputs, made.west.outputs]);
  t.notMatch(text, /correct-horse/);
  t.match(text, /\[secret, \d+ bytes\]/, 'keys print as secrets');
});
