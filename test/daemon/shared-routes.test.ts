import t from 'tap';
import { GatewayRoutes } from '../../src/daemon/host/network.js';
import { distributedFamilies, SharedRoutes, sharedNetworks } from '../../src/daemon/host/shared-routes.js';
import type { GatewayConnection } from '../../src/store/model.js';
import type { ConnectionId } from '../../src/util/ids.js';
import { FakeNetwork } from '../helpers/fake-host.js';

const connection = (id: string, routes: string[], more: object = {}): GatewayConnection =>
  ({
    ...{ id, name: id, adminStateUp: true, distributeTraffic: false, routes },
    local: { cidrs: [] },
    peer: { cidrs: [] },
    ...more,
  }) as unknown as GatewayConnection;

const ALL = [
  connection('a', ['10.2.0.0/24', '10.3.0.0/24']),
  connection('b', ['10.2.0.0/24', '2001:db8::/48']),
  connection('c', ['10.2.0.0/24', '2001:db8::/48']),
];
const DISTRIBUTED = ALL.map((one) => ({ ...one, distributeTraffic: true }));

/** Routes of connections as the host side arranges them, with a clock that shows how often that was. */
function bench() {
  const network = new FakeNetwork();
  const routes = new GatewayRoutes(network, 'culvert0');
  const said: string[] = [];
  let now = 0;
  const shared = new SharedRoutes({
    ...{ hops: network.hops, device: 'culvert0', now: () => now },
    refused: (error) => said.push(`refused: ${(error as Error).message}`),
    moved: (destination, carriers) => said.push(`${destination} by ${carriers}`),
  });
  const tunOf = (id: string) => `tun-${id}`;
  return {
    ...{ network, routes, shared, said },
    lay: (connections: readonly GatewayConnection[], ...up: string[]) => {
      now++;
      network.log.length = 0;
      const carried = shared.arrange(connections, (id) => up.includes(id), tunOf);
      const wanted = routes.wanted(
        carried,
        ({ id }) => tunOf(id),
        (network) => shared.groupOf(network),
      );
      const problems = routes.update(wanted, [], true);
      shared.settle();
      return problems;
    },
    /** Who carries a network, as the status of its connections says. */
    carriers: (destination: string) =>
      ALL.filter(
        ({ id, routes }) => routes.includes(destination) && shared.stateOf(id, destination).carries,
      ).map(({ id }) => id),
    /** The routes, with the devices of the groups that they lead to. */
    ways: () =>
      network.routes.map((text) =>
        text.replace(/nhid (\d+)/, (_, id) => `over ${network.hops.devicesOf(Number(id)).join(' ')}`),
      ),
  };
}

t.test('the first that is up carries a network that several name', async (t) => {
  t.same([...sharedNetworks(ALL).keys()], ['10.2.0.0/24', '2001:db8::/48']);
  t.same(distributedFamilies(ALL), []);
  t.same(distributedFamilies(DISTRIBUTED), [4, 6]);
  t.same(distributedFamilies([DISTRIBUTED[0]!, ...ALL.slice(1)]), [], 'one alone distributes nothing');
  const { lay, carriers } = bench();
  const carriedWith = (connections: readonly GatewayConnection[], ...up: string[]) => {
    lay(connections, ...up);
    return [carriers('10.2.0.0/24'), carriers('2001:db8::/48')];
  };
  t.same(carriedWith(ALL, 'a', 'b', 'c'), [['a'], ['b']]);
  t.same(carriedWith(ALL, 'b', 'c'), [['b'], ['b']]);
  t.same(carriedWith(ALL, 'c'), [['c'], ['c']]);
  t.same(carriedWith(ALL), [['a'], ['b']], 'while none is up the first keeps it');
  t.same(carriers('10.3.0.0/24'), ['a'], 'what one names alone it carries');
  const down = [{ ...ALL[0]!, adminStateUp: false }, ...ALL.slice(1)];
  t.same(carriedWith(down)[0], ['b'], 'one that is to be down does not');
});

