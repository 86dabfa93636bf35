import t from 'tap';
import { ownerMetric } from '../../src/daemon/host/fence.js';
import { connectionTo, GatewayRoutes } from '../../src/daemon/host/network.js';
import { connectionIdOf as idOf } from '../../src/store/hashed-id.js';
import { cidrOf, parseIp } from '../../src/util/ip.js';
import { oneLine } from '../../src/util/operator-error.js';
import { FakeNetwork } from '../helpers/fake-host.js';
import { GatewayBench } from '../helpers/gateway-pair.js';

function bench(t: { teardown(fn: () => unknown): unknown }): GatewayBench {
  const made = new GatewayBench();
  t.teardown(() => made.dispose());
  return made;
}

t.test('routes', async (t) => {
  const pair = bench(t);
  const routesOf = (change: object, peers: string[], network = new FakeNetwork()) => {
    const routes = new GatewayRoutes(network, 'culvert0');
    const { connections } = pair.file('a', { connection: change });
    const [problem] = routes.update(
      routes.wanted(connections, () => 'culvert0'),
      peers.map((address) => ({ connection: idOf('c'), address })),
      false,
    );
    if (problem !== undefined) throw problem.error;
    return { network, routes };
  };

  t.test('to the networks of the peer, from an address of ours', async (t) => {
    const { network, routes } = routesOf({}, ['192.0.2.2']);
    t.same(network.routes, ['10.2.0.0/24 dev culvert0 src 10.1.0.1']);
    t.same(routes.networks, ['10.2.0.0/24']);
    routes.remove();
    t.same(network.routes, []);
  });

  t.test('none for a connection that is administratively down', async (t) => {
    t.same(routesOf({ admin_state_up: false }, []).network.routes, []);
  });

  t.test(
    'those that stand since before, with a device that outlived a process, are taken over',
    async (t) => {
      const network = new FakeNetwork();
      network.addRoute({ cidr: cidrOf('10.2.0.0/24'), device: 'culvert0' });
      network.addRoute({ cidr: cidrOf('10.9.0.0/24'), device: 'culvert0' });
      network.addRoute({ cidr: cidrOf('10.8.0.0/24'), device: 'culvert1' });
      const { routes } = routesOf({}, [], network);
      t.same(network.routes, ['10.8.0.0/24 dev culvert1', '10.2.0.0/24 dev culvert0 src 10.1.0.1']);
      routes.remove();
      t.same(network.routes, ['10.8.0.0/24 dev culvert1'], "another gateway's stay");
    },
  );

  t.test('around the tunnel to a peer inside its own network, once', async (t) => {
    const peer = { address: '10.2.0.9', cidrs: ['10.2.0.0/24'] };
    const { network, routes } = routesOf({ peer }, ['10.2.0.9']);
    t.equal(network.routes[0], '10.2.0.9/32 via 192.0.2.254 dev eth0', 'before the network itself');
    routes.pinBypass('10.2.0.9');
    t.equal(network.routes.length, 2);
    routes.pinBypass('10.2.0.10');
    t.equal(network.routes.length, 3, 'a peer whose name was resolved later');
    routes.pinBypass('198.51.100.1');
    t.equal(network.routes.length, 3, 'not for a peer outside');
    routes.remove();
    t.same(network.routes, []);
  });

  t.test('a route around the tunnel that is there already', async (t) => {
    const peer = { address: '10.2.0.9', cidrs: ['10.2.0.0/24'] };
    const cidr = cidrOf('10.2.0.9/32');
    const network = new FakeNetwork();
    const operators = { cidr, kind: 'unicast', device: 'eth7', metric: 0, by: 'other' } as const;
    network.held.push(operators);
    network.addRoute({ cidr, device: 'eth0', metric: ownerMetric('culvert0') });
    network.addRoute({ cidr, device: 'eth0', metric: ownerMetric('culvert1') });
    const { routes } = routesOf({ peer }, ['10.2.0.9'], network);
    t.same(network.routesOf(ownerMetric('culvert0')).length, 1, 'a leftover is taken over');
    routes.remove();
    t.same(
      network.held.map(({ device, metric }) => [device, metric]),
      [
        ['eth7', 0],
        ['eth0', ownerMetric('culvert1')],
      ],
      'and goes in the end; the operator and another gateway of this namespace keep theirs',
    );
  });

  t.test('what a process before left and nothing wants any more', async (t) => {
    const network = new FakeNetwork();
    network.addRoute({
      cidr: cidrOf('10.2.0.7/32'),
      device: 'eth0',
      metric: ownerMetric('culvert0'),
    });
    network.addUnreachable(cidrOf('10.7.0.0/24'), ownerMetric('culvert0'));
    network.addUnreachable(cidrOf('10.8.0.0/24'), ownerMetric('culvert1'));
    routesOf({}, [], network);
    t.same(network.routes, ['10.2.0.0/24 dev culvert0 src 10.1.0.1']);
    t.same(network.fence, ['10.8.0.0/24'], "another gateway's fence is not ours");
  });

  t.test('everything is two halves, so that the default route stays', async (t) => {
    const { network } = routesOf({ peer: { address: '192.0.2.2', cidrs: ['0.0.0.0/0'] } }, ['192.0.2.2']);
    t.same(network.routes, [
      '192.0.2.2/32 via 192.0.2.254 dev eth0',
      '0.0.0.0/1 dev culvert0 src 10.1.0.1',
      '128.0.0.0/1 dev culvert0 src 10.1.0.1',
    ]);
  });

  t.test('a source of the other family is left out', async (t) => {
    const change = { local: { cidrs: ['10.1.0.0/24', '2001:db8:1::/48'] } };
    const peer = { address: '192.0.2.2', cidrs: ['10.2.0.0/24', '2001:db8:2::/48'] };
    t.same(routesOf({ ...change, peer }, []).network.routes, [
      '10.2.0.0/24 dev culvert0 src 10.1.0.1',
      '2001:db8:2::/48 dev culvert0',
    ]);
  });

  t.test('routes that went with their device are no error', async (t) => {
    const { network, routes } = routesOf({}, []);
    network.held.length = 0;
    routes.remove();
    t.pass('ESRCH is taken as done');
  });

  t.test('the connection a packet belongs to', async (t) => {
    const { connections } = pair.file('a', {
      connection: { peer: { address: '192.0.2.2', cidrs: ['10.2.0.0/16'] } },
    });
    t.equal(connectionTo(parseIp('10.2.3.4')!, connections)?.name, 'c');
    t.equal(connectionTo(parseIp('10.3.3.4')!, connections), undefined);
    t.equal(connectionTo(parseIp('2001:db8::1')!, connections), undefined);
  });
});

