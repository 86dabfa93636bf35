import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';

const skip = skipWithoutTun() || skipWithoutProgram('nft');

/** What has to be protected at each end, in both families; the last one at B lies behind it, on a link of its own. */
const NETWORKS = {
  a: [SITE_A.cidr, 'fd01::/64'],
  b: [SITE_B.cidr, '10.22.0.0/24', 'fd02::/64', 'fd22::/64'],
} as const;

const side = (node: 'a' | 'b', gateway: object = {}) => {
  const [local, peer] = node === 'a' ? [SITE_A, SITE_B] : [SITE_B, SITE_A];
  return {
    gateway: { name: `site-${node}`, address: local.address, ...gateway },
    connections: [
      {
        name: 'c',
        psk: 'correct-horse-battery',
        dead_peer_detection: { action: 'restart', interval: 1, timeout: 5 },
        local: { cidrs: NETWORKS[node] },
        peer: { address: peer.address, cidrs: NETWORKS[node === 'a' ? 'b' : 'a'] },
      },
    ],
  };
};

/** Two sites with IPv4 and IPv6 inside, and a host behind B. */
async function dualLab(t: { teardown(fn: () => unknown): unknown }): Promise<SiteLab> {
  const site = await createSiteLab();
  t.teardown(() => site.dispose());
  const { lab } = site;
  await lab.add('h');
  await lab.link(
    { node: 'b', device: 'lan', addresses: ['10.22.0.1/24', 'fd22::1/64'] },
    { node: 'h', device: 'lan', addresses: ['10.22.0.10/24', 'fd22::10/64'] },
  );
  await lab.check('h', ['ip', 'route', 'add', 'default', 'via', '10.22.0.1']);
  await lab.check('h', ['ip', '-6', 'route', 'add', 'default', 'via', 'fd22::1']);
  for (const [node, address] of [
    ['a', 'fd01::1/64'],
    ['b', 'fd02::1/64'],
  ] as const) {
    await lab.check(node, ['ip', 'address', 'add', address, 'dev', 'lo', 'nodad']);
    await lab.forward(node);
  }
  await lab.check('a', ['ip', 'address', 'add', '2001:db8::1/64', 'dev', 'wan', 'nodad']);
  await lab.check('b', ['ip', 'address', 'add', '2001:db8::2/64', 'dev', 'wan', 'nodad']);
  return site;
}

/** Datagrams for a port where nobody listens, which the kernel of their receiver counts. */
async function unheard({ lab }: SiteLab, node: string, family: 4 | 6): Promise<number> {
  if (family === 6) {
    const text = await lab.check(node, ['cat', '/proc/net/snmp6']);
    return Number(/^Udp6NoPorts\s+(\d+)/m.exec(text)![1]);
  }
  const [names, values] = (await lab.check(node, ['grep', '^Udp:', '/proc/net/snmp'])).trim().split('\n');
  return Number(values!.split(' ')[names!.split(' ').indexOf('NoPorts')]);
}

const SEND = `
const [from, to, count] = process.argv.slice(1);
const socket = require('node:dgram').createSocket(from.includes(':') ? 'udp6' : 'udp4');
socket.bind({ address: from }, async () => {
  for (let n = 0; n < Number(count); n++) await new Promise((sent) => socket.send('x', 9, to, sent));
  socket.close();
});`;

const COUNT = 5;
const send = ({ lab }: SiteLab, from: string, to: string) =>
  lab.check('a', [process.execPath, '-e', SEND, from, to, String(COUNT)]);

