import t from 'tap';
import type { EspSuite } from '../../../src/crypto/types.js';
import { createFfiDataPlane } from '../../../src/dataplane/ffi/data-plane.js';
import type { WorkerReport } from '../../../src/dataplane/ffi/loop/messages.js';
import {
  defaultWorkers,
  isWorkerCount,
  MAX_WORKERS,
  PreparedWorkers,
  WorkerGroup,
} from '../../../src/dataplane/ffi/loop/worker-group.js';
import { ffiAvailable } from '../../../src/linux/ffi.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { type Answer, addJoinedSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import { skipWithoutLab, skipWithoutRoot, skipWithoutTun } from '../../helpers/prerequisites.js';

const skipPair = skipWithoutRoot() || skipWithoutTun() || skipWithoutLab();

const GCM: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };

t.test('how many workers there may be, and are when nobody says', async (t) => {
  const counts = [0, 1, 2, 3, 4, 6, 8, 12, 16, 32, -2, 1.5, Number.NaN];
  t.same(counts.filter(isWorkerCount), [1, 2, 4, 8, 16]);
  t.equal(MAX_WORKERS, 16);
  const machines = [1, 2, 3, 4, 7, 8, 15, 16, 64, 256];
  t.same(machines.map(defaultWorkers), [1, 1, 1, 2, 2, 4, 4, 4, 4, 4]);
});

t.test('a group and its rings', { skip: ffiAvailable().ok ? false : 'no FFI' }, async (t) => {
  t.throws(() => new WorkerGroup(3), /power of two from 1 to 16/);
  const alone = new WorkerGroup(1);
  t.equal(alone.setupOf(0), undefined, 'a single worker has nothing to do with rings');
  await alone.close();
  const group = new WorkerGroup(4);
  const setups = [0, 1, 2, 3].map((i) => group.setupOf(i)!);
  for (const [i, setup] of setups.entries()) {
    t.equal(setup.index, i);
    t.equal(new Set(setup.wakeFds).size, 4);
    for (const [j, other] of setups.entries()) {
      t.equal(setup.outbox[j], other.inbox[i], `the ring from ${i} to ${j} is one ring`);
      t.equal(setup.outbox[j] === undefined, i === j);
    }
  }
  t.equal(new Set(setups.flatMap(({ inbox }) => inbox)).size, 4 * 3 + 1);
  t.same(
    [0x100, 0x101, 0xfffffffe, 0xffffffff].map((spi) => group.ownerOf(spi)),
    [0, 1, 2, 3],
  );
  await group.close();
  const listener = { ikeDatagram: () => {}, failed: () => {} };
  const tun = { fd: -1, fds: [-1], close: () => {} };
  for (const wrong of [
    { espFds: [0, 0] },
    { espFds: [0], tun: { ...tun, fds: [-1, -1] } },
    { espFds: [0, 0], tun: { ...tun, fds: [-1, -1] }, rawFds: [0] },
  ]) {
    const options = { workers: 2, tun, listener, now: () => 0, ...wrong };
    t.throws(() => createFfiDataPlane(options), /need as many/);
  }
});

t.test('threads made beforehand', { skip: ffiAvailable().ok ? false : 'no FFI' }, async (t) => {
  const unused = new PreparedWorkers(1);
  await unused.close();
  t.equal(unused.take(1), undefined, 'closed ones are gone');

  const others = new PreparedWorkers(2);
  t.equal(others.take(1), undefined, 'of another number they are of no use');
  await others.close();

  const prepared = new PreparedWorkers(1);
  const group = prepared.take(1)!;
  t.ok(group);
  t.equal(prepared.take(1), undefined, 'they are taken once');
  await prepared.close();
  const tun = { fd: -1, close: () => {} };
  const listener = { ikeDatagram: () => {}, failed: () => {} };
  const common = { espFds: [0, 0], tun: { ...tun, fds: [-1, -1] }, listener, now: () => 0 };
  t.throws(() => createFfiDataPlane({ ...common, workers: 2, group }), /1 packet workers are there, and 2/);
  const ready = new Promise<WorkerReport>((resolve, reject) => {
    group.workers[0]!.start({ setup: { tunFd: -1, espFds: [-1] }, report: resolve, broke: reject });
  });
  t.equal((await ready).kind, 'ready', 'they begin when they have work');
  await group.close();
  await group.close();
});

const sum = (answer: Answer, field: 'packetsIn' | 'packetsOut' | 'bytesIn' | 'bytesOut') =>
  answer.children.reduce((total, child) => total + child[field], 0);
