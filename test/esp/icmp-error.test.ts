import fc from 'fast-check';
import t from 'tap';
import { readAnswered } from '../../src/esp/icmp-error.js';
import { createOutboundTable, NO_POLICY, NO_SA } from '../../src/esp/policy-table.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { toHex } from '../../src/util/bytes.js';
import { buildPacket, createPacketView, destinationOf, readPacket } from '../../src/wire/ip.js';
import { innerPacket, ip, selector } from '../helpers/esp.js';
import { icmpError, ROUTER_ERRORS } from '../helpers/icmp-errors.js';
import { buildUdpPacket, sourceOf } from '../helpers/whole-packets.js';

const LOCAL = [selector('10.1.0.0/24'), selector('2001:db8:1::/48')];
const PEER = [selector('10.2.0.0/24'), selector('2001:db8:2::/48')];

function view(packet: Uint8Array) {
  const out = createPacketView();
  if (!readPacket(packet, 0, packet.length, out)) throw new Error('no IP packet');
  return out;
}

function table(outbound = true, local = LOCAL, peer = PEER) {
  const made = createOutboundTable();
  made.insert({ id: 7, localTs: local, peerTs: peer, outbound });
  return made;
}

for (const [name, router, near, far, error] of ROUTER_ERRORS) {
  t.test(`${name} from a router outside of the selectors`, async (t) => {
    const set = new SelectorSet(LOCAL, PEER);
    const outward = innerPacket(near, far, 1200);
    const inward = innerPacket(far, near, 1200);
    t.ok(set.matchesInbound(view(icmpError(router, near, outward, error))), 'about a packet that we sent');
    t.equal(
      table().lookup(view(icmpError(router, far, inward, error))),
      7,
      'about a packet that we let through: the SA of the quoted packet takes it back',
    );
    t.notOk(set.matchesInbound(view(icmpError(router, near, inward, error))), 'it quotes the wrong way');
    t.notOk(
      set.matchesInbound(view(icmpError(router, far, outward, error))),
      'it goes to another than it quotes',
    );
    t.equal(table().lookup(view(icmpError(router, near, outward, error))), NO_POLICY);
    t.equal(table().lookup(view(icmpError(router, near, inward, error))), NO_POLICY);
  });
}

t.test('queries, redirects and other protocols open nothing', async (t) => {
  const set = new SelectorSet(LOCAL, PEER);
  const outward = innerPacket('10.1.0.9', '10.2.0.9', 200);
  const outward6 = innerPacket('2001:db8:1::9', '2001:db8:2::9', 200);
  for (let type = 0; type < 256; type++) {
    const four = view(icmpError('198.51.100.1', '10.1.0.9', outward, { type }));
    if (set.matchesInbound(four) !== [3, 11, 12].includes(type)) t.fail(`ICMP type ${type}`);
    const six = view(icmpError('2001:db8:ff::1', '2001:db8:1::9', outward6, { type }));
    if (set.matchesInbound(six) !== [1, 2, 3, 4].includes(type)) t.fail(`ICMPv6 type ${type}`);
  }
  const error = icmpError('198.51.100.1', '10.1.0.9', outward, { type: 3 });
  for (const protocol of [0, 6, 17, 58]) {
    const other = error.slice();
    other[9] = protocol;
    t.notOk(set.matchesInbound(view(other)), `protocol ${protocol} over IPv4`);
  }
  const fragment = error.slice();
  fragment[6] = 0x20;
  t.notOk(set.matchesInbound(view(fragment)), 'a fragment');
});

t.test('the quoted packet must fit in protocol and ports, too', async (t) => {
  const local = [selector('10.1.0.0/24', { protocol: 17, ports: [5000, 5000] })];
  const peer = [selector('10.2.0.0/24', { protocol: 17, ports: [53, 53] })];
  const set = new SelectorSet(local, peer);
  const query = (from: number, to: number) =>
    buildUdpPacket({ source: ip('10.1.0.9'), destination: ip('10.2.0.9') }, from, to, new Uint8Array(40));
  const about = (quoted: Uint8Array, octets = 8) =>
    view(icmpError('198.51.100.1', '10.1.0.9', quoted, { type: 3, code: 3, octets }));
  t.ok(set.matchesInbound(about(query(5000, 53))));
  t.notOk(set.matchesInbound(about(query(53, 5000))), 'the ports are those of the other direction');
  t.notOk(set.matchesInbound(about(query(5000, 54))));
  t.notOk(set.matchesInbound(about(query(5000, 53), 3)), 'the ports were cut off');
  // Within the networks themselves: these selectors let no ICMP through but what answers their packets.
  t.ok(set.matchesInbound(view(icmpError('10.2.0.1', '10.1.0.9', query(5000, 53), { type: 3 }))));
});

t.test(
  'an SA that may not send yet carries no error, and the reason stays that of the error itself',
  async (t) => {
    const error = icmpError('198.51.100.1', '10.2.0.9', innerPacket('10.2.0.9', '10.1.0.9', 90), {
      type: 11,
    });
    t.equal(table(false).lookup(view(error)), NO_POLICY);
    const waiting = createOutboundTable();
    waiting.insert({ id: 1, localTs: [selector('198.51.100.0/24')], peerTs: PEER, outbound: false });
    waiting.insert({ id: 2, localTs: LOCAL, peerTs: PEER, outbound: true });
    t.equal(waiting.lookup(view(error)), 2);
    waiting.remove(2);
    t.equal(waiting.lookup(view(error)), NO_SA);
  },
);

t.test('selectors that cover the error itself come first', async (t) => {
  const both = table();
  both.insert({ id: 8, localTs: [selector('198.51.100.0/24')], peerTs: PEER, outbound: true });
  const error = icmpError('198.51.100.1', '10.2.0.9', innerPacket('10.2.0.9', '10.1.0.9', 90), { type: 11 });
  t.equal(both.lookup(view(error)), 8);
});

t.test('what is quoted is bounded by the error, whatever its own lengths say', async (t) => {
  const quoted = innerPacket('10.1.0.9', '10.2.0.9', 100);
  const whole = icmpError('198.51.100.1', '10.1.0.9', quoted, { type: 3 });
  const answer = createPacketView();
  t.ok(readAnswered(view(whole), answer));
  t.same([toHex(sourceOf(answer)), toHex(destinationOf(answer))], ['0a020009', '0a010009']);
  t.same([answer.sourcePort, answer.destinationPort], [61000, 4660]);
  for (let length = 20; length < 48; length++) {
    const cut = buildPacket(
      { source: ip('198.51.100.1'), destination: ip('10.1.0.9'), protocol: 1 },
      whole.subarray(20, length),
    );
    t.notOk(readAnswered(view(cut), answer), `${length - 20} octets of ICMP`);
  }
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 12 }),
      (body, v6, type) => {
        const [source, destination] = v6 ? ['2001:db8:ff::1', '2001:db8:1::9'] : ['198.51.100.1', '10.1.0.9'];
        const payload = Uint8Array.from([type, 0, 0, 0, 0, 0, 0, 0, ...body]);
        const fields = { source: ip(source!), destination: ip(destination!), protocol: v6 ? 58 : 1 };
        const error = view(buildPacket(fields, payload));
        const end = error.totalLength;
        if (!readAnswered(error, answer)) return;
        if (answer.sourceOffset + answer.addressLength > end) throw new Error('read behind the error');
        if (answer.payloadOffset > end) throw new Error('walked behind the error');
      },
    ),
  );
});
