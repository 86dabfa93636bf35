import t from 'tap';
import type { EspSuite } from '../../../src/crypto/types.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { addJoinedSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import { skipWithoutLab, skipWithoutRoot, skipWithoutTun } from '../../helpers/prerequisites.js';

const skip = skipWithoutRoot() || skipWithoutLab() || skipWithoutTun();

const GCM: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };

/** UDP datagrams the namespace has sent so far, of both families. */
async function udpSent(lab: NetworkLab, node: string): Promise<number> {
  const v4 = await lab.check(node, ['cat', '/proc/net/snmp']);
  const v6 = await lab.check(node, ['cat', '/proc/net/snmp6']);
  const [names, values] = v4.split('\n').filter((line) => line.startsWith('Udp:'));
  const four = Number(values!.split(' ')[names!.split(' ').indexOf('OutDatagrams')]);
  return four + Number(/^Udp6OutDatagrams\s+(\d+)/m.exec(v6)?.[1] ?? 0);
}

for (const [family, one, two, bits] of [
  ['IPv4', '192.0.2.1', '192.0.2.2', 24],
  ['IPv6', '2001:db8::1', '2001:db8::2', 64],
] as const) {
  t.test(`ESP as IP protocol 50 over ${family}`, { skip }, async (t) => {
    const lab = NetworkLab.create();
    t.teardown(() => lab.dispose());
    await addJoinedSites(lab, { a: one, b: two, bits });
    const encapsulation = 'esp';
    const gateways = [
      new FixedKeyGateway(lab, 'a', GCM, { encapsulation, local: one, peer: two, mtu: 1380 }),
      new FixedKeyGateway(lab, 'b', GCM, { encapsulation, local: two, peer: one, mtu: 1380 }),
    ] as const;
    for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/ });
    const before = await udpSent(lab, 'a');
    for (const size of ['0', '1352', '4000']) {
      const argv = ['ping', '-n', '-c', '3', '-i', '0.05', '-W', '5', '-s', size, '10.2.0.10'];
      const ping = await lab.run('ha', argv);
      t.equal(ping.code, 0, `${size} octets: ${ping.stdout}${ping.stderr}`);
    }
    t.equal(await udpSent(lab, 'a'), before, 'nothing leaves by UDP');
    const [a, b] = [await gateways[0].counters(), await gateways[1].counters()];
    t.ok(a.children[0]!.packetsOut >= 9);
    t.equal(a.children[0]!.packetsOut, b.children[0]!.packetsIn);
    t.equal(b.children[0]!.packetsOut, a.children[0]!.packetsIn);
    const ended = gateways.map(({ process }) => new Promise((resolve) => process.once('exit', resolve)));
    for (const gateway of gateways) gateway.tell('close');
    t.same(await Promise.all(ended), [0, 0]);
  });
}

for (const workers of [1, 2]) {
  t.test(`one end sends IP protocol 50 and the other ESP in UDP, ${workers} workers`, { skip }, async (t) => {
    const lab = NetworkLab.create();
    t.teardown(() => lab.dispose());
    const [one, two] = ['192.0.2.1', '192.0.2.2'];
    await addJoinedSites(lab, { a: one, b: two, bits: 24 });
    const ends = { workers, mtu: 1380, raw: true };
    const gateways = [
      new FixedKeyGateway(lab, 'a', GCM, { ...ends, encapsulation: 'esp', local: one, peer: two }),
      new FixedKeyGateway(lab, 'b', GCM, { ...ends, encapsulation: 'udp', local: two, peer: one }),
    ] as const;
    for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/ });
    const ping = await lab.run('ha', ['ping', '-n', '-c', '5', '-i', '0.05', '-W', '5', '10.2.0.10']);
    t.equal(ping.code, 0, `${ping.stdout}${ping.stderr}`);
    for (const gateway of gateways) {
      const { children, drops } = await gateway.counters();
      t.equal(children[0]!.packetsIn, 5);
      t.equal(drops.unknown_spi, 0);
      gateway.tell('close');
    }
    t.ok((await udpSent(lab, 'b')) >= 5, 'requests come without UDP, answers leave in it');
  });
}
