import { createInterface } from 'node:readline';
import { createFfiDataPlane } from '../../src/dataplane/ffi/data-plane.js';
import { DEFAULT_OFFLOAD, NO_OFFLOAD, needsVirtioHeader } from '../../src/dataplane/offload.js';
import { setLinkUp } from '../../src/linux/links.js';
import { addRoute } from '../../src/linux/routes.js';
import { closeSocket, openPortGroup, openRawEsp } from '../../src/linux/sockets.js';
import { openTun } from '../../src/linux/tun.js';
import { cidrOf } from '../../src/util/ip.js';
import { type GatewaySetup, pairOf } from './fixed-key-sa.js';

/**
 * One gateway with fixed keys, without IKE: `node fixed-key-gateway.ts SETUP`, SETUP as JSON. Prints a line
 * `{"ready":…}`, then answers each line on standard input: `counters`, `install ID`, `activate ID`,
 * `remove ID`, `crash`; `close` and the
 * end of input end it.
 */

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const setup = JSON.parse(process.argv[2]!) as GatewaySetup;
const wanted = setup.offload === 'none' ? NO_OFFLOAD : { ...DEFAULT_OFFLOAD, ...setup.offload };
const { workers = 1 } = setup;
const group = openPortGroup({ address: setup.local, port: 4500, workers, gro: wanted.gro });
const tun = openTun('culvert0', { ...wanted, virtioHeader: needsVirtioHeader(wanted), queues: workers });
setLinkUp('culvert0', setup.mtu);
for (const net of setup.peerNets) addRoute({ cidr: cidrOf(net), device: 'culvert0' });
const rawFds =
  setup.encapsulation === 'esp' || setup.raw === true
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
