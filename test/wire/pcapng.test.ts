import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { concat } from '../../src/util/bytes.js';
import {
  type CapturedPacket,
  pcapngHeader,
  pcapngPacket,
  pcapngPacketLength,
  pcapngStatistics,
} from '../../src/wire/pcapng.js';
import { buildUdpPacket } from '../../src/wire/udp.js';
import { skipWithoutTshark } from '../helpers/tshark.js';

const SOURCE = Uint8Array.of(192, 0, 2, 1);
const DESTINATION = Uint8Array.of(192, 0, 2, 2);

function udp(length: number): Uint8Array {
  return buildUdpPacket({ source: SOURCE, destination: DESTINATION }, 4500, 4500, new Uint8Array(length));
}

/** The blocks of a file by their own lengths: type and octets each. @throws when they do not fit together */
function blocks(file: Uint8Array): { readonly type: number; readonly length: number }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const found = [];
  for (let at = 0; at < file.length; ) {
    const length = view.getUint32(at + 4);
    if (length % 4 !== 0 || view.getUint32(at + length - 4) !== length) throw new Error(`block at ${at}`);
    found.push({ type: view.getUint32(at), length });
    at += length;
  }
  return found;
}

t.test('blocks are whole, aligned and as long as foretold, whatever the packet', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.option(fc.string({ maxLength: 40, unit: 'grapheme' }), { nil: undefined }),
      fc.constantFrom('in' as const, 'out' as const),
      (bytes, comment, direction) => {
        const packet: CapturedPacket = {
          interface: 0,
          at: 1_700_000_000_000_000n,
          bytes,
          length: bytes.length + 7,
          direction,
          ...(comment !== undefined && { comment }),
        };
        const block = pcapngPacket(packet);
        return block.length === pcapngPacketLength(packet) && blocks(block).length === 1;
      },
    ),
  );
  t.same(
    blocks(pcapngHeader('culvert', [{ name: 'outer' }, { name: 'inner', description: 'clear' }])).map(
      ({ type }) => type,
    ),
    [0x0a0d0d0a, 1, 1],
  );
});

t.test('the end of a file says what is missing in it', async (t) => {
  const block = pcapngStatistics({
    ...{ interface: 1, begun: 1_700_000_000_000_000n, ended: 1_700_000_001_000_000n },
    ...{ received: 70_000, dropped: 7, comment: 'too fast for it' },
  });
  t.match(blocks(block), [{ type: 5 }]);
  const view = new DataView(block.buffer, block.byteOffset);
  t.equal(view.getUint32(8), 1, 'the interface');
  const options = new Map<number, bigint>();
  for (let at = 20; view.getUint16(at) !== 0; at += 4 + Math.ceil(view.getUint16(at + 2) / 4) * 4) {
    if (view.getUint16(at + 2) === 8) options.set(view.getUint16(at), view.getBigUint64(at + 4));
  }
  t.same(
    [...options],
    [
      [2, 1_700_000_000_000_000n],
      [3, 1_700_000_001_000_000n],
      [4, 70_000n],
      [5, 7n],
    ],
  );
  t.match(new TextDecoder().decode(block), /too fast/);
});

t.test('an endless comment is cut short', async (t) => {
  const packet = {
    interface: 0,
    at: 0n,
    bytes: udp(1),
    length: 29,
    direction: 'in' as const,
    comment: 'x'.repeat(100_000),
  };
  t.equal(pcapngPacket(packet).length, pcapngPacketLength(packet));
});

t.test(
  'Wireshark reads interfaces, times, directions, comments and lengths',
  {
    skip: skipWithoutTshark(),
  },
  async (t) => {
    const whole = udp(32);
    const file = concat(
      pcapngHeader('culvert test', [{ name: 'outer', description: 'to the peer' }, { name: 'inner' }]),
      pcapngPacket({
        interface: 0,
        at: 1_700_000_000_123_456n,
        bytes: whole,
        length: whole.length,
        direction: 'out',
      }),
      pcapngPacket({
        interface: 1,
        at: 1_700_000_001_000_001n,
        bytes: whole.subarray(0, 40),
        length: whole.length,
        direction: 'in',
        comment: 'dropped: replayed, “twice”',
      }),
    );
    const path = join(t.testdir(), 'file.pcapng');
    writeFileSync(path, file);
    const fields = [
      ...['frame.interface_name', 'frame.time_epoch', 'frame.len', 'frame.cap_len'],
      ...['frame.packet_flags_direction', 'frame.comment', 'udp.dstport'],
    ];
    const run = spawnSync(
      'tshark',
      ['-r', path, '-T', 'fields', '-E', 'separator=|', ...fields.flatMap((field) => ['-e', field])],
      { encoding: 'utf8' },
    );
    t.equal(run.status, 0, run.stderr);
    t.same(run.stdout.trim().split('\n'), [
      'outer|1700000000.123456000|60|60|0x00000002||4500',
      'inner|1700000001.000001000|60|40|0x00000001|dropped: replayed, “twice”|4500',
    ]);
  },
);
