import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { EspSuite } from '../../../src/crypto/types.js';
import { innerMtu } from '../../../src/esp/layout.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { type Answer, addSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import { skipWithoutLab, skipWithoutRoot, skipWithoutTun } from '../../helpers/prerequisites.js';

const skip = skipWithoutRoot() || skipWithoutLab() || skipWithoutTun();

const CBC: EspSuite = { encryption: { id: 12, keyBits: 256 }, integrity: 12, dh: 0, esn: false };
const FIRST = 1200;
const LAST = 1600;
/** MTU of a link in the middle that neither gateway sees. */
const NARROW = 1320;

/** Looks so often whether something has come true, each time after a moment. */
const LOOKS = 100;

/**
 * Octets of the IP packets, one of each size, that came back when sent with `-M` this. The wait is long where
 * an answer must come, up to the size `sure`, which costs nothing, and short beyond.
 */
async function answered(
  lab: NetworkLab,
  discovery: 'do' | 'dont',
  { step = 1, sure = LAST } = {},
): Promise<Set<number>> {
  const wait = `-W $([ $s -le ${sure} ] && echo 20 || echo 1)`;
  const one = `ping -q -n -c 1 ${wait} -M ${discovery} -s $((s - 28)) 10.2.0.10 >/dev/null 2>&1 && echo $s`;
  const script = `for s in $(seq ${FIRST} ${step} ${LAST}); do { ${one}; } & [ $((s % 40)) = 0 ] && wait; done; wait`;
  const { stdout } = await lab.run('ha', ['sh', '-c', script]);
  return new Set(stdout.split('\n').filter(Boolean).map(Number));
}

const knows = ({ children }: Answer): boolean => children[0]!.pathMtu === NARROW;

/** Packets sent by one gateway and received by the other since `before`, for both directions. */
function difference(before: readonly [Answer, Answer], after: readonly [Answer, Answer]) {
  const since = (gateway: 0 | 1, field: 'packetsIn' | 'packetsOut'): number =>
    after[gateway].children[0]![field] - before[gateway].children[0]![field];
  return [
    { sent: since(0, 'packetsOut'), got: since(1, 'packetsIn') },
    { sent: since(1, 'packetsOut'), got: since(0, 'packetsIn') },
  ];
}

const sizes = Array.from({ length: LAST - FIRST + 1 }, (_, i) => FIRST + i);

for (const [name, offload] of [
  ['with offloads', undefined],
  ['without offloads', 'none'],
] as const) {
  t.test(`every size from ${FIRST} to ${LAST}, ${name}`, { skip, timeout: 200_000 }, async (t) => {
    const lab = NetworkLab.create();
    t.teardown(() => lab.dispose());
    await addSites(lab);
    for (const node of ['r', 's']) await lab.add(node);
    // a - r = s - b: only the routers know that the link between them is narrow.
    const links = [
      ['a', 'wan', '198.51.100.1', 'r', 'left', '198.51.100.254'],
      ['r', 'mid', '192.0.2.1', 's', 'mid', '192.0.2.2'],
      ['s', 'right', '203.0.113.254', 'b', 'wan', '203.0.113.1'],
    ] as const;
    for (const [node, device, address, other, there, far] of links) {
      await lab.link(
        { node, device, addresses: [`${address}/24`] },
        { node: other, device: there, addresses: [`${far}/24`] },
      );
    }
    for (const [node, to, via] of [
      ['a', 'default', '198.51.100.254'],
      ['b', 'default', '203.0.113.254'],
      ['r', '203.0.113.0/24', '192.0.2.2'],
      ['s', '198.51.100.0/24', '192.0.2.1'],
    ] as const) {
      await lab.check(node, ['ip', 'route', 'add', to, 'via', via]);
    }
    for (const node of ['r', 's']) {
      await lab.forward(node);
      await lab.check(node, ['ip', 'link', 'set', 'mid', 'mtu', String(NARROW)]);
    }
    const [one, two] = ['198.51.100.1', '203.0.113.1'];
    const common = offload === undefined ? {} : { offload };
    const gateways = [
      new FixedKeyGateway(lab, 'a', CBC, { ...common, local: one, peer: two }),
      new FixedKeyGateway(lab, 'b', CBC, { ...common, local: two, peer: one }),
    ] as const;
    for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/ });

    const counters = async () => [await gateways[0].counters(), await gateways[1].counters()] as const;
    const mtu = innerMtu(CBC, NARROW, 4, 'udp');
    // The first long ones teach the gateway on one side, and then the answers the one on the other.
    let before = await counters();
    for (let i = 0; i < LOOKS && !before.every(knows); i++) {
      await answered(lab, 'dont', { step: 100, sure: 0 });
      before = await counters();
    }
    const all = await answered(lab, 'dont');
    t.same(
      sizes.filter((size) => !all.has(size)),
      [],
      'without DF every size arrives',
    );
    const learned = await counters();
    t.same(
      learned.map(({ children }) => [children[0]!.pathMtu, children[0]!.innerMtu]),
      [
        [NARROW, mtu],
        [NARROW, mtu],
      ],
      'both gateways know the path',
    );
    const whole = await answered(lab, 'do', { sure: mtu });
    t.same(
      sizes.filter((size) => whole.has(size)),
      sizes.filter((size) => size <= mtu),
      `with DF those up to ${mtu} arrive, and the sender knows why the others do not`,
    );
    const { stdout } = await lab.run('ha', ['ip', 'route', 'get', '10.2.0.10']);
    t.match(stdout, new RegExp(`mtu ${mtu}\\b`));
    // An answer may have come before the other gateway has counted what it sent.
    let between = difference(before, await counters());
    for (let i = 0; i < LOOKS && !between.every(({ sent, got }) => sent === got); i++) {
      await sleep(20);
      between = difference(before, await counters());
    }
    for (const { sent, got } of between) t.equal(got, sent, 'nothing is lost under way');
    const ended = gateways.map(({ process }) => new Promise((resolve) => process.once('exit', resolve)));
    for (const gateway of gateways) gateway.tell('close');
    t.same(await Promise.all(ended), [0, 0]);
  });
}