t.test('the fence stands before the first route and longer than the last', async (t) => {
  const pair = bench(t);
  const { connections } = pair.file('a', {
    connection: { peer: { address: '10.2.0.9', cidrs: ['10.2.0.0/24', '10.3.0.0/24'] } },
  });
  const peers = [{ connection: idOf('c'), address: '10.2.0.9' }];
  const network = new FakeNetwork();
  const routes = new GatewayRoutes(network, 'culvert0');
  const all = routes.wanted(connections, () => 'culvert0');
  t.same(routes.update(all, peers, true), []);
  t.same(
    network.log.map((line) => line.split(' src')[0]),
    [
      '+unreachable 10.2.0.0/24',
      '+unreachable 10.3.0.0/24',
      '+10.2.0.9/32 via 192.0.2.254 dev eth0',
      '+10.2.0.0/24 dev culvert0',
      '+10.3.0.0/24 dev culvert0',
    ],
  );
  t.ok(network.held.every(({ kind, metric }) => kind !== 'unreachable' || metric > 0xfe000000));

  await t.test('a network that leaves the configuration opens after its route is gone', async (t) => {
    network.log.length = 0;
    routes.update(all.slice(0, 1), peers, true);
    t.same(network.log, ['-10.3.0.0/24 dev culvert0 src 10.1.0.1', '-unreachable 10.3.0.0/24']);
  });

  await t.test('the next process takes it over', async (t) => {
    routes.remove();
    t.same(network.routes, []);
    t.same(network.fence, ['10.2.0.0/24']);
    const next = new GatewayRoutes(network, 'culvert0');
    t.same(next.fenced, ['10.2.0.0/24']);
    network.default = undefined;
    next.update(all, [], true);
    next.open('new');
    t.same(network.fence, ['10.2.0.0/24'], 'a start that fails opens only what it has closed');
    next.update(all, [], true);
    next.remove();
    next.open('all');
    t.same(network.held, [], 'an end that was asked for opens all');
  });

  await t.test('fail_closed: false opens what an earlier process has closed', async (t) => {
    const before = new GatewayRoutes(network, 'culvert0');
    before.update(all, [], true);
    const next = new GatewayRoutes(network, 'culvert0');
    before.remove();
    next.update(all, [], false);
    t.same(network.fence, []);
    next.remove();
  });
});

