import t from 'tap';
import { FragmentBuffer } from '../../../src/ike/v1/fragments.js';
import { concat } from '../../../src/util/bytes.js';
import type { V1FragmentPayload } from '../../../src/wire/ike/v1/payloads.js';
import { connection, EAST, type Pair, Simulation, WEST } from '../../helpers/engine-pair.js';
import { v1, v1Faults } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

/** Fragments of a message, all under one id. */
function cut(fill: number, count: number, id = 1): V1FragmentPayload[] {
  return Array.from({ length: count }, (_, n) => ({
    kind: 'fragment',
    id,
    number: n + 1,
    last: n + 1 === count,
    data: new Uint8Array(10).fill(fill + n),
  }));
}

const octets = (parts: readonly V1FragmentPayload[]): Uint8Array => concat(...parts.map(({ data }) => data));

t.test('a fragment of a message that is done leaves nothing for the next one with the same id', async (t) => {
  for (const again of [0, 1]) {
    const box = new FragmentBuffer(1000);
    const [first, second] = [cut(10, 2), cut(50, 2)];
    t.equal(box.add(first[0]!), undefined);
    t.same(box.add(first[1]!), octets(first));
    t.equal(box.add(first[again]!), undefined, 'it comes twice');
    t.equal(box.add(second[0]!), undefined);
    t.same(box.add(second[1]!), octets(second), 'whole at the first try');
    t.equal(box.add(second[1]!), undefined);
    const third = cut(90, 3);
    t.same(
      [third[2]!, third[0]!, third[1]!].map((part) => box.add(part)),
      [undefined, undefined, octets(third)],
      'in any order',
    );
  }
});

t.test('a message that its sender repeats whole is whole again, under whatever id', async (t) => {
  const box = new FragmentBuffer(1000);
  for (const part of cut(10, 3)) box.add(part);
  const repeated = cut(10, 3, 2);
  t.same(
    repeated.map((part) => box.add(part)),
    [undefined, undefined, octets(repeated)],
  );
  t.same(box.add(repeated[0]!), undefined, 'each time it takes all of them');
});

t.test('what is left of a message that never became whole does not spoil the next one', async (t) => {
  const box = new FragmentBuffer(1000);
  box.add(cut(10, 3)[1]!);
  box.add(cut(10, 3)[2]!);
  const next = cut(50, 2);
  const [one, two] = [box.add(next[1]!), box.add(next[0]!)];
  t.equal(one, undefined);
  t.same(two, octets(next), 'another last fragment begins it');
  box.add(cut(10, 3)[0]!);
  const after = cut(70, 2);
  t.same([box.add(after[0]!), box.add(after[1]!)], [undefined, octets(after)], 'and so does another octet');
});

t.test('memory is bounded, and counted with the message that is done', async (t) => {
  const box = new FragmentBuffer(25);
  const [a, b, c] = cut(10, 3);
  box.add(a!);
  box.add(b!);
  t.equal(box.size, 20);
  t.equal(box.add(c!), undefined, 'too much');
  t.equal(box.size, 0);
  for (const part of cut(10, 2)) box.add(part);
  t.equal(box.size, 20);
});

const FRAGMENT = 132;
const ID_AT = 32;
const FLAGS_AT = 35;

/** Gives every fragment the id 1, as some senders do, and lets the last one of each message come twice. */
function run(made: Pair, until: number, flagged = false): void {
  const { sim } = made;
  const isFragment = ({ bytes }: Packet): boolean => bytes[16] === FRAGMENT;
  const change = (bytes: Uint8Array): Uint8Array => {
    bytes.set([0, 1], ID_AT);
    if (flagged) bytes[19] = bytes[19]! | 1;
    return bytes;
  };
  sim.net.impair(isFragment, { kind: 'corrupt', change }, Number.POSITIVE_INFINITY);
  let seen = sim.net.sent.length;
  sim.run(until, () => {
    for (; seen < sim.net.sent.length; seen++) {
      const packet = sim.net.sent[seen]!;
      const last = isFragment(packet) && packet.bytes[FLAGS_AT] === 1;
      if (last) sim.net.inject({ ...packet, bytes: change(Uint8Array.from(packet.bytes)) }, sim.now);
    }
    return false;
  });
}

/** A pair in which the identity of the east is so long that message 5 has fragments. */
function longIdentity(): Pair {
  const long = { idType: 11, data: new Uint8Array(1800).fill(7) };
  const sim = new Simulation();
  const [eastConfig, westConfig] = [connection('east', v1()), connection('west', v1())];
  const east = sim.addNode('east', EAST, {
    connections: [{ ...eastConfig, local: { ...eastConfig.local, identity: long } }],
  });
  const west = sim.addNode('west', WEST, {
    connections: [{ ...westConfig, peer: { ...westConfig.peer, identity: long } }],
  });
  return { sim, east, west };
}

t.test(
  'a sender that gives all its messages one fragment id is understood without repetitions',
  async (t) => {
    const { sim, east, west } = longIdentity();
    const made = { sim, east, west };
    sim.initiate(east);
    run(made, 400);
    t.equal(v1Faults(made), undefined);
    const length = sim.net.sent.length;
    sim.input(east, { kind: 'renew', connection: 'site', scope: 'connection' });
    run(made, sim.now + 400);
    t.equal(west.eventsOf('ike-established').length, 2);
    t.ok(sim.net.sent.slice(length).filter(({ bytes }) => bytes[16] === FRAGMENT).length >= 2);
    t.strictSame(east.eventsOf('retransmit'), []);
  },
);

t.test('fragments that racoon flags as encrypted are taken, and told as a quirk', async (t) => {
  const { sim, east, west } = longIdentity();
  sim.initiate(east);
  run({ sim, east, west }, 400, true);
  t.equal(v1Faults({ sim, east, west }), undefined);
  t.match(west.eventsOf('quirk'), [{ connection: 'site', code: 'encrypted_fragments' }]);
});
