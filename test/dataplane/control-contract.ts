import t, { type Test } from 'tap';
import { noTraffic } from '../../src/connection/traffic-totals.js';
import type { DataPlane } from '../../src/dataplane/dataplane.js';
import type { EspPair } from '../../src/esp/params.js';
import { FRESH_START, LAST_SEQUENCE } from '../../src/esp/start.js';
import type { Endpoint } from '../../src/util/ip.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { findSuite } from '../helpers/esp.js';
import { pairEnds } from '../helpers/portable-plane.js';

/** A data plane as the daemon drives it. It has no raw socket. */
export interface ControlSubject {
  readonly plane: DataPlane;
  /** Its socket, and a peer that can be reached from there. */
  readonly local: Endpoint;
  readonly peer: Endpoint;
  /** Names of the further devices that are open now. */
  devices(): string[];
}

const GCM = findSuite(Encr.AES_GCM_16, 128);
const CBC = findSuite(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128);
const OTHER_FAMILY: Endpoint = { address: '2001:db8::1', port: 4500 };

/** Another thread has its own time. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** What every data plane does with the calls of the daemon, whatever moves its packets. */
export function controlContract(
  name: string,
  options: { readonly skip?: string | false },
  make: () => Promise<ControlSubject>,
): void {
  const { skip = false } = options;
  const test = (title: string, body: (t: Test, subject: ControlSubject) => Promise<void>) =>
    t.test(`${name}: ${title}`, { skip }, async (t) => {
      const subject = await make();
      try {
        await body(t, subject);
      } finally {
        await subject.plane.close();
      }
    });
  const pairOf = ({ local, peer }: ControlSubject, generation = 1): EspPair =>
    pairEnds(GCM, { generation, a: peer, b: local }).b;

  test('every thread answers', async (t, { plane }) => {
    await until(() => plane.pulse().every((pulse) => pulse === 'answers'));
    t.ok(plane.pulse().every((pulse) => pulse !== 'starting'));
  });

  test('a pair that cannot be is refused, and its keys are wiped', async (t, subject) => {
    const { plane, peer } = subject;
    const first = pairOf(subject);
    plane.install(first);
    t.ok(first.keysIn.encryption.wiped && first.keysOut.encryption.wiped, 'those of the one installed, too');
    const refused = (change: Partial<EspPair>, message: RegExp) => {
      const pair = { ...pairOf(subject, 5), ...change };
      t.throws(() => plane.install(pair), { name: 'RangeError', message }, String(message));
      t.ok(pair.keysIn.encryption.wiped && pair.keysOut.encryption.wiped);
    };
    refused({ id: 1 }, /child SA 1 is installed already/);
    refused({ spiIn: 0xb000_0001 }, /inbound SPI 2952790017 is in use/);
    refused({ encapsulation: 'esp' }, /no raw socket.*CAP_NET_RAW.*"encapsulation: always"/);
    for (const id of [-4, 1.5, 2 ** 31]) refused({ id }, /whole numbers from 0 to 2147483647/);
    refused({ device: 7 }, /there is no device 7/);
    refused(
      { suite: CBC },
      /keys do not fit the suite: ESP encryption key of 20 octets: this suite takes 32/,
    );
    refused({ suite: { ...GCM, esn: true } }, /extended sequence/);
    refused({ replayWindow: 1 }, /from 32 to 65536/);
    refused({ replayWindow: 64.5 }, /from 32 to 65536/);
    refused({ start: { ...FRESH_START, next: 0 } }, /next outbound sequence number 0: it is 1 to 4294967296/);
    refused({ start: { ...FRESH_START, limit: -1 } }, /limit -1 of outbound sequence numbers: use a whole/);
    refused({ start: { ...FRESH_START, highest: 2 ** 32 } }, /highest inbound sequence number 4294967296/);
    refused({ peer: OTHER_FAMILY }, /"2001:db8::1" cannot be reached from/);
    refused({ peer: { ...peer, address: 'gateway.example' } }, /"gateway.example" cannot be reached/);
    t.same(
      plane.counters().map(({ id }) => id),
      [1],
    );
    t.throws(() => plane.updatePeer(1, OTHER_FAMILY), { name: 'RangeError', message: /cannot be reached/ });
    t.same(plane.countersOf(1), plane.counters()[0], 'one by its id');
    t.equal(plane.countersOf(77), undefined);
    plane.install(pairOf(subject, 5));
    const added: number[] = [];
    plane.addCounters((id) => {
      added.push(id);
      return noTraffic();
    });
    t.same(
      added,
      plane.counters().map(({ id }) => id),
      'each is added once',
    );
    t.same(plane.counters(), [plane.countersOf(1), plane.countersOf(5)], 'one by one, or all of them');
    t.equal(
      plane.workers().reduce((sum, { children }) => sum + children, 0),
      2,
    );
  });

  test('a term that is over is refused, and so are counters out of range', async (t, subject) => {
    const { plane } = subject;
    plane.enterTerm(3);
    plane.enterTerm(3);
    for (const [term, message] of [
      [2, /term 2 is over: keys were used in term 3 already/],
      [0, /term 0 is over/],
      [-1, /term -1: use a whole number from 0 to 4294967295/],
      [2 ** 32, /term 4294967296/],
      [3.5, /term 3.5/],
    ] as const)
      t.throws(() => plane.enterTerm(term), { name: 'RangeError', message });
    plane.enterTerm(0xffffffff);
    plane.install(pairOf(subject));
    const start = { next: 11, limit: 20, highest: 30 };
    plane.resume(1, start);
    await until(() => plane.countersOf(1)!.reservedOut === 20);
    t.match(plane.countersOf(1), { sequenceOut: 10, reservedOut: 20 });
    plane.skipOutbound(1, 5);
    plane.reserve(1, 40);
    await until(() => plane.countersOf(1)!.reservedOut === 40);
    t.match(plane.countersOf(1), { sequenceOut: 15, reservedOut: 40 });
    for (const wrong of [-1, 1.5, LAST_SEQUENCE + 1]) {
      t.throws(() => plane.reserve(1, wrong), { name: 'RangeError', message: /child SA 1: limit/ });
      t.throws(() => plane.skipOutbound(1, wrong), { name: 'RangeError', message: /to leave out/ });
      t.throws(() => plane.resume(1, { ...start, highest: wrong }), { name: 'RangeError' });
    }
    plane.reserve(77, 1);
    plane.resume(77, start);
    plane.skipOutbound(77, 1);
  });

  test('what is not there is no error', async (t, subject) => {
    const { plane, peer, local } = subject;
    plane.activateOutbound(77);
    plane.retire(77);
    plane.remove(77);
    plane.updatePeer(77, peer);
    plane.updatePeer(77, OTHER_FAMILY);
    plane.removeDevice(3);
    plane.removeDevice(0);
    plane.forget(0x1234_5678);
    plane.expect(0x1234_5678);
    plane.expect(0x1234_5678);
    for (const length of [0, 1, 7, 8, 9, 3000])
      plane.espDatagram(local, peer, new Uint8Array(length).fill(0xee));
    plane.espDatagram(local, { address: 'nobody', port: 1 }, new Uint8Array(100).fill(0xee));
    plane.install(pairOf(subject));
    plane.expect(0xb000_0001);
    plane.forget(0xb000_0001);
    plane.remove(1);
    plane.remove(1);
    t.same(plane.counters(), []);
    t.equal(plane.countersOf(1), undefined);
    plane.install(pairOf(subject));
    t.equal(plane.counters().length, 1, 'id and SPI are free again');
  });

  test('further devices have the lowest numbers that are free', async (t, subject) => {
    const { plane } = subject;
    t.equal(plane.addDevice('vpn-a'), 1);
    t.equal(plane.addDevice('vpn-b'), 2);
    t.throws(() => plane.addDevice('vpn-c', 5), /no packet worker 5/);
    t.same(subject.devices(), ['vpn-a', 'vpn-b']);
    plane.install({ ...pairOf(subject), device: 2 });
    plane.remove(1);
    plane.removeDevice(2);
    plane.removeDevice(2);
    t.throws(() => plane.install({ ...pairOf(subject), device: 2 }), /there is no device 2/);
    await until(() => subject.devices().length === 1);
    t.same(subject.devices(), ['vpn-a']);
    t.equal(plane.addDevice('vpn-d'), 2);
    t.throws(() => plane.addDevice('refused'), /may not be opened/);
    t.equal(plane.addDevice('vpn-e'), 3, 'one that could not be opened has no number');
    await plane.close();
    t.same(subject.devices(), [], 'closing the data plane closes what is left');
  });

  test('after the end nothing is taken any more', async (t, subject) => {
    const { plane, local, peer } = subject;
    plane.install(pairOf(subject));
    const closing = plane.close();
    await plane.close();
    await closing;
    const pair = pairOf(subject, 2);
    t.throws(() => plane.install(pair), /the data plane is closed/);
    t.ok(pair.keysIn.encryption.wiped && pair.keysOut.encryption.wiped);
    plane.activateOutbound(1);
    plane.remove(1);
    plane.espDatagram(local, peer, new Uint8Array(100).fill(0xee));
    t.pass('late calls do no harm');
  });

  test('one tap at a time copies packets, also those of another thread', async (t, subject) => {
    const { plane, local, peer } = subject;
    const options = { snap: 65_535, inner: true, dropped: true, now: () => 5000 };
    const tap = plane.tap(options);
    t.throws(() => plane.tap(options), { name: 'RangeError', message: /captured already/ });
    const pair = pairOf(subject);
    tap.watch(pair.id);
    plane.install(pair);
    const forged = new Uint8Array(100);
    new DataView(forged.buffer).setUint32(0, pair.spiIn);
    forged[7] = 1;
    plane.espDatagram(local, peer, forged);
    let copies = tap.take(1000);
    await until(() => {
      if (copies.length === 0) copies = tap.take(1000);
      return copies.length > 0;
    });
    t.match(copies, [
      { ...{ layer: 'outer', direction: 'in', childId: pair.id, drop: 'auth_failed' }, remote: peer },
    ]);
    t.ok(Math.abs(copies[0]!.at - 5000) < 60_000, 'on the clock that it was given');
    t.equal(tap.lost, 0);
    tap.close();
    plane.tap(options).close();
    t.same(tap.take(1000), [], 'one that is closed gives nothing');
  });
}
