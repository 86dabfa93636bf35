import t from 'tap';
import { NextHopGroups, type PlannedGroup } from '../../src/daemon/host/next-hop-groups.js';
import { FakeNextHops } from '../helpers/fake-next-hops.js';

const group = (ids: [number, number], places: readonly (readonly [number, string])[]): PlannedGroup => ({
  ids,
  places: places.map(([id, device]) => ({ id, family: 4, device, yields: false })),
});

function bring(hops: FakeNextHops, ...planned: PlannedGroup[]) {
  const groups = new NextHopGroups(hops, () => true);
  const brought = planned.map((one) => groups.bring(one));
  groups.clear((change) => change());
  return brought;
}

t.test('numbers that another group has had are freed before they are used', async (t) => {
  const hops = new FakeNextHops();
  bring(
    hops,
    group(
      [1, 2],
      [
        [3, 'a'],
        [4, 'b'],
      ],
    ),
  );
  const packets: string[][] = [];
  const replace = hops.replaceNextHop.bind(hops);
  hops.replaceNextHop = (hop) => {
    replace(hop);
    packets.push(hops.devicesOf(1));
  };
  // The place of a connection that is no more is that of another one now.
  t.same(
    bring(
      hops,
      group(
        [5, 6],
        [
          [4, 'c'],
          [7, 'd'],
        ],
      ),
    ),
    [{ id: 5, devices: ['c', 'd'] }],
  );
  t.same(packets, [[]], 'no packet of the first group follows');
  t.same(hops.devicesOf(5), ['c', 'd']);
  t.equal(hops.count, 3);
  // And a group's number that of a place.
  t.same(
    bring(
      hops,
      group(
        [8, 9],
        [
          [5, 'a'],
          [1, 'b'],
        ],
      ),
    ),
    [{ id: 8, devices: ['a', 'b'] }],
  );
  t.equal(hops.count, 3);
});

t.test('what is there as planned is not touched', async (t) => {
  const hops = new FakeNextHops();
  const both = [
    group(
      [1, 2],
      [
        [3, 'a'],
        [4, 'b'],
      ],
    ),
    group(
      [5, 6],
      [
        [7, 'a'],
        [8, 'c'],
      ],
    ),
  ];
  bring(hops, ...both);
  hops.log.length = 0;
  t.same(bring(hops, ...both), [
    { id: 1, devices: ['a', 'b'] },
    { id: 5, devices: ['a', 'c'] },
  ]);
  t.same(hops.log, []);
});
