import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Coalescer } from '../../../src/esp/offload/coalesce.js';
import { coalescerSpace } from '../../../src/esp/offload/coalescer-space.js';
import { createPacketMemory } from '../../../src/esp/offload/packet-memory.js';
import { SPLITTER_SPACE, Splitter, TAIL_ROOM } from '../../../src/esp/offload/split.js';
import {
  createVirtioHeader,
  GsoType,
  readVirtioHeader,
  VIRTIO_HEADER_LENGTH,
} from '../../../src/esp/offload/virtio.js';
import { addressOf, checked, hostBuffer, lastErrno, libc } from '../../../src/linux/ffi.js';
import { setLinkUp } from '../../../src/linux/links.js';
import { POLLIN, poll, writePollFd } from '../../../src/linux/poll.js';
import { addRoute, type DeviceRoute, removeRoute } from '../../../src/linux/routes.js';
import { cidrOf } from '../../../src/util/ip.js';
import { createPacketView, readPacket } from '../../../src/wire/ip.js';
import { enterOwnNamespace } from '../../helpers/own-namespace.js';
import { skipWithoutRoot } from '../../helpers/prerequisites.js';
import { pcap, skipWithoutTshark } from '../../helpers/tshark.js';
import {
  ACK,
  checksumsHold,
  type FlowPacket,
  makePacket,
  newMemory,
  PSH,
  seededOctets,
  timestamps,
} from './packets.js';

/**
 * The kernel as the judge. What the coalescer merged is written to a TUN device and forwarded by the kernel
 *
 * - to a device without offload, so that the kernel splits it: that must give the packets that were merged;
 * - to a device with offload, which hands out super-packets: the splitter must give the same packets again.
 *
 * Only TTL and hop limit are one less.
 */

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const OFFLOAD = { CSUM: 1, TSO4: 2, TSO6: 4, USO4: 0x20, USO6: 0x40 } as const;
const TSO = OFFLOAD.CSUM | OFFLOAD.TSO4 | OFFLOAD.TSO6;

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;

const skip = skipWithoutRoot();
/** Whether the kernel takes and makes trains of UDP datagrams on TUN (Linux 6.2). */
let uso = false;
let ipv6 = false;

function openDevice(name: string, offload: boolean): number {
  const fd = checked(libc().open('/dev/net/tun', O_RDWR | O_NONBLOCK), 'opening /dev/net/tun');
  const request = hostBuffer(40);
  new TextEncoder().encodeInto(name, request);
  new DataView(request.buffer).setUint16(16, IFF_TUN | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0), true);
  checked(libc().ioctl(fd, TUNSETIFF, addressOf(request)), 'TUNSETIFF');
  if (offload) {
    checked(libc().ioctl(fd, TUNSETOFFLOAD, TSO), 'TUNSETOFFLOAD');
    uso = libc().ioctl(fd, TUNSETOFFLOAD, TSO | OFFLOAD.USO4 | OFFLOAD.USO6) === 0;
  }
  setLinkUp(name, 1500);
  return fd;
}

function sysctl(path: string, value: string): boolean {
  try {
    writeFileSync(`/proc/sys/net/${path}`, value);
    return true;
  } catch {
    return false;
  }
}

let source = -1;
let plain = -1;
let offloaded = -1;
if (!skip) {
  enterOwnNamespace();
  sysctl('ipv4/ip_forward', '1');
  ipv6 = sysctl('ipv6/conf/all/forwarding', '1');
  sysctl('ipv4/conf/all/rp_filter', '0');
  sysctl('ipv4/conf/default/rp_filter', '0');
  source = openDevice('source', true);
  plain = openDevice('plain', false);
  offloaded = openDevice('offloaded', true);
}

function route(cidr: string, device: string): DeviceRoute {
  return { cidr: cidrOf(cidr), device };
}

/** Runs `body` while the destination of all packets is behind `device`. */
function towards<T>(device: string, body: () => T): T {
  const routes = [route('10.2.0.0/24', device), ...(ipv6 ? [route('fd00:2::/64', device)] : [])];
  for (const one of routes) addRoute(one);
  try {
    return body();
  } finally {
    for (const one of routes) removeRoute(one);
  }
}

const ITEMS = 24;
const COALESCER_AT = 8192;
const READ_AT = (COALESCER_AT + coalescerSpace(ITEMS) + 63) & ~63;
const memory = createPacketMemory(newMemory(Math.ceil((READ_AT + 70000) / 65536)));
const { bytes } = memory;
const base = skip ? 0 : addressOf(bytes);
const coalescer = new Coalescer(memory, COALESCER_AT, ITEMS, { tcp: true, udp: true });
const splitter = new Splitter(memory, COALESCER_AT - SPLITTER_SPACE);
const view = createPacketView();

