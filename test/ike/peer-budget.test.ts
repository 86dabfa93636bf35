import '../helpers/work-counter.js';
import t from 'tap';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { spiBytes } from '../../src/ike/sa/esp-spi.js';
import { MAX_IKE_SAS, PeerBudget } from '../../src/ike/sa/peer-budget.js';
import { ExchangeType, ProtocolId } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, connection, selectors } from '../helpers/engine-pair.js';
import { HostGateway, HostilePeer, honestPeer, selectorBomb } from '../helpers/hostile-peer.js';
import { stepsOf } from '../helpers/work-counter.js';

const SIZES = [2, 100, 1000] as const;
const networks = (second: number, count = 255): string[] =>
  Array.from({ length: count }, (_, i) => `10.${second}.${i}.0/24`);
const plain = selectors(['10.1.0.0/24']);
const own = selectors(['10.2.0.0/24']);

interface Scene {
  /** Of the gateway's connection, and of the peer's. */
  readonly gateway?: ConnectionPatch;
  readonly peer?: ConnectionPatch;
  /** The datagrams that are counted, as one. */
  prepare(peer: HostilePeer): readonly DatagramInput[];
}

/** The steps that the worst datagram takes with few, many and very many connections. */
function costs({ gateway: ours, peer: theirs, prepare }: Scene): number[] {
  return SIZES.map((size) => {
    const gateway = new HostGateway(size, ours);
    const datagrams = prepare(new HostilePeer(gateway, theirs));
    return stepsOf(() => {
      for (const datagram of datagrams) gateway.receive(datagram);
    }).total;
  });
}

const WORST: readonly (readonly [name: string, most: number, scene: Scene])[] = [
  [
    'CREATE_CHILD_SA with 254 plates at each end',
    120_000,
    {
      prepare: (peer) => {
        const wish = peer.connect().child(selectorBomb('10.1.0.0/24'), selectorBomb('10.2.0.0/24'));
        return [peer.sealed(ExchangeType.CREATE_CHILD_SA, wish)];
      },
    },
  ],
  [
    'DELETE after five child SAs of many pieces',
    5_000,
    {
      prepare: (peer) => {
        peer.connect();
        for (let i = 0; i < 5; i++) {
          const wish = peer.child(
            selectorBomb('10.1.0.0/24', 12),
            selectorBomb('10.2.0.0/24', 12),
            0x777 + i,
          );
          const answer = peer.ask(ExchangeType.CREATE_CHILD_SA, wish);
          if (answer !== 'child') throw new Error(`no child SA: ${answer}`);
        }
        return [
          peer.sealed(ExchangeType.INFORMATIONAL, [
            { kind: 'delete', protocol: ProtocolId.ESP, spis: [spiBytes(0x777)] },
          ]),
        ];
      },
    },
  ],
  [
    'INFORMATIONAL with 15,360 unknown SPIs',
    150_000,
    {
      prepare: (peer) => {
        const payloads = Array.from({ length: 15 }, (_, i) => ({
          kind: 'delete' as const,
          protocol: ProtocolId.ESP,
          spis: Array.from({ length: 1024 }, (_, j) => spiBytes(0x2000 + 1024 * i + j)),
        }));
        return [peer.connect().sealed(ExchangeType.INFORMATIONAL, payloads)];
      },
    },
  ],
  [
    'IKE_AUTH with 255 + 255 selectors and a wrong key',
    150_000,
    {
      gateway: { local: { cidrs: networks(2) }, peer: { cidrs: networks(1) } },
      peer: { psk: 'wrong-horse-battery', local: { cidrs: networks(1) }, peer: { cidrs: networks(2) } },
      prepare: (peer) => peer.authRequest(),
    },
  ],
];

t.test('the worst datagram of each exchange costs little, and as much with 1,000 connections', async (t) => {
  for (const [name, most, scene] of WORST) {
    const found = costs(scene);
    t.ok(Math.max(...found) <= 2 * Math.min(...found), `${name}: ${found.join(', ')} steps`);
    t.ok(Math.max(...found) <= most, `${name}: at most ${most} steps`);
  }
});

