import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { HelperProgram } from '../helpers/helper-program.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, type LabSite, ping, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { skipWithoutTshark } from '../helpers/tshark.js';

const skip = skipWithoutTun();
const skipCapture = skip || skipWithoutProgram('tcpdump') || skipWithoutTshark();

const NAMES = ['c0', 'c1', 'c2', 'c3'] as const;

/** The site as connection `n` sees it: an inside address and a network of its own. */
function variant(site: LabSite, n: number): LabSite {
  const inside = site.inside.replace(/^10\./, `10.${n + 3}`);
  return { ...site, inside, cidr: inside.replace(/\.1$/, '.0/24') };
}

interface Wish {
  readonly names?: readonly string[];
  readonly workers: number;
  readonly cipher?: string;
  readonly offload?: object;
  readonly mode?: 'route';
}

/** One end with all its connections, numbered as in `NAMES`. */
function config(local: LabSite, peer: LabSite, wish: Wish) {
  const { names = NAMES, workers, cipher = 'aes128gcm16', offload, mode } = wish;
  return {
    gateway: {
      ...{ name: `site-${local.node}`, address: local.address, workers },
      ...(offload && { offload }),
      ...(mode && { mode }),
    },
    ipsec_policies: [
      { name: 'esp', encryption_algorithm: cipher, authentication_algorithm: cipherHash(cipher) },
    ],
    connections: names.map((name) => {
      const n = NAMES.indexOf(name as (typeof NAMES)[number]);
      const id = (one: LabSite) => ({ type: 'fqdn', value: `${name}.${one.node}.example` });
      // Route mode wants one for each of two members, of which this is the first.
      const second = { type: 'fqdn', value: `${name}.second.example` };
      const far = variant(peer, n).cidr;
      return {
        ...{ name, psk: `key-of-connection-${n}`, ipsec_policy: 'esp' },
        // One end begins, so that there are no two SAs of which one goes again while the test looks.
        establish_mode: local.node === 'a' ? 'bidirectional' : 'peer_only',
        local: {
          ...(mode ? {} : { cidrs: [variant(local, n).cidr] }),
          ike_identities: mode ? [id(local), second] : [id(local)],
        },
        peer: { address: peer.address, ...(mode ? {} : { cidrs: [far] }), ike_identity: id(peer) },
        ...(mode && { routes: [far] }),
      };
    }),
  };
}

function cipherHash(cipher: string): string {
  return cipher.includes('gcm') ? 'disabled' : 'sha256';
}

interface Two {
  readonly site: SiteLab;
  readonly a: CulvertDaemon;
  readonly b: CulvertDaemon;
}

async function startTwo(t: Test, wish: Wish): Promise<Two> {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  for (const n of NAMES.keys()) {
    for (const one of [variant(SITE_A, n), variant(SITE_B, n)]) {
      await site.lab.check(one.node, ['ip', 'address', 'add', `${one.inside}/24`, 'dev', 'lo']);
    }
  }
  const a = await CulvertDaemon.start(site.lab, 'a', site.folder, config(SITE_A, SITE_B, wish));
  t.teardown(() => a.running && a.kill());
  const b = await CulvertDaemon.start(site.lab, 'b', site.folder, config(SITE_B, SITE_A, wish));
  t.teardown(() => b.running && b.kill());
  for (const name of wish.names ?? NAMES) {
    await a.until(name, up, 30);
    await b.until(name, up, 30);
  }
  return { site, a, b };
}

/** Takes one TCP connection on each of the addresses, counts what comes and answers with the number. */
const TAKER = `
  const { createServer } = require('node:net');
  const addresses = process.argv.slice(1);
  let waiting = addresses.length;
  for (const address of addresses) {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let octets = 0;
      socket.on('data', (chunk) => { octets += chunk.length; });
      socket.on('end', () => socket.end(String(octets)));
      server.close();
    });
    server.listen(7001, address, () => --waiting === 0 && console.log('ready'));
  }
`;

/** Sends so many octets to each address, all at once, and prints what the other end says of them. */
const GIVER = `
  const { connect } = require('node:net');
  const [, octets, ...pairs] = process.argv;
  Promise.all(pairs.map((pair) => new Promise((resolve, reject) => {
    const [localAddress, host] = pair.split('-');
    let said = '';
    const socket = connect({ host, localAddress, port: 7001 }, () => socket.end(Buffer.alloc(Number(octets), 7)));
    socket.on('data', (chunk) => { said += chunk; }).on('end', () => resolve(Number(said))).on('error', reject);
  }))).then((all) => console.log(JSON.stringify(all)));
`;

