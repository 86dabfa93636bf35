import t from 'tap';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { addRouterBehind, NARROW_MTU, routerErrors } from '../helpers/lan-router.js';
import { skipWithoutRoot, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, SITE_A, SITE_B, siteConfig } from '../helpers/site-lab.js';

const skip = skipWithoutRoot() || skipWithoutTun();

for (const plane of ['ffi', 'portable'] as const) {
  t.test(
    `ICMP errors of routers outside of the tunnel's networks reach the sender, ${plane}`,
    { skip },
    async (t) => {
      const site = await createSiteLab();
      t.teardown(() => site.dispose());
      const { lab, folder } = site;
      const behindA = await addRouterBehind(lab, SITE_A, '198.51.100');
      const behindB = await addRouterBehind(lab, SITE_B, '203.0.113');
      const more = ['--data-plane', plane];
      const a = await CulvertDaemon.start(lab, 'a', folder, siteConfig(SITE_A, SITE_B), more);
      const b = await CulvertDaemon.start(lab, 'b', folder, siteConfig(SITE_B, SITE_A), more);
      await a.until('c', (one) => one.status === 'up');
      await b.until('c', (one) => one.status === 'up');
      for (const [from, behind] of [
        [SITE_A, behindB],
        [SITE_B, behindA],
      ] as const) {
        const told = await routerErrors(lab, from, behind);
        t.ok(told.reached, `from ${from.node} the host itself answers`);
        const by = behind.router.replaceAll('.', '\\.');
        t.match(told.tooBig, new RegExp(`From ${by} .*mtu = ${NARROW_MTU}`, 'i'));
        t.match(told.expired, new RegExp(`From ${by} .*Time to live exceeded`));
      }
      t.equal(await a.stop(), 0);
      t.equal(await b.stop(), 0);
    },
  );
}
