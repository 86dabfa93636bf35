import t, { type Test } from 'tap';
import { SITE_A, SITE_A_NATTED, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { newerStrongswan } from '../helpers/strongswan.js';
import {
  carriesTraffic,
  culvertConfig,
  IKE,
  type SwanPair,
  swanConnection,
  withPair,
} from '../helpers/strongswan-pair.js';
import { TcpFlow } from '../helpers/tcp-flow.js';

/** strongSwan 6 sends and takes ESP as IP protocol 50 without the kernel's help; older ones do not. */
const { root, skip } = newerStrongswan();
const swan = { root, settings: 'plugins { kernel-libipsec { raw_esp = yes } }' };
const gateway = { encapsulation: 'auto' };

const SUITES = [
  ['aes128gcm16', { encryption_algorithm: 'aes128gcm16', authentication_algorithm: 'disabled' }],
  ['aes128-sha1', { encryption_algorithm: 'aes128', authentication_algorithm: 'sha1' }],
  ['aes256-sha256', { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' }],
] as const;

/** Octets of the TCP transfer, each way. */
const TRANSFER = 2 * 1024 * 1024;

const TABLE = [
  'add table ip count',
  'add chain ip count in { type filter hook prerouting priority -300 ; }',
  'add chain ip count out { type filter hook output priority 300 ; }',
  'add rule ip count in ip protocol esp counter',
  'add rule ip count in udp dport 4500 counter',
  'add rule ip count out ip protocol esp counter',
  'add rule ip count out udp sport 4500 counter',
].join('; ');

interface OuterPackets {
  readonly esp: readonly [received: number, sent: number];
  /** Of port 4500: IKE included. */
  readonly udp: readonly [received: number, sent: number];
}

/** What site A's kernel has seen on the outside since `nft` was given the table. */
async function outerPackets({ lab }: SiteLab): Promise<OuterPackets> {
  const text = await lab.check('a', ['nft', 'list', 'table', 'ip', 'count']);
  const [espIn, udpIn, espOut, udpOut] = [...text.matchAll(/packets (\d+)/g)].map((match) =>
    Number(match[1]),
  );
  return { esp: [espIn!, espOut!], udp: [udpIn!, udpOut!] };
}

async function ends(t: Test, { swan, culvert }: SwanPair, encapsulation: 'udp' | 'esp'): Promise<void> {
  const up = await culvert.until('to-b', (c) => c.status === 'up');
  t.equal(up.children[0]?.encapsulation, encapsulation, 'as Culvert tells');
  const [sa] = await swan.sas();
  t.equal(sa?.children[0]?.encap, encapsulation === 'udp', 'as strongSwan tells');
}

/** Pings that fit, that are fragmented before they enter the tunnel, and TCP both ways. */
async function bigTraffic(t: Test, { site }: SwanPair): Promise<void> {
  const { lab } = site;
  for (const [from, to] of [
    [SITE_A, SITE_B],
    [SITE_B, SITE_A],
  ] as const) {
    for (const size of [1300, 1372, 1472, 4000, 20_000]) {
      const argv = ['ping', '-q', '-n', '-c', '1', '-W', '5', '-M', 'dont', '-s', String(size)];
      const { code } = await lab.run(from.node, [...argv, '-I', from.inside, to.inside]);
      t.equal(code, 0, `${size} octets from ${from.node}`);
    }
    const flow = await TcpFlow.start(
      lab,
      { node: from.node, address: from.inside },
      { node: to.node, address: to.inside },
      TRANSFER,
    );
    const { sent, received } = await flow.finish();
    t.same(received, sent, `TCP from ${from.node}`);
    t.equal(sent.octets, TRANSFER);
  }
}

for (const [name, esp] of SUITES) {
  t.test(`${name} as IP protocol 50, both roles`, { skip }, async (t) => {
    const options = { ike: IKE, esp: { ...esp, pfs: 'disabled' }, gateway };
    const connection = swanConnection({ espProposals: name, encap: false });
    await withPair(
      t,
      culvertConfig(options),
      connection,
      async (pair) => {
        await pair.site.lab.check('a', ['nft', TABLE]);
        await pair.culvert.up('to-b');
        await ends(t, pair, 'esp');
        const before = await outerPackets(pair.site);
        await carriesTraffic(t, pair);
        await bigTraffic(t, pair);
        const { esp: packets, udp } = await outerPackets(pair.site);
        const child = (await pair.culvert.connection('to-b')).children[0]!;
        t.ok(packets[0] >= child.packets_in && packets[1] >= child.packets_out, 'ESP on the wire');
        t.ok(child.packets_in > 500 && child.packets_out > 500);
        t.same(udp, before.udp, 'and nothing on UDP 4500');
        t.same(
          Object.entries(child.drops).filter(([, count]) => count > 0),
          [],
          'no drops',
        );
      },
      { swan },
    );
    const waiting = culvertConfig({ ...options, establishMode: 'peer_only' });
    await withPair(
      t,
      waiting,
      connection,
      async (pair) => {
        t.ok((await pair.swan.initiate()).ok, 'strongSwan initiates');
        await ends(t, pair, 'esp');
        await carriesTraffic(t, pair);
      },
      { swan },
    );
  });
}

t.test('a NAT between the two: ESP in UDP under the same settings', { skip }, async (t) => {
  const config = culvertConfig({
    site: SITE_A_NATTED,
    localIdentity: { type: 'fqdn', value: 'a.example' },
    peerIdentity: { type: 'fqdn', value: 'b.example' },
    gateway,
  });
  const connection = swanConnection({
    encap: false,
    local: { address: SITE_B.address, id: 'b.example', ts: SITE_B.cidr },
    remote: { address: '%any', id: 'a.example', ts: SITE_A.cidr },
  });
  await withPair(
    t,
    config,
    connection,
    async (pair) => {
      await pair.site.lab.check('a', ['nft', TABLE]);
      await pair.culvert.up('to-b');
      await ends(t, pair, 'udp');
      await carriesTraffic(t, pair);
      const { esp, udp } = await outerPackets(pair.site);
      t.same(esp, [0, 0], 'no protocol 50');
      t.ok(udp[0] > 0 && udp[1] > 0);
    },
    { behindNat: true, swan },
  );
});
