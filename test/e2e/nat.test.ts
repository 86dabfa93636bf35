import t from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { createNatLab, type NatLab } from '../helpers/nat-lab.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { type LabSite, ping, untilTraffic } from '../helpers/site-lab.js';

const skip = skipWithoutTun();

/** Both ends behind a NAT; that of b hands IKE to it. */
async function natLab(t: { teardown(fn: () => unknown): unknown }): Promise<NatLab> {
  const made = await createNatLab({ natted: ['a', 'b'], forwarded: ['b'] });
  t.teardown(() => made.dispose());
  return made;
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
  const nat = await natLab(t);
  const { lab, folder, a: A, b: B } = nat;
  const a = await CulvertDaemon.start(lab, 'a', folder, config(A, B, nat.outside('b')));
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
  t.same(inside.ike?.nat, { local: true, peer: true, peer_may_force: true });
  t.same(outside.ike?.nat, { local: true, peer: true, peer_may_force: false });
  t.match(outside.ike?.peer_endpoint, new RegExp(`^${nat.outside('a')}:`));
  t.not(outside.ike?.peer_endpoint, `${nat.outside('a')}:4500`, 'through a mapped port');
  await untilTraffic(lab, A, B);
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await ping(lab, B, A, 3), 3);

  // The provider gives the router of a another address: its mappings are void, its next packets come from there.
  const elsewhere = await nat.moveOutside();
  const started = performance.now();
  await ping(lab, A, B, 1);
  const moved = await b.until('c', (one) => one.ike?.peer_endpoint.startsWith(`${elsewhere}:`) === true, 20);
  t.comment(`the new address was followed after ${Math.round(performance.now() - started)} ms`);
  t.equal(moved.status, 'up');
  t.equal(moved.ike?.initiator_spi, outside.ike?.initiator_spi, 'the SAs are the same');
  t.equal(await ping(lab, B, A, 3), 3, 'traffic finds the new address');
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});

t.test('a peer that comes back from another address is known by its identity', { skip }, async (t) => {
  const nat = await natLab(t);
  const { lab, folder, a: A, b: B } = nat;
  const passive = config(B, A, '203.0.113.200', {
    establish_mode: 'peer_only',
    dead_peer_detection: { action: 'none' },
  });
  const b = await CulvertDaemon.start(lab, 'b', folder, passive);
  const first = await CulvertDaemon.start(lab, 'a', folder, config(A, B, nat.outside('b')));
  await first.until('c', up, 20);
  await b.until('c', up, 20);
  await first.kill();
  const elsewhere = await nat.moveOutside();
  const second = await CulvertDaemon.start(lab, 'a', folder, config(A, B, nat.outside('b')));
  await second.until('c', up, 20);
  const after = await b.until('c', (one) => one.ike?.peer_endpoint.startsWith(`${elsewhere}:`) === true, 20);
  t.equal(after.children.length, 1, 'the old SAs are gone');
  await untilTraffic(lab, A, B);
  t.equal(await ping(lab, A, B, 3), 3);
  t.equal(await second.stop(), 0);
  t.equal(await b.stop(), 0);
});
