import t from 'tap';
import type { EspProposalSpec } from '../../src/ike/config.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { establishedPair, faults } from '../helpers/engine-pair.js';

function policy(...dh: readonly number[]): { readonly espProposals: readonly EspProposalSpec[] } {
  const encryption = [{ id: Encr.AES_CBC, keyBits: 256 }];
  return { espProposals: [{ encryption, integrity: [Integ.HMAC_SHA2_256_128], dh }] };
}

t.test('the groups 2, 5 and 14 are verified half a minute after set-up, and the advisory goes', async (t) => {
  for (const group of [2, 5, 14]) {
    const made = establishedPair({ east: policy(group), west: policy(group) });
    for (const node of [made.east, made.west]) {
      t.match(node.eventsOf('advisory').filter((event) => event.code === 'pfs_unverified').length, 1);
      t.strictSame(node.eventsOf('advisory-withdrawn'), []);
    }
    made.sim.run(made.sim.now + 23_000);
    t.equal(made.east.eventsOf('child-established').length, 1);
    made.sim.run(made.sim.now + 15_000);
    t.equal(faults(made), undefined);
    t.equal([...made.east.childInfo.values()][0]!.suite.dh, group);
    for (const node of [made.east, made.west]) {
      t.ok(node.eventsOf('advisory-withdrawn').some((event) => event.code === 'pfs_unverified'));
      t.equal(node.eventsOf('child-established').length, 2, 'one early rekey');
    }
    made.sim.run(made.sim.now + 120_000);
    t.equal(made.east.eventsOf('child-established').length, 2, 'and no other');
  }
});

t.test('without PFS nothing is verified and nothing advised', async (t) => {
  const made = establishedPair({ east: policy(), west: policy() });
  made.sim.run(made.sim.now + 120_000);
  t.equal(made.east.eventsOf('child-established').length, 1);
  t.strictSame(
    made.east.eventsOf('advisory').filter((event) => event.code === 'pfs_unverified'),
    [],
  );
});

t.test('a mismatch is known within a minute, with evidence, and the first child SA stays', async (t) => {
  for (const [ours, theirs] of [
    [[14], []],
    [[14], [2]],
    [[5], [14]],
  ] as const) {
    const made = establishedPair({ east: policy(...ours), west: policy(...theirs) });
    const [child] = made.east.childInfo.keys();
    made.sim.run(made.sim.now + 60_000);
    const failed = made.east.eventsOf('child-failed');
    t.equal(failed.length, 1, 'it is asked once');
    t.match(failed[0]!.failure, {
      cause: 'pfs_mismatch',
      details: { ours: [/MODP/], exchange: 'CREATE_CHILD_SA' },
    });
    t.match(made.west.eventsOf('child-failed')[0]!.failure, {
      cause: 'pfs_mismatch',
      details: { ours: [String], theirs: [/MODP/] },
    });
    t.match(made.east.eventsOf('advisory').at(-1), { code: 'pfs_mismatch' });
    t.match(made.west.eventsOf('advisory').at(-1), { code: 'pfs_mismatch' }, 'the refusing end says so, too');
    t.strictSame([...made.east.childInfo.keys()], [child]);
    t.equal(faults(made), undefined);
    made.sim.run(3_500_000);
    t.ok(made.east.eventsOf('child-failed').length > 1, 'the regular rekey tries again');
    t.strictSame([...made.east.childInfo.keys()], [child]);
    made.sim.run(3_700_000);
    t.notOk(made.east.childInfo.has(child!), 'it ends with its lifetime');
  }
});

t.test('the responder and a peer_only end leave the early rekey to the peer', async (t) => {
  const made = establishedPair({ east: { ...policy(14), establishMode: 'peer_only' }, west: policy(14) });
  made.sim.run(made.sim.now + 60_000);
  t.equal(made.east.eventsOf('child-established').length, 1);
  t.ok(made.east.eventsOf('advisory').some((event) => event.code === 'pfs_unverified'));
});

t.test('a responder names the group it wants (INVALID_KE_PAYLOAD), and the rekey takes it', async (t) => {
  const made = establishedPair({ east: policy(2, 14), west: policy(14) });
  made.sim.run(made.sim.now + 60_000);
  t.equal(faults(made), undefined);
  t.match(made.east.eventsOf('ke-group-changed'), [{ from: 2, to: 14 }]);
  t.ok(made.west.eventsOf('message').some((event) => /INVALID_KE_PAYLOAD/.test(event.summary)));
  t.equal([...made.east.childInfo.values()][0]!.suite.dh, 14);
});
