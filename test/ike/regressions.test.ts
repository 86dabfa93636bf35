import t from 'tap';
import type { Input } from '../../src/ike/inputs.js';
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
import { explore } from '../helpers/explorer.js';
import { rewritingBackend } from '../helpers/rewriting-crypto.js';

/**
 * Cases that operators of other products met, by the product's own number of the report, and those that the
 * explorer and the simulations found here. What each is about stands in front of it.
 */
const QUIET = {
  dpd: { action: 'none', interval: 10, timeout: 40 },
  childLifetime: 80_000,
  ikeLifetime: 80_000,
} as const;
const both = { east: QUIET, west: QUIET };

const renew = (made: Pair, node: SimNode, scope: 'children' | 'ike' | 'connection'): void =>
  void made.sim.input(node, { kind: 'renew', connection: 'site', scope });

/** The child SA each end would send on: the one that was allowed to last. */
function sendsInto({ east, west }: Pair): string | undefined {
  for (const [one, other] of [
    [east, west],
    [west, east],
  ] as const) {
    const sending = [...one.children.values()].filter(
      (child) => child.outbound || one.activated.has(child.id),
    );
    const held = new Set([...other.children.values()].map((child) => child.spiIn));
    if (!sending.some((child) => held.has(child.spiOut))) return `${one.name} sends into a black hole`;
  }
  return undefined;
}

function watch(made: Pair, millis: number): string | undefined {
  let fault: string | undefined;
  made.sim.run(made.sim.now + millis, () => {
    fault ??= sendsInto(made);
    return false;
  });
  return fault ?? faults(made);
}

// Our request is lost, the peer rekeys meanwhile, our repetition gets TEMPORARY_FAILURE, the peer deletes the old
// SA: the new outbound SPI must be in use all the same.
t.test('strongSwan #1896: a lost rekey request and a rekey of the peer', async (t) => {
  const made = establishedPair(both);
  made.sim.net.impair('CREATE_CHILD_SA request', { kind: 'drop' });
  made.sim.net.impair('INFORMATIONAL request', { kind: 'delay', by: 1500 });
  renew(made, made.east, 'children');
  made.sim.run(made.sim.now + 1);
  renew(made, made.west, 'children');
  t.equal(watch(made, 60_000), undefined);
  t.ok(made.west.eventsOf('message').some((event) => /TEMPORARY_FAILURE/.test(event.summary)));
});

// In one collision our rekey is refused with TS_UNACCEPTABLE, the peer's succeeds.
t.test('strongSwan #2477: one of two crossing rekeys is refused for its networks', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  renew(made, east, 'children');
  renew(made, west, 'children');
  const elsewhere = { ...QUIET, local: { cidrs: ['10.77.0.0/24'] }, peer: { cidrs: ['10.78.0.0/24'] } };
  sim.input(west, { kind: 'configure', config: { connections: [connection('west', elsewhere)] } });
  sim.run(sim.now + 6);
  sim.input(west, { kind: 'configure', config: { connections: [connection('west', QUIET)] } });
  t.equal(watch(made, 120_000), undefined);
  t.ok(west.eventsOf('message').some((event) => /TS_UNACCEPTABLE/.test(event.summary)));
});

// The end that has the new IKE SA uses it before the other one has got the answer to its rekey.
t.test('strongSwan #309: requests on the new IKE SA before its initiator knows it', async (t) => {
  const made = establishedPair(both);
  made.sim.net.impair('CREATE_CHILD_SA response', { kind: 'delay', by: 300 });
  renew(made, made.east, 'ike');
  made.sim.run(made.sim.now + 20);
  t.equal(made.west.ikes.size, 2);
  renew(made, made.west, 'children');
  t.equal(watch(made, 60_000), undefined);
  t.match(made.west.eventsOf('child-closed'), [{ reason: 'rekeyed' }]);
});

// The network delivers the next message before the one in front of it.
t.test('strongSwan #1458: a request overtakes a copy of the one before', async (t) => {
  const made = establishedPair(both);
  const { sim } = made;
  sim.net.impair('CREATE_CHILD_SA request', { kind: 'duplicate' });
  renew(made, made.east, 'children');
  sim.run(sim.now + 30);
  const late = sim.net.sent.find((packet) => packet.name === 'CREATE_CHILD_SA request')!;
  sim.net.inject(late, sim.now);
  renew(made, made.east, 'children');
  sim.net.inject(late, sim.now + 3);
  t.equal(watch(made, 30_000), undefined);
  t.ok(made.west.eventsOf('datagram-dropped').some((event) => event.reason === 'outside_window'));
  for (const node of [made.east, made.west]) t.equal(node.eventsOf('child-established').length, 3);
});

