import t from 'tap';
import type { EspProposalSpec } from '../../src/ike/config.js';
import { isReached, volumeLimit } from '../../src/ike/sa/volume.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { establishedPair, faults, type Pair } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';

const LONG = { childLifetime: 80_000, ikeLifetime: 80_000 };
const TRIPLE_DES: readonly EspProposalSpec[] = [
  { encryption: [{ id: Encr.TRIPLE_DES, keyBits: 0 }], integrity: [Integ.HMAC_SHA1_96], dh: [] },
];

/** Tells east what has passed on its only child SA. */
function passed(made: Pair, bytes: number, packets: number): void {
  const [childId] = made.east.children.keys();
  made.sim.input(made.east, { kind: 'traffic-volume', childId: childId!, bytes, packets });
}

t.test('the bounds follow the cipher, and chance spreads them', async (t) => {
  const random = new SeededRandom(5);
  const suite = (id: number, keyBits: number) => ({
    encryption: { id, keyBits },
    integrity: 12,
    dh: 0,
    esn: false,
  });
  const des = volumeLimit(random, suite(Encr.TRIPLE_DES, 0));
  t.equal(des.expiresAt.bytes, 2 ** 29, '2^32 bits of 64-bit blocks');
  const aes = volumeLimit(random, suite(Encr.AES_CBC, 256));
  t.equal(aes.expiresAt.packets, 2 ** 32 - 2 ** 20, 'sequence numbers never wrap');
  t.ok(aes.expiresAt.bytes > des.expiresAt.bytes);
  const parts = Array.from({ length: 200 }, () => {
    const { rekeyAt, expiresAt } = volumeLimit(random, suite(Encr.AES_CBC, 128));
    return rekeyAt.packets / expiresAt.packets;
  });
  t.ok(parts.every((part) => part >= 0.8 - 1e-6 && part <= 0.9));
  t.ok(Math.max(...parts) - Math.min(...parts) > 0.08);
  t.ok(isReached({ bytes: 10, packets: 10 }, { bytes: 1, packets: 10 }));
  t.notOk(isReached({ bytes: 10, packets: 10 }, { bytes: 9, packets: 9 }));
});

t.test('a child SA is rekeyed by packets and by octets, make before break', async (t) => {
  for (const [bytes, packets, proposals] of [
    [2 ** 20, Math.floor(0.91 * (2 ** 32 - 2 ** 20)), undefined],
    [Math.floor(0.91 * 2 ** 29), 1000, TRIPLE_DES],
  ] as const) {
    const patch = { ...LONG, ...(proposals === undefined ? {} : { espProposals: proposals }) };
    const made = establishedPair({ east: patch, west: patch });
    const [before] = made.east.children.keys();
    passed(made, Math.floor(bytes / 2), Math.floor(packets / 2));
    made.sim.run(made.sim.now + 5000);
    t.strictSame([...made.east.children.keys()], [before], 'half of it changes nothing');
    passed(made, bytes, packets);
    passed(made, bytes, packets);
    made.sim.run(made.sim.now + 5000);
    t.equal(faults(made), undefined);
    t.not([...made.east.children.keys()][0], before);
    t.equal(made.east.eventsOf('child-established').length, 2, 'once');
    t.match(made.east.eventsOf('child-closed'), [{ reason: 'rekeyed' }]);
  }
});

t.test('what must not be used any more ends, rekeyed or not', async (t) => {
  const made = establishedPair({ east: LONG, west: LONG });
  made.sim.net.impair('CREATE_CHILD_SA request', { kind: 'drop' }, 999);
  passed(made, 0, Math.floor(0.95 * 2 ** 32));
  made.sim.run(made.sim.now + 2000);
  t.equal(made.east.children.size, 1);
  passed(made, 0, 2 ** 32 - 2 ** 20);
  t.equal(made.east.children.size, 0);
  t.match(made.east.eventsOf('child-closed'), [{ reason: 'expired' }]);
  const other = establishedPair();
  passed(other, 1, 1);
  t.same(
    other.sim.input(other.east, { kind: 'traffic-volume', childId: 999_999, bytes: 1, packets: 2 ** 33 }),
    [],
    'a child SA that is gone',
  );
});