t.test('selectors in too many pieces are refused, and plain ones go on', async (t) => {
  const gateway = new HostGateway(2);
  const peer = new HostilePeer(gateway).connect();
  t.equal(peer.askChild(selectorBomb('10.1.0.0/24'), selectorBomb('10.2.0.0/24')), 'TS_UNACCEPTABLE');
  t.match(
    gateway.events.findLast(({ kind }) => kind === 'child-failed'),
    {
      failure: { cause: 'ts_mismatch', message: /more than 1024 pieces/ },
    },
  );
  t.equal(peer.askChild(), 'child');
});

t.test('a chain of rekeys is put off, leaves little behind and locks nobody out', async (t) => {
  const gateway = new HostGateway(2);
  const peer = new HostilePeer(gateway).connect();
  const spis = new Set<string>();
  let most = 0;
  for (let i = 0; i < 1005; i++) {
    peer.rekey();
    spis.add(peer.sa.localSpi);
    gateway.wait(20);
    most = Math.max(most, gateway.engine.sizes.ikeSas);
  }
  t.ok(spis.size >= 10 && spis.size <= 20, `${spis.size} of 1005 rekeys are served`);
  t.ok(
    most <= 20,
    `${most} IKE SAs are kept, those that are deleted for repetitions of the last request only`,
  );
  t.ok(honestPeer(gateway).connect().isUp, 'another peer finds its place');
  gateway.wait(10_000);
  const last = peer.sa.localSpi;
  peer.rekey();
  t.not(peer.sa.localSpi, last, 'a rekey that is due is served');
});

t.test('an IKE SA that is not deleted after its rekey goes with the next one', async (t) => {
  const gateway = new HostGateway(2);
  const peer = new HostilePeer(gateway).connect();
  for (let i = 0; i < 8; i++) peer.rekey(true);
  t.equal(gateway.engine.sizes.ikeSas, 2, 'the one that stands, and one before it');
  t.ok(peer.isUp);
});

t.test('a peer that begins ever anew has eight IKE SAs, and the newest among them', async (t) => {
  const gateway = new HostGateway(2);
  const honest = honestPeer(gateway).connect();
  const peer = new HostilePeer(gateway).connect();
  let most = 0;
  for (let i = 0; i < 60; i++) {
    peer.another();
    gateway.wait(50);
    most = Math.max(most, gateway.engine.sizes.ikeSas);
  }
  const begun = gateway.events.filter((one) => one.kind === 'ike-established' && one.connection === 'site');
  t.equal(begun.length, 61, 'each is let in');
  t.equal(most, 1 + MAX_IKE_SAS, 'with the one of the honest peer');
  t.equal(honest.ask(ExchangeType.INFORMATIONAL, []), 'nothing');
});

t.test('no peer has more child SAs than its share, whatever it asks for', async (t) => {
  const gateway = new HostGateway(2);
  const honest = honestPeer(gateway).connect();
  const peer = new HostilePeer(gateway).connect();
  const answers = new Map<string, number>();
  for (let i = 0; i < 16_384; i++) {
    const answer = peer.ask(ExchangeType.CREATE_CHILD_SA, peer.child(plain, own));
    // What is dropped is sent again under the same message id.
    if (answer === 'silence') peer.sa.nextMessageId--;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
    if (i % 16 === 0) gateway.wait(10);
  }
  t.equal(gateway.childrenOf('site'), 12, 'four for its pair of networks and eight beside');
  t.ok(answers.get('NO_ADDITIONAL_SAS')! > 200, 'it is told why');
  t.ok(answers.get('TEMPORARY_FAILURE')! > 20, 'or that it is to come later');
  t.ok(answers.get('silence')! > 10_000, 'or nothing');
  t.match(
    gateway.events.findLast(({ kind }) => kind === 'child-failed'),
    {
      failure: { cause: 'child_sa_limit', message: /as many as the connection may have: 12$/ },
    },
  );
  t.equal(honest.askChild(selectors(['10.3.0.0/24']), own), 'child', 'another peer has its own');
  t.equal(honest.ask(ExchangeType.INFORMATIONAL, []), 'nothing', 'and its own budget of requests');
});

