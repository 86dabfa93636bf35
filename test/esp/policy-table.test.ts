import fc from 'fast-check';
import t from 'tap';
import { createOutboundTable, NO_POLICY, NO_SA, type OutboundPolicy } from '../../src/esp/policy-table.js';
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

/** What the table must answer, by looking at every pair of selectors. */
class Reference {
  readonly #all = new Map<number, { policy: OutboundPolicy; activated: number }>();
  #activations = 0;

  insert(policy: OutboundPolicy): void {
    this.#all.set(policy.id, { policy, activated: policy.outbound ? ++this.#activations : 0 });
  }

  activate(id: number): void {
    const found = this.#all.get(id);
    if (found !== undefined) found.activated = ++this.#activations;
  }

  remove(id: number): void {
    this.#all.delete(id);
  }

  lookup(view: PacketView): number {
    const fits = [...this.#all.values()].flatMap(({ policy, activated }) =>
      policy.peerTs.flatMap((peer) =>
        policy.localTs
          .filter((local) => new SelectorSet([local], [peer]).matchesOutbound(view))
          .map((local) => ({ id: policy.id, activated, key: [width(peer), width(local)] })),
      ),
    );
    const ready = fits.filter(({ activated }) => activated > 0);
    if (ready.length === 0) return fits.length === 0 ? NO_POLICY : NO_SA;
    ready.sort((a, b) => a.key[0]! - b.key[0]! || a.key[1]! - b.key[1]! || b.activated - a.activated);
    return ready[0]!.id;
  }
}

const toInteger = (address: Uint8Array): bigint => BigInt(`0x${Buffer.from(address).toString('hex')}`);

/** Subtracted as integers: as numbers, IPv6 addresses beside each other are the same. */
const width = ({ startAddress, endAddress }: TrafficSelector): number =>
  Number(toInteger(endAddress) - toInteger(startAddress));

t.test('insertions, activations and removals in any order, by networks and by odd ranges', async () => {
  // A small world, so that ranges meet: 10.0.0.0 to 10.0.3.255 and 2001:db8:: with 10 bits.
  const range = fc
    .tuple(fc.boolean(), fc.nat(1023), fc.oneof(fc.nat(1023), fc.constantFrom(0, 1, 3, 7, 15, 127, 255)))
    .map(([six, start, length]): TrafficSelector => {
      const at = (value: number): Uint8Array => {
        const address = six
          ? Uint8Array.from([0x20, 1, 0xd, 0xb8, ...new Uint8Array(12)])
          : Uint8Array.of(10, 0, 0, 0);
        address[address.length - 2] = value >>> 8;
        address[address.length - 1] = value;
        return address;
      };
      const ports = { startPort: 0, endPort: 65535, protocol: 0 };
      return {
        ...{ tsType: six ? 8 : 7, startAddress: at(start), endAddress: at(Math.min(1023, start + length)) },
        ...ports,
      };
    });
  const list = fc.array(range, { minLength: 1, maxLength: 3 });
  const id = fc.nat(5);
  const step = fc.oneof(
    fc.record({
      do: fc.constant('insert' as const),
      id,
      localTs: list,
      peerTs: list,
      outbound: fc.boolean(),
    }),
    fc.record({ do: fc.constant('activate' as const), id }),
    fc.record({ do: fc.constant('remove' as const), id }),
  );
  const address = fc.nat(1023).map((value) => `10.0.${value >>> 8}.${value & 255}`);
  const probes = fc.array(fc.tuple(address, address, fc.boolean()), { minLength: 5, maxLength: 20 });
  const six = (text: string): string => {
    const [, , high, low] = text.split('.').map(Number);
    return `2001:db8::${((high! << 8) | low!).toString(16)}`;
  };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), probes, (steps, all) => {
      const table = createOutboundTable();
      const reference = new Reference();
      for (const one of steps) {
        if (one.do === 'insert') {
          for (const each of [table, reference]) {
            each.remove(one.id);
            each.insert(one);
          }
        } else {
          for (const each of [table, reference]) each[one.do](one.id);
        }
      }
      return all.every(([source, destination, v6]) => {
        const view = v6 ? packet(six(source), six(destination)) : packet(source, destination);
        return table.lookup(view) === reference.lookup(view);
      });
    }),
    { numRuns: 1000 },
  );
});

t.test('ten thousand pairs of networks', async (t) => {
  const table = createOutboundTable();
  const network = (i: number): string => `10.${i >>> 8}.${i & 255}.0/24`;
  for (let i = 0; i < 10_000; i++) table.insert(policy(i, '0.0.0.0/0', network(i)));
  for (const i of [0, 1, 255, 256, 4711, 9999]) {
    t.equal(table.lookup(packet('172.16.0.1', `10.${i >>> 8}.${i & 255}.9`)), i);
  }
  t.equal(table.lookup(packet('172.16.0.1', '10.200.0.1')), NO_POLICY);
  for (let i = 0; i < 10_000; i += 2) table.remove(i);
  t.equal(table.lookup(packet('172.16.0.1', '10.0.2.1')), NO_POLICY);
  t.equal(table.lookup(packet('172.16.0.1', '10.0.3.1')), 3);
});