t.test(
  'clear packets of a tunnel that come from outside are discarded',
  { skip, timeout: 180_000 },
  async (t) => {
    const site = await dualLab(t);
    const { lab, folder } = site;
    const a = await CulvertDaemon.start(lab, 'a', folder, side('a'));
    const b = await CulvertDaemon.start(lab, 'b', folder, side('b'));
    await a.until('c', up);
    await b.until('c', up);
    // Who sits on the link writes what he likes: these sources leave A beside the tunnel.
    for (const [family, source, gateway] of [
      ['-4', '10.1.0.99', SITE_B.address],
      ['-6', 'fd01::99', '2001:db8::2'],
    ] as const) {
      const full = family === '-4' ? '32' : '128';
      await lab.check('a', ['ip', family, 'address', 'add', `${source}/${full}`, 'dev', 'lo']);
      await lab.check('a', ['ip', family, 'rule', 'add', 'from', source, 'lookup', '99']);
      await lab.check('a', [
        'ip',
        family,
        'route',
        'add',
        'default',
        'via',
        gateway,
        'dev',
        'wan',
        'table',
        '99',
      ]);
    }
    for (const filter of ['0', '2']) {
      for (const device of ['all', 'wan']) await lab.sysctl('b', `net.ipv4.conf.${device}.rp_filter`, filter);
      for (const [family, inside, forged, to, node] of [
        [4, SITE_A.inside, '10.1.0.99', '10.22.0.10', 'h'],
        [4, SITE_A.inside, '10.1.0.99', '10.22.0.1', 'b'],
        [6, 'fd01::1', 'fd01::99', 'fd22::10', 'h'],
        [6, 'fd01::1', 'fd01::99', 'fd22::1', 'b'],
      ] as const) {
        const what = `rp_filter ${filter}, IPv${family}, to ${node === 'h' ? 'a host behind it' : 'the gateway itself'}`;
        const before = await unheard(site, node, family);
        await send(site, inside, to);
        for (let tries = 0; tries < 100 && (await unheard(site, node, family)) < before + COUNT; tries++)
          await sleep(50);
        t.equal((await unheard(site, node, family)) - before, COUNT, `${what}: through the tunnel`);
        const discarded = (await b.status()).gateway.clear_packets?.discarded ?? 0;
        await send(site, forged, to);
        for (let tries = 0; tries < 40; tries++) {
          const now = (await b.status()).gateway.clear_packets?.discarded ?? 0;
          if (now >= discarded + COUNT || (await unheard(site, node, family)) > before + COUNT) break;
          await sleep(50);
        }
        t.equal((await unheard(site, node, family)) - before, COUNT, `${what}: none in the clear`);
        const after = (await b.status()).gateway.clear_packets;
        t.equal((after?.discarded ?? 0) - discarded, COUNT, `${what}: and the status counts them`);
      }
    }

    await t.test('networks that are attached here are no business of it', async (t) => {
      const { stdout } = await lab.run('h', ['ping', '-q', '-n', '-c', '2', '-W', '2', '10.22.0.1']);
      t.match(stdout, / 2 received/);
    });

    await t.test('another firewall that flushes everything is noticed', async (t) => {
      const flushed = await lab.run('b', ['nft', 'flush', 'ruleset']);
      t.equal(flushed.code, 0, flushed.stderr);
      for (let tries = 0; tries < 400 && !b.log().includes('it is created again'); tries++) await sleep(50);
      const before = await unheard(site, 'h', 4);
      await send(site, '10.1.0.99', '10.22.0.10');
      await sleep(300);
      t.equal(await unheard(site, 'h', 4), before);
    });

    await t.test('it outlives a crash, is taken over, and goes with an end that was asked for', async (t) => {
      await b.kill();
      const before = await unheard(site, 'h', 4);
      await send(site, '10.1.0.99', '10.22.0.10');
      await sleep(300);
      t.equal(await unheard(site, 'h', 4), before, 'nothing comes in the clear while nobody runs');
      const again = await CulvertDaemon.start(lab, 'b', folder, side('b'));
      await again.until('c', up, 30);
      t.match((await again.status()).gateway.clear_packets, {
        inbound: 'discarded',
        table: 'culvert-culvert0',
      });
      t.equal(await again.stop(), 0);
      const { stdout } = await lab.run('b', ['nft', 'list', 'tables']);
      t.notMatch(stdout, /culvert/);
    });
    t.equal(await a.stop(), 0);
  },
);