/** A TCP transfer over each of the connections, all at once: octets that arrived. */
async function transfers({ site }: Two, octets: number): Promise<number[]> {
  const ends = [...NAMES.keys()].map((n) => [variant(SITE_A, n).inside, variant(SITE_B, n).inside] as const);
  const argv = [process.execPath, '-e', TAKER, ...ends.map(([, to]) => to)];
  const taker = site.lab.spawn('b', argv, { stdio: ['ignore', 'pipe', 'ignore'] });
  const program = new HelperProgram('the taker', taker);
  await program.firstOutput();
  const pairs = ends.map(([from, to]) => `${from}-${to}`);
  const said = await site.lab.check('a', [process.execPath, '-e', GIVER, String(octets), ...pairs]);
  await program.ended;
  return JSON.parse(said);
}

/** The reasons for which a gateway dropped packets that belong to no SA. */
async function dropsOf(daemon: CulvertDaemon): Promise<string> {
  const { drops } = (await daemon.status()).gateway;
  return JSON.stringify(Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0)));
}

/** Packets of flows in one direction only: the kernel never learns which queue they belong to. */
const FLOWS = `
  const socket = require('node:dgram').createSocket('udp4');
  const [, from, to] = process.argv;
  let left = 200;
  const next = () => (left-- === 0 ? socket.close() : socket.send(Buffer.alloc(300), 20000 + left, to, next));
  socket.bind(0, from, next);
`;

/** Sequence numbers of ESP in a capture, by sender and SPI, in the order of the frames. */
async function sequences({ site }: Two, file: string): Promise<Map<string, number[]>> {
  const argv = ['tshark', '-r', file, '-T', 'fields', '-e', 'ip.src', '-e', 'esp.spi', '-e', 'esp.sequence'];
  const out = new Map<string, number[]>();
  for (const line of (await site.lab.check('a', argv)).split('\n')) {
    const [from, spi, sequence] = line.split('\t');
    if (spi === undefined || spi === '') continue;
    const key = `${from} ${spi}`;
    const list = out.get(key) ?? [];
    out.set(key, list);
    list.push(Number(sequence));
  }
  return out;
}

