import t from 'tap';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, ping, SITE_A, SITE_B, type SiteLab, siteConfig } from '../helpers/site-lab.js';

const skip = skipWithoutTun();

/** Addresses of the two ends, and the networks that each one's configuration says are behind the peer. */
interface Outer {
  readonly a: string;
  readonly b: string;
  readonly behindB?: readonly string[];
}

async function pair(site: SiteLab, { a, b, behindB = [SITE_B.cidr] }: Outer) {
  const config = (
    name: string,
    local: string,
    peer: string,
    inside: readonly string[],
    beyond: readonly string[],
  ) => ({
    gateway: { name, address: local },
    connections: [
      {
        name: 'c',
        psk: 'correct-horse-battery',
        local: { cidrs: inside },
        peer: { address: peer, cidrs: beyond },
      },
    ],
  });
  const { lab, folder } = site;
  return {
    a: await CulvertDaemon.start(lab, 'a', folder, config('site-a', a, b, [SITE_A.cidr], behindB)),
    b: await CulvertDaemon.start(lab, 'b', folder, config('site-b', b, a, behindB, [SITE_A.cidr])),
  };
}

async function lab(t: { teardown(fn: () => unknown): unknown }): Promise<SiteLab> {
  const made = await createSiteLab();
  t.teardown(() => made.dispose());
  return made;
}

t.test('everything goes through the tunnel, but not the tunnel itself', { skip }, async (t) => {
  const site = await lab(t);
  const show = () => site.lab.check('a', ['ip', 'route']);
  // The peer stands behind a router, as on the Internet: one default route and nothing else.
  await site.lab.check('a', ['ip', 'address', 'flush', 'dev', 'wan']);
  await site.lab.check('a', ['ip', 'address', 'add', '198.51.100.1/32', 'dev', 'wan']);
  await site.lab.check('a', ['ip', 'route', 'add', '198.51.100.254', 'dev', 'wan']);
  await site.lab.check('a', ['ip', 'route', 'add', 'default', 'via', '198.51.100.254', 'dev', 'wan']);
  await site.lab.check('b', ['ip', 'address', 'add', '198.51.100.254/32', 'dev', 'wan']);
  await site.lab.check('b', ['ip', 'route', 'add', '198.51.100.1', 'dev', 'wan', 'src', '198.51.100.254']);
  const before = await show();
  const { a, b } = await pair(site, { a: '198.51.100.1', b: SITE_B.address, behindB: ['0.0.0.0/0'] });
  await a.until('c', (one) => one.status === 'up');
  await b.until('c', (one) => one.status === 'up');
  const routes = await show();
  t.match(routes, /^192\.0\.2\.2 via 198\.51\.100\.254 dev wan /m, 'the peer itself is reached outside');
  t.match(routes, /^0\.0\.0\.0\/1 dev culvert0 /m);
  t.match(routes, /^128\.0\.0\.0\/1 dev culvert0 /m);
  t.match(routes, /^default via 198\.51\.100\.254 dev wan/m, "the host's own default route is untouched");
  t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  t.equal(await a.stop(), 0);
  t.equal(await show(), before, 'after the end everything is as before');
  t.equal(await b.stop(), 0);
});

t.test('gateways that speak IPv6 to each other carry IPv4', { skip }, async (t) => {
  const site = await lab(t);
  for (const [node, address] of [
    ['a', '2001:db8::1/64'],
    ['b', '2001:db8::2/64'],
  ] as const) {
    await site.lab.check(node, ['ip', 'address', 'add', address, 'dev', 'wan', 'nodad']);
  }
  const { a, b } = await pair(site, { a: '2001:db8::1', b: '2001:db8::2' });
  const up = await a.until('c', (one) => one.status === 'up');
  t.equal(up.ike?.peer_endpoint, '[2001:db8::2]:4500');
  await b.until('c', (one) => one.status === 'up');
  t.equal(await ping(site.lab, SITE_A, SITE_B, 3), 3);
  t.match(await site.lab.check('a', ['ip', 'link', 'show', 'culvert0']), /mtu 1380/);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});