t.test('peer_only never rekeys: the peer does, or the SAs expire', async (t) => {
  const short = { childLifetime: 60, ikeLifetime: 150 } as const;
  const alone = establishedPair({ west: { ...short, establishMode: 'peer_only' }, east: LONG });
  alone.sim.net.record = true;
  alone.sim.run(alone.sim.now + 59_000);
  passed(alone, 0, 10);
  const [childId] = alone.west.children.keys();
  alone.sim.input(alone.west, {
    kind: 'traffic-volume',
    childId: childId!,
    bytes: 0,
    packets: 0.95 * 2 ** 32,
  });
  alone.sim.run(alone.sim.now + 100);
  t.equal(alone.west.eventsOf('child-established').length, 1, 'neither time nor volume makes it ask');
  alone.sim.run(alone.sim.now + 3000);
  t.match(alone.west.eventsOf('child-closed'), [{ reason: 'expired' }]);
  t.match(alone.east.eventsOf('child-closed'), [{ reason: 'peer-deleted' }], 'the peer is told');
  alone.sim.run(200_000);
  t.match(alone.west.eventsOf('ike-closed'), [{ reason: 'expired' }]);
  const requests = alone.west
    .eventsOf('message')
    .filter((event) => event.direction === 'out' && /CREATE_CHILD_SA request/.test(event.summary));
  t.strictSame(requests, []);

  const served = establishedPair({ west: { ...short, establishMode: 'peer_only' }, east: short });
  served.sim.run(served.sim.now + 400_000);
  t.equal(faults(served), undefined, 'a bidirectional peer keeps it alive');
});

t.test('a refused rekey is asked for several times before the lifetime is over', async (t) => {
  const pfs = [{ ...TRIPLE_DES[0]!, dh: [14] }];
  for (const childLifetime of [300, 3600]) {
    const made = establishedPair({
      east: { childLifetime, espProposals: pfs },
      west: { ...LONG, espProposals: TRIPLE_DES },
    });
    made.sim.run(made.sim.now + childLifetime * 1000 + 2000);
    const tries = made.east.eventsOf('child-failed').length;
    t.ok(tries >= 3 && tries < 30, `${tries} tries within ${childLifetime} s`);
    t.match(made.east.eventsOf('child-closed'), [{ reason: 'replaced' }], 'by one of a new IKE SA');
  }
});

t.test('message ids: an IKE SA with many messages behind it is rekeyed before they run out', async (t) => {
  const limits = { messagesPerIkeSa: 40 };
  const probing = { ikeLifetime: 80_000, dpd: { action: 'restart', interval: 1, timeout: 10 } } as const;
  for (const passive of ['east', 'west'] as const) {
    // Either end may be the one that may not rekey: the other one counts what it gets as well.
    const modes = { east: {}, west: {}, [passive]: { establishMode: 'peer_only' } as const };
    const made = establishedPair({
      limits,
      east: { ...probing, ...modes.east },
      west: { ...probing, ...modes.west },
    });
    const { sim, east, west } = made;
    sim.run(sim.now + 400_000);
    t.equal(faults(made), undefined);
    for (const node of [east, west]) {
      t.ok(node.eventsOf('ike-established').length > 3, `${node.name} has had several`);
      const reasons = new Set(node.eventsOf('ike-closed').map(({ reason }) => reason));
      t.strictSame([...reasons], ['rekeyed']);
      t.equal(node.eventsOf('child-established').length, 1, 'the child SA went on from one to the next');
    }
    const highest = Math.max(
      ...sim.net.sent.map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(20)),
    );
    t.ok(highest < limits.messagesPerIkeSa + 5, `no message id beyond ${highest}`);
  }
});
