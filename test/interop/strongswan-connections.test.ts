import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import {
  addInside,
  createSiteLab,
  ping,
  SITE_A,
  SITE_B,
  type SiteLab,
  siteVariant,
  untilTraffic,
} from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  culvertFile,
  culvertSpis,
  type Ends,
  type Link,
  sameSas,
  startSwan,
  swanFile,
  swanSpis,
  swanUntil,
  withEnds,
} from '../helpers/swan-sites.js';

const skip = skipWithoutStrongswan();
const NAMES = ['first', 'second', 'third'] as const;
type Initiator = 'Culvert' | 'strongSwan';

/**
 * Three connections between the same two addresses, each with identities of its own. A responder in main mode
 * has to find the key before it learns the identity (RFC 2409 §5.4): Culvert tries the keys of all connections
 * with the peer's address, strongSwan takes the first, so where that one answers, all have the same.
 */
function links(version: 1 | 2, initiator: Initiator): Link[] {
  return NAMES.map((name, i) => ({
    name,
    version,
    local: siteVariant(SITE_A, i + 3),
    peer: siteVariant(SITE_B, i + 3),
    psk: version === 1 && initiator === 'Culvert' ? 'one-key-for-all' : `key-of-${name}-only`,
    culvert: { establish_mode: initiator === 'Culvert' ? 'bidirectional' : 'peer_only' },
  }));
}

async function threeLinks(
  t: Test,
  version: 1 | 2,
  initiator: Initiator,
  body: (site: SiteLab, links: readonly Link[], ends: Ends) => Promise<void>,
): Promise<void> {
  const site = await createSiteLab();
  try {
    const all = links(version, initiator);
    await addInside(site.lab, ...all.flatMap(({ local, peer }) => [local, peer]));
    await withEnds(t, site, all, async (ends) => {
      await allUp(ends, initiator);
      await body(site, all, ends);
    });
  } finally {
    await site.dispose();
  }
}

async function allUp({ culvert, swan }: Ends, initiator: Initiator): Promise<void> {
  for (const name of NAMES) {
    if (initiator === 'strongSwan') await initiated(swan, name);
    await culvert.until(name, up, 20);
  }
  for (const name of NAMES) await sameSas(culvert, swan, name);
}

async function initiated(swan: Ends['swan'], name: string): Promise<void> {
  const { ok, output } = await swan.initiate(name);
  if (!ok) throw new Error(output);
}

