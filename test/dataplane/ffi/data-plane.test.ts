import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import t from 'tap';
import type { EspSuite } from '../../../src/crypto/types.js';
import type { ChildCounters, DataPlane } from '../../../src/dataplane/dataplane.js';
import { createFfiDataPlane } from '../../../src/dataplane/ffi/data-plane.js';
import { MAX_CHILDREN, RING_SIZE } from '../../../src/dataplane/ffi/memory/arena.js';
import type { EspPair } from '../../../src/esp/params.js';
import { findLink, removeLink, setLinkUp } from '../../../src/linux/links.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { localEndpoint, openPortGroup, type PortGroup } from '../../../src/linux/sockets.js';
import { openTun, type TunDevice } from '../../../src/linux/tun.js';
import { SecretKey } from '../../../src/util/secret.js';
import { withNonEspMarker } from '../../../src/wire/esp.js';
import { addJoinedSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import { enterOwnNamespace } from '../../helpers/own-namespace.js';
import { skipWithoutLab, skipWithoutRoot, skipWithoutTun } from '../../helpers/prerequisites.js';

const skip = skipWithoutRoot() || skipWithoutTun();
const skipPair = skip || skipWithoutLab();

const GCM: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };
const sum = (
  children: readonly ChildCounters[],
  field: 'packetsIn' | 'packetsOut' | 'bytesIn' | 'bytesOut',
) => children.reduce((total, child) => total + child[field], 0);

t.test('two gateways in two namespaces', { skip: skipPair }, async (t) => {
  const lab = NetworkLab.create();
  t.teardown(() => lab.dispose());
  await addJoinedSites(lab);
  const gateways = [new FixedKeyGateway(lab, 'a', GCM), new FixedKeyGateway(lab, 'b', GCM)] as const;
  for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/, note: null });
  for (const [from, to] of [
    ['ha', '10.2.0.10'],
    ['hb', '10.1.0.10'],
  ] as const) {
    for (const size of ['0', '56', '1372', '4000']) {
      const ping = await lab.run(from, ['ping', '-c', '3', '-i', '0.05', '-W', '5', '-s', size, to]);
      t.equal(ping.code, 0, `${from} pings ${to} with ${size} octets: ${ping.stdout}${ping.stderr}`);
    }
  }
  // A rekey: installed on both sides first, then one side after the other switches over.
  for (const command of ['install 2', 'activate 2', 'remove 1']) {
    for (const gateway of gateways) {
      gateway.tell(command);
      await gateway.counters();
      if (command === 'remove 1') continue;
      const ping = await lab.run('ha', ['ping', '-c', '2', '-i', '0.05', '-W', '5', '10.2.0.10']);
      t.equal(ping.code, 0, `after "${command}" on one side: ${ping.stdout}`);
    }
  }
  const ping = await lab.run('ha', ['ping', '-c', '2', '-i', '0.05', '-W', '5', '10.2.0.10']);
  t.equal(ping.code, 0);
  const [a, b] = [await gateways[0].counters(), await gateways[1].counters()];
  t.equal(a.children.length, 1);
  t.equal(a.children[0]!.id, 2);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    t.ok(sum(from.children, 'packetsOut') > 0);
    t.equal(sum(from.children, 'packetsOut'), sum(to.children, 'packetsIn'), 'nothing was lost between them');
    t.equal(sum(from.children, 'bytesOut'), sum(to.children, 'bytesIn'));
    t.ok(from.children[0]!.lastInbound > 0);
    t.ok(Object.values(from.children[0]!.drops).every((count) => count === 0));
  }
  const exits = gateways.map(({ process }) => new Promise((resolve) => process.once('exit', resolve)));
  gateways[0].tell('close');
  t.same(await gateways[0].answer(), { closed: true });
  // An exception nobody catches ends the process, though its packet thread sleeps in a system call.
  gateways[1].tell('crash');
  t.same(await Promise.all(exits), [0, 1]);
  for (const node of ['a', 'b']) t.notMatch(await lab.check(node, ['ip', '-o', 'link']), /culvert0/);
});

/** Last: from here on this process is in a namespace of its own. */
const heard: { from: number; bytes: number[] }[] = [];
const failed: string[] = [];

interface Local {
  readonly plane: DataPlane;
  readonly tun: TunDevice;
  readonly group: PortGroup;
  readonly port: number;
}

function startLocal(): Promise<Local> {
  const group = openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 });
  const tun = openTun('culvert7');
  setLinkUp('culvert7', 1400);
  const { port } = localEndpoint(group.espFds[0]!);
  return new Promise((resolve) => {
    const plane = createFfiDataPlane({
      // The IKE socket too, to see datagrams handed over.
      espFds: [...group.espFds, group.ikeFd],
      tun,
      now: () => 5_000_000 + performance.now(),
      listener: {
        ikeDatagram: (_local, remote, bytes) => heard.push({ from: remote.port, bytes: [...bytes] }),
        failed: (reason) => failed.push(reason),
      },
      ready: () => resolve({ plane, tun, group, port }),
    });
  });
}

