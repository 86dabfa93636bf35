import t from 'tap';
import { type ConnectionPatch, EAST, type Pair, type SimNode, WEST } from '../../helpers/engine-pair.js';
import { establishedV1, v1Faults, v1Pair } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

/** Who has recorded what passed and sends it again. */
const THIEF = { address: '203.0.113.66', port: 4500 };
/** Longer than anything of a finished exchange is kept for its repetitions. */
const LATER = 70_000;
const WATCHED: ConnectionPatch = {
  encapsulation: 'always',
  dpd: { action: 'restart', interval: 2, timeout: 10 },
};

const NAT = { inside: EAST, outside: '198.51.100.1', portBase: 10_000 };

/** The east behind a NAT that no one only pretends, the west waits for it. */
function behindNat(): Pair {
  const made = v1Pair({
    east: { dpd: WATCHED.dpd! },
    west: { establishMode: 'peer_only', peer: { addresses: ['198.51.100.1'] } },
  });
  made.sim.net.nats.push({ ...NAT });
  made.sim.initiate(made.east);
  made.sim.run(2000);
  return made;
}

/** Quick modes begun by both ends and probes of both, each some time ago. Everything that was sent by then. */
function recordLife({ sim, east, west }: Pair): Packet[] {
  for (let round = 0; round < 6; round++) {
    sim.input(round % 2 === 0 ? east : west, { kind: 'renew', connection: 'site', scope: 'children' });
    sim.run(sim.now + 8000);
  }
  const recorded = [...sim.net.sent];
  sim.run(sim.now + LATER);
  return recorded;
}

function replay({ sim }: Pair, recorded: readonly Packet[], to: SimNode): void {
  for (const packet of recorded) {
    if (packet.to.address !== to.address) continue;
    sim.net.inject({ ...packet, from: { ...THIEF, port: packet.natTraversalPort ? 4500 : 500 } }, sim.now);
    sim.run(sim.now + 20);
  }
}

t.test('a recorded quick mode or probe, sent again from elsewhere, moves nobody', async (t) => {
  for (const role of ['east', 'west'] as const) {
    const made = establishedV1({ east: WATCHED, west: WATCHED });
    const recorded = recordLife(made);
    replay(made, recorded, made[role]);
    t.strictSame(made[role].eventsOf('peer-moved'), [], `${role}, encapsulation only forced`);
    t.equal(v1Faults(made), undefined);
  }
  const made = behindNat();
  const recorded = recordLife(made);
  replay(made, recorded, made.west);
  t.strictSame(made.west.eventsOf('peer-moved'), [], 'a peer behind a real NAT');
  t.equal(v1Faults(made), undefined);
});

t.test('a replay is no sign of life: the peer that is gone is found dead in time', async (t) => {
  for (const role of ['east', 'west'] as const) {
    const made = establishedV1({ east: WATCHED, west: WATCHED });
    const { sim } = made;
    const recorded = recordLife(made);
    const node = made[role];
    sim.net.impair(() => true, { kind: 'drop' }, Number.POSITIVE_INFINITY);
    // Quick modes, for a probe is remembered a while anyway; spread, since each could count but once.
    const useful = recorded.filter(({ to, bytes }) => to.address === node.address && bytes[18] === 32);
    t.ok(useful.length >= 9, 'three of message 1, 2 and 3');
    for (const packet of useful) {
      replay(made, [packet], node);
      sim.run(sim.now + 3000);
    }
    t.match(node.eventsOf('ike-closed'), [{ reason: 'peer-dead', failure: { cause: 'dpd_timeout' } }], role);
    t.equal(node.childInfo.size, 0);
  }
});

t.test('our own probe, sent back to us, is no probe of the peer', async (t) => {
  const made = establishedV1({ east: WATCHED, west: WATCHED });
  const { sim, east } = made;
  sim.run(sim.now + 5000);
  const own = sim.net.sent.filter((packet) => packet.from.address === EAST && packet.natTraversalPort);
  sim.net.impair(() => true, { kind: 'drop' }, Number.POSITIVE_INFINITY);
  const heard = east.eventsOf('message').filter(({ direction }) => direction === 'in').length;
  for (const packet of own)
    sim.net.inject({ ...packet, from: { address: WEST, port: 4500 }, to: packet.from }, sim.now);
  sim.run(sim.now + 100);
  t.equal(
    east.eventsOf('message').filter(({ direction }) => direction === 'in').length,
    heard,
    'none of it is taken for the peer',
  );
  t.ok(
    sim.run(sim.now + 20_000, () => east.eventsOf('ike-closed').length > 0),
    'and keeps no peer alive',
  );
});

t.test(
  'behind a NAT that starts again the peer moves once it has answered our nonce, or asks anew',
  async (t) => {
    const made = behindNat();
    const { sim, east, west } = made;
    sim.run(sim.now + 5000);
    sim.net.nats[0]!.portBase = 20_000;
    const moves = (): unknown[] => west.eventsOf('peer-moved');
    sim.net.impair(({ from, bytes }) => from.address === WEST && bytes[18] === 32, { kind: 'drop' }, 1);
    sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
    sim.run(sim.now + 200);
    t.strictSame(moves(), [], 'message 1 may be kept back and sent by anyone');
    t.ok(
      sim.run(sim.now + 10_000, () => west.eventsOf('child-established').length === 2),
      'it is answered where it came from',
    );
    t.match(moves(), [{ from: { port: 14_500 }, to: { port: 24_500 } }], 'message 3 covers our nonce');

    sim.net.nats[0]!.portBase = 30_000;
    sim.run(sim.now + 20_000);
    t.match(
      moves().slice(1),
      [{ from: { port: 24_500 }, to: { port: 34_500 } }],
      'and a new probe tells as much',
    );
    t.equal(moves().length, 2);
  },
);
