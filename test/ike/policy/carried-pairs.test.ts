import fc from 'fast-check';
import t from 'tap';
import { CarriedPairs, countPairs, networkPairs } from '../../../src/ike/policy/carried-pairs.js';
import type { SelectorLists } from '../../../src/ike/policy/selectors.js';
import { cidrSelector, covers } from '../../../src/ike/policy/selectors.js';
import { cidrOf } from '../../../src/util/ip.js';
import type { TrafficSelector } from '../../../src/wire/ike/payloads.js';

const network = (text: string) => cidrSelector(cidrOf(text));

/** Networks that hold one another, beside one another, and of both families. */
const NETWORKS = ['10.0.0.0/30', '10.0.0.4/30', '10.0.0.0/29', '10.0.1.0/24', '2001:db8::/64'].map(network);

const lists = fc.subarray(NETWORKS);
const child = fc.record({ localTs: lists, peerTs: lists });
const change = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), id: fc.nat(5), child }),
  fc.record({ kind: fc.constant('remove' as const), id: fc.nat(5) }),
  fc.record({ kind: fc.constant('clear' as const) }),
  fc.record({ kind: fc.constant('configure' as const), local: lists, peer: lists }),
);

t.test('counting as child SAs come and go says the same as looking at all of them', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 25 }), (changes) => {
      const pairs = new CarriedPairs();
      const children = new Map<number, SelectorLists>();
      let [local, peer]: [typeof NETWORKS, typeof NETWORKS] = [NETWORKS, NETWORKS];
      pairs.configure({ local: { selectors: local }, peer: { selectors: peer } });
      return changes.every((one) => {
        switch (one.kind) {
          case 'add':
            children.delete(one.id);
            children.set(one.id, one.child);
            pairs.add(one.id, one.child);
            break;
          case 'remove':
            children.delete(one.id);
            pairs.remove(one.id);
            break;
          case 'clear':
            children.clear();
            pairs.clear();
            break;
          case 'configure':
            [local, peer] = [one.local, one.peer];
            pairs.configure({ local: { selectors: local }, peer: { selectors: peer } });
        }
        const networks = { local: { selectors: local }, peer: { selectors: peer } };
        const carrier = (pair: { local: TrafficSelector; peer: TrafficSelector }) =>
          [...children].findLast(
            ([, { localTs, peerTs }]) => covers(localTs, [pair.local]) && covers(peerTs, [pair.peer]),
          )?.[1];
        const matrix = networkPairs(networks).map((pair) => ({ ...pair, child: carrier(pair) }));
        const open = matrix.filter(({ child }) => child === undefined);
        t.equal(countPairs(networks), matrix.length);
        t.equal(pairs.complete, open.length === 0);
        t.equal(pairs.open().length, open.length);
        const said = pairs.matrix();
        return matrix.every(({ local, peer, child }, i) => {
          const one = said[i]!;
          return one.local === local && one.peer === peer && one.child === child;
        });
      });
    }),
    { numRuns: 500 },
  );
});

t.test('a pair goes over to another child SA without a gap', async (t) => {
  const pairs = new CarriedPairs();
  const [ours, theirs] = [network('10.1.0.0/24'), network('10.2.0.0/24')];
  pairs.configure({ local: { selectors: [ours] }, peer: { selectors: [theirs] } });
  t.equal(pairs.complete, false, 'nothing carries it');
  pairs.add(1, { localTs: [ours], peerTs: [theirs] });
  pairs.add(2, { localTs: [ours], peerTs: [theirs] });
  pairs.remove(1);
  t.equal(pairs.complete, true, 'the newer one carries it');
  pairs.remove(2);
  pairs.remove(2);
  t.equal(pairs.complete, false);
});
