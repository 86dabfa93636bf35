import t from 'tap';
import { autoEspProposals, autoIkeProposals } from '../../src/ike/policy/matrix.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import { Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { faults, type Pair, pair } from '../helpers/engine-pair.js';
import { hybridIke } from '../helpers/hybrid.js';

const AUTO = {
  ikeProposals: autoIkeProposals('compatible'),
  espProposals: autoEspProposals('compatible'),
};

/** How many proposals each IKE_SA_INIT request of a pair had, each run of the same number once. */
function offers({ sim }: Pair): number[] {
  return sim.net.sent
    .filter(({ name }) => name === 'IKE_SA_INIT request')
    .map(({ bytes }) => {
      const message = decodeMessage(bytes);
      const sa = message.ok ? message.value.payloads.find(({ kind }) => kind === 'sa') : undefined;
      return sa?.kind === 'sa' ? sa.proposals.length : 0;
    })
    .filter((count, at, all) => count !== all[at - 1]);
}

t.test(
  'a peer that falls silent at IKE_INTERMEDIATE gets the plain list, and the status says so',
  async (t) => {
    const made = pair({ east: AUTO, west: AUTO });
    const { sim, east } = made;
    sim.net.impair(({ name }) => name === 'IKE_INTERMEDIATE request', { kind: 'drop' }, 1000);
    east.reconnect = 'site';
    sim.initiate(east);
    sim.run(sim.now + 600_000, () => faults(made) === undefined);
    t.equal(faults(made), undefined);
    t.strictSame(offers(made), [3, 1]);
    const [established] = east.eventsOf('ike-established');
    t.same(established?.ike.suite.encryption, { id: Encr.AES_CBC, keyBits: 256 });
    const said = east.eventsOf('advisory').filter(({ code }) => code === 'plain_proposals');
    t.match(said, [{ message: /peer_silent.*update it, or name policies/ }]);
    // Its rekeying would stumble too.
    sim.input(east, { kind: 'renew', connection: 'site', scope: 'ike' });
    sim.run(sim.now + 10_000);
    t.equal(faults(made), undefined);
    t.ok(east.eventsOf('ike-established').every(({ ike }) => ike.suite.additional === undefined));
  },
);

t.test('a peer that refuses both is offered them in turn', async (t) => {
  const other = {
    ...hybridIke(),
    encryption: [{ id: Encr.AES_CBC, keyBits: 192 }],
    integrity: [Integ.HMAC_SHA2_512_256],
  };
  const made = pair({ east: AUTO, west: { ikeProposals: [{ ...other, prf: [Prf.HMAC_SHA2_512] }] } });
  const { sim, east } = made;
  for (let tries = 0; tries < 4; tries++) {
    sim.initiate(east);
    sim.run(sim.now + 10_000);
  }
  t.strictSame(offers(made), [3, 1, 3, 1]);
  t.equal(east.eventsOf('ike-failed').length, 4);
});

t.test('a peer that is away says nothing about its proposals', async (t) => {
  const made = pair({ east: AUTO, west: AUTO });
  const { sim, east } = made;
  let away = true;
  sim.net.impair(() => away, { kind: 'drop' }, 1000);
  east.reconnect = 'site';
  sim.initiate(east);
  sim.run(sim.now + 200_000);
  away = false;
  sim.run(sim.now + 600_000, () => faults(made) === undefined);
  t.equal(faults(made), undefined);
  t.strictSame(offers(made), [3]);
  t.strictSame(east.eventsOf('advisory'), []);
});