t.test(
  'a route that somebody else has in the way: told, and taken as soon as it is free',
  { skip },
  async (t) => {
    const site = await lab(t);
    const other = '10.9.0.0/24';
    const { a, b } = await pair(site, { a: SITE_A.address, b: SITE_B.address });
    await a.until('c', (one) => one.status === 'up');
    await site.lab.check('a', ['ip', 'route', 'add', other, 'dev', 'wan']);
    const peer = { address: SITE_B.address, cidrs: [SITE_B.cidr, other] };
    a.rewrite(siteConfig(SITE_A, SITE_B, { peer }));
    const report = await a.client.reload();
    t.match(report.problems.join(), /10\.9\.0\.0\/24/);
    const refused = await a.client.explain({ name: 'c' });
    t.match(refused, { status: 'degraded', cause: 'local_route_conflict', advice: [/ip route show/] });
    t.match(refused.connection.status_reasons[0]?.details, { next_attempt_at: /^\d{4}-/ });
    t.equal(await ping(site.lab, SITE_A, SITE_B, 2), 2, 'what stands goes on');
    await site.lab.check('a', ['ip', 'route', 'del', other, 'dev', 'wan']);
    const gone = (one: { status_reasons: readonly { details?: { cause: string } }[] }) =>
      !one.status_reasons.some(({ details }) => details?.cause === 'local_route_conflict');
    await a.until('c', gone, 30);
    t.match(await site.lab.check('a', ['ip', 'route']), /10\.9\.0\.0\/24 dev culvert0/, 'without a reload');
    t.equal(await a.stop(), 0);
    t.equal(await b.stop(), 0);
  },
);

t.test('what this host refuses at a start is a problem of its connection alone', { skip }, async (t) => {
  const site = await lab(t);
  const stray = '10.9.0.0/24';
  await site.lab.check('a', ['ip', 'route', 'add', stray, 'dev', 'wan']);
  const other = (name: string, address: string, cidrs: readonly string[]) => ({
    name,
    psk: 'correct-horse-battery',
    local: { cidrs: [SITE_A.cidr] },
    peer: { address, cidrs },
  });
  const config = siteConfig(SITE_A, SITE_B);
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, {
    ...config,
    connections: [
      ...config.connections,
      other('stray', '192.0.2.5', [stray]),
      other('uplink', '192.0.2.6', ['192.0.2.0/24']),
      other('itself', '198.51.100.7', ['198.51.100.7/32']),
    ],
  });
  const b = await CulvertDaemon.start(site.lab, 'b', site.folder, siteConfig(SITE_B, SITE_A));
  await a.until('c', (one) => one.status === 'up', 30);
  t.equal(await ping(site.lab, SITE_A, SITE_B, 2), 2, 'the others are not touched');
  for (const [name, cause, words] of [
    ['stray', 'local_route_conflict', /route to 10\.9\.0\.0\/24 already, through device "wan"/],
    ['uplink', 'local_route_conflict', /network of device "wan" itself/],
    ['itself', 'peer_address_in_networks', /198\.51\.100\.7\/32 is the peer's own address/],
  ] as const) {
    const { status_reasons: reasons } = await a.connection(name);
    const found = reasons.find(({ details }) => details?.cause === cause);
    t.match(found?.message, words, name);
    if (name === 'itself') t.notMatch(`${found?.message}`, /remove it/i);
  }
  await site.lab.check('a', ['ip', 'route', 'del', stray, 'dev', 'wan']);
  const free = (one: { status_reasons: readonly { details?: { cause: string } }[] }) =>
    !one.status_reasons.some(({ details }) => details?.cause === 'local_route_conflict');
  await a.until('stray', free, 70);
  t.match(await site.lab.check('a', ['ip', 'route']), /10\.9\.0\.0\/24 dev culvert0/);
  t.equal(await a.stop(), 0);
  t.equal(await b.stop(), 0);
});