// A peer offers the SPI of a child SA that stands: packets of the two could not be told apart.
t.test('strongSwan #2778: a rekey with the SPI that it replaces is refused', async (t) => {
  let offered = 0;
  const crypto = rewritingBackend((plaintext) => {
    const old = rekeyedSpi(plaintext);
    if (old === undefined) return;
    // Each proposal: last or more (0 or 2) | 0 | length (2) | number | ESP (3) | SPI size 4 | transforms | SPI.
    for (let at = 0; at + 12 <= plaintext.length; at++) {
      const [more, zero, , , , protocol, size] = plaintext.subarray(at, at + 7);
      if ((more !== 0 && more !== 2) || zero !== 0 || protocol !== 3 || size !== 4) continue;
      plaintext.set(old, at + 8);
      offered++;
    }
  });
  const made = establishedPair({ ...both, crypto });
  const { sim, east, west } = made;
  renew(made, east, 'children');
  t.equal(watch(made, 5000), undefined, 'the old one stays, and nothing else');
  t.ok(offered > 0);
  t.match(west.eventsOf('child-failed')[0], {
    role: 'responder',
    failure: { cause: 'invalid_syntax', message: /the SPI of a child SA that stands/ },
  });
  t.ok(east.eventsOf('child-failed').length > 0 && sim.now > 0);
});

/** The SPI in the REKEY_SA notification (16393) of a request, if it has one. */
function rekeyedSpi(plaintext: Uint8Array): Uint8Array | undefined {
  for (let at = 0; at + 8 <= plaintext.length; at++) {
    const head = [3, 4, 0x40, 0x09].every((octet, n) => plaintext[at + n] === octet);
    if (head) return plaintext.slice(at + 4, at + 8);
  }
  return undefined;
}

// An IKE rekey on a dead path dies while a replacement is made: child SAs must not double.
t.test('libreswan #514: a dead IKE rekey and the connection that replaces it', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const made = establishedPair({ seed });
    const { sim, east, west } = made;
    for (const node of [east, west]) node.reconnect = 'site';
    renew(made, east, 'ike');
    if (seed % 2 === 0) renew(made, west, 'ike');
    sim.net.conditions = { latency: [5, 5], loss: 1, duplicate: 0 };
    sim.run(sim.now + seconds(20 + 3 * seed));
    sim.net.conditions = { latency: [5, 60], loss: 0, duplicate: 0.1 };
    sim.run(sim.now + 120_000);
    t.equal(faults(made), undefined, `seed ${seed}`);
  }
});

// The child SA is at one end only: its rekey is answered with CHILD_SA_NOT_FOUND.
t.test('libreswan #2184: a child SA that the peer does not have', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  const [childId] = west.children.keys();
  sim.net.impair('INFORMATIONAL request', { kind: 'delay', by: 2000 });
  renew(made, east, 'children');
  sim.input(west, { kind: 'install-failed', childId: childId!, reason: 'test' });
  sim.run(sim.now + 5000);
  t.ok(west.eventsOf('message').some((event) => /CHILD_SA_NOT_FOUND/.test(event.summary)));
  t.equal(east.children.size + west.children.size, 0, 'both know');
  sim.initiate(east);
  sim.run(sim.now + 1000);
  t.equal(faults(made), undefined, 'and a new one comes');
});

// The orders in which two ends see crossing messages, all of them instead of 26 by hand.
t.test('libreswan #3030: crossing streams', async (t) => {
  const input = { kind: 'renew', connection: 'site', scope: 'children' } as const;
  const stimuli = (['east', 'west'] as const).map((side) => ({ side, input }) as const);
  const report = explore({ established: true, stimuli, accidents: 0 });
  t.strictSame(report.faults, []);
  t.ok(report.ends > 1, `${report.states} states, ${report.ends} ends`);
});

// Crossing IKE rekeys left the message ids of the survivor out of step.
t.test('amazonlinux #1121: message ids after crossing IKE rekeys', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  renew(made, east, 'ike');
  renew(made, west, 'ike');
  t.equal(watch(made, 2000), undefined);
  for (let round = 0; round < 3; round++) {
    renew(made, east, 'children');
    t.equal(watch(made, 1000), undefined);
    renew(made, west, 'children');
    t.equal(watch(made, 1000), undefined);
  }
  t.strictSame([...east.eventsOf('retransmit'), ...west.eventsOf('retransmit')], []);
  t.equal(sim.net.sent.filter((packet) => packet.name === 'IKE_SA_INIT request').length, 1);
});