/** Coalesces the packets and writes them. Answers with the lengths of the trains. */
function send(packets: readonly Uint8Array[]): number[] {
  for (const packet of packets) {
    const at = coalescer.target(packet.length + TAIL_ROOM);
    bytes.set(packet, at);
    if (!readPacket(bytes, at, packet.length, view)) throw new Error('not a packet');
    coalescer.accept(view);
  }
  coalescer.finish();
  const trains: number[] = [];
  for (let i = 0; i < coalescer.count; i++) {
    const length = coalescer.itemLength(i);
    const written = libc().write(source, base + coalescer.itemAt(i), length);
    if (written !== length) throw new Error(`TUN refused a train: errno ${lastErrno()}`);
    trains.push(coalescer.segments(i));
  }
  coalescer.clear();
  return trains;
}

/** The next packet of a device at `READ_AT`, or 0 when none comes within `patience` milliseconds. */
function read(fd: number, patience: number): number {
  const cell = hostBuffer(8);
  writePollFd(new DataView(cell.buffer), 0, fd, POLLIN);
  if (poll(addressOf(cell), 1, patience) <= 0) return 0;
  return Math.max(0, libc().read(fd, base + READ_AT, 65546));
}

/** Packets of the tests; the kernel also sends router solicitations and the like. */
function isOurs(at: number): boolean {
  const version = bytes[at]! >>> 4;
  return version === 4 ? bytes[at + 12] === 10 : bytes[at + 8] === 0xfd;
}

function readPlain(count: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let length = read(plain, 2000); length > 0; length = read(plain, out.length < count ? 2000 : 20)) {
    if (isOurs(READ_AT)) out.push(bytes.slice(READ_AT, READ_AT + length));
  }
  return out;
}

interface Split {
  readonly packets: Uint8Array[];
  /** Reads that were trains. */
  readonly trains: number;
  /** Packets whose checksum the kernel had left to us. */
  readonly virtio: ReturnType<typeof createVirtioHeader>[];
}

function readOffloaded(count: number): Split {
  const packets: Uint8Array[] = [];
  const virtio: ReturnType<typeof createVirtioHeader>[] = [];
  let trains = 0;
  for (
    let length = read(offloaded, 2000);
    length > 0;
    length = read(offloaded, packets.length < count ? 2000 : 20)
  ) {
    if (!isOurs(READ_AT + VIRTIO_HEADER_LENGTH)) continue;
    const header = createVirtioHeader();
    readVirtioHeader(bytes, READ_AT, header);
    virtio.push(header);
    const segments = splitter.begin(READ_AT, length);
    if (segments === 0) throw new Error(`the splitter refuses: ${splitter.refusal}`);
    if (segments > 1) trains++;
    while (splitter.next()) packets.push(bytes.slice(splitter.at, splitter.at + splitter.length));
  }
  return { packets, trains, virtio };
}

const content = seededOctets(70000, 4711);

/** A train with a short last segment, after the kernel's forwarding when `hopLimit` is 63. */
function flow(
  fields: Omit<FlowPacket, 'payload'>,
  size: number,
  count: number,
  hopLimit: number,
): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const last = i === count - 1;
    return makePacket({
      ...fields,
      hopLimit,
      payload: content.subarray(i * size, i * size + (last ? size - 7 : size)),
      id: ((fields.id ?? 0) + i) & 0xffff,
      sequence: ((fields.sequence ?? 0) + i * size) >>> 0,
      flags: last ? ACK | PSH : ACK,
    });
  });
}

interface Case {
  readonly name: string;
  make(hopLimit: number): Uint8Array[];
  /** Packets of each write. */
  readonly trains: readonly number[];
  readonly udp?: boolean;
  readonly v6?: boolean;
}

const cases: Case[] = ([4, 6] as const).flatMap((version): Case[] => {
  const common = { version, id: 0xfffc, sequence: 0xffffff00, trafficClass: 0x28 } as const;
  const tcp = { ...common, protocol: 'tcp', tcpOptions: timestamps(77, 88) } as const;
  const v6 = version === 6;
  return [
    { name: `TCP over IPv${version}`, make: (h) => flow(tcp, 1400, 40, h), trains: [40], v6 },
    { name: `TCP over IPv${version}, two segments`, make: (h) => flow(tcp, 100, 2, h), trains: [2], v6 },
    {
      name: `TCP over IPv${version}, ECN`,
      make: (h) => flow({ ...tcp, trafficClass: 3 }, 1000, 5, h),
      trains: [5],
      v6,
    },
    {
      name: `UDP over IPv${version}`,
      make: (h) => flow({ ...common, protocol: 'udp' }, 1300, 30, h),
      trains: [30],
      udp: true,
      v6,
    },
    {
      name: `TCP over IPv${version}, two flows and packets by themselves`,
      make: (h) => {
        const a = flow(tcp, 700, 8, h);
        const b = flow({ ...tcp, sourcePort: 2 }, 900, 8, h);
        const bare = makePacket({ ...tcp, hopLimit: h, sourcePort: 3, payload: new Uint8Array(0) });
        return [...a, ...b, bare];
      },
      trains: [8, 8, 1],
      v6,
    },
  ];
});

