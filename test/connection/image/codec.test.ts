import fc from 'fast-check';
import t from 'tap';
import type { ImageChange } from '../../../src/connection/image/changes.js';
import { decodeUpdate, encodeUpdate } from '../../../src/connection/image/codec.js';
import { GatewayImage } from '../../../src/connection/image/gateway-image.js';
import { sameRecords } from '../../../src/connection/image/same-record.js';
import { WriteAhead } from '../../../src/connection/image/write-ahead.js';
import { toHex } from '../../../src/util/bytes.js';
import { secretsIn } from '../../../src/util/secret.js';
import { pair, type SimNode } from '../../helpers/engine-pair.js';
import { v1 } from '../../helpers/v1-pair.js';

/** All updates of a life in which everything is rekeyed. */
function updatesOf(version: 1 | 2): Uint8Array[] {
  const patch = version === 1 ? v1() : {};
  const { sim, east, west } = pair({ east: patch, west: patch });
  const updates: Uint8Array[] = [];
  east.engine = sim.makeEngine(east.config, 1);
  const ahead = new WriteAhead((id) => east.engine.exportConnection(id));
  ahead.begin();
  east.ahead = (outputs) => {
    const { update, ready } = ahead.step(outputs, east.engine.takeTouched());
    if (update === undefined) return ready;
    updates.push(encodeUpdate(update));
    return ahead.acknowledged(update.n).ready;
  };
  sim.initiate(east);
  sim.run(sim.now + 5000);
  for (const node of [east, west] as SimNode[]) {
    sim.input(node, { kind: 'renew', connection: 'site', scope: 'connection' });
    sim.run(sim.now + 5000);
  }
  return updates;
}

for (const version of [1, 2] as const) {
  t.test(`version ${version}: an image that came as octets is the same`, async (t) => {
    const [straight, read] = [new GatewayImage(), new GatewayImage()];
    const updates = updatesOf(version);
    t.ok(updates.length > 5);
    for (const bytes of updates) {
      const [one, other] = [decodeUpdate(bytes), decodeUpdate(bytes)];
      if (!one.ok || !other.ok) throw new Error('not read');
      const keys = secretsIn(one.value).map((key) => toHex(key.expose()));
      const json = Buffer.from(bytes.subarray(4)).toString('latin1');
      t.notOk(
        keys.some((key) => json.includes(key)),
        'no key in the text',
      );
      t.equal(toHex(encodeUpdate(one.value)), toHex(bytes));
      straight.apply(one.value.changes);
      read.apply(other.value.changes);
    }
    const [a, b] = [straight.takeOver(500), read.takeOver(500)];
    t.ok(a.records.length > 0 && a.children.length > 0);
    t.ok(sameRecords(a, b));
  });
}

t.test('anything else is refused, and leaves no keys behind', async (t) => {
  const [update] = updatesOf(2);
  const refused = (bytes: Uint8Array): string => {
    const read = decodeUpdate(bytes);
    return read.ok ? 'read' : read.error;
  };
  t.match(refused(new Uint8Array(3)), /cut off/);
  t.match(refused(update!.subarray(0, 20)), /cut off/);
  t.match(refused(new Uint8Array(4 * 2 ** 20 + 1)), /at most/);
  const text = (json: string): Uint8Array => {
    const bytes = Buffer.from(`0000${json}`);
    bytes.writeUInt32BE(bytes.length - 4);
    return bytes;
  };
  t.match(refused(text('{"n":1')), /cannot be read/);
  t.match(refused(text('null')), /without a number/);
  t.match(refused(text('{"n":0,"changes":[]}')), /without a number/);
  t.match(refused(text('{"n":1}')), /without changes/);
  t.match(refused(text('{"n":1,"changes":[{"kind":"other"}]}')), /unknown kind/);
  t.match(refused(text('{"n":1,"changes":[null]}')), /unknown kind/);
  t.match(refused(text('{"n":1,"changes":[{"kind":"child","child":{"$":32}}]}')), /keys are missing/);
  fc.assert(
    fc.property(fc.nat({ max: update!.length - 1 }), fc.nat({ max: 255 }), (at, octet) => {
      const changed = Uint8Array.from(update!);
      changed[at] = octet;
      decodeUpdate(changed);
    }),
    { numRuns: 500 },
  );
});

t.test('an update of one kind of each', async (t) => {
  const changes: ImageChange[] = [
    { kind: 'active', id: 1 },
    { kind: 'child-gone', id: 2 },
    { kind: 'moved', id: 3, peer: { address: '192.0.2.1', port: 4500 } },
    { kind: 'expected', spi: 0x80000001 },
    { kind: 'not-expected', spi: 256 },
    { kind: 'reserved', reservations: [{ id: 4, limit: 0xffffffff }] },
    { kind: 'marks', marks: [{ id: 5, highest: 7, at: 1234.5 }] },
    { kind: 'connection', connection: 'site', records: [] },
  ];
  const read = decodeUpdate(encodeUpdate({ n: 3, changes }));
  t.same(read.ok && read.value, { n: 3, changes });
});
