import t from 'tap';
import type { ConnectionConfig } from '../../src/ike/config.js';
import { parseIp } from '../../src/util/ip.js';
import { describeSelector } from '../../src/wire/ike/dissect.js';
import {
  type ConnectionPatch,
  connection,
  establishedPair,
  type Pair,
  pair,
  type SimNode,
} from '../helpers/engine-pair.js';
import { rewritingBackend } from '../helpers/rewriting-crypto.js';

const EAST_NETS = ['10.1.0.0/24', '10.1.1.0/24'];
const WEST_NETS = ['10.2.0.0/24', '10.2.1.0/24', '10.2.2.0/24'];
const FULL = {
  east: { local: { cidrs: EAST_NETS }, peer: { cidrs: WEST_NETS } },
  west: { local: { cidrs: WEST_NETS }, peer: { cidrs: EAST_NETS } },
};
/** What a peer that takes one pair a child SA makes of an offer of all. */
const FIRST_PAIR = { local: { cidrs: WEST_NETS.slice(0, 1) }, peer: { cidrs: EAST_NETS.slice(0, 1) } };

/** `10.1.0.0/24=10.2.0.0/24` for each pair that a node has a child SA for. */
function carried(node: SimNode): string[] {
  const pairs = [...node.childInfo.values()].flatMap((child) =>
    child.localTs.flatMap((ours) =>
      child.peerTs.map((theirs) => `${describeSelector(ours)}=${describeSelector(theirs)}`),
    ),
  );
  return pairs.sort();
}

const ALL_PAIRS = EAST_NETS.flatMap((ours) => WEST_NETS.map((theirs) => `${ours}=${theirs}`)).sort();

function reconfigure(made: Pair, node: SimNode, ...patches: readonly ConnectionPatch[]): void {
  const side = node === made.east ? 'east' : 'west';
  const connections: ConnectionConfig[] = patches.map((patch) => connection(side, patch));
  made.sim.input(node, { kind: 'configure', config: { connections } });
}

/** The peer narrows the first offer to one pair, and takes every further pair that it is asked for. */
function narrowed(east: ConnectionPatch = {}): Pair {
  const passive = { establishMode: 'peer_only' } as const;
  const made = pair({ east: { ...FULL.east, ...east }, west: { ...FIRST_PAIR, ...passive } });
  made.sim.initiate(made.east);
  made.sim.run(19);
  reconfigure(made, made.west, { ...FULL.west, ...passive });
  return made;
}

t.test('all networks fit into one child SA of a peer that takes lists', async (t) => {
  const made = establishedPair(FULL);
  t.equal(made.east.childInfo.size, 1);
  t.strictSame(carried(made.east), ALL_PAIRS);
  made.sim.run(made.sim.now + 60_000);
  t.equal(made.east.childInfo.size, 1, 'nothing else is asked for');
});

t.test('what the peer left out gets child SAs of its own, one exchange after the other', async (t) => {
  const made = narrowed();
  made.sim.run(1000);
  t.strictSame(carried(made.east), ALL_PAIRS);
  t.equal(made.east.childInfo.size, ALL_PAIRS.length);
  t.strictSame(carried(made.west).length, ALL_PAIRS.length);
  t.equal(made.east.ikes.size, 1);
  t.ok(made.east.eventsOf('advisory').some((event) => event.code === 'ts_narrowed'));
  t.strictSame(
    made.east.eventsOf('child-established').map(({ child }) => child.narrowed),
    [...ALL_PAIRS.slice(1).map(() => true), false],
    'the one that completes the networks is not said to carry too few',
  );
  made.sim.run(60_000);
  t.equal(made.east.childInfo.size, ALL_PAIRS.length);
});

t.test('a rekey proposes what the child SA had, so that nothing is carried twice', async (t) => {
  const made = narrowed({ childLifetime: 30 });
  made.sim.run(400_000);
  t.strictSame(carried(made.east), ALL_PAIRS);
  t.equal(made.east.children.size, ALL_PAIRS.length);
  t.equal(made.west.children.size, ALL_PAIRS.length);
  t.ok(made.east.eventsOf('child-established').length > 5 * ALL_PAIRS.length);
});

