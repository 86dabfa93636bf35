import { execFileSync } from 'node:child_process';
import { pino } from 'pino';
import t from 'tap';
import type { RoutedRoute, RoutedTable, RoutedVpc, RoutedWay } from '../../src/api/runner.js';
import { KernelRoutes } from '../../src/daemon/serve/kernel-routes.js';
import { linuxRouteKernel } from '../../src/daemon/serve/route-kernel.js';
import { NetworkLab, networkLabSupport } from '../../src/linux/namespaces.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';

const support = networkLabSupport();
const skip = skipWithoutTun() || (support.ok && !support.userNamespace ? false : 'needs root');

const route = (id: string, destination: string, way: RoutedWay, more: object = {}): RoutedRoute => ({
  ids: [id],
  name: `route ${id}`,
  destination,
  metric: 48,
  way,
  ...more,
});

/** A router with a network on each side, and the routing of a VPC in it. */
async function open() {
  const lab = NetworkLab.create();
  for (const node of ['router', 'left', 'right']) await lab.add(node);
  await lab.link(
    { node: 'router', device: 'to-left', addresses: ['10.1.0.1/24', '10.1.9.1/24', '2001:db8:1::1/64'] },
    { node: 'left', device: 'eth0', addresses: ['10.1.0.2/24', '10.1.9.2/24'] },
  );
  await lab.link(
    { node: 'router', device: 'to-right', addresses: ['10.2.0.1/24'] },
    { node: 'right', device: 'eth0', addresses: ['10.2.0.2/24', '10.3.0.1/24', '10.4.0.1/24'] },
  );
  await lab.forward('router');
  const namespace = `/proc/${lab.pid('router')}/ns/net`;
  const ip = async (...words: string[]) => (await lab.run('router', ['ip', ...words])).stdout;
  const vpc = (tables: RoutedTable[], gateways: string[] = []): RoutedVpc[] => [
    { vpc: { id: 'v', name: 'v', namespace }, gateways, tables },
  ];
  const log: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(line) });
  const changed: string[] = [];
  const routes = (owner = 'one') =>
    new KernelRoutes({ owner, logger, changed: (gateway) => void changed.push(gateway) });
  /** How the router sends what comes from the left host. */
  const way = async (destination: string, from = '10.1.0.2') =>
    (
      await lab.run('router', ['ip', 'route', 'get', destination, 'from', from, 'iif', 'to-left'])
    ).stdout.split('\n')[0]!;
  return { lab, ip, vpc, routes, way, log, changed };
}

