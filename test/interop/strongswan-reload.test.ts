import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { up } from '../helpers/culvert-daemon.js';
import {
  addInside,
  createSiteLab,
  ping,
  SITE_A,
  SITE_B,
  siteVariant,
  untilTraffic,
} from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  culvertFile,
  type Link,
  sameSas,
  swanFile,
  swanSpis,
  swanUntil,
  withEnds,
} from '../helpers/swan-sites.js';

const skip = skipWithoutStrongswan();
const NAMES = ['steady', 'changed', 'removed', 'added'] as const;
type Name = (typeof NAMES)[number];

/** All have one key: strongSwan as responder of main mode has no other way to tell them apart by then. */
function link(name: Name, version: 1 | 2, culvert: object = {}): Link {
  const n = NAMES.indexOf(name) + 3;
  const [local, peer] = [siteVariant(SITE_A, n), siteVariant(SITE_B, n)];
  return { name, version, local, peer, psk: 'one-key-for-all', culvert };
}

for (const version of [2, 1] as const) {
  const title = `IKEv${version}: reload adds, changes and removes connections, an untouched one loses no packet`;
  t.test(title, { skip }, async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const { lab } = site;
    const all = NAMES.map((name) => link(name, version));
    await addInside(lab, ...all.flatMap(({ local, peer }) => [local, peer]));
    const [steady, changed, removed, added] = all as [Link, Link, Link, Link];
    await withEnds(t, site, [steady, changed, removed], async ({ culvert, swan }) => {
      for (const { name, local, peer } of [steady, changed, removed]) {
        await culvert.until(name, up, 20);
        await sameSas(culvert, swan, name);
        await untilTraffic(lab, local, peer);
      }
      const before = await sameSas(culvert, swan, 'steady');
      const document = (await culvert.connection('steady')).ike;
      const pings = steadyPing(lab, steady.local, steady.peer);
      const back = steadyPing(lab, steady.peer, steady.local);

      // strongSwan learns the new connection first: loading its file leaves its SAs alone.
      await swan.load(...swanFile([steady, changed, removed, added]));

      // Adds one, gives one another cipher, removes one; told by SIGHUP.
      const other = link('changed', version, { ipsec_policy: 'other' });
      culvert.rewrite(culvertFile([steady, other, added]));
      const plan = await culvert.client.reload({ dry_run: true });
      t.same(plan.connections.map(({ name, change }) => `${change} ${name}`).sort(), [
        'add added',
        'change changed',
        'remove removed',
      ]);
      t.ok(await sameSas(culvert, swan, 'removed'), 'the plan alone does nothing');
      culvert.signal('SIGHUP');
      const known = async () => (await culvert.status()).connections.some(({ name }) => name === 'added');
      for (let n = 0; n < 200 && !(await known()); n++) await sleep(25);
      await culvert.until('added', up, 20);
      const children = await culvert.until('changed', ({ children }) =>
        children.some(({ state, encryption }) => state === 'installed' && encryption === 'aes128'),
      );
      t.equal(children.status, 'up');
      await swanUntil(swan, (sas) => swanSpis(sas, 'removed') === '');
      await t.rejects(culvert.connection('removed'));
      for (const { local, peer } of [changed, added]) t.ok((await untilTraffic(lab, local, peer)) >= 0);
      t.equal(await ping(lab, removed.local, removed.peer), 0, 'nothing passes for the removed one');

      // By `culvert reload`: dead peer detection alone.
      const watched = link('changed', version, {
        ipsec_policy: 'other',
        dead_peer_detection: { action: 'restart', interval: 7, timeout: 40 },
      });
      const was = await sameSas(culvert, swan, 'changed');
      await culvert.reload(culvertFile([steady, watched, added]));
      await sleep(300);
      t.equal(await sameSas(culvert, swan, 'changed'), was, 'dead peer detection changes no SA');

      // And back to where it was, while the added one goes again.
      await culvert.reload(culvertFile([steady, changed, removed]));
      await culvert.until('removed', up, 20);
      await swanUntil(swan, (sas) => swanSpis(sas, 'added') === '');
      await culvert.until('changed', ({ children }) =>
        children.some(({ state, encryption }) => state === 'installed' && encryption === 'aes256'),
      );
      t.ok((await untilTraffic(lab, removed.local, removed.peer)) >= 0);

      // A file with an error changes nothing.
      culvert.rewrite(culvertFile([steady, { ...changed, psk: 'x' }]));
      t.match(await culvert.client.reload(), { ok: false, errors: [{ path: /psk/ }] });
      t.match(await culvert.connection('removed'), { status: 'up' });

      for (const [direction, tally] of [
        ['there', await pings.stop()],
        ['and back', await back.stop()],
      ] as const) {
        t.comment(`the untouched connection, ${direction}: ${tally.received} of ${tally.sent} answered`);
        t.ok(tally.sent > 50);
        t.equal(tally.lost, 0, `no packet was lost, ${direction}`);
      }
      t.equal(await sameSas(culvert, swan, 'steady'), before, 'it has the SAs it had, at both ends');
      t.same((await culvert.connection('steady')).ike, document);
    });
  });
}

t.test(
  'IKEv2: another identity takes a new IKE SA from the start, and traffic goes on',
  { skip },
  async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const { lab } = site;
    const one = link('changed', 2);
    await addInside(lab, one.local, one.peer);
    await withEnds(t, site, [one], async ({ culvert, swan }) => {
      await culvert.until('changed', up, 20);
      await untilTraffic(lab, one.local, one.peer);
      const before = await culvert.connection('changed');
      // strongSwan knows both identities for a while, as an operator would have it.
      const [old] = swanFile([one]);
      const renamed = { ...old!, name: 'renamed', remote: { ...old!.remote, id: 'renamed.a.example' } };
      await swan.load(old!, renamed);
      const pings = [steadyPing(lab, one.local, one.peer), steadyPing(lab, one.peer, one.local)];
      const file = culvertFile([one]);
      const [connection] = file.connections;
      const ike_identities = [{ type: 'fqdn', value: 'renamed.a.example' }];
      const local = { ...connection!.local, ike_identities };
      const report = await culvert.reload({ ...file, connections: [{ ...connection!, local }] });
      t.match(report.connections, [{ changes: [{ field: 'local.ike_identities' }] }]);
      const after = await culvert.until(
        'changed',
        ({ ike, children }) =>
          children.length === 1 && ike !== null && ike.initiator_spi !== before.ike?.initiator_spi,
        20,
      );
      t.equal(after.status, 'up');
      const [sa, ...others] = await swanUntil(swan, (sas) => sas.length === 1);
      t.same([sa?.name, others.length], ['renamed', 0], 'the peer has the new one alone');
      // strongSwan, as responder of IKE_AUTH, sends on the new child SA at once: what overtakes its answer, or
      // comes while the answer is worked on, has an SPI that is not in use here yet.
      const tallies = await Promise.all(pings.map((ping) => ping.stop()));
      const lost = tallies.reduce((sum, tally) => sum + tally.lost, 0);
      const sent = tallies.reduce((sum, tally) => sum + tally.sent, 0);
      const ahead = (await culvert.status()).gateway.drops.unknown_spi ?? 0;
      t.comment(`${lost} of ${sent} lost while the IKE SA was made anew, ${ahead} came ahead of the answer`);
      t.ok(lost <= ahead, 'no other packet was lost');
      t.match(await culvert.connection('changed'), { flaps: { total: 0 } });
    });
  },
);
