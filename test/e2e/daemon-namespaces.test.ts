import { existsSync } from 'node:fs';
import t from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import {
  createSiteLab,
  ping,
  SITE_A,
  SITE_A_NATTED,
  SITE_B,
  type SiteLab,
  siteConfig,
} from '../helpers/site-lab.js';

const skip = skipWithoutTun();

async function lab(t: { teardown(fn: () => unknown): unknown }, options = {}): Promise<SiteLab> {
  const made = await createSiteLab(options);
  t.teardown(() => made.dispose());
  return made;
}

/** What a daemon must not leave behind: its device and its routes. */
async function traces({ lab }: SiteLab, node: string): Promise<string> {
  const links = await lab.check(node, ['ip', '-o', 'link']);
  const routes = await lab.check(node, ['ip', 'route']);
  return [...links.split('\n'), ...routes.split('\n')].filter((line) => line.includes('culvert')).join('\n');
}

t.test('a tunnel between two daemons, and a clean end', { skip }, async (t) => {
  const site = await lab(t);
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, siteConfig(SITE_A, SITE_B));
  t.match(
    await traces(site, 'a'),
    /10\.2\.0\.0\/24 dev culvert0 .*src 10\.1\.0\.1/,
    'the route stands before the tunnel',
  );
  t.equal(await ping(site.lab, SITE_A, SITE_B, 1), 0, 'and nothing leaves in the clear');
  const b = await CulvertDaemon.start(site.lab, 'b', site.folder, siteConfig(SITE_B, SITE_A));
  await a.until('c', up);
  await b.until('c', up);
  t.equal(await ping(site.lab, SITE_A, SITE_B, 5), 5);
  t.equal(await ping(site.lab, SITE_B, SITE_A, 5), 5);
  // Both ends initiate: for a moment there may be two child SAs, one for each direction.
  const passed = (one: ConnectionStatusDocument, field: 'packets_in' | 'packets_out') =>
    one.children.reduce((sum, child) => sum + child[field], 0);
  const counted = await a.until('c', (one) => passed(one, 'packets_in') >= 10);
  t.equal(passed(counted, 'packets_out'), passed(counted, 'packets_in'), 'a packet out for each packet in');

  t.equal(await a.stop(), 0);
  t.equal(await traces(site, 'a'), '', 'no device and no route are left');
  t.notOk(existsSync(a.control), 'no control socket is left');
  await b.until('c', (one) => one.status === 'down');
  t.match(b.log(), /IKE SA \d+ closed: the peer sent DELETE/, 'the peer logs the DELETE');
  t.equal(await b.stop(), 0);
  t.equal(await traces(site, 'b'), '');
});

t.test(
  'a daemon that was killed comes back: INITIAL_CONTACT replaces what the peer still has',
  { skip },
  async (t) => {
    const site = await lab(t);
    // Without dead peer detection the peer would keep the old SAs for hours.
    const none = { dead_peer_detection: { action: 'none' } };
    const first = await CulvertDaemon.start(site.lab, 'a', site.folder, siteConfig(SITE_A, SITE_B, none));
    const b = await CulvertDaemon.start(
      site.lab,
      'b',
      site.folder,
      siteConfig(SITE_B, SITE_A, { ...none, establish_mode: 'peer_only' }),
    );
    await first.until('c', up);
    const before = await b.until('c', up);
    await first.kill();
    t.ok(existsSync(first.control), 'its control socket is left over');
    t.equal(await traces(site, 'a'), '', 'the kernel took its device and routes away');
    t.equal((await b.connection('c')).status, 'up', 'the peer knows nothing');

    const second = await CulvertDaemon.start(site.lab, 'a', site.folder, siteConfig(SITE_A, SITE_B, none));
    t.match(second.log(), /removing the control socket of a daemon that did not shut down/);
    await second.until('c', up);
    const after = await b.until(
      'c',
      (one) => one.status === 'up' && one.ike?.initiator_spi !== before.ike?.initiator_spi,
    );
    t.equal(after.children.length, 1, 'one child SA, not two');
    t.match(b.log(), /replaced/);
    t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
    t.equal(await second.stop(), 0);
    t.equal(await b.stop(), 0);
  },
);

t.test('behind a NAT: found by detection, kept alive, traffic both ways', { skip }, async (t) => {
  const site = await lab(t, { behindNat: true });
  const identity = { type: 'fqdn', value: 'a.example' };
  const a = await CulvertDaemon.start(
    site.lab,
    'a',
    site.folder,
    siteConfig(SITE_A_NATTED, SITE_B, { local: { cidrs: [SITE_A.cidr], ike_identities: [identity] } }),
  );
  const b = await CulvertDaemon.start(
    site.lab,
    'b',
    site.folder,
    siteConfig(SITE_B, SITE_A, {
      establish_mode: 'peer_only',
      peer: { address: '192.0.2.9', cidrs: [SITE_A.cidr], ike_identity: identity },
    }),
  );
  const inside = await a.until('c', up);
  const outside = await b.until('c', up);
  t.equal(inside.ike?.nat.local, true, 'we are behind it');
  t.equal(outside.ike?.nat.peer, true, 'and the peer knows');
  t.match(outside.ike?.peer_endpoint, /^192\.0\.2\.9:/);
  t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  t.equal(await ping(site.lab, SITE_B, SITE_A, 3), 3);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});

t.test('dead peer detection: hold waits for traffic, restart does not', { skip }, async (t) => {
  const site = await lab(t);
  const dpd = (action: string) => ({ dead_peer_detection: { action, interval: 1, timeout: 2 } });
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, siteConfig(SITE_A, SITE_B, dpd('hold')));
  const b = await CulvertDaemon.start(
    site.lab,
    'b',
    site.folder,
    siteConfig(SITE_B, SITE_A, { establish_mode: 'peer_only' }),
  );
  await a.until('c', up);
  await b.kill();
  const dead = await a.until('c', (one) => one.status === 'down', 20);
  t.match(dead.status_reasons, [{ code: 'peer_not_responding', details: { cause: 'dpd_timeout' } }]);
  const again = await CulvertDaemon.start(
    site.lab,
    'b',
    site.folder,
    siteConfig(SITE_B, SITE_A, { establish_mode: 'peer_only' }),
  );
  t.equal((await a.connection('c')).status, 'down', 'nothing happens without traffic');
  await ping(site.lab, SITE_A, SITE_B, 1);
  await a.until('c', up);
  t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  t.equal(await a.stop(), 0);
  t.equal(await again.stop(), 0);
});

t.test('a start that fails leaves no device and no route', { skip }, async (t) => {
  const site = await lab(t);
  await site.lab.check('a', ['ip', 'tuntap', 'add', 'culvert0', 'mode', 'tun']);
  await t.rejects(CulvertDaemon.start(site.lab, 'a', site.folder, siteConfig(SITE_A, SITE_B)), {
    message: /culvert0.*gateway\.interface/s,
  });
  t.notOk(existsSync(`${site.folder}/a.sock`));
  await site.lab.check('a', ['ip', 'tuntap', 'del', 'culvert0', 'mode', 'tun']);
  t.equal(await traces(site, 'a'), '');
});