t.test('routes of a table are for packets from its subnets', { skip, timeout: 120_000 }, async (t) => {
  const { lab, ip, vpc, routes, way, log, changed } = await open();
  t.teardown(() => lab.dispose());
  const before = await ip('rule');
  const one = routes();
  const table: RoutedTable = {
    key: 'table zone',
    sources: ['10.1.0.0/24', '2001:db8:1::/64'],
    skipped: [],
    routes: [
      route('hop', '10.3.0.0/24', { routers: ['10.2.0.2'] }),
      route('tunnel', '10.5.0.0/16', { device: 'to-right' }, { gateway: 'g' }),
      route('drop', '0.0.0.0/0', { rule: 'drop' }),
      route('delegate', '10.2.0.0/24', { rule: 'delegate' }),
      route('refuse', '10.6.0.0/16', { rule: 'refuse' }),
      route('six', '2001:db8:9::/48', { device: 'to-right' }),
    ],
  };
  one.arrange(vpc([table], ['10.1.0.77']));
  for (const { ids } of table.routes) t.same(one.stateOf(ids[0]!), { state: 'laid' }, ids[0]!);
  t.match(await way('10.3.0.7'), /via 10\.2\.0\.2 dev to-right/);
  t.match(await way('10.5.0.7'), /dev to-right/);
  t.match(await way('10.2.0.2'), /dev to-right/, 'delegated to the namespace');
  t.notMatch(await way('192.0.2.1'), /dev/, 'dropped');
  t.match(await way('10.2.0.2', '10.1.9.2'), /dev to-right/, 'others are not looked up there');
  t.match(await ip('rule'), /from 10\.1\.0\.77 lookup main proto 223|from 10\.1\.0\.77 lookup main/);
  t.match(await ip('-6', 'route', 'show', 'table', 'all'), /2001:db8:9::\/48 dev to-right/);

  // A second router, another device, and one that is not wanted any more.
  const [hop, tunnel, ...rest] = table.routes as [RoutedRoute, RoutedRoute, ...RoutedRoute[]];
  const next = {
    ...table,
    routes: [
      { ...hop, ids: ['hop', 'twin'], way: { routers: ['10.2.0.2', '10.2.0.3'] } },
      { ...tunnel, way: { device: 'to-left' } },
      ...rest.slice(1),
    ],
  };
  one.arrange(vpc([next]));
  t.same(one.stateOf('twin'), { state: 'laid' });
  t.equal(one.stateOf('drop'), undefined);
  t.match(
    await ip('route', 'show', 'table', 'all'),
    /10\.3\.0\.0\/24 table \d+ proto 223 metric 48\s+nexthop via 10\.2\.0\.2 .*\s+nexthop via 10\.2\.0\.3/,
  );
  t.match(await way('10.5.0.7'), /dev to-left/);

  // Another server in the same namespace leaves this one's alone, and the next one takes it over.
  const other = routes('two');
  other.arrange(vpc([{ ...table, routes: [route('o', '10.8.0.0/16', { rule: 'drop' })] }]));
  other.remove();
  t.match(await way('10.5.0.7'), /dev to-left/);
  one.release();
  const rules = await ip('rule');
  const heir = routes();
  const unknown = {
    ...next,
    routes: [{ ...next.routes[1]!, way: { unknown: true } as const }, ...next.routes.slice(2)],
  };
  heir.arrange(vpc([unknown]));
  t.equal(await ip('rule'), rules, 'nothing is taken away first');
  t.equal(heir.stateOf('tunnel'), undefined, 'it is not known yet whether it is in force');
  t.match(await way('10.5.0.7'), /dev to-left/, 'and stays as it is until then');
  t.notMatch(
    await ip('route', 'show', 'table', 'all'),
    /10\.3\.0\.0\/24 table/,
    'what is gone meanwhile goes',
  );
  heir.remove();
  t.equal(await ip('rule'), before, 'as it was');
  t.notMatch(await ip('route', 'show', 'table', 'all'), /proto 223/);
  t.same(changed, []);
  t.same(log, []);
});

