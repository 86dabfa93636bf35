import fc from 'fast-check';
import t from 'tap';
import { SelectorSet } from '../../src/esp/selectors.js';
import { compareBytes, concat } from '../../src/util/bytes.js';
import type { TrafficSelector } from '../../src/wire/ike/payloads.js';
import { TsType } from '../../src/wire/ike/registry.js';
import {
  buildPacket,
  createPacketView,
  IpProtocol,
  NO_PORT,
  type PacketView,
  readPacket,
} from '../../src/wire/ip.js';
import { innerPacket, ip, selector } from '../helpers/esp.js';
import { buildUdpPacket } from '../helpers/whole-packets.js';

function view(packet: Uint8Array, offset = 0): PacketView {
  const out = createPacketView();
  if (!readPacket(packet, offset, packet.length - offset, out)) throw new Error('no IP packet');
  return out;
}

function udp(source: string, sourcePort: number, destination: string, destinationPort: number): PacketView {
  const fields = { source: ip(source), destination: ip(destination) };
  return view(buildUdpPacket(fields, sourcePort, destinationPort, new Uint8Array(4)));
}

/** IPv4: a later fragment of a UDP datagram, which shows no ports. */
function laterFragment(source: string, destination: string): PacketView {
  const packet = innerPacket(source, destination, 100);
  packet[6] = 0;
  packet[7] = 10;
  return view(packet);
}

const ANY4 = selector('0.0.0.0/0');

t.test('either end, both directions', async (t) => {
  const set = new SelectorSet([selector('10.1.0.0/24')], [selector('10.2.0.0/24')]);
  const out = udp('10.1.0.5', 1, '10.2.0.5', 2);
  t.ok(set.matchesOutbound(out));
  t.notOk(set.matchesInbound(out));
  const back = udp('10.2.0.5', 2, '10.1.0.5', 1);
  t.ok(set.matchesInbound(back));
  t.notOk(set.matchesOutbound(back));
});

t.test('lists are combined freely, families are not', async (t) => {
  const local = [selector('10.1.0.0/24'), selector('10.9.0.0/24'), selector('2001:db8:1::/64')];
  const peer = [selector('10.2.0.0/24'), selector('10.8.0.7-10.8.0.9'), selector('2001:db8:2::/64')];
  const set = new SelectorSet(local, peer);
  t.ok(set.matchesOutbound(udp('10.9.0.1', 1, '10.8.0.8', 1)));
  t.ok(set.matchesOutbound(udp('10.1.0.1', 1, '10.8.0.7', 1)));
  t.notOk(set.matchesOutbound(udp('10.1.0.1', 1, '10.8.0.10', 1)));
  t.ok(set.matchesOutbound(udp('2001:db8:1::ffff', 1, '2001:db8:2::1', 1)));
  t.notOk(set.matchesOutbound(udp('2001:db8:1:1::1', 1, '2001:db8:2::1', 1)));
});

t.test('protocol and ports', async (t) => {
  const dns = new SelectorSet(
    [ANY4],
    [selector('10.2.0.0/24', { protocol: IpProtocol.UDP, ports: [53, 53] })],
  );
  t.ok(dns.matchesOutbound(udp('10.1.0.1', 999, '10.2.0.1', 53)));
  t.notOk(dns.matchesOutbound(udp('10.1.0.1', 53, '10.2.0.1', 54)));
  t.ok(dns.matchesInbound(udp('10.2.0.1', 53, '10.1.0.1', 999)));
  const tcp = buildPacket(
    { source: ip('10.1.0.1'), destination: ip('10.2.0.1'), protocol: 6 },
    Uint8Array.of(1, 1, 0, 53),
  );
  t.notOk(dns.matchesOutbound(view(tcp)), 'port 53 of TCP');

  const echo = { protocol: IpProtocol.ICMP, ports: [0x0800, 0x0800] } as const;
  const ping = new SelectorSet([selector('0.0.0.0/0', echo)], [selector('0.0.0.0/0', echo)]);
  const icmp = (type: number) =>
    view(
      buildPacket(
        { source: ip('10.1.0.1'), destination: ip('10.2.0.1'), protocol: 1 },
        Uint8Array.of(type, 0),
      ),
    );
  t.ok(ping.matchesOutbound(icmp(8)));
  t.notOk(ping.matchesOutbound(icmp(0)), 'an echo reply is another type');
});

