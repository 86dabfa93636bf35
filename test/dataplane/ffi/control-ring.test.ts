import fc from 'fast-check';
import t from 'tap';
import { type Arena, At, createArena, RING_SIZE } from '../../../src/dataplane/ffi/memory/arena.js';
import { MAX_ORDER, OrderReader, OrderWriter } from '../../../src/dataplane/ffi/memory/control-ring.js';
import {
  decodeInstall,
  decodePeer,
  encodeInstall,
  encodePeer,
} from '../../../src/dataplane/ffi/memory/orders.js';
import { DEFAULT_REPLAY_WINDOW, type EspPair } from '../../../src/esp/params.js';
import { SecretKey } from '../../../src/util/secret.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

const skip = skipWithoutFfi();

function fillWith(arena: Arena, value: number, length: number): (at: number) => void {
  return (at) => {
    arena.bytes.fill(value & 0xff, at, at + length);
    arena.view.setUint32(at, value, true);
    arena.view.setUint32(at + 4, length, true);
  };
}

const ringIsZero = (arena: Arena): boolean =>
  arena.bytes.subarray(At.ring, At.ring + RING_SIZE).every((octet) => octet === 0);

t.test('orders arrive whole, once and in order, however the ring wraps', { skip }, async (t) => {
  const arena = createArena();
  fc.assert(
    fc.property(
      fc.array(fc.record({ length: fc.integer({ min: 8, max: 60000 }), drain: fc.boolean() }), {
        maxLength: 60,
      }),
      (steps) => {
        const writer = new OrderWriter(arena);
        const reader = new OrderReader(arena);
        let written = 0;
        let read = 0;
        const lengths: number[] = [];
        const take = (kind: number, at: number, length: number): void => {
          const wanted = lengths[read]!;
          const value = arena.view.getUint32(at, true);
          if (kind !== (read & 7) + 1 || value !== read || arena.view.getUint32(at + 4, true) !== wanted) {
            throw new Error(`order ${read}: kind ${kind}, value ${value}`);
          }
          if (length < wanted || length > wanted + 7) throw new Error(`order ${read}: length ${length}`);
          for (let i = 8; i < wanted; i++) {
            if (arena.bytes[at + i] !== (read & 0xff)) throw new Error(`order ${read}: octet ${i}`);
          }
          read++;
        };
        for (const { length, drain } of steps) {
          while (!writer.write((written & 7) + 1, length, fillWith(arena, written, length))) {
            // A full ring says so: the reader must report room.
            if (!reader.drain(take)) throw new Error('the writer waits and the reader does not know');
          }
          lengths.push(length);
          written++;
          if (drain && reader.drain(take)) throw new Error('nobody waits');
        }
        reader.drain(take);
        return read === written && ringIsZero(arena);
      },
    ),
    { numRuns: 150 },
  );
  t.pass('no order was lost, doubled or damaged');
});

t.test('limits', { skip }, async (t) => {
  const arena = createArena();
  const writer = new OrderWriter(arena);
  const reader = new OrderReader(arena);
  t.throws(() => writer.write(1, MAX_ORDER + 1, () => {}), RangeError);
  // The longest order finds room at every position of an empty ring.
  for (let i = 0; i < 20; i++) {
    t.ok(writer.write(1, MAX_ORDER - i * 8, () => {}));
    reader.drain(() => {});
    t.ok(writer.write(2, 8 + i, () => {}));
    reader.drain(() => {});
  }
  t.ok(writer.write(1, 16, () => {}));
  t.throws(() =>
    reader.drain(() => {
      throw new Error('bad order');
    }),
  );
  t.ok(ringIsZero(arena), 'an order that breaks the reader leaves nothing behind either');
  t.notOk(reader.stopped);
  writer.stop();
  t.ok(reader.stopped);
  let admitted = 0;
  while (reader.admitIke()) admitted++;
  t.equal(admitted, 256);
  writer.ikeHandled();
  t.ok(reader.admitIke());
  t.notOk(reader.admitIke());
});

const key = (length: number, value: number): SecretKey => new SecretKey(new Uint8Array(length).fill(value));

t.test('installations keep everything, and their keys are zeroed on the way', { skip }, async (t) => {
  const arena = createArena();
  const selector = {
    tsType: 8,
    protocol: 6,
    startPort: 80,
    endPort: 443,
    startAddress: new Uint8Array(16).fill(1),
    endAddress: new Uint8Array(16).fill(0xff),
  };
  const pair: EspPair = {
    id: 7,
    spiIn: 0xfffffffe,
    spiOut: 0x80000001,
    suite: { encryption: { id: 12, keyBits: 256 }, integrity: 12, dh: 14, esn: false },
    keysIn: { encryption: key(32, 0xa1), integrity: key(32, 0xa2) },
    keysOut: { encryption: key(32, 0xa3), integrity: key(32, 0xa4) },
    localTs: [selector],
    peerTs: [
      selector,
      {
        ...selector,
        tsType: 7,
        startAddress: Uint8Array.of(1, 2, 3, 4),
        endAddress: Uint8Array.of(1, 2, 3, 4),
      },
    ],
    encapsulation: 'udp',
    local: { address: '192.0.2.1', port: 4500 },
    peer: { address: '192.0.2.2', port: 4501 },
    outbound: true,
    device: 3,
  };
  const writer = new OrderWriter(arena);
  const reader = new OrderReader(arena);
  const order = encodeInstall(pair, 9, { pathMtu: 1400, mssCeiling: 1360 });
  t.ok(writer.write(1, order.length, (at) => order.write(arena, at)));
  for (const keys of [pair.keysIn, pair.keysOut]) t.ok(keys.encryption.wiped && keys.integrity!.wiped);
  t.notOk(ringIsZero(arena));
  reader.drain((_kind, at) => {
    const { keysIn, keysOut, ...rest } = decodeInstall(arena, at);
    t.same(rest, {
      encapsulation: 'udp',
      pathMtu: 1400,
      mssCeiling: 1360,
      block: 9,
      device: 3,
      id: 7,
      spiIn: 0xfffffffe,
      spiOut: 0x80000001,
      suite: pair.suite,
      localTs: pair.localTs,
      peerTs: pair.peerTs,
      peer: pair.peer,
      outbound: true,
      replayWindow: DEFAULT_REPLAY_WINDOW,
      start: { next: 1, limit: 0xffffffff, highest: 0 },
    });
    const values = [keysIn.encryption, keysIn.integrity!, keysOut.encryption, keysOut.integrity!];
    t.same(
      values.map((value) => [value.length, new Set(value.expose())]),
      [0xa1, 0xa2, 0xa3, 0xa4].map((v) => [32, new Set([v])]),
    );
    const left = arena.bytes.subarray(At.ring, At.ring + RING_SIZE);
    t.notOk(
      left.some((octet) => octet >= 0xa1 && octet <= 0xa4),
      'gone from the ring while the order is read',
    );
  });
  t.ok(ringIsZero(arena));

  const peer = encodePeer(7, { address: '2001:db8::1', port: 65535 });
  writer.write(4, peer.length, (at) => peer.write(arena, at));
  reader.drain((kind, at) => {
    t.equal(kind, 4);
    t.same(decodePeer(arena, at), { id: 7, peer: { address: '2001:db8::1', port: 65535 } });
  });
});