t.test('nothing leaves in the clear, however a gateway ends', { skip, timeout: 240_000 }, async (t) => {
  const site = await dualLab(t);
  const { lab, folder } = site;
  // As on the Internet: what the tunnel does not take goes to the neighbour, and A has IPv6 there, too.
  await lab.check('a', ['ip', 'route', 'add', 'default', 'via', SITE_B.address]);
  await lab.check('a', ['ip', '-6', 'route', 'add', 'default', 'via', '2001:db8::2']);
  const before = await lab.check('a', ['ip', 'route']);
  const rules =
    'add table inet seen; add counter inet seen clear; ' +
    'add chain inet seen pre { type filter hook prerouting priority -500 ; }; ' +
    'add rule inet seen pre iifname wan ip saddr 10.1.0.0/24 counter name clear; ' +
    'add rule inet seen pre iifname wan ip6 saddr fd01::/64 counter name clear';
  await lab.check('b', ['nft', rules]);
  const clear = async (): Promise<number> =>
    Number(
      /packets (\d+)/.exec(await lab.check('b', ['nft', 'list', 'counter', 'inet', 'seen', 'clear']))![1],
    );
  const b = await CulvertDaemon.start(lab, 'b', folder, side('b'));
  const start = async (gateway: object = {}): Promise<CulvertDaemon> => {
    const made = await CulvertDaemon.start(lab, 'a', folder, side('a', gateway));
    await made.until('c', up, 30);
    return made;
  };
  const PAIRS = [
    [SITE_A.inside, SITE_B.inside],
    ['fd01::1', 'fd02::1'],
  ] as const;
  /** In both families, with as much patience as a busy machine needs. */
  const works = async (): Promise<boolean> => {
    for (const [from, to] of PAIRS) {
      const argv = ['ping', '-q', '-n', '-i', '0.05', '-c', '1', '-w', '20', '-I', from, to];
      if (!/ [1-9]\d* received/.test((await lab.run('a', argv)).stdout)) return false;
    }
    return true;
  };
  /** Echo requests in both families; how many were answered. */
  const probe = async (): Promise<number> => {
    let answers = 0;
    for (const [from, to] of PAIRS) {
      const argv = ['ping', '-q', '-n', '-i', '0.05', '-c', '10', '-W', '1', '-I', from, to];
      answers += Number(/(\d+) received/.exec((await lab.run('a', argv)).stdout)?.[1] ?? 0);
    }
    return answers;
  };
  let a = await start();
  t.ok(await works(), 'the tunnel works');
  t.match((await a.status()).gateway.clear_packets, { outbound: 'unreachable' });

  // Beside all that follows somebody sends on and on.
  const steady = lab.spawn('a', ['ping', '-n', '-i', '0.02', '-I', SITE_A.inside, SITE_B.inside], {
    stdio: 'ignore',
  });
  t.teardown(() => steady.kill());

  await t.test('kill -9', async (t) => {
    await a.kill();
    t.equal(await probe(), 0);
    t.equal(await clear(), 0);
    a = await start();
    t.ok(await works(), 'the next start takes over');
  });
  await t.test('a restart for an upgrade', async (t) => {
    a.client.close();
    a.signal('SIGUSR2');
    while (a.running) await sleep(20);
    t.equal(await probe(), 0);
    t.equal(await clear(), 0);
    a = await start();
  });
  await t.test('a failure of the packet path', async (t) => {
    await lab.check('a', ['ip', 'link', 'del', 'culvert0']);
    while (a.running) await sleep(20);
    t.equal(await probe(), 0);
    t.equal(await clear(), 0);
  });
  await t.test('a start that fails', async (t) => {
    const failing = CulvertDaemon.start(lab, 'a', folder, side('a', { address: '192.0.2.77' }));
    await t.rejects(failing, /EADDRNOTAVAIL/);
    t.equal(await probe(), 0);
    t.equal(await clear(), 0);
    a = await start();
  });
  await t.test('a network that is taken out of the configuration is open, the others are not', async (t) => {
    const config = side('a');
    const [connection] = config.connections;
    const peer = { ...connection!.peer, cidrs: ['10.22.0.0/24', 'fd02::/64', 'fd22::/64'] };
    steady.kill();
    await a.reload({ ...config, connections: [{ ...connection!, peer }] });
    const fence = await lab.check('a', ['ip', 'route', 'show', 'type', 'unreachable']);
    t.notMatch(fence, /10\.2\.0\.0/);
    t.match(fence, /unreachable 10\.22\.0\.0\/24 proto 223 metric 42/);
    await a.reload(config);
    t.equal(await clear(), 0);
  });
  await t.test('a clean stop, to its end', async (t) => {
    const busy = lab.spawn('a', ['ping', '-n', '-i', '0.02', '-I', 'fd01::1', 'fd02::1'], {
      stdio: 'ignore',
    });
    t.equal(await clear(), 0);
    busy.kill();
    t.equal(await a.stop(), 0);
    t.equal(await lab.check('a', ['ip', 'route']), before, 'after it the host is as before');
    t.equal(await lab.check('a', ['ip', '-6', 'route', 'show', 'proto', '223']), '');
    await probe();
    t.ok((await clear()) > 0, 'and what the operator has opened is open: the counter counts');
  });
  await t.test('fail_closed: false, as it was', async (t) => {
    a = await start({ fail_closed: false });
    t.match((await a.status()).gateway.clear_packets, { outbound: 'routed_in_clear', inbound: 'discarded' });
    t.equal(await lab.check('a', ['ip', 'route', 'show', 'type', 'unreachable']), '');
    t.equal(await a.stop(), 0);
  });
  t.equal(await b.stop(), 0);
});