t.test('the pair that traffic waits for is asked for first', async (t) => {
  const made = pair({ east: FULL.east, west: { ...FIRST_PAIR, establishMode: 'peer_only' } });
  made.sim.initiate(made.east);
  made.sim.run(18);
  const destination = parseIp('10.2.2.7')!;
  reconfigure(made, made.west, { ...FULL.west, establishMode: 'peer_only' });
  made.sim.net.impair('CREATE_CHILD_SA request', { kind: 'delay', by: 100 });
  made.sim.run(25);
  made.sim.input(made.east, { kind: 'acquire', connection: 'site', destination });
  made.sim.run(5000);
  const order = made.east
    .eventsOf('child-established')
    .map((event) => event.child.peerTs.map(describeSelector).join());
  t.equal(order[2], '10.2.2.0/24', 'the first was under way already');
  t.strictSame(carried(made.east), ALL_PAIRS);
});

t.test('a pair that the peer does not have: told with both lists, asked for ever more seldom', async (t) => {
  const made = pair({
    east: FULL.east,
    west: { local: { cidrs: WEST_NETS.slice(0, 2) }, peer: { cidrs: EAST_NETS } },
  });
  made.sim.initiate(made.east);
  made.sim.run(20_000);
  const first = made.east.eventsOf('child-failed');
  t.equal(first.length, 2, 'each missing pair once');
  t.match(first[0], {
    role: 'initiator',
    failure: {
      cause: 'ts_mismatch',
      details: { notify: 'TS_UNACCEPTABLE', localSelectors: ['10.1.0.0/24'], peerSelectors: ['10.2.2.0/24'] },
    },
  });
  t.equal(describeSelector(first[0]!.pair!.peer), '10.2.2.0/24');
  t.match(made.west.eventsOf('child-failed')[0]!.failure, {
    cause: 'ts_mismatch',
    details: {
      localSelectors: ['10.2.0.0/24', '10.2.1.0/24'],
      receivedLocalSelectors: ['10.2.2.0/24'],
      receivedPeerSelectors: ['10.1.0.0/24'],
    },
  });
  t.equal(made.east.childInfo.size, 1);
  made.sim.run(3_000_000);
  const tries = made.east.eventsOf('child-failed').length;
  t.ok(tries >= 6 && tries <= 12, `${tries} failures in 50 minutes for two pairs`);
  // Traffic to such a network does not make it ask more often.
  for (let i = 0; i < 50; i++) {
    made.sim.input(made.east, { kind: 'acquire', connection: 'site', destination: parseIp('10.2.2.9')! });
    made.sim.run(made.sim.now + 100);
  }
  t.ok(made.east.eventsOf('child-failed').length - tries <= 2);
});

