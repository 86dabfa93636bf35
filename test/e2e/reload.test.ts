import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, type LabSite, ping, SITE_A, SITE_B } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';

const skip = skipWithoutTun();

/** Further networks of the sites, each with an address on the loopback device. */
const EXTRA = ['c', 'd'] as const;
const inside = (site: LabSite, extra: string): string =>
  site.inside.replace(/^10\./, extra === 'c' ? '10.10' : '10.20');
const network = (site: LabSite, extra: string): string => inside(site, extra).replace(/\.1$/, '.0/24');

function connection(name: string, local: LabSite, peer: LabSite, over: object = {}): object {
  const id = (site: LabSite) => ({ type: 'fqdn', value: `${name}.${site.node}.example` });
  const at = (site: LabSite) => (name === 'main' ? site.cidr : network(site, name));
  return {
    name,
    psk: `key-of-${name}-only`,
    local: { cidrs: [at(local)], ike_identities: [id(local)] },
    peer: { address: peer.address, cidrs: [at(peer)], ike_identity: id(peer) },
    ...over,
  };
}

/** Both ends' files with these connections. */
function files(...connections: (readonly [name: string, over?: object])[]) {
  const file = (local: LabSite, peer: LabSite) => ({
    gateway: { name: `site-${local.node}`, address: local.address },
    ipsec_policies: [
      {
        name: 'strong',
        encryption_algorithm: 'aes256gcm16',
        authentication_algorithm: 'disabled',
        pfs: 'group_19',
      },
    ],
    connections: connections.map(([name, over]) => connection(name, local, peer, over)),
  });
  return { a: file(SITE_A, SITE_B), b: file(SITE_B, SITE_A) };
}

t.test(
  'reload adds, changes and removes connections; an untouched one loses no packet',
  { skip },
  async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    for (const one of [SITE_A, SITE_B]) {
      for (const extra of EXTRA) {
        await site.lab.check(one.node, ['ip', 'address', 'add', `${inside(one, extra)}/24`, 'dev', 'lo']);
      }
    }
    const first = files(['main'], ['c']);
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, first.a);
    const b = await CulvertDaemon.start(site.lab, 'b', site.folder, first.b);
    for (const name of ['main', 'c']) await a.until(name, up);
    for (const name of ['main', 'c']) await b.until(name, up);
    const before = (await a.connection('main')).ike;
    t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
    const steady = steadyPing(site.lab, SITE_A, SITE_B);

    const second = files(['main'], ['c', { ipsec_policy: 'strong' }], ['d']);
    a.rewrite(second.a);
    const plan = await a.client.reload({ dry_run: true });
    t.match(
      plan.connections.map(({ name, change }) => [name, change]),
      [
        ['c', 'change'],
        ['d', 'add'],
      ],
    );
    t.equal(plan.unchanged, 1);
    b.rewrite(second.b);
    b.signal('SIGHUP');
    await a.reload(second.a);
    await a.until('d', up);
    await a.until('c', (one) => one.children.some((child) => child.dh_group === 'group_19'));
    const routes = await site.lab.check('a', ['ip', 'route']);
    t.match(routes, new RegExp(`${network(SITE_B, 'd')} dev culvert0`), 'the new network has its route');
    const d = { ...SITE_A, inside: inside(SITE_A, 'd') };
    t.equal(await ping(site.lab, d, { ...SITE_B, inside: inside(SITE_B, 'd') }, 3), 3, 'and carries traffic');

    const third = files(
      ['main'],
      ['d', { dead_peer_detection: { action: 'restart', interval: 5, timeout: 30 } }],
    );
    await a.reload(third.a);
    await b.reload(third.b);
    const after = await site.lab.check('a', ['ip', 'route']);
    t.notMatch(after, network(SITE_B, 'c'), 'the removed network has none any more');
    await t.rejects(a.connection('c'));
    const wrong = { ...third.a, connections: [{ name: 'broken' }] };
    a.rewrite(wrong);
    t.match(await a.client.reload(), { ok: false, errors: [{ path: /^connections\[0\]/ }] });
    await sleep(300);

    const { sent, received, lost } = await steady.stop();
    t.comment(`${received} of ${sent} echo requests of the untouched connection were answered`);
    t.ok(sent > 20);
    t.equal(lost, 0, 'none is lost');
    t.same((await a.connection('main')).ike, before, 'its IKE SA was not touched');
    t.equal(await a.stop(), 0);
    t.equal(await b.stop(), 0);
  },
);