t.test('a route moves in one step, and the fence stays', async (t) => {
  const { network, routes, shared, said, lay } = bench();
  t.same(lay(ALL, 'a', 'b', 'c'), []);
  t.same(network.routes, ['10.2.0.0/24 dev tun-a', '10.3.0.0/24 dev tun-a', '2001:db8::/48 dev tun-b']);
  t.same(shared.stateOf('a' as ConnectionId, '10.2.0.0/24'), { carries: true }, 'it has not moved');
  const fence = network.fence;
  t.same(lay(ALL, 'b', 'c'), []);
  t.same(network.log, ['-10.2.0.0/24 dev tun-a', '+10.2.0.0/24 dev tun-b']);
  t.same(network.fence, fence);
  t.same(shared.stateOf('a' as ConnectionId, '10.2.0.0/24'), { carries: false, movedAt: 2 });
  t.same(lay(ALL, 'b'), []);
  t.same(shared.stateOf('b' as ConnectionId, '10.2.0.0/24'), { carries: true, movedAt: 2 }, 'since then');
  t.same(lay(ALL, 'a', 'b', 'c'), []);
  t.ok(network.routes.includes('10.2.0.0/24 dev tun-a'), 'and back');
  t.same(said, ['10.2.0.0/24 by b', '10.2.0.0/24 by a']);

  network.refuse = '10.2.0.0/24 dev tun-b';
  t.match(lay(ALL, 'b', 'c'), [{ connection: 'b' as ConnectionId }]);
  network.refuse = undefined;
  t.same(lay(ALL, 'b', 'c'), [], 'tried again');
  t.ok(network.routes.includes('10.2.0.0/24 dev tun-b'));
  routes.remove();
  t.same(network.routes, []);
});

t.test('distributed over all that are up, each flow at the place of its tunnel', async (t) => {
  const { network, routes, lay, carriers, ways } = bench();
  lay(DISTRIBUTED);
  t.equal(network.hops.count, 0, 'while none is up there is no group');
  lay(DISTRIBUTED, 'a', 'b', 'c');
  t.same(ways().sort(), [
    '10.2.0.0/24 over tun-a tun-b tun-c',
    '10.3.0.0/24 dev tun-a',
    '2001:db8::/48 over tun-b tun-c',
  ]);
  t.same(carriers('10.2.0.0/24'), ['a', 'b', 'c']);
  lay(DISTRIBUTED, 'a', 'c');
  t.same(network.log.length, 2, 'one place of each group');
  t.ok(ways().includes('10.2.0.0/24 over tun-a tun-a tun-c'));
  t.same(carriers('10.2.0.0/24'), ['a', 'c']);

  // A device goes with its connection, and its place with it.
  network.hops.lose('tun-b');
  lay([DISTRIBUTED[0]!, DISTRIBUTED[2]!], 'a', 'c');
  t.same(ways().sort(), ['10.2.0.0/24 over tun-a tun-c', '10.3.0.0/24 dev tun-a', '2001:db8::/48 dev tun-c']);
  t.equal(network.hops.count, 3, 'two places and a group: no others are left');
  lay(ALL, 'a', 'b', 'c');
  t.ok(ways().includes('10.2.0.0/24 dev tun-a'), 'not any more');
  t.equal(network.hops.count, 0);

  // Only those that have it take part.
  const some = [DISTRIBUTED[0]!, ALL[1]!, DISTRIBUTED[2]!];
  lay(some, 'a', 'b', 'c');
  t.ok(ways().includes('10.2.0.0/24 over tun-a tun-c'));
  lay(some, 'b', 'c');
  t.ok(ways().includes('10.2.0.0/24 dev tun-b'), 'the first that is up decides');
  routes.remove();
  lay([]);
  t.equal(network.hops.count, 0);
});

t.test('where the kernel has no groups the first carries it all', async (t) => {
  const { network, said, lay, carriers, ways } = bench();
  const add = network.hops.addNextHop;
  network.hops.addNextHop = () => {
    throw new Error('no groups here');
  };
  t.same(lay(DISTRIBUTED, 'a', 'b', 'c'), []);
  t.ok(ways().includes('10.2.0.0/24 dev tun-a'));
  t.same(carriers('10.2.0.0/24'), ['a']);
  lay(DISTRIBUTED, 'a', 'b');
  t.same(said, ['refused: no groups here'], 'said once');
  network.hops.addNextHop = add;
  lay(DISTRIBUTED, 'a', 'b', 'c');
  t.ok(ways().includes('10.2.0.0/24 over tun-a tun-b tun-c'), 'and tried again');
});