// RFC 7296 §2.9: a peer that takes one pair only, and says so.
t.test('SINGLE_PAIR_REQUIRED: pair by pair from then on', async (t) => {
  let said = 0;
  const crypto = rewritingBackend((plaintext) => {
    // Notify without SPI: TS_UNACCEPTABLE (38) becomes SINGLE_PAIR_REQUIRED (34).
    for (let at = 0; at + 8 <= plaintext.length; at++) {
      const found = [0, 0, 8, 0, 0, 0, 38].every((octet, n) => plaintext[at + 1 + n] === octet);
      if (!found) continue;
      plaintext[at + 7] = 34;
      said++;
    }
  });
  const elsewhere = { local: { cidrs: ['10.99.0.0/24'] }, peer: { cidrs: EAST_NETS } };
  const made = pair({ crypto, east: FULL.east, west: { ...elsewhere, establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  sim.net.impair('CREATE_CHILD_SA request', { kind: 'delay', by: 50 });
  sim.initiate(east);
  sim.run(25);
  t.equal(said, 1);
  t.match(east.eventsOf('child-failed'), [
    { failure: { cause: 'ts_mismatch', details: { notify: 'SINGLE_PAIR_REQUIRED' } } },
  ]);
  reconfigure(made, west, { ...FULL.west, establishMode: 'peer_only' });
  sim.run(2000);
  t.strictSame(carried(east), ALL_PAIRS);
  t.equal(east.childInfo.size, ALL_PAIRS.length, 'one child SA a pair');
});

t.test('a peer that takes no list at all is asked pair by pair, and so the next time', async (t) => {
  const elsewhere = { local: { cidrs: ['10.99.0.0/24'] }, peer: { cidrs: EAST_NETS } };
  const made = pair({ east: FULL.east, west: { ...elsewhere, establishMode: 'peer_only' } });
  const { sim, east, west } = made;
  sim.net.impair('CREATE_CHILD_SA request', { kind: 'delay', by: 50 });
  sim.initiate(east);
  sim.run(25);
  t.match(east.eventsOf('child-failed'), [{ failure: { cause: 'ts_mismatch' } }]);
  reconfigure(made, west, { ...FULL.west, establishMode: 'peer_only' });
  sim.run(2000);
  t.strictSame(carried(east), ALL_PAIRS);
  t.equal(east.childInfo.size, ALL_PAIRS.length);

  sim.input(east, { kind: 'terminate', connection: 'site' });
  sim.run(sim.now + 1000);
  t.equal(east.childInfo.size, 0);
  sim.initiate(east);
  sim.run(sim.now + 30);
  t.equal(carried(east)[0], ALL_PAIRS[0], 'the first pair alone in IKE_AUTH');
  sim.run(sim.now + 2000);
  t.equal(east.childInfo.size, ALL_PAIRS.length);
});

t.test('a peer that answers with what is there already gets no second child SA for it', async (t) => {
  const half = { local: { cidrs: ['10.2.0.0/25'] }, peer: { cidrs: ['10.1.0.0/24'] } };
  const made = pair({ west: half });
  made.sim.initiate(made.east);
  made.sim.run(600_000);
  t.equal(made.east.children.size, 1);
  t.equal(made.west.children.size, 1);
  const tries = made.east.eventsOf('child-failed').length;
  t.ok(tries >= 1 && tries < 6, `${tries} tries in ten minutes`);
  t.match(made.east.eventsOf('child-failed')[0]!.failure, { cause: 'ts_mismatch' });
});

t.test('both ends fill the same gaps at once: one child SA a pair stays', async (t) => {
  const failed: string[] = [];
  let crossed = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const made = establishedPair({ seed });
    made.sim.net.conditions = { latency: [5, 120], loss: seed % 2 === 0 ? 0.1 : 0, duplicate: 0.1 };
    for (const node of [made.east, made.west]) {
      const patch = node === made.east ? FULL.east : FULL.west;
      reconfigure(made, node, patch);
    }
    made.sim.run(made.sim.now + 90_000);
    for (const node of [made.east, made.west]) {
      crossed += node.eventsOf('child-closed').length;
      const pairs = carried(node);
      if (pairs.length !== ALL_PAIRS.length || new Set(pairs).size !== pairs.length) {
        failed.push(`seed ${seed}: ${node.name} ${pairs}`);
      }
    }
  }
  t.strictSame(failed, []);
  t.ok(crossed > 50, `${crossed} crossings`);
});

t.test('a network that is added gets its child SA, the others are not touched', async (t) => {
  const made = establishedPair();
  const [before] = made.east.children.keys();
  reconfigure(made, made.west, { local: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] } });
  reconfigure(made, made.east, { peer: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] } });
  made.sim.run(made.sim.now + 60_000);
  t.strictSame(carried(made.east), ['10.1.0.0/24=10.2.0.0/24', '10.1.0.0/24=10.2.1.0/24']);
  t.ok(made.east.children.has(before!));
  t.equal(made.west.children.size, 2);
});

t.test('a peer_only end waits for the peer to ask for the rest', async (t) => {
  const made = establishedPair({
    east: { establishMode: 'peer_only', local: { cidrs: EAST_NETS } },
    west: { establishMode: 'bidirectional' },
  });
  made.sim.run(made.sim.now + 120_000);
  t.equal(made.east.children.size, 1);
  t.strictSame(made.east.eventsOf('child-failed'), []);
});
