import { createInterface } from 'node:readline';
import type { EspSuite } from '../../src/crypto/types.js';
import { createFfiDataPlane } from '../../src/dataplane/ffi/data-plane.js';
import { DEFAULT_OFFLOAD, NO_OFFLOAD, needsVirtioHeader, type Offload } from '../../src/dataplane/offload.js';
import { espLayout } from '../../src/esp/layout.js';
import type { EspPair } from '../../src/esp/params.js';
import { setLinkUp } from '../../src/linux/links.js';
import { addRoute } from '../../src/linux/routes.js';
import { closeSocket, openPortGroup, openRawEsp } from '../../src/linux/sockets.js';
import { openTun } from '../../src/linux/tun.js';
import { type Cidr, cidrRange, parseCidr } from '../../src/util/ip.js';
import { SecretKey } from '../../src/util/secret.js';

/**
 * One gateway with fixed keys, without IKE: `node fixed-key-gateway.ts SETUP`, SETUP as JSON. Prints a line
 * `{"ready":…}`, then answers each line on standard input: `counters`, `install ID`, `activate ID`,
 * `remove ID`, `crash`; `close` and the
 * end of input end it.
 */
export interface GatewaySetup {
  readonly side: 'a' | 'b';
  readonly local: string;
  readonly peer: string;
  readonly localNet: string;
  readonly peerNet: string;
  readonly suite: EspSuite;
  readonly mtu: number;
  /** ESP in UDP unless given. */
  readonly encapsulation?: 'udp' | 'esp';
  /** `none` or left out: the defaults. */
  readonly offload?: Partial<Offload> | 'none';
  /** 1 unless given. The child SA `id` belongs to worker `id` mod workers. */
  readonly workers?: number;
  /** Each worker has the socket of another one: all ESP in UDP comes to the wrong place. */
  readonly misrouted?: boolean;
}

function keyOf(length: number, id: number, direction: number): SecretKey {
  return new SecretKey(Uint8Array.from({ length }, (_, i) => (i * 7 + id * 31 + direction * 101 + 1) & 0xff));
}

function pairOf(setup: GatewaySetup, id: number, outbound: boolean): EspPair {
  const layout = espLayout(setup.suite);
  const keys = (direction: number) => ({
    encryption: keyOf(layout.keyLength + layout.saltLength, id, direction),
    ...(layout.aead ? {} : { integrity: keyOf(layout.integrityKeyLength, id, direction + 8) }),
  });
  const towardsA = 0x90000000 + id;
  const towardsB = 0x10000000 + id;
  const selector = (text: string) => {
    const range = cidrRange(parseCidr(text) as Cidr);
    return {
      tsType: range.start.length === 4 ? 7 : 8,
      protocol: 0,
      startPort: 0,
      endPort: 65535,
      startAddress: range.start,
      endAddress: range.end,
    };
  };
  const a = setup.side === 'a';
  return {
    id,
    spiIn: a ? towardsA : towardsB,
    spiOut: a ? towardsB : towardsA,
    suite: setup.suite,
    keysIn: keys(a ? 0 : 1),
    keysOut: keys(a ? 1 : 0),
    localTs: [selector(setup.localNet)],
    peerTs: [selector(setup.peerNet)],
    encapsulation: setup.encapsulation ?? 'udp',
    local: { address: setup.local, port: 4500 },
    peer: { address: setup.peer, port: 4500 },
    outbound,
  };
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const setup = JSON.parse(process.argv[2]!) as GatewaySetup;
const wanted = setup.offload === 'none' ? NO_OFFLOAD : { ...DEFAULT_OFFLOAD, ...setup.offload };
const { workers = 1 } = setup;
const group = openPortGroup({ address: setup.local, port: 4500, workers, gro: wanted.gro });
const tun = openTun('culvert0', { ...wanted, virtioHeader: needsVirtioHeader(wanted), queues: workers });
setLinkUp('culvert0', setup.mtu);
addRoute({ cidr: parseCidr(setup.peerNet) as Cidr, device: 'culvert0' });
const rawFds =
  setup.encapsulation === 'esp'
    ? Array.from({ length: workers }, (_, index) => openRawEsp(setup.local, { workers, index }))
    : undefined;
const plane = createFfiDataPlane({
  workers,
  espFds: setup.misrouted === true ? [...group.espFds].reverse() : group.espFds,
  tun,
  ...(rawFds === undefined ? {} : { rawFds }),
  offload: { ...wanted, tso: tun.tso, uso: tun.uso },
  offloadLost: (name, errno) => say({ lost: name, errno }),
  now: () => performance.now(),
  listener: {
    ikeDatagram: () => {},
    failed: (reason) => say({ failed: reason }),
    peerMoved: (id, from) => say({ moved: id, from }),
  },
  ready: (crypto, note) => {
    plane.install(pairOf(setup, 1, true));
    say({ ready: crypto, note: note ?? null });
  },
});

async function close(): Promise<void> {
  await plane.close();
  group.close();
  for (const fd of rawFds ?? []) closeSocket(fd);
  process.exitCode = 0;
  input.close();
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [command, id] = line.split(' ');
  if (command === 'counters') {
    say({ children: plane.counters(), drops: plane.drops(), workers: plane.workers() });
  }
  if (command === 'install') plane.install(pairOf(setup, Number(id), false));
  if (command === 'activate') plane.activateOutbound(Number(id));
  if (command === 'remove') plane.remove(Number(id));
  if (command === 'crash') throw new Error('told to crash');
  if (command === 'close') void close().then(() => say({ closed: true }));
});
input.on('close', () => void close());