const usable = (one: Case): boolean => (ipv6 || one.v6 !== true) && (uso || one.udp !== true);

const seen: Uint8Array[] = [];

for (const one of cases) {
  const why = skip || (usable(one) ? false : 'the kernel lacks IPv6 or UDP offload on TUN');
  t.test(`the kernel splits what we merged: ${one.name}`, { skip: why }, async (t) => {
    const expected = one.make(63);
    const got = towards('plain', () => {
      t.same(send(one.make(64)), one.trains, 'merged as expected');
      return readPlain(expected.length);
    });
    t.same(got, expected);
    seen.push(...got);
  });

  t.test(`we split what the kernel hands over: ${one.name}`, { skip: why }, async (t) => {
    const expected = one.make(63);
    const got = towards('offloaded', () => {
      send(one.make(64));
      return readOffloaded(expected.length);
    });
    t.same(got.packets, expected);
    t.ok(got.packets.every(checksumsHold));
    t.ok(got.trains > 0, `${got.trains} trains came out of the kernel`);
    seen.push(...got.packets);
  });
}

t.test('the sender of this host leaves checksums to us', { skip }, async (t) => {
  // A UDP datagram from a local socket: plain, checksum to be completed.
  const got = towards('offloaded', () => {
    const { socket, sendto } = libc();
    const fd = checked(socket(2, 2, 0), 'socket');
    const cells = hostBuffer(64);
    cells.set([2, 0, 0x14, 0x51, 10, 2, 0, 1]);
    const at = addressOf(cells);
    // Zero-length and odd datagrams too.
    for (const length of [0, 1, 33]) checked(sendto(fd, at + 16, length, 0, at, 16), 'sendto');
    libc().close(fd);
    return readLocal(3);
  });
  t.equal(got.packets.length, 3);
  t.ok(got.packets.every(checksumsHold));
  t.ok(
    got.virtio.some((header) => (header.flags & 1) !== 0 && header.gsoType === GsoType.NONE),
    'the kernel left the checksum to us',
  );
  seen.push(...got.packets);
});

/** As `readOffloaded`, for packets whose source the kernel chose. */
function readLocal(count: number): Split {
  const out: Split = { packets: [], trains: 0, virtio: [] };
  for (let length = read(offloaded, 2000); length > 0 && out.packets.length < count; ) {
    const packet = READ_AT + VIRTIO_HEADER_LENGTH;
    if (bytes[packet]! >>> 4 === 4 && bytes[packet + 9] === 17) {
      const header = createVirtioHeader();
      readVirtioHeader(bytes, READ_AT, header);
      out.virtio.push(header);
      splitter.begin(READ_AT, length);
      while (splitter.next()) out.packets.push(bytes.slice(splitter.at, splitter.at + splitter.length));
    }
    length = out.packets.length < count ? read(offloaded, 2000) : 0;
  }
  return out;
}

t.test('tshark finds every checksum right', { skip: skip || skipWithoutTshark() }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-offload-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'inner.pcap');
  writeFileSync(file, pcap(seen));
  const checks = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'];
  const options = checks.flatMap((name) => ['-o', `${name}:TRUE`]);
  const fields = ['ip.checksum.status', 'tcp.checksum.status', 'udp.checksum.status'];
  const { stdout, status } = spawnSync(
    'tshark',
    ['-n', '-r', file, ...options, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])],
    { encoding: 'utf8', maxBuffer: 1 << 24 },
  );
  t.equal(status, 0);
  const lines = stdout.split('\n').filter((line) => line !== '');
  t.equal(lines.length, seen.length);
  // 1 is good, 0 bad; IPv6 has no header checksum.
  const good = lines.filter((line) => /^1?\t(1\t|\t1)$/.test(line));
  t.equal(good.length, seen.length, 'all are good');
});

t.teardown(() => {
  for (const fd of [source, plain, offloaded]) if (fd >= 0) libc().close(fd);
});
