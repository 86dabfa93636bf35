import { pino } from 'pino';
import t from 'tap';
import type { RoutedVpc, RoutedWay } from '../../src/api/runner.js';
import { KernelRoutes } from '../../src/daemon/serve/kernel-routes.js';
import { FakeRouteKernel } from '../helpers/fake-route-kernel.js';

const DESTINATION = '10.5.0.0/16';

/** A route to a connection of gateway `g`; without a way it is skipped. */
function vpcWith(way: RoutedWay | undefined): RoutedVpc[] {
  const route = {
    ids: ['r'],
    name: 'route r of table t',
    gateway: 'g',
    destination: DESTINATION,
    metric: 48,
  };
  const table = {
    key: 'table zone',
    sources: ['10.1.0.0/24'],
    routes: way === undefined ? [] : [{ ...route, way }],
    skipped: way === undefined ? ['r'] : [],
  };
  return [{ vpc: { id: 'v', name: 'v' }, gateways: [], tables: [table] }];
}

function open(t: { teardown(end: () => unknown): unknown }, ...devices: string[]) {
  const kernel = new FakeRouteKernel(...devices);
  const moves: string[] = [];
  const lines: string[] = [];
  const make = () =>
    new KernelRoutes({
      owner: 'test',
      logger: pino({}, { write: (line: string) => void lines.push(line) }),
      changed: () => undefined,
      moved: ({ from, to }) => moves.push(`${from} → ${to}`),
      kernel,
    });
  const routes = make();
  t.teardown(() => routes.release());
  return {
    ...{ kernel, routes, moves, lines, make },
    /** Asks for this way, and returns what was done for it. */
    lay: (way: RoutedWay | undefined, by = routes) => {
      kernel.log.length = 0;
      by.arrange(vpcWith(way));
      return [...kernel.log];
    },
  };
}

const spread = (devices: (string | null)[], more: object = {}): RoutedWay => ({
  spread: { connection: 'c', devices, ...more },
});

t.test('one tunnel at a time: at no moment is there none', async (t) => {
  const { kernel, routes, moves, lay } = open(t, 'one', 'two');
  t.same(lay({ device: 'one', standby: 'two' }), [
    '+10.5.0.0/16 48 device one',
    '+10.5.0.0/16 49 device two',
    '+rule from 10.1.0.0/24',
  ]);
  t.match(routes.trailOf('r'), { devices: ['one'], moves: 0, movedAt: Number });
  kernel.lose('one');
  t.same(kernel.devicesTo(DESTINATION, 49), ['two'], 'the kernel has the next one by itself');
  t.same(lay({ device: 'two' }), ['+10.5.0.0/16 48 device two', '-10.5.0.0/16 49 device two']);
  kernel.devices.add('one');
  t.same(lay({ device: 'one', standby: 'two' }), [
    '~10.5.0.0/16 48 device one',
    '+10.5.0.0/16 49 device two',
  ]);
  t.same(lay({ device: 'one' }), ['-10.5.0.0/16 49 device two']);
  t.same(lay(undefined), ['-rule from 10.1.0.0/24', '-10.5.0.0/16 48 device one'], 'the rule first');
  t.same(moves, ['one → two', 'two → one', 'one → ']);
  t.match(routes.trailOf('r'), { devices: [], moves: 3 });
  t.equal(routes.movesOf('g'), 3);
  routes.forget('g');
  t.equal(routes.movesOf('g'), 0);
});

t.test('distributed: what moves is one place, whatever the number of routes', async (t) => {
  const { kernel, routes, moves, lay } = open(t, 'one', 'two');
  t.same(lay(spread(['one', 'two'])), [
    '+a: one',
    '+b: two',
    '+c: a b',
    '+10.5.0.0/16 48 group c',
    '+rule from 10.1.0.0/24',
  ]);
  t.same(lay(spread(['one', null])), ['~b: one']);
  t.same(kernel.devicesTo(DESTINATION, 48), ['one', 'one']);
  t.same(lay(spread(['one', 'two'])), ['~b: two']);

  kernel.lose('two');
  t.same(kernel.devicesTo(DESTINATION, 48), ['one'], 'the kernel has moved the flows by itself');
  t.same(
    lay(spread(['one', null])),
    ['+b: one', '+d: a b', '~10.5.0.0/16 48 group d', '-c'],
    'a group with both places again, before that without one goes',
  );
  t.same(kernel.devicesTo(DESTINATION, 48), ['one', 'one']);
  kernel.devices.add('two');
  t.same(lay(spread(['one', 'two'])), ['~b: two']);
  t.match(routes.trailOf('r'), { devices: ['one', 'two'] });

  kernel.lose('one');
  kernel.lose('two');
  t.same(lay(undefined), ['-rule from 10.1.0.0/24'], 'all went with the devices');
  t.equal(kernel.hopCount, 0);
  kernel.devices.add('two');
  t.same(lay(spread([null, 'two'])).slice(0, 3), ['+a: two', '+b: two', '+c: a b']);
  t.same(
    lay({ device: 'two' }),
    ['~10.5.0.0/16 48 device two', '-c', '-a', '-b'],
    'not distributed any more',
  );
  t.equal(kernel.hopCount, 0);
  t.same(moves, ['one,two → one', 'one → one,two', 'one,two → one', 'one → one,two', 'one,two → ', ' → two']);
});

t.test('a device that is gone this moment does not keep the flows of the others', async (t) => {
  const { kernel, routes, lines, lay } = open(t, 'one');
  lay(spread(['one', 'two']));
  t.same(kernel.devicesTo(DESTINATION, 48), ['one', 'one']);
  t.same(routes.stateOf('r'), { state: 'laid' });
  t.match(routes.trailOf('r'), { devices: ['one'] });
  kernel.lose('one');
  lay(spread(['one', null]));
  t.match(routes.stateOf('r'), { state: 'refused', message: /^route r of table t is not in force: .*one/ });
  t.match(routes.trailOf('r'), { devices: [] });
  t.equal(lines.filter((line) => line.includes('not in force')).length, 1);
});

t.test('the next server leaves alone what it does not know yet', async (t) => {
  const { kernel, routes, make, lay } = open(t, 'one', 'two');
  lay(spread(['one', 'two']));
  routes.release();
  const heir = make();
  t.teardown(() => heir.release());
  t.same(lay({ unknown: true }, heir), []);
  t.equal(heir.trailOf('r'), undefined);
  t.same(lay(spread(['one', null], { sought: true }), heir), []);
  t.match(heir.trailOf('r'), { devices: ['one', 'two'], moves: 0, movedAt: undefined });
  t.same(lay({ device: 'one', sought: true }, heir), [], 'the setting has changed while there was no server');
  t.match(heir.trailOf('r'), { devices: ['one', 'two'], moves: 0 });
  t.same(lay({ device: 'one', standby: 'two' }, heir), [
    '~10.5.0.0/16 48 device one',
    '+10.5.0.0/16 49 device two',
    '-c',
    '-a',
    '-b',
  ]);
  t.equal(kernel.hopCount, 0);
});

t.test('which gateways are next hops', async (t) => {
  const { routes, lay } = open(t, 'one', 'two');
  t.equal(routes.leadsTo('g'), false);
  lay({ device: 'one' });
  t.equal(routes.leadsTo('g'), true);
  lay(undefined);
  t.equal(routes.leadsTo('g'), false, 'with no tunnel up there is nothing to take over');
});
