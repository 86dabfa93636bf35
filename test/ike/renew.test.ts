import t from 'tap';
import type { RenewScope } from '../../src/ike/inputs.js';
import {
  type ConnectionPatch,
  connection,
  EAST,
  establishedPair,
  faults,
  type Pair,
  pair,
  type SimNode,
} from '../helpers/engine-pair.js';

/** Gives one end another configuration, and the engine the order that goes with it. */
function reconfigure(made: Pair, node: SimNode, patch: ConnectionPatch, scope?: RenewScope): void {
  const config = { connections: [connection(node === made.east ? 'east' : 'west', patch)] };
  made.sim.input(node, { kind: 'configure', config });
  if (scope !== undefined) made.sim.input(node, { kind: 'renew', connection: 'site', scope });
}

/** Lets the exchange happen and checks after every step that each end can send on something the other holds. */
function settle(
  t: { fail(message: string): void; equal(a: unknown, b: unknown): void },
  made: Pair,
  time = 60_000,
): void {
  const until = made.sim.now + time;
  made.sim.run(until, () => {
    for (const [one, other] of [
      [made.east, made.west],
      [made.west, made.east],
    ] as const) {
      const held = new Set([...other.children.values()].map((child) => child.spiIn));
      const usable = [...one.children.values()].some((child) => held.has(child.spiOut));
      if (!usable) t.fail(`at ${made.sim.now} ${one.name} has no child SA that ${other.name} holds`);
    }
    return false;
  });
  t.equal(faults(made), undefined);
}

t.test('child SAs are rekeyed with the new proposals, make before break', async (t) => {
  const made = establishedPair();
  const [before] = made.east.childInfo.values();
  const pfs = [{ encryption: before!.suite.encryption, integrity: before!.suite.integrity }].map((suite) => ({
    encryption: [suite.encryption],
    integrity: [suite.integrity],
    dh: [14],
  }));
  reconfigure(made, made.west, { espProposals: pfs });
  reconfigure(made, made.east, { espProposals: pfs }, 'children');
  settle(t, made);
  const [after] = made.east.childInfo.values();
  t.not(after!.childId, before!.childId);
  t.equal(after!.suite.dh, 14, 'with PFS now');
  t.equal(made.east.ikes.size, 1);
  t.match(made.east.eventsOf('child-closed'), [{ reason: 'rekeyed' }]);
});

t.test('the IKE SA is rekeyed with the new proposals and keeps its child SAs', async (t) => {
  const made = establishedPair();
  const [before] = made.east.ikes.values();
  const children = [...made.east.childInfo.keys()];
  const ikeProposals = [
    {
      encryption: [before!.suite.encryption],
      integrity: [before!.suite.integrity],
      prf: [before!.suite.prf],
      dh: [5],
    },
  ];
  reconfigure(made, made.west, { ikeProposals });
  reconfigure(made, made.east, { ikeProposals }, 'ike');
  settle(t, made);
  const [after] = made.east.ikes.values();
  t.equal(after!.suite.dh, 5);
  t.equal(after!.replaces, before!.ikeId);
  t.same([...made.east.childInfo.keys()], children);
});

t.test('a peer that was not changed yet refuses: what stands goes on', async (t) => {
  const made = establishedPair();
  const ikeProposals = [{ encryption: [{ id: 12, keyBits: 192 }], integrity: [12], prf: [5], dh: [19] }];
  const [before] = made.east.ikes.keys();
  reconfigure(made, made.east, { ikeProposals }, 'ike');
  settle(t, made, 3000);
  t.same([...made.east.ikes.keys()], [before]);
});

t.test('a new negotiation beside the old IKE SA, which goes when the new one stands', async (t) => {
  const made = establishedPair();
  const [before] = made.east.ikes.keys();
  reconfigure(made, made.west, { peer: { identity: 'moved.example' } });
  reconfigure(made, made.east, { local: { identity: 'moved.example' } }, 'connection');
  t.equal(made.east.childInfo.size, 1, 'the old one carries traffic meanwhile');
  made.sim.run(made.sim.now + 60_000);
  t.equal(faults(made), undefined);
  const [after] = made.west.ikes.values();
  t.equal(after!.peerIdentity, 'fqdn:moved.example');
  t.notOk(made.east.ikes.has(before!));
  t.match(made.east.eventsOf('ike-closed'), [{ reason: 'replaced' }]);
});

