import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { EspSuite } from '../../../src/crypto/types.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { capture } from '../../helpers/capture.js';
import { addJoinedSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import { pairOf } from '../../helpers/fixed-key-sa.js';
import { skipWithoutLab, skipWithoutRoot, skipWithoutTun } from '../../helpers/prerequisites.js';
import { TcpFlow } from '../../helpers/tcp-flow.js';
import { DECRYPT, espSa, skipWithoutTshark } from '../../helpers/tshark.js';

const skip = skipWithoutRoot() || skipWithoutLab() || skipWithoutTun() || skipWithoutTshark();

const GCM: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };
const CBC: EspSuite = { encryption: { id: 12, keyBits: 256 }, integrity: 12, dh: 0, esn: false };

/** Octets of a TCP transfer by the host, 1,100 segments and more, and by the gateway. */
const TRANSFERS = [1_500_000, 200_000] as const;
/** Datagrams of each UDP sender, of every length in turn. */
const DATAGRAMS = 700;

/** Sends datagrams to an address, a few at a time so that no buffer overflows. */
const UDP_SENDER = `
const [to, count] = process.argv.slice(1);
const socket = require('node:dgram').createSocket(to.includes(':') ? 'udp6' : 'udp4');
let sent = 0;
const more = () => {
  for (let i = 0; i < 10 && sent < count; i++, sent++) socket.send(Buffer.alloc((sent * 13) % 1300, sent), 9, to);
  if (sent < count) setTimeout(more, 1);
  else setTimeout(() => socket.close(), 50);
};
more();
`;

/** A host behind each gateway and the gateway itself, with their inner addresses. */
const ENDS = {
  a: [
    { node: 'ha', v4: '10.1.0.10', v6: '2001:db8:1::10' },
    { node: 'a', v4: '10.1.0.1', v6: '2001:db8:1::1' },
  ],
  b: [
    { node: 'hb', v4: '10.2.0.10', v6: '2001:db8:2::10' },
    { node: 'b', v4: '10.2.0.1', v6: '2001:db8:2::1' },
  ],
} as const;

const NETS = {
  a: ['10.1.0.0/24', '2001:db8:1::/64'],
  b: ['10.2.0.0/24', '2001:db8:2::/64'],
} as const;

const OUTER = {
  4: { a: '192.0.2.1', b: '192.0.2.2', bits: 24 },
  6: { a: '2001:db8:f::1', b: '2001:db8:f::2', bits: 64 },
} as const;

async function sites(family: 4 | 6): Promise<NetworkLab> {
  const lab = NetworkLab.create();
  await addJoinedSites(lab, OUTER[family]);
  for (const side of ['a', 'b'] as const) {
    const [host, gateway] = ENDS[side];
    for (const { node, v6 } of [host, gateway]) {
      await lab.check(node, ['ip', 'address', 'add', `${v6}/64`, 'dev', 'lan', 'nodad']);
    }
    await lab.check(host.node, ['ip', 'route', 'add', 'default', 'via', gateway.v6]);
    // The kernel cuts a train of datagrams before the device, so that a capture shows each by itself.
    await lab.check(gateway.node, ['ip', 'link', 'set', 'wan', 'gso_max_segs', '1']);
  }
  return lab;
}

/** TCP and UDP of both families, in both directions, from the hosts and from the gateways themselves. */
async function traffic(lab: NetworkLab): Promise<{ readonly tcp: boolean }> {
  let tcp = true;
  for (const [from, to] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    for (const family of ['v4', 'v6'] as const) {
      for (const i of [0, 1] as const) {
        const [source, target] = [ENDS[from][i], ENDS[to][0]];
        const flow = await TcpFlow.start(
          lab,
          { node: source.node, address: source[family] },
          { node: target.node, address: target[family] },
          TRANSFERS[i],
        );
        const { sent, received } = await flow.finish();
        tcp &&= sent.sha256 === received.sha256;
      }
      const argv = [process.execPath, '-e', UDP_SENDER, ENDS[to][0][family], String(DATAGRAMS)];
      await lab.check(ENDS[from][0].node, argv);
    }
  }
  return { tcp };
}

interface Verdict {
  /** ESP packets seen, and those whose ICV did not hold or that did not decrypt. */
  esp: number;
  undecrypted: number;
  /** Checksums of inner packets by direction and header: the number of good ones, and all else. */
  good: Record<string, number>;
  bad: string[];
}

const FIELDS = [
  ...['frame.number', 'esp.spi', 'esp.icv_good', 'ip.checksum.status', 'ipv6.src'],
  ...['tcp.checksum.status', 'udp.checksum.status', 'icmp.type', 'icmpv6.type'],
] as const;