t.test('a network that cannot be led through the tunnel is a problem of its connection alone', async (t) => {
  const pair = bench(t);
  const update = (cidrs: string[], prepare: (network: FakeNetwork) => void, address = '192.0.2.2') => {
    const local = { cidrs: ['10.1.0.0/24', '2001:db8:1::/64'] };
    const { connections } = pair.file('a', { connection: { local, peer: { address, cidrs } } });
    const network = new FakeNetwork();
    prepare(network);
    const routes = new GatewayRoutes(network, 'culvert0');
    const problems = routes.update(
      routes.wanted(connections, () => 'culvert0'),
      [{ connection: idOf('c'), address }],
      true,
    );
    return { problems, network };
  };
  const there =
    (text: string, by: 'kernel' | 'other' | 'culvert', metric = 0) =>
    (network: FakeNetwork) =>
      void network.held.push({ cidr: cidrOf(text), kind: 'unicast', device: 'lan0', metric, by });
  for (const [what, wanted, prepare, words] of [
    ["the peer's own address", '192.0.2.2/32', () => undefined, /peer's own address/],
    [
      "the uplink's network",
      '192.0.2.0/24',
      there('192.0.2.0/24', 'kernel'),
      /network of device "lan0" itself/,
    ],
    [
      'a route of the operator',
      '10.5.0.0/24',
      there('10.5.0.0/24', 'other'),
      /there is a route to 10\.5\.0\.0\/24/,
    ],
    ['another gateway', '10.5.0.0/24', there('10.5.0.0/24', 'culvert'), /gateway of Culvert/],
    ['an IPv6 network attached here', '2001:db8:5::/64', there('2001:db8:5::/64', 'kernel', 256), /itself/],
  ] as const) {
    const { problems, network } = update([wanted, '10.2.0.0/24', '2001:db8:2::/64'], prepare);
    t.match(problems, [{ connection: idOf('c'), error: { message: words } }], what);
    const text = oneLine(problems[0]?.error);
    if (what.includes('own') || what.includes('gateway')) t.notMatch(text, /remove/);
    t.ok(network.routes.includes('10.2.0.0/24 dev culvert0 src 10.1.0.1'), 'the other network is led there');
  }
});

t.test('connections that share a network of the peer share its route', async (t) => {
  const pair = bench(t);
  const [one] = pair.file('a', {}).connections;
  const network = new FakeNetwork();
  network.addresses = ['10.1.0.1', '10.9.0.1'];
  const routes = new GatewayRoutes(network, 'culvert0');
  const other = { ...one!, name: 'd', local: { ...one!.local, cidrs: ['10.9.0.0/24'] } };
  t.same(
    routes.update(
      routes.wanted([one!, other], () => 'culvert0'),
      [],
      true,
    ),
    [],
  );
  t.same(network.routes, ['10.2.0.0/24 dev culvert0 src 10.1.0.1']);
});