t.test(
  "a peer's own address inside its networks: by the route around the tunnel only IKE and ESP go",
  { skip, timeout: 180_000 },
  async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    const { lab, folder } = site;
    await lab.add('h');
    await lab.link(
      { node: 'a', device: 'lan', addresses: ['10.1.0.129/26'] },
      { node: 'h', device: 'lan', addresses: ['10.1.0.130/26'] },
    );
    await lab.check('h', ['ip', 'route', 'add', 'default', 'via', '10.1.0.129']);
    await lab.forward('a');
    await lab.check('b', ['ip', 'rule', 'add', 'to', SITE_A.inside, 'lookup', '99']);
    await lab.check('b', ['ip', 'route', 'add', 'default', 'via', SITE_A.address, 'table', '99']);
    const rules =
      'add table inet seen; add counter inet seen clear; ' +
      'add chain inet seen pre { type filter hook prerouting priority -500 ; }; ' +
      'add rule inet seen pre iifname wan ip saddr 10.1.0.0/24 counter name clear';
    await lab.check('b', ['nft', rules]);
    const clear = async (): Promise<number> =>
      Number(
        /packets (\d+)/.exec(await lab.check('b', ['nft', 'list', 'counter', 'inet', 'seen', 'clear']))![1],
      );
    const wide = [SITE_B.cidr, '192.0.2.0/25'];
    const start = (node: 'a' | 'b', gateway: object = {}) => {
      const { gateway: usual, connections } = side(node, gateway);
      const [connection] = connections;
      const networks =
        node === 'a'
          ? { local: { cidrs: [SITE_A.cidr] }, peer: { ...connection!.peer, cidrs: wide } }
          : { local: { cidrs: wide }, peer: { ...connection!.peer, cidrs: [SITE_A.cidr] } };
      return CulvertDaemon.start(lab, node, folder, {
        gateway: usual,
        connections: [{ ...connection, ...networks }],
      });
    };
    const probe = (node: string, from: string, to: string) =>
      lab.run(node, ['ping', '-q', '-n', '-i', '0.1', '-c', '3', '-W', '1', '-I', from, to]);
    const tunnelled = async () => (await probe('h', '10.1.0.130', SITE_B.inside)).stdout;

    const b = await start('b');
    let a = await start('a', { fail_closed: false });
    await a.until('c', up, 30);
    await probe('h', '10.1.0.130', SITE_B.address);
    await probe('a', SITE_A.inside, SITE_B.address);
    t.equal(await clear(), 6, 'what an operator left open goes in the clear');
    t.equal(await a.stop(), 0);

    a = await start('a');
    await a.until('c', up, 30);
    const discarded = async () => (await a.status()).gateway.clear_packets?.discarded ?? 0;
    for (const [node, from, to] of [
      ['h', '10.1.0.130', SITE_B.address],
      ['a', SITE_A.inside, SITE_B.address],
      ['b', SITE_B.address, SITE_A.inside],
    ] as const) {
      const before = await discarded();
      t.match((await probe(node, from, to)).stdout, / 0 received/, `${from} to ${to}`);
      t.equal((await discarded()) - before, 3, 'counted');
    }
    t.equal(await clear(), 6, 'nothing more went in the clear');
    t.match(await tunnelled(), / 3 received/, 'the tunnel goes on');
    const { advisories } = await a.connection('c');
    t.match(
      advisories.find(({ code }) => code === 'peer_address_beside_tunnel')?.message,
      /own address 192\.0\.2\.2 lies in its network 192\.0\.2\.0\/25.*discarded.*peer\.cidrs/,
    );
    await a.kill();
    await probe('h', '10.1.0.130', SITE_B.address);
    t.equal(await clear(), 6, 'nor while nobody runs');
    a = await start('a');
    await a.until('c', up, 40);
    // On a busy machine the packet threads take their first packets some seconds after the SAs are up.
    let found = await tunnelled();
    for (let again = 0; again < 5 && !/ 3 received/.test(found); again++) found = await tunnelled();
    t.match(found, / 3 received/, 'and a new start finds its way to the peer');
    t.equal(await a.stop(), 0);
    t.equal(await b.stop(), 0);
  },
);
