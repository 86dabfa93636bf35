import t from 'tap';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { skipWithoutRoot, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, ping, SITE_A, SITE_B, siteConfig } from '../helpers/site-lab.js';

const skip = skipWithoutRoot() || skipWithoutTun();

t.test('the portable path sends and takes ESP as IP protocol 50', { skip }, async (t) => {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const { lab, folder } = site;
  const raw = (config: ReturnType<typeof siteConfig>) => ({
    ...config,
    gateway: { ...config.gateway, encapsulation: 'auto' },
  });
  const plane = ['--data-plane', 'portable'];
  const a = await CulvertDaemon.start(lab, 'a', folder, raw(siteConfig(SITE_A, SITE_B)), plane);
  const b = await CulvertDaemon.start(lab, 'b', folder, raw(siteConfig(SITE_B, SITE_A)));
  const up = await a.until('c', (one) => one.status === 'up');
  t.equal(up.children[0]?.encapsulation, 'esp');
  t.equal((await a.client.status()).gateway.raw_esp, true);
  await b.until('c', (one) => one.status === 'up');
  t.equal(await ping(lab, SITE_A, SITE_B, 2), 2);
  t.equal(await ping(lab, SITE_B, SITE_A, 2), 2);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});
