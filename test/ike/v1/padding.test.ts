import t from 'tap';
import { concat } from '../../../src/util/bytes.js';
import { encodeV1Message } from '../../../src/wire/ike/v1/message.js';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { EAST, type SimNode, WEST } from '../../helpers/engine-pair.js';
import { FIRST_V1_HEADER } from '../../helpers/ike-headers.js';
import { v1Faults, v1Pair } from '../../helpers/v1-pair.js';
import type { Packet } from '../../helpers/virtual-net.js';

// RFC 2408 §3.1 and what libreswan makes of it (`ikepad=yes`): zeros up to a multiple of four octets.

/** Zeros at the end, counted by the length field or not. */
const PADDINGS = [1, 2, 3].flatMap((octets) => [true, false].map((counted) => ({ octets, counted })));

function padded(bytes: Uint8Array, { octets, counted }: (typeof PADDINGS)[number]): Uint8Array {
  const out = concat(bytes, new Uint8Array(octets));
  if (counted) new DataView(out.buffer).setUint32(24, out.length);
  return out;
}

const inClear = ({ bytes }: Packet): boolean => (bytes[19]! & 1) === 0;
const quirks = (node: SimNode): string[] => node.eventsOf('quirk').map(({ code }) => code);

t.test('main mode with padded messages comes up, and the padding is noted at both ends', async (t) => {
  for (const padding of PADDINGS) {
    const made = v1Pair();
    const change = (bytes: Uint8Array): Uint8Array => padded(bytes, padding);
    made.sim.net.impair(inClear, { kind: 'corrupt', change }, 999);
    made.sim.initiate(made.east);
    made.sim.run(2000);
    const what = JSON.stringify(padding);
    t.equal(v1Faults(made), undefined, what);
    for (const node of [made.east, made.west])
      t.same(quirks(node), ['trailing_zeros'], `${node.name}: ${what}`);
  }
});

t.test('a whole word of zeros is no padding', async (t) => {
  for (const counted of [true, false]) {
    const made = v1Pair();
    const change = (bytes: Uint8Array): Uint8Array => padded(bytes, { octets: 4, counted });
    made.sim.net.impair(inClear, { kind: 'corrupt', change }, 999);
    made.sim.initiate(made.east);
    made.sim.run(2000);
    t.equal(made.west.ikes.size, 0);
    t.ok(made.west.eventsOf('datagram-dropped').every(({ reason }) => reason === 'malformed'));
  }
});

t.test('aggressive mode is refused by name, however its first message is padded', async (t) => {
  const header = { ...FIRST_V1_HEADER, exchangeType: V1Exchange.AGGRESSIVE_MODE };
  for (const padding of PADDINGS) {
    const { sim, west } = v1Pair();
    const bytes = padded(encodeV1Message(header, [{ kind: 'nonce', data: new Uint8Array(17) }]), padding);
    const outputs = sim.input(west, {
      kind: 'datagram',
      local: { address: WEST, port: 500 },
      remote: { address: EAST, port: 500 },
      natTraversalPort: false,
      bytes,
    });
    t.match(
      west.eventsOf('ike-failed'),
      [{ connection: 'site', failure: { cause: 'unsupported', message: /aggressive mode/ } }],
      JSON.stringify(padding),
    );
    t.equal(outputs.filter(({ kind }) => kind === 'send').length, 1, 'and the peer is told');
  }
});

t.test('a padded refusal is read as any other', async (t) => {
  for (const padding of PADDINGS) {
    const made = v1Pair({ west: { acceptVersions: [2] } });
    const refusal = ({ from, bytes }: Packet): boolean =>
      from.address === WEST && bytes[18] === V1Exchange.INFORMATIONAL;
    const change = (bytes: Uint8Array): Uint8Array => padded(bytes, padding);
    made.sim.net.impair(refusal, { kind: 'corrupt', change }, 999);
    made.sim.initiate(made.east);
    made.sim.run(10_000);
    t.match(
      made.east.eventsOf('ike-failed'),
      [{ failure: { cause: 'ike_version_mismatch' } }],
      JSON.stringify(padding),
    );
  }
});