t.test('requests beyond the budget are left to their retransmission', async (t) => {
  const gateway = new HostGateway(2);
  const peer = new HostilePeer(gateway).connect();
  let served = 0;
  while (peer.ask(ExchangeType.INFORMATIONAL, []) === 'nothing') served++;
  t.ok(served >= 250 && served <= 260, `${served} at once`);
  peer.sa.nextMessageId--;
  gateway.wait(1000);
  served = 0;
  while (peer.ask(ExchangeType.INFORMATIONAL, []) === 'nothing') served++;
  t.ok(served >= 45 && served <= 55, `${served} in a second`);
  t.ok(peer.isUp);
});

t.test('only networks of one address family make a child SA', async (t) => {
  const both = {
    local: { cidrs: ['10.2.0.0/24', '2001:db8:2::/64'] },
    peer: { cidrs: ['10.1.0.0/24', '2001:db8:1::/64'] },
  };
  const gateway = new HostGateway(2, both);
  const peer = new HostilePeer(gateway, { local: both.peer, peer: both.local }).connect();
  const [v4, v6] = [selectors(['10.1.0.0/24']), selectors(['2001:db8:2::/64'])];
  t.equal(peer.askChild(v4, v6), 'TS_UNACCEPTABLE');
  t.match(
    gateway.events.findLast(({ kind }) => kind === 'child-failed'),
    {
      failure: { message: /one address family at its end and of the other at ours/ },
    },
  );
  const count = gateway.outputs.length;
  t.equal(peer.askChild(v4, selectors(['10.2.0.0/24', '2001:db8:2::/64'])), 'child');
  const installed = gateway.outputs.slice(count).find(({ kind }) => kind === 'install-child');
  t.match(
    installed,
    { child: { localTs: selectors(['10.2.0.0/24']), peerTs: v4 } },
    'of both the one that has a pair',
  );
});

t.test('the proposal is spoken of to those only who have the key', async (t) => {
  const [spec] = connection('west').ikeProposals;
  const [strict, weak] = [14, 2].map((group) => [{ ...spec!, dh: [group] }]);
  for (const [psk, cause] of [
    ['wrong-horse-battery', 'psk_mismatch'],
    ['correct-horse-battery', 'ike_proposal_mismatch'],
  ] as const) {
    const gateway = new HostGateway(2, { ikeProposals: strict! }, { ikeProposals: weak! });
    new HostilePeer(gateway, { psk, ikeProposals: weak! }).connect();
    t.match(
      gateway.events.find(({ kind }) => kind === 'ike-failed'),
      { connection: 'site', failure: { cause } },
    );
  }
});

t.test('places are shared out among the connections', async (t) => {
  const budget = new PeerBudget({ ...DEFAULT_LIMITS, childSas: 120 });
  const one = connection('west', { id: 'one' });
  const many = connection('west', {
    id: 'many',
    local: { cidrs: networks(2, 16) },
    peer: { cidrs: networks(1, 16) },
  });
  budget.configure({ connections: [one] });
  t.equal(budget.childLimit('one'), 12);
  budget.configure({ connections: [one, many] });
  t.ok(budget.childLimit('one') >= 1 && budget.childLimit('one') + budget.childLimit('many') <= 120);
  t.equal(budget.childLimit('unknown'), 0);
  const all = Array.from({ length: 1000 }, (_, i) => connection('west', { id: `c${i}` }));
  const roomy = new PeerBudget(DEFAULT_LIMITS);
  roomy.configure({ connections: all });
  t.equal(roomy.childLimit('c999'), 12, 'a thousand connections have all that they may want');
  for (let i = 0; i < 12; i++) roomy.childAdded('c1');
  t.equal(roomy.hasPlace('c1'), false);
  t.equal(roomy.hasPlace('c2'), true);
  roomy.childRemoved('c1');
  t.equal(roomy.hasPlace('c1'), true);
});
