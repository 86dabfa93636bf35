import t from 'tap';
import type { WireError } from '../../src/wire/error.js';
import { Reader, WireFault } from '../../src/wire/reader.js';
import { Writer } from '../../src/wire/writer.js';

function faultOf(run: () => unknown): WireError {
  try {
    run();
  } catch (fault) {
    if (fault instanceof WireFault) return fault.error;
    throw fault;
  }
  throw new Error('no fault');
}

t.test('fields are read big-endian and unsigned', async (t) => {
  const reader = new Reader(Uint8Array.from([1, 0xff, 0xfe, 1, 2, 3, 0xff, 0xff, 0xff, 0xfc, 9, 8]), 'test');
  t.equal(reader.u8('a'), 1);
  t.equal(reader.u16('b'), 0xfffe);
  t.equal(reader.u24('c'), 0x010203);
  t.equal(reader.u32('d'), 0xfffffffc);
  t.same([...reader.take(1, 'e')], [9]);
  t.equal(reader.left, 1);
  t.same([...reader.rest()], [8]);
  t.equal(reader.left, 0);
  reader.done();
});

t.test('no read goes beyond the end of a part, though the datagram goes on', async (t) => {
  const whole = new Reader(new Uint8Array(16), 'datagram', 100);
  for (const read of ['u8', 'u16', 'u24', 'u32'] as const) {
    const size = { u8: 1, u16: 2, u24: 3, u32: 4 }[read];
    whole.at = 2;
    const part = whole.sub(size - 1, 'part');
    const error = faultOf(() => part[read]('field'));
    t.same(error, {
      code: 'truncated',
      offset: 102,
      context: 'part',
      message: `field needs ${size} octets, ${size - 1} are left`,
    });
    t.equal(part.left, size - 1, 'a failed read consumes nothing');
  }
  whole.at = 10;
  t.equal(faultOf(() => whole.take(7, 'x')).code, 'truncated');
  t.equal(faultOf(() => whole.skip(7, 'x')).code, 'truncated');
  t.equal(faultOf(() => whole.sub(7, 'x')).code, 'truncated');
  t.equal(whole.take(6, 'x').length, 6);
});

t.test('errors name the path, the offset in the datagram and the payload type', async (t) => {
  const whole = new Reader(new Uint8Array(20), 'datagram', 40);
  whole.skip(4, 'header');
  const proposal = whole.sub(12, 'SA payload').sub(10, 'proposal', 2);
  const transform = proposal.sub(6, 'transform', 1);
  transform.u16('type');
  t.equal(transform.context, 'SA payload > proposal 2 > transform 1');
  t.same(
    faultOf(() => transform.fail('bad_value', 'no')),
    {
      code: 'bad_value',
      offset: 46,
      context: 'SA payload > proposal 2 > transform 1',
      message: 'no',
    },
  );
  t.equal(faultOf(() => transform.fail('unsupported_critical_payload', 'no', 44, 99)).payloadType, 99);
  t.match(
    faultOf(() => transform.done()),
    { code: 'trailing_octets', offset: 46 },
  );
  t.equal(whole.context, 'datagram');
});

t.test('the writer grows, keeps what it has and checks ranges', async (t) => {
  const writer = new Writer(1);
  writer.u8(1);
  writer.u16(0x0203);
  writer.u24(0x040506);
  writer.u32(0xfffefdfc);
  writer.bytes(new Uint8Array(1000).fill(7));
  writer.setU8(0, 9);
  writer.setU16(1, 0x0a0b);
  writer.setU32(6, 0x01020304);
  t.equal(writer.length, 1010);
  const bytes = writer.finish();
  t.equal(bytes.length, 1010);
  t.same([...bytes.subarray(0, 12)], [9, 10, 11, 4, 5, 6, 1, 2, 3, 4, 7, 7]);
  for (const [write, value] of [
    ['u8', 256],
    ['u8', -1],
    ['u16', 0x10000],
    ['u24', 0x1000000],
    ['u32', 0x100000000],
    ['u32', 1.5],
    ['u16', Number.NaN],
  ] as const) {
    t.throws(() => new Writer()[write](value), RangeError, `${write} ${value}`);
  }
});
