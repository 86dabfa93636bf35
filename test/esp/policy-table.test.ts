import fc from 'fast-check';
import t from 'tap';
import { createOutboundTable, NO_POLICY, NO_SA } from '../../src/esp/policy-table.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import type { TrafficSelector } from '../../src/wire/ike/payloads.js';
import { createPacketView, type PacketView, readPacket } from '../../src/wire/ip.js';
import { innerPacket, selector } from '../helpers/esp.js';

function packet(source: string, destination: string): PacketView {
  const view = createPacketView();
  const bytes = innerPacket(source, destination, 100);
  if (!readPacket(bytes, 0, bytes.length, view)) throw new Error('no IP packet');
  return view;
}

const policy = (id: number, local: string, peer: string, outbound = true) => ({
  id,
  localTs: [selector(local)],
  peerTs: [selector(peer)],
  outbound,
});

t.test('no policy, no SA, and the SA', async (t) => {
  const table = createOutboundTable();
  const view = packet('10.1.0.1', '10.2.0.1');
  t.equal(table.lookup(view), NO_POLICY, 'empty');
  table.insert(policy(7, '10.1.0.0/24', '10.2.0.0/24', false));
  t.equal(table.lookup(view), NO_SA, 'installed, may not send yet');
  t.equal(table.lookup(packet('10.1.0.1', '10.3.0.1')), NO_POLICY);
  t.equal(table.lookup(packet('2001:db8::1', '2001:db8::2')), NO_POLICY, 'the other family');
  table.activate(7);
  t.equal(table.lookup(view), 7);
  table.activate(99);
  table.remove(99);
  t.equal(table.lookup(view), 7, 'unknown ids change nothing');
  table.remove(7);
  t.equal(table.lookup(view), NO_POLICY);
});

t.test('a rekeyed pair takes over when it is activated, and the old one when that goes', async (t) => {
  const table = createOutboundTable();
  const view = packet('10.1.0.1', '10.2.0.1');
  table.insert(policy(1, '10.1.0.0/24', '10.2.0.0/24'));
  table.insert(policy(2, '10.1.0.0/24', '10.2.0.0/24', false));
  t.equal(table.lookup(view), 1, 'the new one hides nothing before');
  table.activate(2);
  t.equal(table.lookup(view), 2);
  table.activate(1);
  t.equal(table.lookup(view), 1, 'the last activation counts');
  table.remove(1);
  t.equal(table.lookup(view), 2);
  table.insert(policy(0, '10.1.0.0/24', '10.2.0.0/24'));
  t.equal(table.lookup(view), 0, 'installed for sending later than the other');
});

t.test('the most specific selectors win', async (t) => {
  const table = createOutboundTable();
  table.insert(policy(1, '10.1.0.0/16', '0.0.0.0/0'));
  table.insert(policy(2, '10.1.0.0/16', '10.2.0.0/16'));
  table.insert(policy(3, '10.1.5.0/24', '10.2.0.0/16'));
  table.insert(policy(4, '10.1.0.0/16', '10.2.3.0/24'));
  table.insert({
    id: 5,
    localTs: [selector('10.1.0.0/16')],
    peerTs: [selector('10.2.0.0/16', { protocol: 17, ports: [61000, 61000] })],
    outbound: true,
  });
  table.insert(policy(6, '2001:db8:1::/48', '::/0'));
  table.insert(policy(8, '2001:db8:1::/48', '2001:db8:2::/48'));
  table.insert(policy(9, '10.1.0.0/16', '10.2.4.0/24', false));
  t.equal(table.lookup(packet('10.1.0.1', '192.0.2.1')), 1);
  t.equal(table.lookup(packet('10.1.0.1', '10.2.0.1')), 5, 'same networks, narrower ports');
  t.equal(table.lookup(packet('10.1.5.1', '10.2.0.1')), 3, 'narrower local network');
  t.equal(table.lookup(packet('10.1.5.1', '10.2.3.1')), 4, 'the peer network counts first');
  t.equal(table.lookup(packet('10.1.0.1', '10.2.4.1')), 5, 'one that may not send hides nothing');
  t.equal(table.lookup(packet('2001:db8:1::1', '2001:db8:2::1')), 8);
  t.equal(table.lookup(packet('2001:db8:1::1', '2001:db8:3::1')), 6);
});

t.test('a child whose lists hold several networks is found by each', async (t) => {
  const table = createOutboundTable();
  const localTs = ['10.1.0.0/24', '10.3.0.0/24', '2001:db8:1::/64'].map((x) => selector(x));
  const peerTs = ['10.2.0.0/24', '10.4.0.0/24', '2001:db8:2::/64'].map((x) => selector(x));
  table.insert({ id: 3, localTs, peerTs, outbound: true });
  t.equal(table.lookup(packet('10.3.0.1', '10.4.0.1')), 3);
  t.equal(table.lookup(packet('10.1.0.1', '10.4.0.1')), 3);
  t.equal(table.lookup(packet('2001:db8:1::1', '2001:db8:2::1')), 3);
  t.equal(table.lookup(packet('10.2.0.1', '10.4.0.1')), NO_POLICY);
});

t.test('misuse is refused', async (t) => {
  const table = createOutboundTable();
  table.insert(policy(1, '10.1.0.0/24', '10.2.0.0/24'));
  t.throws(() => table.insert(policy(1, '10.1.0.0/24', '10.2.0.0/24')), { name: 'RangeError' });
  for (const id of [-1, 1.5, 2 ** 31]) t.throws(() => table.insert(policy(id, '0.0.0.0/0', '0.0.0.0/0')));
});

t.test('finds an SA exactly when the selectors of one that may send cover the packet', async () => {
  const network = fc.constantFrom(
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.2.0/24',
    '10.2.0.0/16',
    '10.2.0.1/32',
  );
  const list: fc.Arbitrary<TrafficSelector[]> = fc.array(
    network.map((x) => selector(x)),
    { minLength: 1, maxLength: 3 },
  );
  const policies = fc.array(fc.record({ localTs: list, peerTs: list, outbound: fc.boolean() }), {
    maxLength: 6,
  });
  const address = fc.constantFrom('10.1.2.3', '10.2.0.1', '10.2.0.2', '10.9.0.1', '192.0.2.1');
  fc.assert(
    fc.property(policies, address, address, (all, source, destination) => {
      const table = createOutboundTable();
      for (const [id, each] of all.entries()) table.insert({ id, ...each });
      const view = packet(source, destination);
      const covering = all.filter((p) => new SelectorSet(p.localTs, p.peerTs).matchesOutbound(view));
      const found = table.lookup(view);
      if (covering.length === 0) return found === NO_POLICY;
      if (!covering.some((p) => p.outbound)) return found === NO_SA;
      return found >= 0 && all[found]!.outbound && covering.includes(all[found]!);
    }),
    { numRuns: 500 },
  );
});
