import t from 'tap';
import { Dh, Encr, Integ } from '../../src/wire/ike/registry.js';
import {
  connection,
  establishedPair,
  faults,
  type Pair,
  pair,
  type SimNode,
} from '../helpers/engine-pair.js';

/** Lifetimes in seconds that make a minute hold several rekeys of each kind. */
const SHORT = {
  childLifetime: 12,
  ikeLifetime: 40,
  dpd: { action: 'restart', interval: 5, timeout: 30 },
} as const;
/** So long that one end never begins a rekey. */
const LONG = { childLifetime: 80_000, ikeLifetime: 80_000 };
const PFS = [
  {
    encryption: [{ id: Encr.AES_CBC, keyBits: 128 }],
    integrity: [Integ.HMAC_SHA2_256_128],
    dh: [Dh.CURVE25519],
  },
];

function reasons(node: SimNode, kind: 'ike-closed' | 'child-closed'): string[] {
  return [...new Set(node.eventsOf(kind).map((event) => event.reason))].sort();
}

/**
 * Make before break, seen from outside: at every moment each end sends on one child SA at least, and the other
 * end has the receiving half of it installed.
 */
function blackHole({ east, west }: Pair): string | undefined {
  for (const [a, b] of [
    [east, west],
    [west, east],
  ] as const) {
    const receivable = new Set([...b.children.values()].map((child) => child.spiIn));
    const sending = [...a.children.values()].filter((child) => child.outbound || a.activated.has(child.id));
    if (sending.length === 0) return `${a.name} has no child SA to send on`;
    if (!sending.some((child) => receivable.has(child.spiOut))) return `${b.name} receives on none of them`;
  }
  return undefined;
}

/** Runs for a while and looks after each step. */
function watch(made: Pair, forMillis: number): string | undefined {
  let fault: string | undefined;
  made.sim.run(made.sim.now + forMillis, () => {
    fault ??= blackHole(made);
    return false;
  });
  return fault;
}

t.test('one end rekeys its child SAs and its IKE SA, without a gap', async (t) => {
  for (const end of ['east', 'west'] as const) {
    const other = end === 'east' ? 'west' : 'east';
    const made = establishedPair({
      [end]: { ...SHORT, espProposals: PFS },
      [other]: { ...LONG, espProposals: PFS },
    });
    t.equal(watch(made, 120_000), undefined, `${end} rekeys`);
    t.equal(faults(made), undefined);
    for (const node of [made.east, made.west]) {
      t.ok(node.eventsOf('child-established').length > 8);
      t.ok(node.eventsOf('ike-established').length >= 4);
      t.strictSame(reasons(node, 'child-closed'), ['rekeyed']);
      t.strictSame(reasons(node, 'ike-closed'), ['rekeyed']);
      for (const [i, event] of node.eventsOf('ike-established').entries()) {
        t.equal(event.ike.replaces, i === 0 ? undefined : node.eventsOf('ike-established')[i - 1]!.ike.ikeId);
      }
      t.strictSame(node.eventsOf('child-failed'), []);
    }
    const [child] = made[end].children.values();
    t.equal(child!.suite.dh, Dh.CURVE25519, 'rekeyed child SAs have PFS');
  }
});

t.test(
  'the responder of a rekey sends on the new SA with the first packet on it, or the DELETE',
  async (t) => {
    const made = establishedPair({ east: SHORT, west: LONG });
    const { sim, west } = made;
    sim.net.impair((packet) => packet.name === 'INFORMATIONAL request', { kind: 'delay', by: 600 }, 3);
    t.ok(sim.run(sim.now + 20_000, () => west.children.size === 2));
    const [, fresh] = west.children.values();
    t.equal(fresh!.outbound, false);
    t.notOk(west.activated.has(fresh!.id));
    sim.input(west, { kind: 'inbound-traffic', childId: fresh!.id, at: sim.now });
    t.ok(west.activated.has(fresh!.id));
    sim.run(sim.now + 5000);
    t.equal(west.outputs.filter((o) => o.kind === 'activate-outbound' && o.childId === fresh!.id).length, 1);
  },
);

t.test('rekeys that cross leave one SA of each kind and never a gap', async (t) => {
  const failed: string[] = [];
  let crossed = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const settings = { ...SHORT, ...(seed % 2 === 0 ? { espProposals: PFS } : {}) };
    const made = establishedPair({ seed, east: settings, west: settings });
    made.sim.net.record = false;
    made.sim.net.conditions = { latency: [5, 300], loss: 0, duplicate: 0.05 };
    const gap = watch(made, 100_000);
    if (gap !== undefined) failed.push(`seed ${seed}: ${gap}`);
    if (!made.sim.run(made.sim.now + 60_000, () => faults(made) === undefined)) {
      failed.push(`seed ${seed}: ${faults(made)}`);
    }
    for (const node of [made.east, made.west]) {
      const all = [...reasons(node, 'ike-closed'), ...reasons(node, 'child-closed')];
      if (all.some((reason) => reason !== 'rekeyed' && reason !== 'replaced'))
        failed.push(`seed ${seed}: ${all}`);
      crossed += all.filter((reason) => reason === 'replaced').length;
    }
  }
  t.strictSame(failed, []);
  t.ok(crossed > 100, `${crossed} crossings`);
});

t.test('rekeys over a bad network: whatever happens, one of each kind is there in the end', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 200; seed++) {
    const made = pair({
      seed,
      east: SHORT,
      west: SHORT,
      conditions: { latency: [5, 300], loss: 0.15, duplicate: 0.1 },
    });
    made.sim.net.record = false;
    made.east.reconnect = 'site';
    made.sim.initiate(made.east);
    made.sim.run(100_000);
    if (!made.sim.run(made.sim.now + 120_000, () => faults(made) === undefined)) {
      failed.push(`seed ${seed}: ${faults(made)}`);
    }
  }
  t.strictSame(failed, []);
});

t.test('an SA that cannot be rekeyed ends with its lifetime', async (t) => {
  const made = establishedPair({ east: { ...SHORT, dpd: { action: 'none', interval: 5, timeout: 30 } } });
  made.sim.net.impair('CREATE_CHILD_SA request', { kind: 'drop' }, 9999);
  // Nor does a new IKE SA come to be that would take over.
  made.sim.net.impair('IKE_SA_INIT request', { kind: 'drop' }, 9999);
  made.sim.run(made.sim.now + 60_000);
  t.ok(reasons(made.east, 'child-closed').every((reason) => reason === 'expired' || reason === 'peer-dead'));
  t.equal(made.east.children.size, 0);
});

t.test('a refused rekey is reported and asked for again, and the old SA carries on', async (t) => {
  const made = establishedPair({ east: { childLifetime: 600, espProposals: PFS }, west: LONG });
  const [before] = made.east.children.keys();
  made.sim.run(545_000);
  t.ok(made.east.eventsOf('child-failed').length >= 1, 'west has no PFS');
  t.equal(made.east.eventsOf('child-failed')[0]!.failure.cause, 'pfs_mismatch');
  t.strictSame([...made.east.children.keys()], [before]);
  const config = { connections: [connection('west', { ...LONG, espProposals: PFS })] };
  made.sim.input(made.west, { kind: 'configure', config });
  made.sim.run(580_000);
  t.equal(faults(made), undefined);
  t.equal([...made.east.children.values()][0]!.suite.dh, Dh.CURVE25519);
});