function pairWith(id: number, selectors = 1): EspPair {
  const selector = (last: number) => ({
    ...{ tsType: 7, protocol: 0, startPort: 0, endPort: 65535 },
    startAddress: Uint8Array.of(10, 1, last, 0),
    endAddress: Uint8Array.of(10, 1, last, 255),
  });
  const keys = () => ({ encryption: new SecretKey(new Uint8Array(20).fill(id)) });
  return {
    ...{ id, spiIn: 1000 + id, spiOut: 2000 + id, suite: GCM, keysIn: keys(), keysOut: keys() },
    localTs: Array.from({ length: selectors }, (_, i) => selector(i & 255)),
    peerTs: [selector(250)],
    ...{ encapsulation: 'udp' as const, outbound: true },
    ...{ local: { address: '127.0.0.1', port: 4500 }, peer: { address: '127.0.0.1', port: 9 } },
  };
}

const threads = (): number => readdirSync('/proc/self/task').length;
const descriptors = (): number => readdirSync('/proc/self/fd').length;

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test('main is woken while the worker blocks, and a stop leaves nothing', { skip }, async (t) => {
  enterOwnNamespace();
  setLinkUp('lo', 65536);
  const before = { threads: threads(), descriptors: descriptors() };

  const { plane, group, port } = await startLocal();
  t.ok(threads() > before.threads, 'the packets have a thread of their own');
  const client = createSocket('udp4');
  await new Promise<void>((resolve) => client.bind(0, '127.0.0.1', resolve));
  await new Promise((resolve) =>
    client.send(withNonEspMarker(Uint8Array.of(9, 8, 7)), port, '127.0.0.1', resolve),
  );
  await until(() => heard.length > 0);
  t.same(heard, [{ from: client.address().port, bytes: [9, 8, 7] }]);
  const closed = new Promise<void>((resolve) => client.close(resolve));

  const pair = pairWith(1);
  plane.install(pair);
  t.ok(pair.keysIn.encryption.wiped && pair.keysOut.encryption.wiped);
  for (const [change, words] of [
    [{}, /installed already/],
    [{ id: 2 }, /SPI 1001 is in use/],
    [{ id: 3, spiIn: 3, encapsulation: 'esp' }, /no raw socket/],
    [{ id: 3, spiIn: 3, peer: { address: '::1', port: 1 } }, /cannot be reached/],
    [{ id: 3, spiIn: 3, suite: { ...GCM, encryption: { id: 20, keyBits: 256 } } }, /keys do not fit/],
  ] as const) {
    const bad = { ...pairWith(1), ...change };
    t.throws(() => plane.install(bad), words);
    t.ok(bad.keysIn.encryption.wiped, 'the keys of a refused pair are wiped');
  }
  t.throws(() => plane.install(pairWith(4, 5000)), /too many traffic selectors/);
  plane.updatePeer(77, { address: '127.0.0.1', port: 1 });
  plane.activateOutbound(77);
  plane.remove(77);

  await plane.close();
  await plane.close();
  await closed;
  t.throws(() => plane.install(pairWith(5)), /closed/);
  plane.remove(1);
  group.close();
  t.equal(findLink('culvert7'), undefined, 'TUN is gone');
  await until(() => threads() <= before.threads && descriptors() <= before.descriptors);
  t.ok(threads() <= before.threads, 'no thread is left');
  // Fewer is well: what an earlier test closed may have been on its way when they were counted.
  t.ok(descriptors() <= before.descriptors, 'no descriptor is left');
  t.same(failed, []);
});

t.test(
  'orders beyond the ring wait for room; a TUN device that is taken away is reported',
  { skip },
  async (t) => {
    const { plane, group } = await startLocal();
    t.teardown(async () => {
      await plane.close();
      group.close();
    });
    const many = 900;
    // Some 500 octets and more each, all given before the worker can have taken them.
    t.ok(many * 500 > RING_SIZE);
    for (let id = 1; id <= many; id++) plane.install(pairWith(id, 4));
    for (let id = 2; id <= many; id += 2) plane.remove(id);
    for (let id = 2; id <= many; id += 2)
      plane.install({ ...pairWith(id), id: id + many, spiIn: id + 90_000 });
    t.equal(plane.counters().length, many);
    for (let id = 10_000, free = MAX_CHILDREN - many; free > 0; id++, free--) plane.install(pairWith(id));
    t.throws(() => plane.install(pairWith(9999)), /the limit/);
    // The worker still answers after all of them: a removed SA’s counters are gone, others are there.
    const client = createSocket('udp4');
    t.teardown(() => client.close());
    const port = localEndpoint(group.espFds[0]!).port;
    const runt = new Uint8Array(30);
    runt[0] = 1;
    await new Promise((resolve) => client.send(runt, port, '127.0.0.1', resolve));
    await until(() => plane.drops().unknown_spi > 0);
    t.equal(plane.drops().unknown_spi, 1);
    t.same(failed, []);

    removeLink('culvert7');
    await until(() => failed.length > 0);
    t.equal(failed.length, 1);
    t.match(failed[0], /TUN/);
    plane.remove(3);
    const late = { ...pairWith(3), spiIn: 70000 };
    plane.install(late);
    t.ok(late.keysIn.encryption.wiped, 'orders after the failure are discarded');
  },
);
