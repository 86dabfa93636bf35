import t from 'tap';
import type { EspProposalSpec } from '../../src/ike/config.js';
import { Encr, Integ, NotifyType } from '../../src/wire/ike/registry.js';
import { establishedPair, faults, type Pair, selectors } from '../helpers/engine-pair.js';
import { rewritingBackend } from '../helpers/rewriting-crypto.js';

const REFUSALS = {
  NO_PROPOSAL_CHOSEN: 'pfs_mismatch',
  NO_ADDITIONAL_SAS: 'no_additional_sas',
  TS_UNACCEPTABLE: 'ts_mismatch',
  TEMPORARY_FAILURE: 'peer_busy',
} as const;

/** IKE_AUTH has no PFS group and succeeds; a CREATE_CHILD_SA request for a child SA is refused for its group. */
function policy(...dh: readonly number[]): { readonly espProposals: readonly EspProposalSpec[] } {
  const encryption = [{ id: Encr.AES_CBC, keyBits: 256 }];
  return { espProposals: [{ encryption, integrity: [Integ.HMAC_SHA2_256_128], dh }] };
}

/** Says another error than NO_PROPOSAL_CHOSEN, where a message holds nothing but that. */
function refusingWith(name: keyof typeof REFUSALS): ReturnType<typeof rewritingBackend> {
  return rewritingBackend((plain) => {
    const alone = plain[0] === 0 && plain[2] === 0 && plain[3] === 8 && plain[4] === 0 && plain[5] === 0;
    if (!alone || plain[6] !== 0 || plain[7] !== NotifyType.NO_PROPOSAL_CHOSEN) return;
    plain[7] = NotifyType[name];
  });
}

/** Whether a child SA stands at both ends. */
function carries({ east, west }: Pair): boolean {
  const there = new Set([...west.children.values()].map(({ spiIn }) => spiIn));
  return [...east.children.values()].some(({ spiOut }) => there.has(spiOut));
}

/** Runs for so long and gives the number of tenths of a second in which nothing carried traffic. */
function darkTenths(made: Pair, duration: number): number {
  let dark = 0;
  for (const end = made.sim.now + duration; made.sim.now < end; ) {
    made.sim.run(made.sim.now + 100);
    if (!carries(made)) dark++;
  }
  return dark;
}

for (const [name, cause] of Object.entries(REFUSALS) as [keyof typeof REFUSALS, string][])
  t.test(`${name} to every rekeying of a child SA: a new IKE SA takes over without a gap`, async (t) => {
    const life = { childLifetime: 300, ikeLifetime: 86_400 };
    const made = establishedPair({
      crypto: refusingWith(name),
      east: { ...policy(14), ...life },
      west: { ...policy(2), ...life, establishMode: 'peer_only' },
    });
    t.equal(darkTenths(made, 3_600_000), 0);
    t.ok(made.east.eventsOf('child-failed').some(({ failure }) => failure.cause === cause));
    const made2 = made.east.eventsOf('ike-established').length;
    t.ok(made2 >= 12 && made2 <= 22, `one IKE SA per lifetime of a child SA, not ${made2}`);
    t.equal(made.east.ikes.size, 1, 'none is left over');
    t.equal(made.west.ikes.size, 1);
    for (const node of [made.east, made.west])
      t.ok(
        node.childInfo.size <= 1 && node.eventsOf('ike-closed').every(({ reason }) => reason !== 'failed'),
      );
  });

t.test('a peer whose child SA ends sooner: one refusal, and a new IKE SA comes at once', async (t) => {
  for (const name of ['NO_PROPOSAL_CHOSEN', 'NO_ADDITIONAL_SAS', 'TS_UNACCEPTABLE'] as const) {
    const made = establishedPair({
      crypto: refusingWith(name),
      east: policy(14),
      west: { ...policy(2), childLifetime: 100, establishMode: 'peer_only' },
    });
    made.east.reconnect = 'site';
    // The simulated reconciler waits up to two seconds after a loss; the engine adds two exchanges to that.
    const dark = darkTenths(made, 600_000);
    t.ok(dark <= 6 * 21, `${name}: ${dark} tenths of a second`);
    t.equal(faults(made), undefined, name);
  }
});

t.test('an IKE SA that never carried a child SA is given up after three minutes of refusals', async (t) => {
  const made = establishedPair({
    east: {},
    west: { establishMode: 'peer_only', local: { cidrs: ['10.2.0.0/24'] } },
  });
  const [first] = made.east.ikes.keys();
  const config = made.west.config.connections.map((one) => ({
    ...one,
    local: { ...one.local, selectors: selectors(['10.9.0.0/24']) },
  }));
  made.sim.input(made.west, { kind: 'configure', config: { connections: config } });
  made.sim.restart(made.east);
  // As the reconciler does after each failure.
  const keepTrying = (duration: number): void => {
    for (const end = made.sim.now + duration; made.sim.now < end; made.sim.run(made.sim.now + 20_000))
      made.sim.initiate(made.east);
  };
  keepTrying(160_000);
  t.equal(made.east.ikes.size, 1, 'it stands without a child SA for a while');
  t.equal(made.east.eventsOf('ike-closed').length, 0);
  keepTrying(600_000);
  const closed = made.east.eventsOf('ike-closed');
  t.ok(closed.length >= 1 && closed.length <= 4, `${closed.length} closed`);
  t.match(closed[0], { reason: 'failed', failure: { cause: 'ts_mismatch' } });
  t.notOk(made.east.ikes.has(first!));
});

t.test('a peer that is busy is asked ever more seldom, and that is reported', async (t) => {
  const made = establishedPair({
    crypto: refusingWith('TEMPORARY_FAILURE'),
    east: { ...policy(14), childLifetime: 3600 },
    west: { ...policy(2), establishMode: 'peer_only' },
  });
  const [first] = made.east.ikes.keys();
  made.sim.run(3_300_000, () => made.east.eventsOf('child-failed').length > 0);
  const failed = made.east.eventsOf('child-failed')[0]!;
  t.match(failed.failure, { cause: 'peer_busy', message: /TEMPORARY_FAILURE for \d+ s/ });
  const asked = (): number =>
    made.sim.net.sent.filter((packet) => packet.name === 'CREATE_CHILD_SA request').length;
  const before = asked();
  t.ok(before <= 7, `${before} requests in half a minute`);
  made.sim.run(made.sim.now + 200_000);
  t.ok(asked() - before <= 10, `${asked() - before} in the next three minutes`);
  t.ok(made.east.ikes.size === 1 && !made.east.ikes.has(first!), 'then a new IKE SA has taken over');
  t.equal(faults(made), undefined);
});

t.test('an IKE SA whose rekeying alone is refused is replaced before its end', async (t) => {
  const made = establishedPair({
    crypto: rewritingBackend((plain) => {
      // SA payload in front with protocol IKE and an SPI: only a rekeying of the IKE SA has one.
      if (plain[0] === 40 && plain[9] === 1 && plain[10] === 8) plain[9] = 9;
    }),
    east: { ikeLifetime: 300 },
    west: { establishMode: 'peer_only', ikeLifetime: 86_400 },
  });
  t.equal(darkTenths(made, 1_500_000), 0);
  t.ok(made.east.eventsOf('advisory').some(({ code }) => code === 'rekey_refused'));
  t.ok(made.east.eventsOf('ike-established').length >= 5);
  t.equal(faults(made), undefined);
});