// A new connection to the same peer address kills the old one.
t.test('IBM "duplicate IKE SA": three connections to one peer address leave each other alone', async (t) => {
  const names = ['a', 'b', 'c'];
  const patch = (side: 'east' | 'west', name: string) => {
    const other = side === 'east' ? 'west' : 'east';
    const n = names.indexOf(name);
    const net = (which: 'east' | 'west') => [`10.${which === 'east' ? 1 : 2}.${n}.0/24`];
    return connection(side, {
      id: name,
      childLifetime: 30,
      ikeLifetime: 70,
      local: { identity: `${name}.${side}.example`, cidrs: net(side) },
      peer: { identity: `${name}.${other}.example`, cidrs: net(other) },
    });
  };
  const sim = new Simulation();
  const east = sim.addNode('east', EAST, { connections: names.map((name) => patch('east', name)) });
  const west = sim.addNode('west', WEST, { connections: names.map((name) => patch('west', name)) });
  for (const name of names) {
    sim.initiate(east, name);
    sim.run(sim.now + 20_000);
  }
  sim.run(sim.now + 200_000);
  for (const node of [east, west]) {
    const closed = node.eventsOf('ike-closed').filter((event) => event.reason !== 'rekeyed');
    t.strictSame(
      closed.filter((event) => event.reason !== 'replaced'),
      [],
    );
    t.strictSame([...node.childInfo.values()].length, 3);
  }
  // One of them starts anew, with INITIAL_CONTACT.
  sim.restart(east);
  sim.initiate(east, 'b');
  sim.run(sim.now + 2000);
  const lost = west
    .eventsOf('ike-closed')
    .filter((event) => event.connection !== 'b' && event.reason === 'replaced');
  t.strictSame(lost, []);
});

// Found by simulation (seed 70): a DELETE that waited behind an unanswered probe waited for ever.
t.test('an SA that is deleted behind an unanswered request goes after a while', async (t) => {
  const made = establishedPair();
  const { sim, east } = made;
  sim.net.impair(() => true, { kind: 'drop' }, 9999);
  sim.run(sim.now + 12_000);
  t.ok(east.eventsOf('liveness-probe').length > 0, 'a probe is under way');
  sim.input(east, { kind: 'terminate', connection: 'site' });
  sim.run(sim.now + 61_000);
  t.equal(east.ikes.size, 0);
  t.equal(east.engine.sizes.ikeSas, 0);
});

// Found by the explorer: the responder of a second IKE SA sent on its child SA before the initiator had the answer.
t.test('a second IKE SA takes the traffic over when its initiator is known to have it', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  sim.net.impair('IKE_AUTH response', { kind: 'drop' });
  renew(made, east, 'connection');
  sim.run(sim.now + 100);
  const [first, second] = west.children.values();
  t.equal(second!.outbound, false);
  t.ok(first!.outbound);
  t.equal(watch(made, 60_000), undefined);
  t.ok(west.activated.has(second!.id));
});

// Found by simulation (seed 121): both ends asked for the child SA again, one of them from its queue.
t.test('a child SA that the peer has just made is not asked for once more', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  for (const node of [east, west]) {
    const [childId] = node.children.keys();
    const input: Input = { kind: 'install-failed', childId: childId!, reason: 'test' };
    sim.input(node, input);
  }
  sim.initiate(east);
  sim.initiate(west);
  sim.run(sim.now + 5000);
  t.equal(faults(made), undefined);
});

// Found by the explorer: an end whose IKE SA was not confirmed yet made another one, and each end kept another of the two.
t.test('a new connection waits until the one that the peer has just made is confirmed', async (t) => {
  const made = establishedPair(both);
  const { sim, east, west } = made;
  sim.net.impair('IKE_AUTH response', { kind: 'drop' });
  renew(made, east, 'connection');
  sim.run(sim.now + 100);
  renew(made, west, 'connection');
  t.equal(watch(made, 60_000), undefined);
  const own = west.eventsOf('ike-established').filter(({ ike }) => ike.role === 'initiator');
  t.equal(own.length, 1, 'and comes then');
});

// Found by simulation (seed 4117): an IKE SA that was redundant lived on in its successor, or each end ended another one.
t.test('a rekey does not save a redundant IKE SA', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 150; seed++) {
    const made = pair({ seed, ...both, conditions: { latency: [5, 300], loss: 0, duplicate: 0 } });
    const { sim, east, west } = made;
    sim.initiate(east);
    sim.initiate(west);
    sim.run(200 + seed * 7);
    renew(made, east, 'ike');
    renew(made, west, seed % 2 === 0 ? 'ike' : 'connection');
    sim.run(sim.now + 120_000);
    if (faults(made) !== undefined) failed.push(`seed ${seed}: ${faults(made)}`);
  }
  t.strictSame(failed, []);
});
