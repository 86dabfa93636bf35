import t, { type Test } from 'tap';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { createSiteLab, ping, SITE_A, SITE_B, type SiteLab, untilTraffic } from '../helpers/site-lab.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  culvertFile,
  type Ends,
  type Link,
  sameSas,
  startSwan,
  swanFile,
  withEnds,
} from '../helpers/swan-sites.js';

const skip = skipWithoutStrongswan();
const ELSEWHERE = ['192.0.2.41', '192.0.2.42'];

/** The node loses an address and gets another one, as with a new lease. */
async function readdress(lab: NetworkLab, node: string, from: string, to: string): Promise<void> {
  await lab.check(node, ['ip', 'address', 'del', `${from}/24`, 'dev', 'wan']);
  await lab.check(node, ['ip', 'address', 'add', `${to}/24`, 'dev', 'wan']);
}

async function moving(
  t: Test,
  link: Partial<Link> & { readonly version: 1 | 2 },
  body: (site: SiteLab, whole: Link, ends: Ends) => Promise<void>,
): Promise<void> {
  const site = await createSiteLab();
  try {
    const whole: Link = { name: 'c', local: SITE_A, peer: SITE_B, psk: 'correct-horse-battery', ...link };
    await withEnds(t, site, [whole], (ends) => body(site, whole, ends));
  } finally {
    await site.dispose();
  }
}

t.jobs = 3;

/** What strongSwan does when its address goes: nothing by itself, or, with MOBIKE on, whatever it can without. */
for (const [version, mobike] of [
  [2, false],
  [2, true],
  [1, false],
] as const) {
  const title = `IKEv${version}${mobike ? ', which would use MOBIKE' : ''}: a peer that moves is known by its identity`;
  t.test(title, { skip, buffered: true }, async (t) => {
    const link: Partial<Link> & { readonly version: 1 | 2 } = {
      version,
      // Where the peer will be is nothing anybody knows.
      peerFromLocal: '203.0.113.99',
      peerBinds: '%any',
      culvert: {
        establish_mode: 'peer_only',
        dead_peer_detection: { action: 'restart', interval: 2, timeout: 10 },
      },
      swan: {
        mobike,
        extra: 'dpd_delay = 2s\n keyingtries = 0',
        childExtra: 'start_action = start\n dpd_action = restart\n close_action = start',
      },
    };
    await moving(t, link, async ({ lab }, _, { culvert, swan }) => {
      let was = SITE_B.address;
      await culvert.until('c', up, 20);
      await sameSas(culvert, swan, 'c');
      t.match((await culvert.connection('c')).ike?.peer_endpoint, `${was}:`);
      await untilTraffic(lab, SITE_A, SITE_B);
      for (const now of ELSEWHERE) {
        await readdress(lab, 'b', was, now);
        const time = await untilTraffic(lab, SITE_A, SITE_B, 60);
        t.comment(
          `IKEv${version}${mobike ? ' (MOBIKE on)' : ''}: traffic ${time} ms after the peer's address changed`,
        );
        const status = await culvert.until(
          'c',
          (one) => up(one) && one.ike?.peer_endpoint.startsWith(`${now}:`) === true,
          20,
        );
        t.match(status, { status: 'up', peer: '203.0.113.99' });
        t.equal(await ping(lab, SITE_B, SITE_A, 3), 3, 'from there');
        t.equal(await ping(lab, SITE_A, SITE_B, 3), 3, 'and to there');
        was = now;
      }
      await sameSas(culvert, swan, 'c');
    });
  });
}

for (const version of [2, 1] as const) {
  t.test(`IKEv${version}: the peer begins anew from its new address`, { skip, buffered: true }, async (t) => {
    const link: Partial<Link> & { readonly version: 1 | 2 } = {
      version,
      peerFromLocal: '203.0.113.99',
      peerBinds: '%any',
      // Nothing here finds the old IKE SA dead: the new one has to take over by itself.
      culvert: { establish_mode: 'peer_only', dead_peer_detection: { action: 'none' } },
    };
    await moving(t, link, async (site, whole, { culvert, swan, keep }) => {
      const { lab } = site;
      t.ok((await swan.initiate()).ok);
      const before = await culvert.until('c', up, 20);
      await untilTraffic(lab, SITE_A, SITE_B);
      await swan.kill();
      await readdress(lab, 'b', SITE_B.address, ELSEWHERE[0]!);
      const started = performance.now();
      const anew = keep(await startSwan(lab, 'b', site.folder));
      await anew.load(...swanFile([whole]));
      t.ok((await anew.initiate()).ok);
      await untilTraffic(lab, SITE_B, SITE_A);
      t.comment(
        `IKEv${version}: traffic ${Math.round(performance.now() - started)} ms after the peer was started elsewhere`,
      );
      await sameSas(culvert, anew, 'c');
      const after = await culvert.until('c', ({ children }) => children.length === 1);
      t.not(after.ike?.initiator_spi, before.ike?.initiator_spi);
      t.match(after.ike?.peer_endpoint, `${ELSEWHERE[0]}:`);
      t.equal(await ping(lab, SITE_A, SITE_B, 3), 3);
    });
  });

  t.test(
    `IKEv${version}: our own address goes, comes back, and then is another`,
    { skip, buffered: true },
    async (t) => {
      const link: Partial<Link> & { readonly version: 1 | 2 } = {
        version,
        localFromPeer: '%any',
        culvert: { dead_peer_detection: { action: 'restart', interval: 1, timeout: 4 } },
      };
      await moving(t, link, async (site, whole, { culvert, swan, keep }) => {
        const { lab } = site;
        await culvert.until('c', up, 20);
        await untilTraffic(lab, SITE_A, SITE_B);

        // Without the address nothing can leave, and the gateway lives on.
        await lab.check('a', ['ip', 'address', 'del', `${SITE_A.address}/24`, 'dev', 'wan']);
        await culvert.until('c', ({ status }) => status === 'down', 20);
        t.match((await culvert.connection('c')).status_reasons, [{ code: 'peer_not_responding' }]);
        await lab.check('a', ['ip', 'address', 'add', `${SITE_A.address}/24`, 'dev', 'wan']);
        const back = await untilTraffic(lab, SITE_A, SITE_B, 60);
        t.comment(`IKEv${version}: traffic ${back} ms after our address came back`);
        await culvert.until('c', up);
        t.equal(await ping(lab, SITE_B, SITE_A, 3), 3);

        // Another one for good: `gateway.address` is told by a restart, which cannot say goodbye any more.
        await readdress(lab, 'a', SITE_A.address, ELSEWHERE[0]!);
        const changed: Link = { ...whole, local: { ...SITE_A, address: ELSEWHERE[0]! } };
        culvert.rewrite(culvertFile([changed]));
        t.match(await culvert.client.reload(), { ok: false }, 'reload refuses it');
        await culvert.kill();
        const again = keep(await CulvertDaemon.start(lab, 'a', site.folder, culvertFile([changed])));
        const time = await untilTraffic(lab, SITE_A, SITE_B, 60);
        t.comment(`IKEv${version}: traffic ${time} ms after the start with another address`);
        await sameSas(again, swan, 'c');
        const sas = await swan.sas();
        t.strictSame(
          sas.map(({ fields }) => fields['remote-host']),
          [ELSEWHERE[0]],
          'the peer has given up the old IKE SA and knows the new address',
        );
        t.equal(await ping(lab, SITE_B, SITE_A, 3), 3);
        t.equal(await ping(lab, SITE_A, SITE_B, 3), 3);
      });
    },
  );
}
