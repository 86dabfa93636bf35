import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { NetworkLab } from '../../src/linux/namespaces.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { addInside, type LabSite, ping } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';

const skip = skipWithoutTun();

const HUB: LabSite = { node: 'a', address: '192.0.2.1', inside: '10.1.0.1', cidr: '10.1.0.0/24' };
const B: LabSite = { node: 'b', address: '192.0.2.2', inside: '10.2.0.1', cidr: '10.2.0.0/24' };
const C: LabSite = { node: 'c', address: '198.51.100.2', inside: '10.3.0.1', cidr: '10.3.0.0/24' };
const SIX = { a: 'fd00:1::1', b: 'fd00:2::1' };

function config(local: LabSite, connections: readonly object[]) {
  return { gateway: { name: `site-${local.node}`, address: local.address, mode: 'route' }, connections };
}

function connection(peer: LabSite, over: object = {}): object {
  return { name: `to-${peer.node}`, psk: 'correct-horse-battery', peer: { address: peer.address }, ...over };
}

/** The hub has a link to each of the two others, and all have an address inside. */
async function joinAll(lab: NetworkLab): Promise<void> {
  for (const { node } of [HUB, B, C]) await lab.add(node);
  const ends = [
    [
      { node: 'a', device: 'wan0', addresses: ['192.0.2.1/24'] },
      { node: 'b', device: 'wan', addresses: ['192.0.2.2/24'] },
    ],
    [
      { node: 'a', device: 'wan1', addresses: ['198.51.100.1/24'] },
      { node: 'c', device: 'wan', addresses: ['198.51.100.2/24'] },
    ],
  ] as const;
  for (const [one, other] of ends) await lab.link(one, other);
  await lab.check('c', ['ip', 'route', 'add', '192.0.2.1/32', 'via', '198.51.100.1']);
  await addInside(lab, HUB, B, C);
}

t.test(
  'route mode: a device for each connection, routes of the file and of the operator',
  { skip },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'culvert-route-'));
    const lab = NetworkLab.create();
    t.teardown(async () => {
      await lab.dispose();
      rmSync(folder, { recursive: true, force: true });
    });
    await joinAll(lab);
    for (const node of ['a', 'b'] as const) {
      await lab.check(node, ['ip', 'address', 'add', `${SIX[node]}/64`, 'dev', 'lo', 'nodad']);
    }

    const toB = connection(B, { routes: [B.cidr, 'fd00:2::/64'] });
    const toC = connection(C, { interface: 'vpn-c' });
    const a = await CulvertDaemon.start(lab, 'a', folder, config(HUB, [toB, toC]));
    const b = await CulvertDaemon.start(
      lab,
      'b',
      folder,
      config(B, [connection(HUB, { routes: [HUB.cidr, 'fd00:1::/64'] })]),
    );
    const c = await CulvertDaemon.start(
      lab,
      'c',
      folder,
      config(C, [connection(HUB, { routes: [HUB.cidr] })]),
    );
    const one = await a.until('to-b', up, 20);
    const two = await a.until('to-c', up, 20);
    await b.until('to-a', up, 20);
    await c.until('to-a', up, 20);
    t.equal(one.interface, 'culvert0');
    t.equal(two.interface, 'vpn-c');
    t.same(one.children[0]?.local_ts, ['0.0.0.0/0', '::/0'], 'everything may go through, routes decide');

    t.equal(await ping(lab, HUB, B, 3), 3, 'by a route of the file');
    t.equal(await ping(lab, B, HUB, 3), 3);
    const six = (site: LabSite, inside: string): LabSite => ({ ...site, inside });
    t.equal(await ping(lab, six(HUB, SIX.a), six(B, SIX.b), 3), 3, 'IPv6 too');
    t.notMatch(await lab.check('a', ['ip', 'route']), /10\.3\.0\.0/, 'no route that nobody asked for');
    await lab.check('a', ['ip', 'route', 'add', C.cidr, 'dev', 'vpn-c']);
    t.equal(await ping(lab, HUB, C, 3), 3, "by the operator's own route");
    t.equal(await ping(lab, C, HUB, 3), 3);
    const [first, second] = [await a.connection('to-b'), await a.connection('to-c')];
    t.ok(
      first.children[0]!.packets_out >= 6 && second.children[0]!.packets_out >= 6,
      'each carried its own traffic',
    );

    // Devices come and go with their connections; the others do not notice.
    const steady = steadyPing(lab, HUB, B);
    await a.reload(config(HUB, [toB]));
    for (let i = 0; i < 100 && (await lab.check('a', ['ip', '-o', 'link'])).includes('vpn-c'); i++)
      await sleep(20);
    t.notMatch(
      await lab.check('a', ['ip', '-o', 'link']),
      /vpn-c/,
      'its device is gone, and its routes with it',
    );
    await a.reload(config(HUB, [toB, connection(C, { routes: [C.cidr] })]));
    const again = await a.until('to-c', up, 20);
    t.equal(again.interface, 'culvert1', 'the next free name');
    t.equal(await ping(lab, HUB, C, 3), 3);
    await sleep(500);
    const { sent, lost } = await steady.stop();
    t.ok(sent > 20);
    t.equal(lost, 0, `of ${sent} pings`);

    t.equal(await a.stop(), 0);
    t.notMatch(await lab.check('a', ['ip', '-o', 'link']), /culvert|vpn-c/, 'no device is left');
    t.equal(await b.stop(), 0);
    t.equal(await c.stop(), 0);
  },
);

