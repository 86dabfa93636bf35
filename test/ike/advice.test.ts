import t from 'tap';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, pair } from '../helpers/engine-pair.js';

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
