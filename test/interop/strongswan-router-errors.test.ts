import t from 'tap';
import { addRouterBehind, type BehindRouter, NARROW_MTU, routerErrors } from '../helpers/lan-router.js';
import { SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import { culvertConfig, type SwanPair, swanConnection, withPair } from '../helpers/strongswan-pair.js';

const skip = skipWithoutStrongswan();

// Routers within the networks of the tunnel: strongSwan's userspace ESP looks at the addresses of a packet only.
t.test('ICMP errors from behind either gateway reach the sender behind the other', { skip }, async (t) => {
  const behind: BehindRouter[] = [];
  const before = async ({ lab }: SiteLab): Promise<void> => {
    behind.push(await addRouterBehind(lab, SITE_A, '10.1.0'), await addRouterBehind(lab, SITE_B, '10.2.0'));
  };
  const run = async ({ site: { lab }, culvert }: SwanPair): Promise<void> => {
    await culvert.until('to-b', (one) => one.status === 'up');
    const [behindA, behindB] = behind as [BehindRouter, BehindRouter];
    for (const [from, beyond] of [
      [SITE_A, behindB],
      [SITE_B, behindA],
    ] as const) {
      const told = await routerErrors(lab, from, beyond);
      t.ok(told.reached, `from ${from.node} the host itself answers`);
      const by = beyond.router.replaceAll('.', '\\.');
      t.match(told.tooBig, new RegExp(`From ${by} .*mtu = ${NARROW_MTU}`, 'i'));
      t.match(told.expired, new RegExp(`From ${by} .*Time to live exceeded`));
    }
  };
  await withPair(t, culvertConfig(), swanConnection(), run, { before });
});