/** What tshark makes of the capture. Status 1 is good; bad, unverified and the rest are not. */
function judge(file: string, family: 4 | 6, suite: EspSuite): Verdict {
  const setup = { side: 'a', suite, mtu: 0, local: OUTER[family].a, peer: OUTER[family].b } as const;
  const pair = pairOf({ ...setup, localNets: NETS.a, peerNets: NETS.b }, 1, true);
  const keys = [
    [pair.spiIn, pair.keysIn],
    [pair.spiOut, pair.keysOut],
  ] as const;
  const sas = keys.flatMap(([spi, { encryption, integrity }]) =>
    espSa({
      ...{ family, suite, spi },
      ...{ encryption: encryption.expose(), integrity: integrity?.expose() ?? new Uint8Array() },
    }),
  );
  const checks = ['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
  const output = execFileSync(
    'tshark',
    [
      ...['-n', '-r', file, ...DECRYPT, ...sas, ...checks, '-Y', 'esp'],
      ...['-T', 'fields', '-E', 'separator=;', ...FIELDS.flatMap((field) => ['-e', field])],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 28 },
  );
  const verdict: Verdict = { esp: 0, undecrypted: 0, good: {}, bad: [] };
  for (const line of output.trimEnd().split('\n')) {
    const [frame, spi, icv, ip = '', sources = '', tcp = '', udp = '', ...icmp] = line.split(';');
    const direction = Number(spi) === pair.spiOut ? 'out' : 'in';
    verdict.esp++;
    // The first of each list belongs to the outer headers, whose UDP checksum the device was to fill in.
    const outer = { ip: family === 4 ? 1 : 0, v6: family === 6 ? 1 : 0 };
    const innerIp = split(ip).slice(outer.ip);
    const innerV6 = split(sources).slice(outer.v6);
    // ICMP quotes the packets it speaks of, cut off.
    const quotes = icmp.some((type) => type !== '');
    if (icv !== '1' || innerIp.length + innerV6.length < 1) verdict.undecrypted++;
    if (icv !== '1' || quotes) continue;
    const version = innerIp.length === 1 ? 'IPv4' : 'IPv6';
    for (const [name, statuses] of [
      ['IPv4 header', innerIp],
      [`TCP over ${version}`, split(tcp)],
      [`UDP over ${version}`, split(udp).slice(1)],
    ] as const) {
      for (const status of statuses) {
        const key = `${name}, ${direction}`;
        if (status === '1') verdict.good[key] = (verdict.good[key] ?? 0) + 1;
        else verdict.bad.push(`frame ${frame}, ${key}: ${status}`);
      }
    }
  }
  return verdict;
}

function split(list: string): string[] {
  return list === '' ? [] : list.split(',');
}

for (const [name, family, suite] of [
  ['AES-GCM over IPv4', 4, GCM],
  ['AES-CBC with HMAC-SHA-256 over IPv6', 6, CBC],
] as const) {
  t.test(`${name}: every inner packet has its checksums`, { skip, timeout: 100_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'culvert-capture-'));
    const lab = await sites(family);
    t.teardown(async () => {
      await lab.dispose();
      rmSync(folder, { recursive: true, force: true });
    });
    const { a: one, b: two } = OUTER[family];
    const gateways = [
      new FixedKeyGateway(lab, 'a', suite, {
        ...{ local: one, peer: two, mtu: 1380, localNets: NETS.a, peerNets: NETS.b },
      }),
      new FixedKeyGateway(lab, 'b', suite, {
        ...{ local: two, peer: one, mtu: 1380, localNets: NETS.b, peerNets: NETS.a },
      }),
    ] as const;
    for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/ });
    const file = join(folder, 'wan.pcapng');
    const running = await capture(lab, 'a', 'wan', 'udp port 4500', file);
    t.ok((await traffic(lab)).tcp, 'TCP arrives intact');
    const { children } = await gateways[0].counters();
    await running.stop();

    const verdict = judge(file, family, suite);
    t.equal(verdict.undecrypted, 0, `all of ${verdict.esp} ESP packets were decrypted`);
    const moved = children[0]!.packetsIn + children[0]!.packetsOut;
    t.ok(verdict.esp >= moved, `${verdict.esp} captured, ${moved} counted`);
    t.same(verdict.bad.slice(0, 10), [], 'no checksum is wrong');
    for (const direction of ['in', 'out']) {
      for (const version of ['IPv4', 'IPv6']) {
        const tcp = verdict.good[`TCP over ${version}, ${direction}`] ?? 0;
        const udp = verdict.good[`UDP over ${version}, ${direction}`] ?? 0;
        t.ok(tcp > 1000, `${tcp} good TCP checksums over ${version}, ${direction}`);
        t.ok(udp >= DATAGRAMS / 2, `${udp} good UDP checksums over ${version}, ${direction}`);
      }
      t.ok((verdict.good[`IPv4 header, ${direction}`] ?? 0) > 1000, `IPv4 headers, ${direction}`);
    }
    for (const gateway of gateways) gateway.tell('close');
  });
}
