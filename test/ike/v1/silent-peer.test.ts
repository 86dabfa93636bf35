import t from 'tap';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { EAST, WEST } from '../../helpers/engine-pair.js';
import { v1Pair } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

const MESSAGE_4_AT = 4;

/** Another key at the east, and a peer that says nothing to that but repeats message 4, as libreswan does. */
function wrongKey(): ReturnType<typeof v1Pair> {
  const made = v1Pair({
    east: { psk: 'wrong-horse-battery', encapsulation: 'always' },
    west: { establishMode: 'peer_only', encapsulation: 'always' },
  });
  const says = ({ from, bytes }: Packet): boolean =>
    from.address === WEST && bytes[18] === V1Exchange.INFORMATIONAL;
  made.sim.net.impair(says, { kind: 'drop' }, Number.POSITIVE_INFINITY);
  return made;
}

/** Runs to the end of the attempt while message 4 comes again every few seconds. */
function outcome({ sim, east }: ReturnType<typeof v1Pair>): { cause: string; message: string } {
  sim.initiate(east);
  sim.run(100);
  const answers = sim.net.sent.filter(({ from, bytes }) => from.address === WEST && bytes[18] === 2);
  const fourth = answers[1]!;
  if (answers.length + 2 !== MESSAGE_4_AT) throw new Error('message 4 is not the second answer');
  for (let n = 0; n < 60 && east.eventsOf('ike-failed').length === 0; n++) {
    sim.net.inject(fourth, sim.now);
    sim.run(sim.now + 4000);
  }
  return east.eventsOf('ike-failed')[0]!.failure;
}

t.test('a peer that keeps silent at a wrong key is told from a port that is closed', async (t) => {
  const key = outcome(wrongKey());
  t.equal(key.cause, 'psk_mismatch_likely');
  t.match(key.message, /answers on UDP port 4500/);

  const made = wrongKey();
  made.sim.net.impair(({ natTraversalPort }) => natTraversalPort, { kind: 'drop' }, Number.POSITIVE_INFINITY);
  t.equal(outcome(made).cause, 'port_4500_blocked', 'where message 4 comes again as well');
});

t.test('what the peer says to a question that is asked again is no news of its key', async (t) => {
  for (const [at, cause] of [
    [500, 'psk_mismatch_likely'],
    [2500, 'port_4500_blocked'],
  ] as const) {
    const made = wrongKey();
    const { sim, east } = made;
    sim.net.impair(({ natTraversalPort }) => natTraversalPort, { kind: 'drop' }, Number.POSITIVE_INFINITY);
    sim.initiate(east);
    sim.run(at);
    // strongSwan answers message 1 again, under keys that are not agreed on yet, once it has sent message 4.
    const fourth = sim.net.sent.filter(({ from, bytes }) => from.address === WEST && bytes[18] === 2)[1]!;
    const bytes = Uint8Array.from([...fourth.bytes.subarray(0, 28), ...new Uint8Array(48).fill(7)]);
    bytes.set([8, 0x10, V1Exchange.INFORMATIONAL, 1, 1, 2, 3, 4, 0, 0, 0, bytes.length], 16);
    sim.net.inject({ ...fourth, bytes }, sim.now);
    sim.run(sim.now + 120_000);
    t.match(east.eventsOf('ike-failed')[0]?.failure, { cause }, `${at} ms after the start`);
  }
});

t.test('the question leaves nothing behind, and an attempt that succeeds asks none', async (t) => {
  const made = wrongKey();
  outcome(made);
  t.equal(made.east.engine.sizes.ikeSas, 0);
  const fine = v1Pair({ east: { encapsulation: 'always' }, west: { encapsulation: 'always' } });
  fine.sim.net.impair(({ natTraversalPort }) => natTraversalPort, { kind: 'drop' }, 5);
  fine.sim.initiate(fine.east);
  fine.sim.run(60_000);
  t.equal(fine.east.ikes.size, 1);
  t.equal(fine.west.ikes.size, 1);
});

t.test('a peer that begins with fragments is told that nothing is kept for it', async (t) => {
  const made = v1Pair();
  const { sim, east, west } = made;
  sim.initiate(east);
  const [first] = sim.net.sent;
  const bytes = Uint8Array.from([
    ...first!.bytes.subarray(0, 28),
    0,
    0,
    0,
    28,
    0,
    1,
    1,
    0,
    ...new Uint8Array(20),
  ]);
  bytes[16] = 132;
  bytes.set([0, 0, 0, bytes.length], 24);
  sim.input(west, {
    kind: 'datagram',
    local: { address: WEST, port: 500 },
    remote: { address: EAST, port: 500 },
    natTraversalPort: false,
    bytes,
  });
  t.match(west.eventsOf('datagram-dropped'), [{ reason: 'unexpected', detail: /first message/ }]);
  t.match(west.eventsOf('ike-failed'), [
    { connection: 'site', failure: { cause: 'unsupported', message: /fewer proposals/ } },
  ]);
  t.equal(west.engine.sizes.halfOpen, 0);
});
