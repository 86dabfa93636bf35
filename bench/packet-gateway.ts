import { createInterface } from 'node:readline';
import type { EspSuite } from '#culvert/crypto/types.js';
import { createFfiDataPlane } from '#culvert/dataplane/ffi/data-plane.js';
import { DEFAULT_OFFLOAD } from '#culvert/dataplane/offload.js';
import type { DropCounts } from '#culvert/esp/drops.js';
import { espLayout } from '#culvert/esp/layout.js';
import type { EspPair } from '#culvert/esp/params.js';
import { setLinkUp } from '#culvert/linux/links.js';
import { addRoute } from '#culvert/linux/routes.js';
import { openPortGroup } from '#culvert/linux/sockets.js';
import { openTun } from '#culvert/linux/tun.js';
import { cidrOf, cidrRange } from '#culvert/util/ip.js';
import { SecretKey } from '#culvert/util/secret.js';
import { TsType } from '#culvert/wire/ike/registry.js';

/**
 * A process with the packet path alone, under fixed keys: `node packet-gateway.js SETUP`, SETUP as JSON. It
 * prints `ready` and ends with its standard input. The line `churn` lets it install and remove an SA
 * without end; `install ID`, `activate ID` and `remove ID` are the steps of a rekeying of the SA that carries
 * the traffic; `drops` is answered with the number of packets dropped since the start.
 */
export interface PacketGatewaySetup {
  /** 0 or 1: which of the two it is. */
  readonly end: 0 | 1;
  /** Outer addresses and inner networks of both ends. */
  readonly addresses: readonly [string, string];
  readonly networks: readonly [string, string];
  readonly children: number;
  /** Without cryptography: what everything else costs. */
  readonly transform: 'aes128gcm16' | 'null';
}

/** AES-128-GCM. The keys are public: nothing but benchmark traffic passes here. */
const SUITE: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };
const MTU = 1400;
const CHURN_MS = 10;

const setup = JSON.parse(process.argv[2]!) as PacketGatewaySetup;
const here = setup.end;
const there = here === 0 ? 1 : 0;

function selector(text: string) {
  const { start, end } = cidrRange(cidrOf(text));
  return {
    tsType: TsType.IPV4_ADDR_RANGE,
    protocol: 0,
    startPort: 0,
    endPort: 65535,
    startAddress: start,
    endAddress: end,
  };
}

/** Child SA 0 and its successors carry the traffic; the others are for networks that get no packets. */
function childSa(id: number, successor = false): EspPair {
  const layout = espLayout(SUITE);
  const key = () => ({
    encryption: new SecretKey(new Uint8Array(layout.keyLength + layout.saltLength).fill(id)),
  });
  const spi = (end: number): number => (end === 0 ? 0x10000000 : 0x20000000) + id;
  const other = `100.${64 + (id >>> 8)}.${id & 255}.0/24`;
  return {
    id,
    spiIn: spi(here),
    spiOut: spi(there),
    suite: SUITE,
    keysIn: key(),
    keysOut: key(),
    localTs: [selector(setup.networks[here])],
    peerTs: [selector(id === 0 || successor ? setup.networks[there] : other)],
    encapsulation: 'udp',
    local: { address: setup.addresses[here], port: 4500 },
    peer: { address: setup.addresses[there], port: 4500 },
    outbound: !successor,
  };
}

const group = openPortGroup({ address: setup.addresses[here], port: 4500, workers: 1, gro: true });
const tun = openTun('culvert0', { virtioHeader: true, tso: true });
setLinkUp('culvert0', MTU);
addRoute({ cidr: cidrOf(setup.networks[there]), device: 'culvert0' });
const plane = createFfiDataPlane({
  espFds: group.espFds,
  tun,
  offload: { ...DEFAULT_OFFLOAD, tso: tun.tso, gro: group.gro },
  ...(setup.transform === 'null' ? { workerEntry: new URL('./null-worker.js', import.meta.url) } : {}),
  now: () => performance.now(),
  listener: {
    ikeDatagram: () => {},
    failed: (reason) => {
      process.stderr.write(`packet gateway: ${reason}\n`);
      process.exitCode = 1;
      input.close();
    },
  },
  ready: () => {
    for (let id = setup.children - 1; id >= 0; id--) plane.install(childSa(id));
    process.stdout.write('ready\n');
  },
});

let churn: NodeJS.Timeout | undefined;
function startChurn(): void {
  let id = setup.children;
  churn = setInterval(() => {
    if (id > setup.children) plane.remove(id);
    id++;
    if (id > setup.children + 5000) id = setup.children + 1;
    plane.install(childSa(id));
  }, CHURN_MS);
}

/** Counters of an SA go with it. */
let dropsOfRemoved = 0;

/** All reasons but that the kernel spoke to its neighbours. */
function sumOf({ no_policy: _, ...others }: DropCounts): number {
  return Object.values(others).reduce((sum, count) => sum + count, 0);
}

function drops(): number {
  const installed = plane.counters().reduce((sum, child) => sum + sumOf(child.drops), 0);
  return dropsOfRemoved + installed + sumOf(plane.drops());
}

function remove(id: number): void {
  const child = plane.counters().find((one) => one.id === id);
  if (child !== undefined) dropsOfRemoved += sumOf(child.drops);
  plane.remove(id);
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [command, id] = line.split(' ');
  if (command === 'churn') startChurn();
  if (command === 'install') plane.install(childSa(Number(id), true));
  if (command === 'activate') plane.activateOutbound(Number(id));
  if (command === 'remove') remove(Number(id));
  if (command === 'drops') process.stdout.write(`${drops()}\n`);
});
input.on('close', () => {
  clearInterval(churn);
  void plane.close().then(() => group.close());
});
