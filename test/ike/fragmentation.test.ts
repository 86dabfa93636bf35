import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { Reassembly } from '../../src/ike/v2/reassembly.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import type { SkfPayload } from '../../src/wire/ike/payloads.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { EAST, establishedPair, faults, type Pair, pair, WEST } from '../helpers/engine-pair.js';
import type { Packet } from '../helpers/virtual-net.js';

const PFS = [
  { encryption: [{ id: Encr.AES_CBC, keyBits: 256 }], integrity: [Integ.HMAC_SHA2_256_128], dh: [14] },
];
/** Fifteen networks at each end make long selector lists. */
const east = Array.from({ length: 15 }, (_, n) => `10.1.${n}.0/24`);
const west = Array.from({ length: 15 }, (_, n) => `10.2.${n}.0/24`);
const WIDE = {
  east: { local: { cidrs: east }, peer: { cidrs: west }, espProposals: PFS },
  west: { local: { cidrs: west }, peer: { cidrs: east }, espProposals: PFS },
};

/** Octets of IPv4 and UDP header, and of the non-ESP marker. */
function packetLength(packet: Packet): number {
  return 20 + 8 + (packet.natTraversalPort ? 4 : 0) + packet.bytes.length;
}

function fragmentOf(packet: Packet): SkfPayload | undefined {
  const message = decodeMessage(packet.bytes);
  const last = message.ok ? message.value.payloads.at(-1) : undefined;
  return last?.kind === 'skf' ? last : undefined;
}

function asInput({ from, to, natTraversalPort, bytes }: Packet): DatagramInput {
  return { kind: 'datagram', local: to, remote: from, natTraversalPort, bytes };
}

t.test('every protected message is cut so that no packet is longer than allowed', async (t) => {
  for (const fragmentPacket of [576, 700, 1280]) {
    for (const encapsulation of ['auto', 'always'] as const) {
      const made = establishedPair({
        limits: { fragmentPacket },
        east: { ...WIDE.east, encapsulation },
        west: { ...WIDE.west, encapsulation },
      });
      made.sim.input(made.east, { kind: 'renew', connection: 'site', scope: 'children' });
      made.sim.run(made.sim.now + 1000);
      made.sim.input(made.west, { kind: 'renew', connection: 'site', scope: 'ike' });
      made.sim.run(made.sim.now + 1000);
      t.equal(faults(made), undefined);
      const { sent } = made.sim.net;
      const cut = sent.filter((packet) => fragmentOf(packet) !== undefined);
      const secured = sent.filter((packet) => !packet.name.startsWith('IKE_SA_INIT'));
      t.ok(secured.every((packet) => packetLength(packet) <= fragmentPacket));
      t.equal(cut.length > 0, fragmentPacket < 1280, `${cut.length} fragments`);
      // All but the last of a message are filled as far as the cipher's blocks let them.
      const full = cut.filter((packet) => fragmentOf(packet)!.fragment < fragmentOf(packet)!.total);
      t.ok(full.every((packet) => packetLength(packet) > fragmentPacket - 16));
    }
  }
});

t.test('a rekeyed IKE SA keeps what IKE_SA_INIT agreed on', async (t) => {
  const made = establishedPair({ limits: { fragmentPacket: 200 } });
  made.sim.input(made.east, { kind: 'renew', connection: 'site', scope: 'ike' });
  made.sim.run(made.sim.now + 1000);
  const before = made.sim.net.sent.length;
  made.sim.input(made.west, { kind: 'renew', connection: 'site', scope: 'children' });
  made.sim.run(made.sim.now + 1000);
  t.equal(faults(made), undefined);
  t.ok(made.sim.net.sent.slice(before).some((packet) => fragmentOf(packet) !== undefined));
});

t.test('a peer that does not say that it takes fragments gets none', async (t) => {
  const made = pair({ limits: { fragmentPacket: 200 } });
  // The notification's type is changed to one that nobody knows.
  const strip = (bytes: Uint8Array): Uint8Array => {
    for (let i = 28; i < bytes.length - 1; i++) {
      if (bytes[i] === 0x40 && bytes[i + 1] === 0x2e) bytes[i] = 0x5f;
    }
    return bytes;
  };
  made.sim.net.impair('IKE_SA_INIT response', { kind: 'corrupt', change: strip });
  made.sim.initiate(made.east);
  made.sim.run(20);
  const request = made.sim.net.sent.filter((packet) => packet.name === 'IKE_AUTH request');
  t.equal(request.length, 1);
  t.equal(fragmentOf(request[0]!), undefined);
});

t.test('fragments over a network that loses, doubles and reorders', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= 150; seed++) {
    const made = pair({
      seed,
      limits: { fragmentPacket: 250 },
      conditions: { latency: [5, 200], loss: 0.1, duplicate: 0.2 },
      east: { childLifetime: 20, ikeLifetime: 45 },
    });
    made.sim.net.record = false;
    made.east.reconnect = 'site';
    made.sim.initiate(made.east);
    made.sim.run(60_000);
    if (!made.sim.run(made.sim.now + 200_000, () => faults(made) === undefined)) {
      failed.push(`seed ${seed}: ${faults(made)}`);
    }
  }
  t.strictSame(failed, []);
});