for (const [workers, offload] of [
  [2, undefined],
  [4, { segment: false }],
] as const) {
  t.test(`four connections on ${workers} workers`, { skip: skipCapture }, async (t) => {
    const wish: Wish = { workers, ...(offload && { offload }) };
    const two = await startTwo(t, wish);
    const { site, a, b } = two;
    for (const daemon of [a, b]) {
      const { gateway } = await daemon.status();
      t.equal(gateway.workers?.length, workers);
      t.same(
        gateway.workers?.map((one) => one.child_sas),
        new Array(workers).fill(4 / workers),
      );
      for (const [n, name] of NAMES.entries()) {
        const [child] = (await daemon.connection(name)).children;
        t.equal(child?.worker, n % workers, `${name} has its worker`);
        t.equal(Number.parseInt(child!.spi_in, 16) % workers, n % workers, 'and the SPI tells which');
      }
    }

    const file = join(site.folder, 'wire.pcap');
    const capture = site.lab.spawn(
      'a',
      [
        'tcpdump',
        '-i',
        'wan',
        '-n',
        '-s',
        '96',
        '-B',
        '16384',
        '--immediate-mode',
        '-U',
        '-w',
        file,
        'udp',
        'port',
        '4500',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const program = new HelperProgram('tcpdump', capture);
    await program.until(() => existsSync(file));
    const pings = [...NAMES.keys()].map((n) =>
      steadyPing(site.lab, variant(SITE_A, n), variant(SITE_B, n), 0.02),
    );
    t.same(await transfers(two, 4e6), [4e6, 4e6, 4e6, 4e6], 'TCP over all of them');
    for (const n of NAMES.keys()) {
      const argv = [process.execPath, '-e', FLOWS, variant(SITE_A, n).inside, variant(SITE_B, n).inside];
      await site.lab.check('a', argv);
    }
    // Rekeys under traffic: one end asks for another cipher, which the other takes at once.
    for (const cipher of ['aes256gcm16', 'aes128', 'aes128gcm16']) {
      await b.reload(config(SITE_B, SITE_A, { ...wish, cipher }));
      await a.reload(config(SITE_A, SITE_B, { ...wish, cipher }));
      const encryption = cipher.replace('gcm16', '_gcm16');
      for (const name of NAMES) {
        const done = await a.until(
          name,
          (one) => one.children.length === 1 && matches(one.children[0]!.encryption, encryption),
          30,
        );
        await b.until(name, (one) => one.children.length === 1, 30);
        t.equal(done.children[0]?.worker, NAMES.indexOf(name) % workers, `${name}: ${cipher}, same worker`);
      }
    }
    t.same(await transfers(two, 1e6), [1e6, 1e6, 1e6, 1e6], 'TCP after the rekeys');
    for (const one of pings) {
      const { received, lost } = await one.stop();
      t.ok(received > 20, `${received} pings through rekeys and transfers`);
      t.equal(lost, 0, `none was lost: ${await dropsOf(a)}, ${await dropsOf(b)}`);
    }
    // What is still in its buffer would be lost.
    for (let before = -1, now = 0; before !== now; [before, now] = [now, statSync(file).size]) {
      await sleep(500);
    }
    await program.stop();
    const seen = await sequences(two, file);
    t.ok(seen.size >= 2 * 4 * 2, `${seen.size} SAs were on the wire`);
    for (const [sa, numbers] of seen) {
      const wrong = numbers.findIndex((number, i) => i > 0 && number <= numbers[i - 1]!);
      t.equal(wrong, -1, `${sa}: ${numbers.length} frames in order`);
    }

    const { gateway } = await a.status();
    const total = (field: 'handed_over' | 'taken_over') =>
      gateway.workers!.reduce((sum, one) => sum + one[field], 0);
    t.ok(total('handed_over') > 0, 'packets came to the wrong worker and were handed over');
    t.equal(gateway.drops.queue_full, 0);

    // Removal: the connection's SAs are gone from all workers, the others do not notice.
    const names = NAMES.slice(0, 3);
    await b.reload(config(SITE_B, SITE_A, { ...wish, names }));
    await a.reload(config(SITE_A, SITE_B, { ...wish, names }));
    for (let tries = 0; tries < 200; tries++) {
      const children = (await a.status()).gateway.workers!.reduce((sum, one) => sum + one.child_sas, 0);
      if (children === 3) break;
      await sleep(50);
    }
    t.same(
      (await a.status()).gateway.workers!.reduce((sum, one) => sum + one.child_sas, 0),
      3,
    );
    t.equal(await ping(site.lab, variant(SITE_A, 3), variant(SITE_B, 3), 1), 0);
    for (const n of names.keys()) t.equal(await ping(site.lab, variant(SITE_A, n), variant(SITE_B, n), 3), 3);

    const threads = readdirSync(`/proc/${a.pid}/task`).length;
    t.ok(threads > workers, 'a thread a worker');
    for (const daemon of [a, b]) t.equal(await daemon.stop(), 0, 'a clean end');
    for (const node of ['a', 'b']) t.notMatch(await site.lab.check(node, ['ip', '-o', 'link']), /culvert0/);
  });
}

function matches(got: string, wanted: string): boolean {
  return got.replaceAll('_', '') === wanted.replaceAll('_', '');
}

t.test('route mode: a connection’s device belongs to its worker', { skip }, async (t) => {
  const two = await startTwo(t, { workers: 2, mode: 'route' });
  const { site, a, b } = two;
  for (const n of NAMES.keys()) {
    t.equal(await ping(site.lab, variant(SITE_A, n), variant(SITE_B, n), 3), 3, `connection ${n}`);
    t.equal(await ping(site.lab, variant(SITE_B, n), variant(SITE_A, n), 3), 3, `connection ${n}, back`);
  }
  t.same(await transfers(two, 1e6), [1e6, 1e6, 1e6, 1e6]);
  const { gateway, connections } = await a.status();
  t.same(
    connections.map(({ children }) => children[0]?.worker),
    [0, 1, 0, 1],
  );
  t.equal(gateway.drops.no_sa, 0);
  for (const daemon of [a, b]) t.equal(await daemon.stop(), 0);
});