for (const version of [2, 1] as const) {
  for (const initiator of ['Culvert', 'strongSwan'] as const) {
    t.test(`three IKEv${version} connections to one address, ${initiator} initiates`, { skip }, async (t) => {
      await threeLinks(t, version, initiator, async ({ lab }, [first, second, third], ends) => {
        const { culvert, swan } = ends;
        // What waits for the packet thread to start leaves in one burst, of which strongSwan may lose the end.
        for (const { local, peer } of [first!, second!, third!]) await untilTraffic(lab, local, peer);
        const pings = [first!, second!, third!].map(({ local, peer }) => steadyPing(lab, local, peer));
        const untouched = await sameSas(culvert, swan, 'first');
        const before = {
          second: await sameSas(culvert, swan, 'second'),
          third: await sameSas(culvert, swan, 'third'),
        };

        // Down and up again: the new IKE SA says INITIAL_CONTACT, at least where strongSwan makes it.
        if (initiator === 'Culvert') await culvert.down('second');
        else await swan.terminate('second');
        await culvert.until('second', (one) => one.status === 'down');
        await swanUntil(swan, (sas) => !sas.some(({ name }) => name === 'second'));
        t.equal(swanSpis(await swan.sas(), 'first'), untouched, 'the first is untouched at the peer');
        t.equal(swanSpis(await swan.sas(), 'third'), before.third, 'and the third');
        if (initiator === 'Culvert') await culvert.up('second');
        else await initiated(swan, 'second');
        await culvert.until('second', up);
        t.not(await sameSas(culvert, swan, 'second'), before.second, 'the second has other SAs');
        if (initiator === 'strongSwan') t.match(swan.log(), /INIT_CONTACT|INITIAL_CONTACT/);

        // Rekeying of the third, first its child SA, then its IKE SA; by strongSwan, then by Culvert.
        for (const what of ['child', 'ike'] as const) {
          const was = await culvert.connection('third');
          await swan.rekey(what, 'third');
          await culvert.until(
            'third',
            ({ ike, children }) =>
              what === 'child'
                ? children.some(
                    ({ state, spi_in }) => state === 'installed' && spi_in !== was.children[0]!.spi_in,
                  )
                : ike !== null && ike.initiator_spi !== was.ike!.initiator_spi,
            20,
          );
          await sleep(200);
        }
        if (initiator === 'Culvert') {
          const file = culvertFile([
            first!,
            second!,
            { ...third!, culvert: { ...third!.culvert, ipsec_policy: 'other' } },
          ]);
          await culvert.reload(file);
          await culvert.until(
            'third',
            ({ children }) =>
              children.some(({ state, encryption }) => state === 'installed' && encryption === 'aes128'),
            20,
          );
        }
        t.not(await sameSas(culvert, swan, 'third'), before.third);

        const [one, two, three] = await Promise.all(pings.map((ping) => ping.stop()));
        t.comment(
          `answered: ${one!.received} of ${one!.sent}, ${two!.received} of ${two!.sent}, ${three!.received} of ${three!.sent}`,
        );
        t.ok(one!.sent > 20);
        t.equal(one!.lost, 0, 'the first lost no packet');
        t.equal(three!.lost, 0, 'nor did the third, by its rekeyings or by the second');
        t.ok(two!.received > 0, 'the second carries traffic');
        t.equal(await sameSas(culvert, swan, 'first'), untouched, 'the first has the SAs it had');
        for (const { name, local, peer } of [first!, second!, third!]) {
          t.equal(await ping(lab, local, peer, 2), 2, `${name}: there`);
          t.equal(await ping(lab, peer, local, 2), 2, `${name}: and back`);
        }
        for (const name of ['first', 'third']) {
          t.match(await culvert.connection(name), { flaps: { total: 0 } }, `${name}: was never lost`);
        }
      });
    });
  }

  t.test(
    `IKEv${version}: INITIAL_CONTACT of a restarted end speaks for one connection only`,
    { skip },
    async (t) => {
      await threeLinks(t, version, 'Culvert', async (site, all, { culvert, swan, keep }) => {
        await culvert.kill();
        const again = keep(await CulvertDaemon.start(site.lab, 'a', site.folder, culvertFile(all)));
        for (const name of NAMES) await again.until(name, up, 20);
        const spis: string[] = [];
        for (const { name, local, peer } of all) {
          // One IKE SA a name: the old one went, the new one was not taken for an old one by the others' contacts.
          spis.push(await sameSas(again, swan, name));
          t.equal(await ping(site.lab, local, peer, 2), 2, `${name}: traffic`);
        }
        // The other way round: strongSwan comes back, one connection after the other.
        await swan.kill();
        const anew = keep(await startSwan(site.lab, 'b', site.folder));
        await anew.load(...swanFile(all));
        await initiated(anew, 'second');
        await sameSas(again, anew, 'second');
        t.equal(
          await culvertSpis(again, 'first'),
          spis[0],
          'what the peer has forgotten is left to dead peer detection',
        );
        t.equal(await culvertSpis(again, 'third'), spis[2]);
        for (const name of ['first', 'third']) await initiated(anew, name);
        for (const { name, local, peer } of all) {
          await sameSas(again, anew, name);
          t.equal(await ping(site.lab, local, peer, 2), 2, `${name}: traffic after the peer's restart`);
        }
      });
    },
  );
}