t.test('a request is repeated with all its fragments, an answer once for the first of them', async (t) => {
  const made = pair({ limits: { fragmentPacket: 170 } });
  const { sim } = made;
  let dropped = false;
  sim.net.impair(
    (packet) => {
      const fragment = fragmentOf(packet);
      const first = !dropped && packet.name === 'IKE_AUTH response' && fragment?.fragment === 1;
      dropped ||= first;
      return first;
    },
    { kind: 'drop' },
  );
  sim.initiate(made.east);
  sim.run(5000);
  t.equal(faults(made), undefined);
  const numbers = (name: string): number[] =>
    sim.net.sent.filter((packet) => packet.name === name).map((packet) => fragmentOf(packet)!.fragment);
  const once = numbers('IKE_AUTH request').slice(0, numbers('IKE_AUTH request').length / 2);
  t.ok(once.length > 2);
  t.strictSame(numbers('IKE_AUTH request'), [...once, ...once]);
  const answer = numbers('IKE_AUTH response');
  t.strictSame(
    answer.slice(0, answer.length / 2),
    answer.slice(answer.length / 2),
    'twice, not once a fragment',
  );
});

t.test('a forged fragment is not stored and does not disturb', async (t) => {
  const made = pair({ limits: { fragmentPacket: 170 } });
  const { sim, east, west } = made;
  sim.net.impair('IKE_AUTH request', { kind: 'delay', by: 300 }, 99);
  sim.initiate(east);
  sim.run(50);
  const fragments = sim.net.sent.filter((packet) => packet.name === 'IKE_AUTH request');
  t.ok(fragments.length > 2);
  for (const packet of fragments) {
    const bytes = Uint8Array.from(packet.bytes);
    bytes[bytes.length - 20]! ^= 0x55;
    sim.input(west, asInput({ ...packet, bytes }));
    // More fragments in all: it would restart the collection if it were believed.
    const grown = Uint8Array.from(packet.bytes);
    grown[35]! += 1;
    sim.input(west, asInput({ ...packet, bytes: grown }));
  }
  t.equal(
    west.eventsOf('datagram-dropped').filter((event) => event.reason === 'decryption_failed').length,
    2 * fragments.length,
  );
  sim.run(400);
  t.equal(faults(made), undefined);
});

t.test('an established end that never agreed on fragments drops them', async (t) => {
  const donor: Pair = establishedPair({ limits: { fragmentPacket: 250 } });
  const made = establishedPair({ limits: { fragmentPacket: 1280 } });
  const [ike] = made.west.ikes.values();
  t.ok(ike);
  const packet = donor.sim.net.sent.find((one) => fragmentOf(one) !== undefined)!;
  made.sim.input(
    made.west,
    asInput({ ...packet, from: { address: EAST, port: 500 }, to: { address: WEST, port: 500 } }),
  );
  t.equal(faults(made), undefined);
});

t.test('the octets of a captured answer are those of the fragments, whatever their order', async (t) => {
  const fragment = (n: number, total: number, first = n === 1 ? 33 : 0): SkfPayload => ({
    kind: 'skf',
    first,
    fragment: n,
    total,
    body: new Uint8Array(0),
    offset: 36,
  });
  const text = (n: number) => new Uint8Array(10).fill(n);
  const own = Uint8Array.of(99);
  const box = new Reassembly(1000);
  t.match(box.place(3, fragment(3, 3), text(3), own), { kind: 'stored' });
  t.match(box.place(3, fragment(3, 3), text(3), own), { kind: 'refused' }, 'a duplicate');
  t.match(box.place(3, fragment(1, 3), text(1), Uint8Array.of(1)), { kind: 'stored' });
  t.equal(box.size, 20);
  const whole = box.place(3, fragment(2, 3), text(2), own);
  t.match(whole, { kind: 'complete', first: 33, firstDatagram: Uint8Array.of(1) });
  t.same(whole.kind === 'complete' && [...whole.text], [...text(1), ...text(2), ...text(3)]);
  t.equal(box.size, 0);

  t.test('a larger total starts anew, a smaller one is old (RFC 7383 §2.6)', async (t) => {
    box.place(4, fragment(1, 3), text(1), own);
    t.match(box.place(4, fragment(1, 5), text(1), own), { kind: 'stored' });
    t.equal(box.size, 10);
    t.match(box.place(4, fragment(2, 3), text(2), own), { kind: 'refused' });
  });
  t.test('another message takes the place, and the memory is bounded', async (t) => {
    t.match(box.place(5, fragment(2, 3), text(2), own), { kind: 'stored' });
    t.equal(box.size, 10);
    t.match(box.place(5, fragment(3, 3), new Uint8Array(995), own), { kind: 'refused' });
    t.equal(box.size, 0);
    t.match(box.place(6, fragment(1, 65), text(1), own), { kind: 'refused' }, 'too many');
    t.match(box.place(6, fragment(1, 2, 0), text(1), own), { kind: 'refused' }, 'no first payload');
    t.match(
      box.place(6, fragment(2, 2, 33), text(1), own),
      { kind: 'refused' },
      'a first payload in the second',
    );
  });
});