t.test('fragments (RFC 4301 §7)', async (t) => {
  const later = laterFragment('10.1.0.1', '10.2.0.1');
  const to = (options: { protocol?: number; ports?: [number, number] }) =>
    new SelectorSet([ANY4], [selector('10.2.0.0/24', options)]);
  t.ok(to({}).matchesOutbound(later), 'any protocol, any port');
  t.ok(to({ protocol: 17 }).matchesOutbound(later), 'the protocol is known');
  t.notOk(to({ protocol: 6 }).matchesOutbound(later));
  t.notOk(to({ protocol: 17, ports: [53, 53] }).matchesOutbound(later), 'the port cannot be seen');
  t.notOk(to({ protocol: 17, ports: [0, 65534] }).matchesOutbound(later));
  t.ok(to({ protocol: 17, ports: [65535, 0] }).matchesOutbound(later), 'OPAQUE');
  t.notOk(to({ protocol: 17, ports: [65535, 0] }).matchesOutbound(udp('10.1.0.1', 1, '10.2.0.1', 1)));
});

t.test('selectors that are no address ranges match nothing', async (t) => {
  const other: TrafficSelector = {
    ...ANY4,
    tsType: TsType.FC_ADDR_RANGE,
    startAddress: new Uint8Array(0),
    endAddress: new Uint8Array(0),
    other: new Uint8Array(20),
  };
  t.notOk(new SelectorSet([other], [ANY4]).matchesOutbound(udp('10.1.0.1', 1, '10.2.0.1', 1)));
  t.notOk(new SelectorSet([], [ANY4]).matchesOutbound(udp('10.1.0.1', 1, '10.2.0.1', 1)));
});

/** The definition of RFC 7296 §3.13.1, octet by octet. */
function covers(ts: TrafficSelector, address: Uint8Array, protocol: number, port: number): boolean {
  if (ts.startAddress.length !== address.length) return false;
  if (compareBytes(ts.startAddress, address) > 0 || compareBytes(address, ts.endAddress) > 0) return false;
  if (ts.protocol !== 0 && ts.protocol !== protocol) return false;
  if (ts.startPort === 0 && ts.endPort === 65535) return true;
  return port === NO_PORT ? ts.startPort > ts.endPort : port >= ts.startPort && port <= ts.endPort;
}

/** Addresses close together, so that edges are met, on both sides of every sign bit. */
function addresses(length: 4 | 16): fc.Arbitrary<Uint8Array> {
  const octet = fc.constantFrom(0, 1, 127, 128, 129, 254, 255);
  return fc.array(octet, { minLength: length, maxLength: length }).map((octets) => Uint8Array.from(octets));
}

function selectors(length: 4 | 16): fc.Arbitrary<TrafficSelector> {
  return fc.record({
    tsType: fc.constant(length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE),
    protocol: fc.constantFrom(0, 17, 6),
    startPort: fc.constantFrom(0, 53, 65535),
    endPort: fc.constantFrom(0, 53, 65534, 65535),
    startAddress: addresses(length),
    endAddress: addresses(length),
  });
}

t.test('agrees with the definition', async (t) => {
  for (const length of [4, 16] as const) {
    const lists = fc.array(fc.oneof(selectors(4), selectors(16), selectors(length)), { maxLength: 4 });
    const property = fc.property(
      lists,
      lists,
      addresses(length),
      addresses(length),
      fc.constantFrom(0, 52, 53, 65535),
      fc.integer({ min: 0, max: 8 }),
      (local, peer, source, destination, port, lead) => {
        const packet = buildUdpPacket({ source, destination }, port, 53, new Uint8Array(1));
        const at = view(concat(new Uint8Array(lead), packet), lead);
        const set = new SelectorSet(local, peer);
        const out =
          local.some((ts) => covers(ts, source, 17, port)) &&
          peer.some((ts) => covers(ts, destination, 17, 53));
        const back =
          peer.some((ts) => covers(ts, source, 17, port)) &&
          local.some((ts) => covers(ts, destination, 17, 53));
        return set.matchesOutbound(at) === out && set.matchesInbound(at) === back;
      },
    );
    fc.assert(property, { numRuns: 2000 });
    t.pass(`${length * 8} bits`);
  }
});
