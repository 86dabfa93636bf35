import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backends/openssl/backend.js';
import { Dh } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, establishedPair, faults, type Pair, pair } from '../helpers/engine-pair.js';
import { hybridEsp, hybridIke } from '../helpers/hybrid.js';
import { rewritingBackend } from '../helpers/rewriting-crypto.js';

/** Lifetimes in seconds that make a minute hold several rekeys of each kind. */
const SHORT = { childLifetime: 12, ikeLifetime: 40 } as const;
const LONG = { childLifetime: 80_000, ikeLifetime: 80_000 } as const;

const [PLAIN_IKE, HYBRID_IKE] = [hybridIke(), hybridIke(Dh.ML_KEM_768)];
const [PLAIN_ESP, HYBRID_ESP] = [hybridEsp(), hybridEsp(Dh.ML_KEM_768)];
/** Both SAs of a connection with one additional key exchange. */
const HYBRID: ConnectionPatch = { ikeProposals: [HYBRID_IKE], espProposals: [HYBRID_ESP] };

/** Names of what was sent, each run of the same name once: fragments, and nothing is repeated on a calm network. */
function exchanges({ sim }: Pair): string[] {
  return sim.net.sent.map(({ name }) => name).filter((name, at, all) => name !== all[at - 1]);
}

/** Additional key exchanges of the IKE SAs and child SAs that came to be, at both ends. */
function additional({ east, west }: Pair): { readonly ike: unknown[]; readonly child: unknown[] } {
  const nodes = [east, west];
  return {
    ike: nodes.flatMap((node) => node.eventsOf('ike-established').map(({ ike }) => ike.suite.additional)),
    child: nodes.flatMap((node) =>
      node.eventsOf('child-established').map(({ child }) => child.suite.additional),
    ),
  };
}

t.test('one IKE_INTERMEDIATE exchange per method comes before IKE_AUTH', async (t) => {
  for (const methods of [[Dh.ML_KEM_512], [Dh.ML_KEM_768, Dh.ECP_384], [Dh.ECP_256, Dh.ML_KEM_1024]]) {
    const patch = { ikeProposals: [hybridIke(...methods)] };
    const made = establishedPair({ east: patch, west: patch });
    t.strictSame(exchanges(made), [
      'IKE_SA_INIT request',
      'IKE_SA_INIT response',
      ...methods.flatMap(() => ['IKE_INTERMEDIATE request', 'IKE_INTERMEDIATE response']),
      'IKE_AUTH request',
      'IKE_AUTH response',
    ]);
    t.strictSame(additional(made), { ike: [methods, methods], child: [undefined, undefined] });
  }
});

t.test('with the real algorithms, in fragments', async (t) => {
  const crypto = createOpensslBackend();
  const both = { ...HYBRID, ikeProposals: [hybridIke(Dh.ML_KEM_768, Dh.ML_KEM_1024)] };
  const made = establishedPair({ crypto, limits: { fragmentPacket: 576 }, east: both, west: both });
  t.ok(made.sim.net.sent.filter(({ name }) => name === 'IKE_INTERMEDIATE request').length >= 6);
  for (const scope of ['children', 'ike', 'children'] as const) {
    made.sim.input(made.west, { kind: 'renew', connection: 'site', scope });
    made.sim.run(made.sim.now + 5000);
    t.equal(faults(made), undefined, scope);
  }
  t.same(additional(made).ike.at(-1), [Dh.ML_KEM_768, Dh.ML_KEM_1024]);
  t.same(additional(made).child.at(-1), [Dh.ML_KEM_768]);
});

t.test('an end that lacks them gets the plain proposal, where one is offered', async (t) => {
  const first = { ikeProposals: [hybridIke(Dh.ML_KEM_768), hybridIke()] };
  const plain = { ikeProposals: [hybridIke()] };
  for (const [east, west] of [
    [first, plain],
    [plain, first],
  ]) {
    const made = establishedPair({ east: east!, west: west! });
    t.notOk(exchanges(made).some((name) => name.startsWith('IKE_INTERMEDIATE')));
    t.strictSame(additional(made).ike, [undefined, undefined]);
  }
  const made = establishedPair({ east: first, west: first });
  t.strictSame(additional(made).ike, [[Dh.ML_KEM_768], [Dh.ML_KEM_768]]);
});

t.test('an exchange that may be left out is left out', async (t) => {
  const optional = { ikeProposals: [{ ...hybridIke(), additional: [[Dh.ML_KEM_768, Dh.NONE]] }] };
  for (const [east, west, expected] of [
    [optional, { ikeProposals: [hybridIke()] }, undefined],
    [{ ikeProposals: [hybridIke()] }, optional, undefined],
    [optional, { ikeProposals: [hybridIke(Dh.ML_KEM_768)] }, [Dh.ML_KEM_768]],
    [optional, optional, [Dh.ML_KEM_768]],
  ] as const) {
    const made = establishedPair({ east, west });
    t.strictSame(additional(made).ike, [expected, expected]);
  }
});

t.test('what is required is not left out', async (t) => {
  const plain = { ikeProposals: [hybridIke()] };
  for (const [east, west] of [
    [HYBRID, plain],
    [plain, HYBRID],
    [HYBRID, { ikeProposals: [hybridIke(Dh.ML_KEM_1024)] }],
  ]) {
    const made = pair({ east: east!, west: west! });
    made.sim.initiate(made.east);
    made.sim.run(made.sim.now + 10_000);
    const [failed] = made.east.eventsOf('ike-failed');
    t.equal(failed?.failure.cause, 'ike_proposal_mismatch');
    const [reason] = made.west.eventsOf('ike-failed');
    t.match(reason?.failure.message, /ML_KEM|additional/i);
    t.equal(made.west.ikes.size, 0);
  }
});

