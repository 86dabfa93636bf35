import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import {
  addInside,
  createSiteLab,
  type LabSite,
  ping,
  SITE_A,
  SITE_B,
  siteVariant,
} from '../helpers/site-lab.js';

const skip = skipWithoutTun();

t.test('three connections to one peer address live side by side', { skip }, async (t) => {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  // One with identities of its own; two that share theirs and differ in their networks only.
  const names = ['first', 'second', 'third'] as const;
  const a = names.map((_, i) => siteVariant(SITE_A, i + 3));
  const b = names.map((_, i) => siteVariant(SITE_B, i + 3));
  await addInside(site.lab, ...a, ...b);
  const file = (local: LabSite[], peer: LabSite[]) => ({
    gateway: { name: `site-${local[0]!.node}`, address: local[0]!.address },
    connections: names.map((name, i) => {
      const id = (one: LabSite) => ({ type: 'fqdn', value: `${one.node}.example` });
      const own = i === 0;
      return {
        name,
        psk: own ? 'a-key-of-its-own' : 'correct-horse-battery',
        local: { cidrs: [local[i]!.cidr], ...(own ? { ike_identities: [id(local[i]!)] } : {}) },
        peer: {
          address: peer[i]!.address,
          cidrs: [peer[i]!.cidr],
          ...(own ? { ike_identity: id(peer[i]!) } : {}),
        },
      };
    }),
  });
  const east = await CulvertDaemon.start(site.lab, 'a', site.folder, file(a, b));
  const west = await CulvertDaemon.start(site.lab, 'b', site.folder, file(b, a));
  for (const name of names) {
    await east.until(name, up, 20);
    await west.until(name, up, 20);
  }
  await sleep(1500);
  for (const [i, name] of names.entries()) {
    t.equal(await ping(site.lab, a[i]!, b[i]!, 3), 3, `${name}: traffic`);
    const one = await east.connection(name);
    t.match(one, { status: 'up', flaps: { total: 0 } }, `${name}: nothing was deleted by another`);
  }
  const others = [(await east.connection('first')).ike, (await east.connection('third')).ike];
  await east.down('second');
  await west.until('second', (one) => one.status === 'down');
  t.same([(await east.connection('first')).ike, (await east.connection('third')).ike], others);
  t.equal(await ping(site.lab, a[2]!, b[2]!, 3), 3);
  await east.up('second');

  // A new process says INITIAL_CONTACT for each connection: it must not end another's new SAs.
  await east.kill();
  const again = await CulvertDaemon.start(site.lab, 'a', site.folder, file(a, b));
  for (const name of names) {
    await again.until(name, up, 20);
  }
  await sleep(1500);
  for (const [i, name] of names.entries()) {
    t.equal(await ping(site.lab, a[i]!, b[i]!, 3), 3, `${name}: traffic after a restart`);
    // Both ends may have negotiated at once: the SA that goes receives for two more seconds.
    await west.until(name, (one) => one.children.length === 1, 8);
  }
  t.equal(await again.stop(), 0);
  t.equal(await west.stop(), 0);
});

t.test('IPv4 and IPv6 inside, over IPv4 and over IPv6 outside', { skip }, async (t) => {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const six = {
    a: { outer: '2001:db8::1', inside: 'fd00:1::1', cidr: 'fd00:1::/64' },
    b: { outer: '2001:db8::2', inside: 'fd00:2::1', cidr: 'fd00:2::/64' },
  };
  for (const node of ['a', 'b'] as const) {
    await site.lab.check(node, ['ip', 'address', 'add', `${six[node].outer}/64`, 'dev', 'wan', 'nodad']);
    await site.lab.check(node, ['ip', 'address', 'add', `${six[node].inside}/64`, 'dev', 'lo', 'nodad']);
  }
  for (const family of [4, 6] as const) {
    const outer = (one: LabSite): string => (family === 4 ? one.address : six[one.node as 'a' | 'b'].outer);
    const file = (local: LabSite, peer: LabSite) => ({
      gateway: { name: `site-${local.node}`, address: outer(local) },
      connections: [
        {
          name: 'c',
          psk: 'correct-horse-battery',
          local: { cidrs: [local.cidr, six[local.node as 'a' | 'b'].cidr] },
          peer: { address: outer(peer), cidrs: [peer.cidr, six[peer.node as 'a' | 'b'].cidr] },
        },
      ],
    });
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, file(SITE_A, SITE_B));
    const b = await CulvertDaemon.start(site.lab, 'b', site.folder, file(SITE_B, SITE_A));
    const status = await a.until('c', up);
    await b.until('c', up);
    t.match(status.coverage, { pairs: 2, covered: 2 }, 'a pair for each family');
    t.match(status.ike?.peer_endpoint, family === 4 ? /^192/ : /^\[2001:db8::2\]/);
    t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3, `IPv4 over IPv${family}`);
    const inside6 = (one: LabSite): LabSite => ({ ...one, inside: six[one.node as 'a' | 'b'].inside });
    t.equal(await ping(site.lab, inside6(SITE_A), inside6(SITE_B), 3), 3, `IPv6 over IPv${family}`);
    t.equal(await ping(site.lab, inside6(SITE_B), inside6(SITE_A), 3), 3, 'and back');
    const large = ['ping', '-q', '-n', '-c2', '-W2', '-s', '1300', '-I', six.a.inside, six.b.inside];
    t.match((await site.lab.run('a', large)).stdout, / 2 received/, 'large packets fit');
    t.equal(await a.stop(), 0);
    t.equal(await b.stop(), 0);
    t.notMatch(await site.lab.check('a', ['ip', '-6', 'route']), /culvert/);
  }
});