const handed = (answer: Answer, field: 'handedOver' | 'takenOver') =>
  answer.workers.reduce((total, worker) => total + worker[field], 0);

/** The counters of both when no packet is on its way between them any more. */
async function settled(gateways: readonly [FixedKeyGateway, FixedKeyGateway]): Promise<[Answer, Answer]> {
  for (let tries = 0; ; tries++) {
    const a = await gateways[0].counters();
    const b = await gateways[1].counters();
    const same = sum(a, 'packetsOut') === sum(b, 'packetsIn') && sum(b, 'packetsOut') === sum(a, 'packetsIn');
    if (same || tries === 100) return [a, b];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Sends packets of many UDP flows and sizes, in one direction only. */
const FLOWS = `
  const socket = require('node:dgram').createSocket('udp4');
  const [, to] = process.argv;
  let left = 400;
  const next = () => {
    if (left-- === 0) return socket.close();
    socket.send(Buffer.alloc((left * 37) % 1300), 20000 + (left % 50), to, next);
  };
  next();
`;

for (const [workers, misrouted, encapsulation] of [
  [2, true, 'udp'],
  [4, false, 'udp'],
  [2, false, 'esp'],
] as const) {
  t.test(
    `${workers} workers a gateway${misrouted ? ', all ESP misrouted' : ''}, ${encapsulation}`,
    { skip: skipPair },
    async (t) => {
      const lab = NetworkLab.create();
      t.teardown(() => lab.dispose());
      await addJoinedSites(lab);
      const setup = { workers, misrouted, encapsulation, mtu: 1380 };
      const gateways = [
        new FixedKeyGateway(lab, 'a', GCM, setup),
        new FixedKeyGateway(lab, 'b', GCM, setup),
      ] as const;
      for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/, note: null });
      const ping = async (what: string): Promise<void> => {
        const { code, stdout } = await lab.run('ha', [
          'ping',
          '-c',
          '3',
          '-i',
          '0.05',
          '-W',
          '9',
          '10.2.0.10',
        ]);
        t.equal(code, 0, `${what}: ${stdout}`);
      };
      await ping('at first');
      await lab.check('ha', [process.execPath, '-e', FLOWS, '10.2.0.10']);
      await ping('after many flows');
      const before = await gateways[0].counters();
      t.ok(handed(before, 'handedOver') > 0, 'the kernel put flows on queues of other workers');
      t.equal(before.workers.length, workers);
      t.same(
        before.workers.map(({ children }) => children),
        Array.from({ length: workers }, (_, i) => Number(i === 1)),
      );
      t.same(
        before.children.map(({ worker }) => worker),
        [1],
      );
      // Pairs of other workers take over, one after the other, on one side first.
      for (const id of [2, 3, 4]) {
        for (const command of [`install ${id}`, `activate ${id}`, `remove ${id - 1}`]) {
          for (const gateway of gateways) {
            gateway.tell(command);
            await gateway.counters();
            if (command.startsWith('activate')) await ping(`after "${command}"`);
          }
        }
        await lab.check('ha', [process.execPath, '-e', FLOWS, '10.2.0.10']);
        await ping(`with the pair of worker ${id % workers}`);
      }
      const [a, b] = await settled(gateways);
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        t.equal(from.children.length, 1);
        t.equal(from.children[0]!.worker, 4 % workers);
        t.equal(sum(from, 'packetsOut'), sum(to, 'packetsIn'), 'nothing was lost between them');
        t.equal(sum(from, 'bytesOut'), sum(to, 'bytesIn'));
        t.equal(from.children[0]!.sequenceOut, from.children[0]!.packetsOut);
        t.equal(handed(from, 'handedOver'), handed(from, 'takenOver'), 'what was given was taken');
        t.equal(from.drops.queue_full + from.drops.unknown_spi + from.drops.no_sa, 0);
        const { handedOver, takenOver } = from.workers[0]!;
        if (misrouted) t.ok(handedOver + takenOver >= sum(from, 'packetsIn'), 'all ESP was handed over');
      }
      const exits = gateways.map(({ process }) => new Promise((resolve) => process.once('exit', resolve)));
      gateways[0].tell('close');
      t.same(await gateways[0].answer(), { closed: true });
      gateways[1].tell('crash');
      t.same(await Promise.all(exits), [0, 1]);
      for (const node of ['a', 'b']) t.notMatch(await lab.check(node, ['ip', '-o', 'link']), /culvert0/);
    },
  );
}
