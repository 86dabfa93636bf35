import fc from 'fast-check';
import t from 'tap';
import {
  checksumOf,
  foldSum,
  swapHalves,
  udpChecksumOf,
  updateChecksum,
} from '../../../src/esp/offload/ones-complement.js';
import { createPacketMemory, type LinearMemory } from '../../../src/esp/offload/packet-memory.js';
import { simdModule } from '../../../src/esp/offload/simd-module.js';
import { signed, unsigned } from '../../../src/esp/offload/wasm-assembler.js';
import { naiveSum, newMemory, seededOctets } from './packets.js';

const pages = 4;
const content = seededOctets(pages * 65536, 0x1234567);

function filled(memory: LinearMemory): LinearMemory {
  new Uint8Array(memory.buffer).set(content.subarray(0, memory.buffer.byteLength));
  return memory;
}

const implementations = [
  ['SIMD over shared memory', createPacketMemory(filled(newMemory(pages, true))), true],
  ['SIMD over private memory', createPacketMemory(filled(newMemory(pages, false))), true],
  ['plain by choice', createPacketMemory(filled(newMemory(pages, true)), { simd: false }), false],
  ['plain over an ArrayBuffer', createPacketMemory(filled({ buffer: new ArrayBuffer(262144) })), false],
] as const;

t.test('the engine of this machine has SIMD', async (t) => {
  for (const [name, memory, simd] of implementations) t.equal(memory.simd, simd, name);
});

for (const [name, memory] of implementations) {
  t.test(`sum: ${name}`, async (t) => {
    let wrong = '';
    for (let at = 0; at < 20; at++) {
      for (let length = 0; length < 200; length++) {
        const got = memory.sum(at, length);
        // Zero has two forms; a sum of octets that are not all zero folds to the other one, never to 0.
        if (got !== naiveSum(content, at, length)) wrong ||= `${length} octets at ${at}: ${got}`;
      }
    }
    t.equal(wrong, '', 'every alignment and length, odd ends too');
    fc.assert(
      fc.property(fc.nat(65535), fc.nat(131070), (at, length) => {
        return memory.sum(at, length) === naiveSum(content, at, length);
      }),
      { numRuns: 200 },
    );
    t.pass('lengths up to 131,070');
  });

  t.test(`the largest sums do not overflow: ${name}`, async (t) => {
    const before = memory.bytes.slice(0, 140000);
    memory.bytes.fill(0xff, 0, 140000);
    for (const length of [2, 63, 64, 65535, 131069, 131070]) {
      t.equal(memory.sum(1, length), naiveSum(memory.bytes, 1, length), `${length} octets of ones`);
    }
    memory.bytes.fill(0, 0, 140000);
    t.equal(memory.sum(3, 65535), 0, 'zeros sum to zero');
    memory.bytes.set(before, 0);
  });

  t.test(`reads nothing beyond its octets: ${name}`, async (t) => {
    const last = memory.bytes.length;
    for (let length = 0; length < 70; length++) {
      const at = last - length;
      if (memory.sum(at, length) !== naiveSum(content, at, length)) t.fail(`${length} octets at the end`);
    }
    t.pass('the last octets of the memory can be summed');
  });

  t.test(`copy: ${name}`, async (t) => {
    const expected = Uint8Array.from(content);
    const runs = [
      [1000, 2001, 1440],
      [100, 90, 64],
      [90, 100, 64],
      [7, 7, 100],
      [5, 6, 0],
    ] as const;
    for (const [to, from, length] of runs) {
      memory.copy(to, from, length);
      expected.copyWithin(to, from, from + length);
    }
    t.ok(Buffer.compare(memory.bytes, expected) === 0, 'also where the runs overlap');
    memory.bytes.set(content);
  });
}

t.test('the module asks for the kind of memory that it was made for', async (t) => {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: WasmTypes }).WebAssembly;
  const make = (shared: boolean, memory: LinearMemory): object =>
    new Instance(new Module(simdModule(shared)), { env: { memory } });
  t.ok(make(true, newMemory(1, true)));
  t.ok(make(false, newMemory(1, false)));
  t.throws(() => make(true, newMemory(1, false)), { name: 'LinkError' });
  t.throws(() => make(false, newMemory(1, true)), { name: 'LinkError' });
});

interface WasmTypes {
  readonly Module: new (octets: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => object;
}

t.test('LEB128', async (t) => {
  t.same(unsigned(0), [0]);
  t.same(unsigned(127), [127]);
  t.same(unsigned(128), [0x80, 1]);
  t.same(unsigned(624485), [0xe5, 0x8e, 0x26]);
  t.same(unsigned(0xffffffff), [0xff, 0xff, 0xff, 0xff, 0x0f]);
  t.same(signed(0), [0]);
  t.same(signed(63), [63]);
  t.same(signed(64), [0xc0, 0]);
  t.same(signed(-64), [0x40]);
  t.same(signed(-123456), [0xc0, 0xbb, 0x78]);
  t.same(signed(0x7fffffff), [0xff, 0xff, 0xff, 0xff, 0x07]);
});

t.test('folding and complementing', async (t) => {
  t.equal(foldSum(0x1fffe), 0xffff);
  t.equal(foldSum(0x7fffffff), 0x7fff);
  t.equal(checksumOf(0x2ddf0), 0x220d, 'the example of RFC 1071 §3');
  t.equal(checksumOf(0xffff), 0);
  t.equal(udpChecksumOf(0xffff), 0xffff, 'zero would say that there is no checksum');
  t.equal(udpChecksumOf(0), 0xffff);
  t.equal(swapHalves(0x1234), 0x3412);
});

t.test('incremental update', async (t) => {
  // RFC 1624 §4.
  t.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 4, maxLength: 60 }),
      fc.nat(1000),
      fc.nat(0xffff),
      (octets, place, value) => {
        const at = place % (octets.length - 1);
        const before = checksumOf(naiveSum(octets, 0, octets.length));
        const old = (octets[at]! << 8) | octets[at + 1]!;
        octets[at] = value >>> 8;
        octets[at + 1] = value;
        const after = checksumOf(naiveSum(octets, 0, octets.length));
        const updated =
          at % 2 === 0
            ? updateChecksum(before, old, value)
            : updateChecksum(before, swapHalves(old), swapHalves(value));
        // All octets zero is the one case in which full and incremental sums have different zeros.
        return updated === after || (octets.every((octet) => octet === 0) && updated === 0);
      },
    ),
  );
});