t.test('what is in the way is told, and tried again', { skip, timeout: 120_000 }, async (t) => {
  const { lab, ip, vpc, routes, log, changed } = await open();
  t.teardown(() => lab.dispose());
  const one = routes();
  t.teardown(() => one.remove());
  const wanted = (destination: string, way: RoutedWay) =>
    vpc([
      {
        key: 'table zone',
        sources: ['10.1.0.0/24'],
        skipped: [],
        routes: [route('a', destination, way, { gateway: 'g' }), route('b', '10.7.0.0/16', { rule: 'drop' })],
      },
    ]);
  one.arrange(wanted('10.5.0.0/16', { device: 'nowhere' }));
  t.match(one.stateOf('a'), { state: 'refused', message: /route a is not in force: .*"nowhere"/ });
  t.same(one.stateOf('b'), { state: 'laid' }, 'the others are not kept back');
  t.match(one.faultsOf('g'), [/^route a is not in force/]);
  t.same(changed, ['g']);
  t.equal(log.filter((line) => line.includes('not in force')).length, 1);
  one.arrange(wanted('10.5.0.0/16', { routers: ['172.31.0.1'] }));
  t.match(one.stateOf('a'), { state: 'refused', message: /no neighbour of this host/ });

  // Somebody else's route to the same network, with the same metric.
  const table = /lookup (\d{6,})/.exec(await ip('rule'))![1]!;
  await lab.check('router', [
    'ip',
    'route',
    'add',
    '10.5.0.0/16',
    'dev',
    'to-right',
    'metric',
    '48',
    'table',
    table,
  ]);
  one.arrange(wanted('10.5.0.0/16', { device: 'to-right' }));
  t.match(one.stateOf('a'), {
    state: 'refused',
    message: /another program has a route to 10\.5\.0\.0\/16 there/,
  });
  await lab.check('router', ['ip', 'route', 'del', '10.5.0.0/16', 'table', table]);
  for (let tries = 0; tries < 400 && one.stateOf('a')?.state !== 'laid'; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.same(one.stateOf('a'), { state: 'laid' }, 'by itself');
  t.same(one.faultsOf('g'), []);
});

t.test('all but the internet is delegated', { skip, timeout: 120_000 }, async (t) => {
  const { lab, vpc, routes, way } = await open();
  t.teardown(() => lab.dispose());
  await lab.check('router', ['ip', 'route', 'add', 'default', 'via', '10.2.0.2']);
  const one = routes();
  t.teardown(() => one.remove());
  t.match(await way('198.51.100.1'), /via 10\.2\.0\.2/);
  one.arrange(
    vpc([
      {
        key: 'table zone',
        sources: ['10.1.0.0/24'],
        skipped: [],
        routes: [
          route('inside', '0.0.0.0/0', { rule: 'delegate_vpc' }),
          route('out', '203.0.113.0/24', { rule: 'delegate' }),
        ],
      },
    ]),
  );
  t.notMatch(await way('198.51.100.1'), /dev/, 'the default route is none');
  t.match(await way('203.0.113.1'), /via 10\.2\.0\.2/, 'but where it is delegated whole');
  t.match(await way('10.2.0.9'), /dev to-right/, 'the namespace leads to what it has');
  t.match(await way('198.51.100.1', '10.1.9.2'), /via 10\.2\.0\.2/, 'others are as before');
});

/** The devices that flows from the left host to a network go through, by their source port. */
async function flowsOf(lab: NetworkLab): Promise<string[]> {
  const ports = Array.from({ length: 48 }, (_, n) => 40_000 + n);
  const gets = ports.map(
    (port) => `route get 10.5.0.7 from 10.1.0.2 iif to-left ipproto tcp sport ${port} dport 5201`,
  );
  const asked = `printf '${gets.join('\\n')}\\n' | ip -force -batch - | grep -o 'dev [^ ]*'`;
  const { stdout } = await lab.run('router', ['sh', '-c', asked]);
  return stdout.trim().split('\n');
}

t.test(
  'flows keep to their tunnel while another one goes and comes',
  { skip, timeout: 120_000 },
  async (t) => {
    const { lab, ip, vpc, routes, log } = await open();
    t.teardown(() => lab.dispose());
    const set = (...settings: string[]) => lab.check('router', ['sysctl', '-w', ...settings]);
    await set('net.ipv4.fib_multipath_hash_policy=1', 'net.ipv6.fib_multipath_hash_policy=1');
    await set('net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0');
    const addLink = (device: string, net: string) =>
      lab.link(
        { node: 'router', device, addresses: [`10.${net}.0.1/24`] },
        { node: 'right', device: `eth-${net}`, addresses: [`10.${net}.0.2/24`] },
      );
    await addLink('to-a', '21');
    await addLink('to-b', '22');
    const spread = (devices: (string | null)[], more: object = {}) =>
      vpc([
        {
          key: 'table zone',
          sources: ['10.1.0.0/24', '2001:db8:1::/64'],
          skipped: [],
          routes: ['10.5.0.0/16', '10.6.0.0/16', '2001:db8:5::/48'].map((destination, n) =>
            route(`s${n}`, destination, { spread: { connection: 'c', devices, ...more } }, { gateway: 'g' }),
          ),
        },
      ]);
    const one = routes();
    one.arrange(spread(['to-a', 'to-b']));
    for (const id of ['s0', 's1', 's2']) t.same(one.stateOf(id), { state: 'laid' }, id);
    const first = await flowsOf(lab);
    t.same(new Set(first), new Set(['dev to-a', 'dev to-b']), 'both carry');
    t.equal(
      (await ip('nexthop')).match(/group/g)?.length,
      2,
      'one for each family, whatever the number of routes',
    );
    t.match(one.trailOf('s0'), { devices: ['to-a', 'to-b'], moves: 0, movedAt: Number });

    one.arrange(spread(['to-a', null]));
    t.same(
      await flowsOf(lab),
      first.map(() => 'dev to-a'),
    );
    t.match(one.trailOf('s0'), { devices: ['to-a'], moves: 1 });
    one.arrange(spread(['to-a', 'to-b']));
    t.same(await flowsOf(lab), first, 'and back, each where it was');

    // A device that goes: the kernel moves its flows at once, without anybody.
    await lab.check('router', ['ip', 'link', 'del', 'to-b']);
    t.same(
      await flowsOf(lab),
      first.map(() => 'dev to-a'),
    );
    one.arrange(spread(['to-a', null]));
    await addLink('to-b', '22');
    one.arrange(spread(['to-a', 'to-b']));
    t.same(await flowsOf(lab), first, 'a new device has the flows of the old one');

    // The next server has seen one member so far.
    one.release();
    const before = await ip('nexthop');
    const heir = routes();
    heir.arrange(spread(['to-a', null], { sought: true }));
    t.same(await flowsOf(lab), first, 'what it does not know it leaves alone');
    t.equal(await ip('nexthop'), before);
    t.match(heir.trailOf('s0'), { devices: ['to-a', 'to-b'], moves: 0, movedAt: undefined });
    heir.arrange(
      spread(['to-a', 'to-b']).map((all) => ({
        ...all,
        tables: all.tables.map((table) => ({
          ...table,
          routes: table.routes.map((one) => ({ ...one, way: { unknown: true } as const })),
        })),
      })),
    );
    t.same(await flowsOf(lab), first, 'nor when it knows nothing');
    heir.arrange(spread(['to-a', null]));
    t.same(
      await flowsOf(lab),
      first.map(() => 'dev to-a'),
    );

    t.same(heir.notesOf('g'), []);
    t.same(log, []);
    await set('net.ipv4.fib_multipath_hash_policy=0', 'net.ipv4.conf.to-a.rp_filter=1');
    heir.arrange(spread(['to-a', 'to-b']));
    t.match(heir.notesOf('g'), [/fib_multipath_hash_policy = 0/, /strict on to-a/]);
    t.equal(log.length, 2, 'each is told once');
    await set('net.ipv4.fib_multipath_hash_policy=1', 'net.ipv4.conf.to-a.rp_filter=0');
    heir.arrange(spread(['to-a', null]));
    t.same(heir.notesOf('g'), []);
    log.length = 0;

    // Not distributed any more, and then nothing.
    heir.arrange(
      vpc([
        {
          key: 'table zone',
          sources: ['10.1.0.0/24'],
          skipped: [],
          routes: [route('s0', '10.5.0.0/16', { device: 'to-b', standby: 'to-a' }, { gateway: 'g' })],
        },
      ]),
    );
    t.equal(await ip('nexthop'), '', 'no group is left');
    t.same(
      await flowsOf(lab),
      first.map(() => 'dev to-b'),
    );
    await lab.check('router', ['ip', 'link', 'del', 'to-b']);
    t.same(
      await flowsOf(lab),
      first.map(() => 'dev to-a'),
      'the standby route takes over by itself',
    );
    heir.arrange(vpc([{ key: 'table zone', sources: ['10.1.0.0/24'], skipped: ['s0'], routes: [] }]));
    t.match(heir.trailOf('s0'), { devices: [], moves: 5 });
    heir.arrange(vpc([]));
    t.equal(heir.trailOf('s0'), undefined, 'of a route that is gone nothing is kept');
    t.notMatch(await ip('route', 'show', 'table', 'all'), /proto 223/);
    t.same(log, []);
  },
);

t.test('a thread comes back from another namespace', { skip }, async (t) => {
  const lab = NetworkLab.create();
  t.teardown(() => lab.dispose());
  await lab.add('there');
  const links = () => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' });
  const here = links();
  const error = new Error('within');
  t.throws(
    () =>
      linuxRouteKernel.within(`/proc/${lab.pid('there')}/ns/net`, () => {
        throw error;
      }),
    error,
  );
  t.equal(links(), here);
  t.throws(() => linuxRouteKernel.within('no-such-namespace', () => 0), /no-such-namespace/);
});
