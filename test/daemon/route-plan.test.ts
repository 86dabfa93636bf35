import t from 'tap';
import type { RoutedRoute, RoutedVpc, RoutedWay } from '../../src/api/runner.js';
import { RouteRealm } from '../../src/daemon/host/route-realm.js';
import { planOf, wayKey } from '../../src/daemon/serve/route-plan.js';
import { formatCidr } from '../../src/util/ip.js';

const realm = new RouteRealm('/run/culvert/server');

function planFor(...ways: RoutedWay[]) {
  const routes = ways.map(
    (way, n): RoutedRoute => ({
      ids: [`r${n}`],
      name: `route r${n}`,
      destination: n === 9 ? '2001:db8::/32' : `10.${n}.0.0/16`,
      metric: 48,
      way,
    }),
  );
  const tables = [{ key: 'table zone', sources: ['10.100.0.0/24'], skipped: [], routes }];
  const vpc: RoutedVpc = { vpc: { id: 'v', name: 'v' }, gateways: [], tables };
  return planOf([vpc], realm);
}

function laid(...ways: RoutedWay[]) {
  return [...planFor(...ways).routes.values()].map(({ route: { cidr, metric, way }, of, yields }) => [
    `${formatCidr(cidr)} ${metric} ${way.kind === 'group' ? 'group' : wayKey(way)}`,
    of?.ids[0],
    ...(yields ? ['yields'] : []),
  ]);
}

t.test('a standby is a second route, which the kernel takes when the first is gone', async (t) => {
  t.same(laid({ device: 'a', standby: 'b' }), [
    ['10.0.0.0/16 48 device a', 'r0'],
    ['10.0.0.0/16 49 device b', undefined],
  ]);
  t.same(laid({ device: 'a', sought: true }), [['10.0.0.0/16 48 device a', 'r0', 'yields']]);
  t.equal(planFor({ device: 'a', sought: true }).kept.size, 2, 'the standby of before stays as well');
  t.equal(planFor({ device: 'a' }).kept.size, 0);
  t.same([...planFor({ unknown: true }).kept].length, 2);
});

t.test('a group has a place for each tunnel, whatever device is at it', async (t) => {
  const groupOf = (devices: (string | null)[], more: object = {}) => {
    const { groups } = planFor(
      { spread: { connection: 'c', devices, ...more } },
      { spread: { connection: 'c', devices, ...more } },
    );
    t.equal(groups.size, 1, 'routes to one connection have one');
    return [...groups.values()][0]!;
  };
  const both = groupOf(['a', 'b']);
  t.match(both.places, [
    { family: 4, device: 'a', yields: false },
    { family: 4, device: 'b', yields: false },
  ]);
  t.equal(new Set([...both.ids, ...both.places.map(({ id }) => id)]).size, 4, 'numbers of their own');
  for (const id of both.ids) t.ok(realm.isOwnNumber(id));
  const one = groupOf(['a', null]);
  t.same([one.ids, one.places.map(({ id }) => id)], [both.ids, both.places.map(({ id }) => id)]);
  t.same(
    one.places.map(({ device }) => device),
    ['a', 'a'],
    'the other one takes its flows',
  );
  t.same(
    groupOf([null, 'b'], { sought: true }).places.map(({ device, yields }) => [device, yields]),
    [
      ['b', true],
      ['b', false],
    ],
  );
  t.same(laid({ spread: { connection: 'c', devices: ['a', 'b'] } }), [['10.0.0.0/16 48 group', 'r0']]);
});
