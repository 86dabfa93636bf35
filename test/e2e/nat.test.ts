import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { NetworkLab } from '../../src/linux/namespaces.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { type LabSite, ping } from '../helpers/site-lab.js';

const skip =
  process.getuid?.() !== 0
    ? 'needs root for TUN and namespaces'
    : !existsSync('/dev/net/tun')
      ? 'there is no /dev/net/tun'
      : false;

const up = (connection: { readonly status: string }): boolean => connection.status === 'up';
const PUBLIC = { a: '192.0.2.9', b: '192.0.2.10', moved: '192.0.2.77' };
const A: LabSite = { node: 'a', address: '172.16.1.2', inside: '10.1.0.1', cidr: '10.1.0.0/24' };
const B: LabSite = { node: 'b', address: '172.16.2.2', inside: '10.2.0.1', cidr: '10.2.0.0/24' };

/** a - router ra - router rb - b, both routers masquerading; rb hands ports 500 and 4500 to b. */
async function natLab(t: {
  teardown(fn: () => unknown): unknown;
}): Promise<{ lab: NetworkLab; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-nat-'));
  const lab = NetworkLab.create();
  t.teardown(async () => {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const node of ['a', 'ra', 'rb', 'b']) await lab.add(node);
  await lab.link(
    { node: 'ra', device: 'outer', addresses: [`${PUBLIC.a}/24`] },
    { node: 'rb', device: 'outer', addresses: [`${PUBLIC.b}/24`] },
  );
  for (const [site, router] of [
    [A, 'ra'],
    [B, 'rb'],
  ] as const) {
    const gateway = site.address.replace(/2$/, '1');
    await lab.link(
      { node: site.node, device: 'wan', addresses: [`${site.address}/24`] },
      { node: router, device: 'inner', addresses: [`${gateway}/24`] },
    );
    await lab.forward(router);
    await lab.check(site.node, ['ip', 'route', 'add', 'default', 'via', gateway]);
    await lab.check(site.node, ['ip', 'address', 'add', `${site.inside}/24`, 'dev', 'lo']);
    const post = 'add chain ip nat post { type nat hook postrouting priority 100 ; }';
    const static_ =
      router === 'rb'
        ? `; add chain ip nat pre { type nat hook prerouting priority -100 ; }; add rule ip nat pre iifname "outer" udp dport { 500, 4500 } dnat to ${B.address}`
        : '';
    // Ports are changed, as most home and office routers do.
    const rule = 'add rule ip nat post oifname "outer" masquerade random';
    await lab.check(router, ['nft', `add table ip nat; ${post}; ${rule}${static_}`]);
  }
  return { lab, folder };
}

const id = (site: LabSite) => ({ type: 'fqdn', value: `${site.node}.example` });

function config(local: LabSite, peer: LabSite, address: string, over: object = {}) {
  return {
    gateway: { name: `site-${local.node}`, address: local.address },
    connections: [
      {
        name: 'c',
        psk: 'correct-horse-battery',
        local: { cidrs: [local.cidr], ike_identities: [id(local)] },
        peer: { address, cidrs: [peer.cidr], ike_identity: id(peer) },
        ...over,
      },
    ],
  };
}

t.test('both ends behind a NAT, and a peer whose public address changes', { skip }, async (t) => {
  const { lab, folder } = await natLab(t);
  const a = await CulvertDaemon.start(lab, 'a', folder, config(A, B, PUBLIC.b));
  // What address a comes from is nothing that b can know: it goes by the identity.
  const b = await CulvertDaemon.start(
    lab,
    'b',
    folder,
    config(B, A, '203.0.113.200', {
      establish_mode: 'peer_only',
      dead_peer_detection: { action: 'restart', interval: 2, timeout: 30 },
    }),
  );
  t.match((await b.connection('c')).status_reasons, [{ details: { cause: 'waiting_for_peer' } }]);
  const inside = await a.until('c', up, 20);
  const outside = await b.until('c', up, 20);
  t.same(inside.ike?.nat, { local: true, peer: true });
  t.same(outside.ike?.nat, { local: true, peer: true });
  t.match(outside.ike?.peer_endpoint, new RegExp(`^${PUBLIC.a}:`));
  t.not(outside.ike?.peer_endpoint, `${PUBLIC.a}:4500`, 'through a mapped port');
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await ping(lab, B, A, 3), 3);

  // The provider gives the router of a another address: its mappings are void, its next packets come from there.
  await lab.check('ra', ['ip', 'address', 'add', `${PUBLIC.moved}/24`, 'dev', 'outer']);
  await lab.check('ra', ['ip', 'address', 'del', `${PUBLIC.a}/24`, 'dev', 'outer']);
  await lab.run('ra', ['ip', 'address', 'add', `${PUBLIC.moved}/24`, 'dev', 'outer']);
  const started = performance.now();
  await ping(lab, A, B, 1);
  const moved = await b.until(
    'c',
    (one) => one.ike?.peer_endpoint.startsWith(`${PUBLIC.moved}:`) === true,
    20,
  );
  t.comment(`the new address was followed after ${Math.round(performance.now() - started)} ms`);
  t.equal(moved.status, 'up');
  t.equal(moved.ike?.initiator_spi, outside.ike?.initiator_spi, 'the SAs are the same');
  t.equal(await ping(lab, B, A, 3), 3, 'traffic finds the new address');
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});

t.test('a peer that comes back from another address is known by its identity', { skip }, async (t) => {
  const { lab, folder } = await natLab(t);
  const passive = config(B, A, '203.0.113.200', {
    establish_mode: 'peer_only',
    dead_peer_detection: { action: 'none' },
  });
  const b = await CulvertDaemon.start(lab, 'b', folder, passive);
  const first = await CulvertDaemon.start(lab, 'a', folder, config(A, B, PUBLIC.b));
  await first.until('c', up, 20);
  await b.until('c', up, 20);
  await first.kill();
  await lab.check('ra', ['ip', 'address', 'add', `${PUBLIC.moved}/24`, 'dev', 'outer']);
  await lab.check('ra', ['ip', 'address', 'del', `${PUBLIC.a}/24`, 'dev', 'outer']);
  await lab.run('ra', ['ip', 'address', 'add', `${PUBLIC.moved}/24`, 'dev', 'outer']);
  const second = await CulvertDaemon.start(lab, 'a', folder, config(A, B, PUBLIC.b));
  await second.until('c', up, 20);
  const after = await b.until(
    'c',
    (one) => one.ike?.peer_endpoint.startsWith(`${PUBLIC.moved}:`) === true,
    20,
  );
  t.equal(after.children.length, 1, 'the old SAs are gone');
  await sleep(200);
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await second.stop(), 0);
  t.equal(await b.stop(), 0);
});