t.test('AUTH covers what IKE_INTERMEDIATE said', async (t) => {
  // The reserved field of the KE payload means nothing and changes no key: only AUTH can show that it was changed.
  const crypto = rewritingBackend((plaintext) => {
    if (plaintext.length > 1000 && plaintext[5] === Dh.ML_KEM_768) plaintext[7] = 1;
  });
  const made = pair({ crypto, east: HYBRID, west: HYBRID });
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 10_000);
  t.ok(exchanges(made).includes('IKE_AUTH request'));
  t.equal(made.west.eventsOf('ike-failed')[0]?.failure.cause, 'psk_mismatch');
  t.equal(made.east.ikes.size + made.west.ikes.size, 0);
});

t.test('lost, doubled and late messages', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 100; seed++) {
    const made = pair({ seed, east: HYBRID, west: HYBRID });
    const { sim, east } = made;
    sim.net.conditions = { latency: [5, 200], loss: 0.2, duplicate: 0.1 };
    east.reconnect = 'site';
    sim.initiate(east);
    if (!sim.run(sim.now + 300_000, () => faults(made) === undefined))
      failed.push(`${seed}: ${faults(made)}`);
  }
  t.strictSame(failed, []);
});

t.test('rekeys by either end', async (t) => {
  for (const end of ['east', 'west'] as const) {
    const other = end === 'east' ? 'west' : 'east';
    const made = establishedPair({ [end]: { ...HYBRID, ...SHORT }, [other]: { ...HYBRID, ...LONG } });
    made.sim.run(made.sim.now + 120_000);
    t.equal(faults(made), undefined);
    const { ike, child } = additional(made);
    t.ok(ike.length >= 8 && ike.every((methods) => String(methods) === String([Dh.ML_KEM_768])));
    // The first child SA is made by IKE_AUTH, which has no key exchange of its own.
    t.equal(child.filter((methods) => methods === undefined).length, 2);
    t.ok(child.length > 16);
    for (const node of [made.east, made.west]) {
      t.strictSame(node.eventsOf('child-failed'), []);
      t.ok(node.eventsOf('child-closed').every(({ reason }) => reason === 'rekeyed'));
      t.ok(node.eventsOf('ike-closed').every(({ reason }) => reason === 'rekeyed'));
    }
  }
});

t.test('rekeys that cross leave one SA of each kind', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 150; seed++) {
    // The end that answers prefers its own first proposal: in every third pair only one end's rekeys have more to do.
    const mixed = seed % 3 === 0;
    const made = establishedPair({
      seed,
      east: {
        ...SHORT,
        ...(mixed
          ? { ikeProposals: [HYBRID_IKE, PLAIN_IKE], espProposals: [HYBRID_ESP, PLAIN_ESP] }
          : HYBRID),
      },
      west: {
        ...SHORT,
        ...(mixed
          ? { ikeProposals: [PLAIN_IKE, HYBRID_IKE], espProposals: [PLAIN_ESP, HYBRID_ESP] }
          : HYBRID),
      },
    });
    made.sim.net.record = false;
    made.sim.net.conditions = { latency: [5, 300], loss: seed % 2 === 0 ? 0 : 0.1, duplicate: 0.05 };
    made.east.reconnect = 'site';
    made.sim.run(made.sim.now + 100_000);
    made.sim.net.conditions = { latency: [5, 50], loss: 0, duplicate: 0 };
    if (!made.sim.run(made.sim.now + 200_000, () => faults(made) === undefined))
      failed.push(`seed ${seed}: ${faults(made)}`);
  }
  t.strictSame(failed, []);
});

t.test('an initiator that does not go on is forgotten, and begins again', async (t) => {
  const made = establishedPair({ east: { ...HYBRID, ...LONG }, west: { ...HYBRID, ...LONG } });
  const { sim, east, west } = made;
  // The other end waits for 20 seconds; a dead peer is found after 40.
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  let withheld = true;
  sim.net.impair((packet) => withheld && packet.name === 'IKE_FOLLOWUP_KE request', { kind: 'drop' }, 1000);
  sim.run(sim.now + 22_000);
  t.equal(west.childInfo.size, 1, 'nothing has come of it');
  withheld = false;
  sim.run(sim.now + 30_000);
  t.equal(faults(made), undefined);
  t.ok(
    west.events.some((event) => event.kind === 'message' && event.summary.includes('STATE_NOT_FOUND')),
    'the first one is not known any more',
  );
  t.equal(east.eventsOf('child-established').length, 2);
  t.equal(east.expected.size + west.expected.size, 0);
});

t.test('another engine carries on in the middle of it', async (t) => {
  for (const end of ['east', 'west'] as const) {
    for (const scope of ['children', 'ike'] as const) {
      for (const name of [
        'CREATE_CHILD_SA response',
        'IKE_FOLLOWUP_KE request',
        'IKE_FOLLOWUP_KE response',
      ]) {
        const patch = {
          ikeProposals: [hybridIke(Dh.ML_KEM_768, Dh.ML_KEM_512)],
          espProposals: [hybridEsp(Dh.ML_KEM_768, Dh.ML_KEM_512)],
        };
        const made = establishedPair({ east: patch, west: patch });
        const { sim, east } = made;
        sim.input(east, { kind: 'renew', connection: 'site', scope });
        t.ok(sim.run(sim.now + 1000, () => sim.net.sent.some((packet) => packet.name === name)));
        sim.handOver(made[end]);
        sim.run(sim.now + 120_000);
        const where = `${end} at ${name}, ${scope}`;
        t.equal(faults(made), undefined, where);
        t.equal(made.east.expected.size + made.west.expected.size, 0, where);
      }
    }
  }
});
