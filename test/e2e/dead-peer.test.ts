import t from 'tap';
import { CulvertDaemon, down, up } from '../helpers/culvert-daemon.js';
import { cut, heal } from '../helpers/outage.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, ping, SITE_A, SITE_B, siteConfig, untilTraffic } from '../helpers/site-lab.js';

const skip = skipWithoutTun();

const ACTIONS = ['restart', 'clear', 'hold', 'none'] as const;
type Action = (typeof ACTIONS)[number];

const watch = (action: Action) => ({ dead_peer_detection: { action, interval: 1, timeout: 3 } });

t.jobs = 2;

for (const action of ACTIONS) {
  t.test(`a blackhole, action ${action}`, { skip, buffered: true }, async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const own = siteConfig(SITE_A, SITE_B, watch(action));
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, own);
    const passive = siteConfig(SITE_B, SITE_A, { establish_mode: 'peer_only', ...watch('clear') });
    const b = await CulvertDaemon.start(site.lab, 'b', site.folder, passive);
    await a.until('c', up);
    await untilTraffic(site.lab, SITE_A, SITE_B);
    const before = (await a.connection('c')).ike;
    await cut(site);
    if (action === 'none') {
      await b.until('c', down, 20);
      t.ok(up(await a.connection('c')), 'nobody asked, so it stays up');
      await heal(site);
      t.same((await a.connection('c')).ike, before);
      await a.down('c');
      void a.up('c').catch(() => undefined);
    } else {
      const dead = await a.until('c', down, 20);
      t.match(dead.status_reasons[0], { details: { cause: 'dpd_timeout' } });
      t.match(await a.client.explain({ name: 'c' }), { cause: 'dpd_timeout' });
      t.match(dead, { flaps: { total: 1 } });
      await heal(site);
      if (action === 'clear') {
        t.equal((await a.connection('c')).activity, 'passive');
        t.equal(await ping(site.lab, SITE_A, SITE_B, 1), 0, 'traffic alone brings nothing back');
        void a.up('c').catch(() => undefined);
      } else if (action === 'hold') {
        t.equal((await a.connection('c')).activity, 'trapped');
      }
    }
    const time = await untilTraffic(site.lab, SITE_A, SITE_B);
    t.comment(`blackhole, ${action}: traffic ${time} ms after the path was good again`);
    t.ok(time < 30_000);
    t.equal(await a.stop(), 0);
    t.equal(await b.stop(), 0);
  });

  t.test(`kill -9 of the peer, action ${action}`, { skip, buffered: true }, async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const own = siteConfig(SITE_A, SITE_B, watch(action));
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, own);
    const peer = siteConfig(SITE_B, SITE_A, watch('restart'));
    const first = await CulvertDaemon.start(site.lab, 'b', site.folder, peer);
    await a.until('c', up);
    await untilTraffic(site.lab, SITE_A, SITE_B);
    await first.kill();
    const started = performance.now();
    const second = await CulvertDaemon.start(site.lab, 'b', site.folder, peer);
    const ready = Math.round(performance.now() - started);
    const time = await untilTraffic(site.lab, SITE_A, SITE_B);
    t.comment(
      `kill -9, ${action}: traffic ${ready + time} ms after the new process was started (ready after ${ready} ms)`,
    );
    t.ok(time < 30_000);
    await a.until('c', up);
    await second.until('c', up);
    t.equal(await a.stop(), 0);
    t.equal(await second.stop(), 0);
  });
}
