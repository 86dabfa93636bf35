import t from 'tap';
import { rubbishBehind, strangeInit } from '../../bench/hostile-datagrams.js';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { decodeV1Message, encodeV1Message } from '../../src/wire/ike/v1/message.js';
import { EAST, type Pair, pair, WEST } from '../helpers/engine-pair.js';
import { v1Faults, v1Pair } from '../helpers/v1-pair.js';

/** A datagram for the west. */
function from(address: string, bytes: Uint8Array): DatagramInput {
  const [local, remote] = [
    { address: WEST, port: 500 },
    { address, port: 500 },
  ];
  return { kind: 'datagram', local, remote, natTraversalPort: false, bytes };
}

/** Runs a negotiation of the east until it has sent `n` datagrams; the last one. */
function upTo({ sim, east }: Pair, n: number): Uint8Array {
  sim.initiate(east);
  const sent = () => sim.net.sent.filter((packet) => packet.from.address === EAST);
  sim.run(sim.now + 1000, () => sent().length >= n);
  return sent()[n - 1]!.bytes;
}

const reasons = ({ west }: Pair): string[] => west.eventsOf('datagram-dropped').map(({ reason }) => reason);

t.test('a request for a new IKE SA of more than first_message_bytes is dropped unread', async (t) => {
  const made = pair({ limits: { firstMessageBytes: 4000 } });
  made.sim.input(made.west, from('203.0.113.9', strangeInit(1)));
  t.strictSame(reasons(made), ['too_large']);
});

t.test('half-open SAs hold so many octets and no more', async (t) => {
  const made = pair({ limits: { halfOpenBytes: 10_000, cookieThreshold: 500 } });
  const request = upTo(made, 1);
  for (let n = 0; n < 20; n++) {
    const other = Uint8Array.from(request);
    other[0] = n;
    made.sim.input(made.west, from(EAST, other));
  }
  const { halfOpen } = made.west.engine.sizes;
  t.ok(halfOpen > 0 && halfOpen * (request.length + 2048) <= 10_000, `${halfOpen} half-open SAs`);
  t.ok(reasons(made).includes('half_open_limit'));
  made.sim.nodes.splice(0, 1);
  made.sim.run(made.sim.now + 60_000);
  made.sim.input(made.west, from(EAST, request));
  t.equal(made.west.engine.sizes.halfOpen, 1, 'there is room again');
});

t.test('of one main mode four messages 5 are tried, and none of more than 2 KiB', async (t) => {
  const made = v1Pair();
  const five = upTo(made, 3);
  while (made.sim.net.take(Number.POSITIVE_INFINITY) !== undefined);
  made.sim.input(made.west, from(EAST, rubbishBehind(five, 2080)));
  for (let n = 0; n < 6; n++) made.sim.input(made.west, from(EAST, rubbishBehind(five, 64 + 16 * n)));
  t.strictSame(reasons(made), [
    'too_large',
    ...new Array(4).fill('decryption_failed'),
    ...new Array(2).fill('rate_limited'),
  ]);
});

t.test('fragments of version 1 count from the peer alone, and make messages of their SA alone', async (t) => {
  const made = v1Pair();
  const three = upTo(made, 2);
  while (made.sim.net.take(Number.POSITIVE_INFINITY) !== undefined);
  const decoded = decodeV1Message(three);
  if (!decoded.ok) throw new Error(decoded.error.message);
  const { header } = decoded.value;
  const piece = (data: Uint8Array) =>
    encodeV1Message(header, [{ kind: 'fragment', id: 1, number: 1, last: true, data }]);
  made.sim.input(made.west, from('203.0.113.9', piece(three)));
  t.strictSame(reasons(made), ['unexpected'], 'from elsewhere');
  const first = made.sim.net.sent[0]!.bytes;
  const another = Uint8Array.from(first);
  another[0]! ^= 1;
  made.sim.input(made.west, from(EAST, piece(another)));
  t.strictSame(reasons(made), ['unexpected', 'malformed'], 'a first message inside');
  t.equal(made.west.engine.sizes.halfOpen, 1);
  made.sim.input(made.west, from(EAST, piece(three)));
  made.sim.run(made.sim.now + 3000);
  t.equal(v1Faults(made), undefined, 'the one that belongs here counts');
});

t.test(
  'fragments of version 2 on a half-open SA come from its peer alone, and count before they are kept',
  async (t) => {
    const cidrs = Array.from({ length: 40 }, (_, i) => `10.1.${i}.0/24`);
    const wide = { east: { local: { cidrs } }, west: { peer: { cidrs } } };
    for (const room of [0, 2000]) {
      const probe = pair(wide);
      const first = upTo(probe, 1).length + 2048;
      const made = pair({ ...wide, limits: { fragmentPacket: 576, halfOpenBytes: first + room } });
      upTo(made, 2);
      while (made.sim.net.take(Number.POSITIVE_INFINITY) !== undefined);
      const fragments = made.sim.net.sent.filter(({ name }) => name === 'IKE_AUTH request');
      t.ok(fragments.length >= 2, `${fragments.length} fragments`);
      const give = (address: string, { bytes }: { bytes: Uint8Array }) =>
        made.sim.input(made.west, from(address, bytes));
      const why = () => made.west.eventsOf('datagram-dropped').map(({ detail }) => detail);
      give('203.0.113.9', fragments[0]!);
      t.strictSame(why(), ['a fragment from another address than IKE_SA_INIT']);
      for (const fragment of fragments) give(EAST, fragment);
      t.equal(made.west.ikes.size, room === 0 ? 0 : 1);
      if (room === 0) {
        t.ok(why().slice(1).length >= fragments.length - 1);
        t.ok(
          why()
            .slice(1)
            .every((one) => /^half-open IKE SAs hold \d+ octets$/.test(one)),
          `${why()}`,
        );
        continue;
      }
      t.equal(made.west.engine.sizes.halfOpen, 0);
      const again = Uint8Array.from(made.sim.net.sent[0]!.bytes);
      again[0]! ^= 1;
      give(EAST, { bytes: again });
      t.equal(made.west.engine.sizes.halfOpen, 1, 'what they held is free again');
    }
  },
);