t.test('packets on their way while a new IKE SA takes over still find their child SA', async (t) => {
  /** How late a packet may come, behind the IKE messages that change the SAs. */
  const late = 1500;
  for (const renews of ['east', 'west'] as const) {
    const made = establishedPair();
    const [before] = made.east.ikes.keys();
    const sent: { readonly at: number; readonly to: SimNode; readonly spi: number }[] = [];
    const identity = { identity: 'moved.example' };
    reconfigure(
      made,
      made.west,
      renews === 'east' ? { peer: identity } : { local: identity },
      renews === 'west' ? 'connection' : undefined,
    );
    reconfigure(
      made,
      made.east,
      renews === 'east' ? { local: identity } : { peer: identity },
      renews === 'east' ? 'connection' : undefined,
    );
    const missed = new Set<string>();
    made.sim.run(made.sim.now + 20_000, () => {
      for (const [from, to] of [
        [made.east, made.west],
        [made.west, made.east],
      ] as const) {
        // The SA that was put into service last is the one that is sent on.
        const usable = [...from.children.values()].filter(
          ({ id, outbound }) => outbound || from.activated.has(id),
        );
        const spi = usable.at(-1)?.spiOut;
        if (spi !== undefined) sent.push({ at: made.sim.now, to, spi });
      }
      for (const { at, to, spi } of sent) {
        const held = [...to.children.values()].some(({ spiIn }) => spiIn === spi);
        if (made.sim.now - at <= late && !held)
          missed.add(`sent to ${to.name} at ${at}, gone at ${made.sim.now}`);
      }
      return false;
    });
    t.same([...missed], [], `renewed by the ${renews}`);
    t.notOk(made.east.ikes.has(before!), 'the old IKE SA is gone');
    t.equal(faults(made), undefined);
  }
});

t.test('when the new negotiation fails the old IKE SA stays', async (t) => {
  const made = establishedPair();
  const [before] = made.east.ikes.keys();
  reconfigure(made, made.east, { local: { identity: 'unknown.example' } }, 'connection');
  settle(t, made, 3000);
  t.same([...made.east.ikes.keys()], [before]);
  t.match(made.east.eventsOf('ike-failed'), [{ failure: { cause: 'authentication_refused' } }]);
});

t.test('a removed network ends or shrinks only the child SA that carries it', async (t) => {
  const both = ['10.1.0.0/24', '10.7.0.0/24'];
  const made = establishedPair({ east: { local: { cidrs: both } }, west: { peer: { cidrs: both } } });
  reconfigure(made, made.west, { peer: { cidrs: ['10.1.0.0/24'] } });
  reconfigure(made, made.east, { local: { cidrs: ['10.1.0.0/24'] } }, 'networks');
  settle(t, made);
  const [child] = made.east.childInfo.values();
  t.equal(child!.localTs.length, 1, 'it was rekeyed without the network');

  const [same] = made.east.childInfo.keys();
  made.sim.input(made.east, { kind: 'renew', connection: 'site', scope: 'networks' });
  settle(t, made, 1000);
  t.same([...made.east.childInfo.keys()], [same], 'nothing to do the second time');

  reconfigure(made, made.east, { local: { cidrs: ['10.99.0.0/24'] } }, 'networks');
  made.sim.run(made.sim.now + 50);
  t.equal(made.east.childInfo.size, 0, 'none of its networks is configured any more');
  t.match(made.east.eventsOf('child-closed').at(-1), { reason: 'configuration-changed' });
  t.equal(made.west.childInfo.size, 0, 'the peer was told');
});

t.test('lifetimes are counted from the age of the SA', async (t) => {
  const made = establishedPair();
  made.sim.run(100_000);
  reconfigure(made, made.east, { childLifetime: 300, ikeLifetime: 86_400 }, 'lifetimes');
  const [child] = made.east.childInfo.values();
  const news = made.east.eventsOf('rescheduled');
  t.equal(news.length, 2);
  t.ok(news.find((event) => event.childId === child!.childId)!.rekeyAt <= 300_000);
  t.ok(news.find((event) => event.childId === undefined)!.rekeyAt > 28_800_000 * 0.9);
  made.sim.run(310_000);
  t.notOk(made.east.childInfo.has(child!.childId), 'it was rekeyed when the shorter lifetime wanted it');
  reconfigure(made, made.east, { childLifetime: 60 }, 'lifetimes');
  settle(t, made, 5000);
});

t.test('a peer behind a NAT is followed by its ESP, another one is not', async (t) => {
  const from = { address: '203.0.113.50', port: 61_000 };
  const still = establishedPair();
  const [direct] = still.east.childInfo.keys();
  still.sim.input(still.east, { kind: 'esp-moved', childId: direct!, from });
  t.equal(still.east.eventsOf('peer-moved').length, 0);

  const forced = establishedPair({ east: { encapsulation: 'always' }, west: { encapsulation: 'always' } });
  for (const node of [forced.east, forced.west]) {
    const [child] = node.childInfo.keys();
    forced.sim.input(node, { kind: 'esp-moved', childId: child!, from });
    t.equal(node.eventsOf('peer-moved').length, 0, 'forced encapsulation is no NAT');
  }

  const made = pair({ west: { establishMode: 'peer_only' } });
  made.sim.net.nats.push({ inside: EAST, outside: '198.51.100.1', portBase: 20_000 });
  made.sim.initiate(made.east);
  made.sim.run(2000);
  const [child] = made.west.childInfo.keys();
  const outputs = made.sim.input(made.west, { kind: 'esp-moved', childId: child!, from });
  t.match(made.west.eventsOf('peer-moved'), [{ to: from }]);
  t.match(
    outputs.filter(({ kind }) => kind === 'update-peer'),
    [{ peer: from }],
  );
  t.same(
    made.sim.input(made.west, { kind: 'esp-moved', childId: 99_999, from }),
    [],
    'a child SA that is gone',
  );
});