t.test('a network that two connections name', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-shared-'));
  const lab = NetworkLab.create();
  t.teardown(async () => {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  });
  await joinAll(lab);
  await lab.sysctl('a', 'net.ipv4.fib_multipath_hash_policy', '1');
  const shared: LabSite = { ...B, inside: '10.9.0.1', cidr: '10.9.0.0/24' };
  for (const { node } of [B, C]) {
    await lab.check(node, ['ip', 'address', 'add', `${shared.inside}/32`, 'dev', 'lo']);
  }
  const to = (site: LabSite, distribute_traffic: boolean) =>
    connection(site, { routes: [shared.cidr], distribute_traffic });
  const file = (distribute: boolean) => config(HUB, [to(B, distribute), to(C, distribute)]);
  const a = await CulvertDaemon.start(lab, 'a', folder, file(true));
  const peers = await Promise.all(
    [B, C].map((site) => {
      const back = connection(HUB, { routes: [HUB.cidr] });
      return CulvertDaemon.start(lab, site.node, folder, config(site, [back]));
    }),
  );
  await a.until('to-b', up, 20);
  await a.until('to-c', up, 20);
  /** The devices that 32 flows leave by, and how the status says it. */
  const devices = async (): Promise<string[]> => {
    const flow = `${shared.inside} from ${HUB.inside} ipproto udp dport 9`;
    const gets = Array.from({ length: 32 }, (_, n) => `route get ${flow} sport ${40_000 + n}\\n`);
    const script = `printf '${gets.join('')}' | ip -force -batch - | grep -o ' dev [^ ]*'`;
    const { stdout } = await lab.run('a', ['sh', '-c', script]);
    return [
      ...new Set(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.trim()),
      ),
    ].sort();
  };
  const carries = async () =>
    Promise.all(
      ['to-b', 'to-c'].map(async (name) => (await a.connection(name)).routes?.map((one) => one.carries)),
    );
  const become = async (...wanted: string[]): Promise<void> => {
    for (let tries = 0; tries < 200 && String(await devices()) !== String(wanted); tries++) await sleep(50);
    t.same(await devices(), wanted);
  };
  await become('dev culvert0', 'dev culvert1');
  t.same(await carries(), [[true], [true]]);
  t.equal(await ping(lab, HUB, shared, 4), 4, 'whichever of the two it is');

  await a.reload(file(false));
  await become('dev culvert0');
  t.same(await carries(), [[true], [false]]);
  t.equal(await lab.check('a', ['ip', 'nexthop']), '', 'no group is left');
  await peers[0]!.stop();
  await become('dev culvert1');
  t.same(await carries(), [[false], [true]]);
  t.equal(await ping(lab, HUB, shared, 2), 2, 'through the other one');
  t.match((await a.connection('to-c')).routes, [
    { destination: '10.9.0.0/24', carries: true, moved_at: /Z$/ },
  ]);
  t.match(a.log(), /10\.9\.0\.0\/24 is carried by to-c from now on/);
  await a.reload(file(true));
  await become('dev culvert1');
  t.equal(await a.stop(), 0);
  t.equal(await lab.check('a', ['ip', 'nexthop']), '');
  t.equal(await peers[1]!.stop(), 0);
});
