import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import { Dh, Encr, Integ, nameOf, Prf } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, establishedPair, faults, pair } from '../helpers/engine-pair.js';

/** Weak in both phases, and rekeyed often in both. */
const WEAK: ConnectionPatch = {
  ikeLifetime: 200,
  childLifetime: 100,
  ikeProposals: [
    {
      encryption: [{ id: Encr.TRIPLE_DES, keyBits: 0 }],
      integrity: [Integ.HMAC_SHA1_96],
      prf: [Prf.HMAC_SHA1],
      dh: [Dh.MODP_1024],
    },
  ],
  espProposals: [
    { encryption: [{ id: Encr.TRIPLE_DES, keyBits: 0 }], integrity: [Integ.HMAC_MD5_96], dh: [Dh.NONE] },
  ],
};

t.test('a weak algorithm is advised once a connection, however often it is rekeyed', async (t) => {
  for (const version of [1, 2] as const) {
    const patch = { ...WEAK, initiateVersion: version, acceptVersions: [version] };
    const made = pair({ east: patch, west: patch });
    const { sim, east, west } = made;
    sim.initiate(east);
    sim.run(1_000_000);
    for (const node of [east, west]) {
      t.ok(node.eventsOf('child-established').length > 8, `IKEv${version} rekeys`);
      const weak = node.eventsOf('advisory').filter(({ code }) => code === 'weak_algorithm');
      t.equal(weak.length, 2, 'one for IKE and one for ESP');
      t.equal(new Set(weak.map(({ message }) => message)).size, 2);
    }
    sim.input(east, { kind: 'terminate', connection: 'site' });
    sim.run(sim.now + 30_000);
    sim.initiate(east);
    sim.run(sim.now + 5000);
    const weak = east.eventsOf('advisory').filter(({ code }) => code === 'weak_algorithm');
    t.equal(weak.length, 4, 'and again when it comes up again');
  }
});

t.test('an engine that adopts SAs advises on their algorithms as the one that made them did', async (t) => {
  for (const version of [1, 2] as const) {
    const patch = { ...WEAK, initiateVersion: version, acceptVersions: [version] };
    const { sim, east } = establishedPair({ east: patch, west: patch });
    const adviceOf = () => east.eventsOf('advisory').map(({ code, message }) => `${code}: ${message}`);
    const before = adviceOf();
    t.equal(before.length, 2, `IKEv${version}`);
    t.ok(before.some((line) => line.includes('IKE was negotiated with')));
    sim.handOver(east);
    t.strictSame(adviceOf().slice(2).sort(), [...before].sort());
  }
});

t.test('the groups of RFC 5114 in both phases of both versions, with an advisory', async (t) => {
  const crypto = createOpensslBackend();
  const aes = { encryption: [{ id: Encr.AES_CBC, keyBits: 256 }], integrity: [Integ.HMAC_SHA2_256_128] };
  for (const version of [1, 2] as const) {
    for (const dh of [Dh.MODP_1024_160, Dh.MODP_2048_224, Dh.MODP_2048_256]) {
      const patch: ConnectionPatch = {
        childLifetime: 100,
        initiateVersion: version,
        acceptVersions: [version],
        ikeProposals: [{ ...aes, prf: [Prf.HMAC_SHA2_256], dh: [dh] }],
        espProposals: [{ ...aes, dh: [dh] }],
      };
      const made = establishedPair({ seed: dh, crypto, east: patch, west: patch });
      t.equal(faults(made), undefined, `IKEv${version}, group ${dh}`);
      for (const node of [made.east, made.west]) {
        const [ike] = node.ikes.values();
        t.match(ike, { suite: { dh } });
        const weak = node.eventsOf('advisory').filter(({ code }) => code === 'weak_algorithm');
        t.match(weak[0]?.message, new RegExp(nameOf('dh', dh)), 'the advisory names the group');
      }
      // The first child SA of IKEv2 has the keys of its IKE SA: the group comes with a rekey (RFC 7296 §1.2).
      const { sim, east } = made;
      sim.run(sim.now + 200_000);
      const groups = east.eventsOf('child-established').map(({ child }) => child.suite.dh);
      t.equal(groups.at(-1), dh, 'PFS by the same group');
    }
  }
});
