import t from 'tap';
import type { IkeProposalSpec } from '../../src/ike/config.js';
import { describeSelector } from '../../src/wire/ike/describe.js';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { EAST, establishedPair, pair, type SimNode, WEST } from '../helpers/engine-pair.js';
import { establishedV1, v1Pair } from '../helpers/v1-pair.js';
import type { Packet } from '../helpers/virtual-net.js';

const failures = (node: SimNode) => node.eventsOf('ike-failed').map(({ failure }) => failure);
const from = (address: string, port?: number) => (packet: Packet) =>
  packet.from.address === address && (port === undefined || packet.from.port === port);
const withGroup = (dh: number): { readonly ikeProposals: readonly IkeProposalSpec[] } => ({
  ikeProposals: [
    {
      encryption: [{ id: Encr.AES_CBC, keyBits: 256 }],
      integrity: [Integ.HMAC_SHA2_256_128],
      prf: [Prf.HMAC_SHA2_256],
      dh: [dh],
    },
  ],
});

t.test('each version is refused by the name of the other, at both ends', async (t) => {
  for (const [ours, theirs] of [
    [1, 2],
    [2, 1],
  ] as const) {
    const made = pair({
      east: { initiateVersion: theirs, acceptVersions: [theirs] },
      west: { initiateVersion: ours, acceptVersions: [ours] },
    });
    made.sim.initiate(made.east);
    made.sim.run(5000);
    const [seen] = made.west.eventsOf('ike-failed');
    t.match(seen, {
      connection: 'site',
      role: 'responder',
      failure: {
        cause: 'ike_version_mismatch',
        message: `the peer starts with IKEv${theirs}; connection site accepts IKEv${ours} only`,
        details: { ours: [`IKEv${ours}`], theirs: [`IKEv${theirs}`] },
      },
    });
    t.equal(failures(made.east)[0]?.cause, 'ike_version_mismatch', 'and the initiator is told');
  }
});

t.test('a peer of no connection is not told what the others speak', async (t) => {
  const made = pair({
    east: { initiateVersion: 1, acceptVersions: [1] },
    west: { peer: { addresses: ['192.0.2.77'] } },
  });
  made.sim.initiate(made.east);
  made.sim.run(3000);
  t.equal(failures(made.west)[0]?.cause, 'no_matching_connection');
  t.equal(made.sim.net.sent.filter(from(WEST)).length, 0);
});

t.test('an initiator that does not go on: the responder tells which way is closed', async (t) => {
  for (const version of [2, 1] as const) {
    const made = () => (version === 2 ? pair : v1Pair)({ west: { encapsulation: 'always' } });
    const unheard = made();
    unheard.sim.net.impair(from(WEST), { kind: 'drop' }, 999);
    unheard.sim.initiate(unheard.east);
    unheard.sim.run(80_000);
    t.match(failures(unheard.west), [{ cause: 'port_500_blocked', details: { tries: Number } }]);
    t.match(failures(unheard.west)[0]?.message, /what we send from UDP port 500 does not reach it/);
    t.match(failures(unheard.east), [{ cause: 'peer_silent', details: { unanswered: 'message 1' } }]);

    const blocked = made();
    blocked.sim.net.impair((packet) => packet.natTraversalPort, { kind: 'drop' }, 999);
    blocked.sim.initiate(blocked.east);
    blocked.sim.run(80_000);
    t.match(failures(blocked.west)[0], {
      cause: 'port_4500_blocked',
      message: /port 4500, where nothing came/,
    });
    t.equal(failures(blocked.east)[0]?.cause, 'port_4500_blocked', 'and so does the initiator');

    const plain = (version === 2 ? pair : v1Pair)({ east: { encapsulation: 'auto' } });
    let asked = 0;
    const last = version === 2 ? 1 : 2;
    plain.sim.net.impair((packet) => from(EAST)(packet) && asked++ >= last, { kind: 'drop' }, 999);
    plain.sim.initiate(plain.east);
    plain.sim.run(80_000);
    t.equal(failures(plain.west)[0]?.cause, 'peer_silent', 'without a NAT there is no other port');
  }
});

t.test('a probe that stops after message 1 of main mode is not worth a word', async (t) => {
  const made = v1Pair();
  let sent = 0;
  made.sim.net.impair((packet) => from(EAST)(packet) && sent++ > 0, { kind: 'drop' }, 999);
  made.sim.initiate(made.east);
  made.sim.run(80_000);
  t.same(failures(made.west), []);
});

t.test('a rekeying without answer from a peer whose ESP keeps coming is no dead peer', async (t) => {
  for (const heard of [true, false]) {
    const made = establishedPair({ east: { childLifetime: 300 } });
    const [childId] = made.east.children.keys();
    made.sim.net.impair(
      (packet) => !heard || packet.name === 'CREATE_CHILD_SA request',
      { kind: 'drop' },
      999,
    );
    made.sim.run(200_000);
    for (let n = 0; n < 400 && made.east.ikes.size > 0; n++) {
      if (heard) made.sim.input(made.east, { kind: 'inbound-traffic', childId: childId!, at: made.sim.now });
      made.sim.run(made.sim.now + 1000);
    }
    const [closed] = made.east.eventsOf('ike-closed');
    if (heard) {
      t.match(closed, { reason: 'replaced' }, 'a new IKE SA takes over before the child SA ends');
      const [failed] = made.east.eventsOf('child-failed');
      t.match(failed?.failure, { cause: 'rekey_failed', details: { exchange: 'CREATE_CHILD_SA' } });
      t.ok(made.east.childInfo.size > 0);
    } else {
      t.match(closed, { reason: 'peer-dead', failure: { cause: 'dpd_timeout' } });
      t.ok(made.sim.now < 400_000, 'soon, not when the IKE SA runs out');
    }
  }
});

t.test('an IKE SA whose rekeying is refused ends with the refusal as its reason', async (t) => {
  for (const version of [2, 1] as const) {
    const lives = {
      ...withGroup(Dh.MODP_2048),
      ikeLifetime: 300,
      dpd: { action: 'none', interval: 10, timeout: 40 },
    } as const;
    const west = { establishMode: 'peer_only' } as const;
    const made = (version === 2 ? establishedPair : establishedV1)({ east: lives, west });
    const config = made.west.config.connections.map((one) => ({ ...one, ...withGroup(Dh.MODP_1024) }));
    made.sim.input(made.west, { kind: 'configure', config: { connections: config } });
    made.sim.run(290_000);
    t.equal(made.east.ikes.size, 1, 'it works as long as it lives');
    t.ok(made.east.eventsOf('advisory').some(({ code }) => code === 'rekey_refused'));
    made.sim.run(320_000);
    const [closed] = made.east.eventsOf('ike-closed');
    t.match(closed, {
      reason: 'expired',
      failure: { cause: 'ike_proposal_mismatch', message: /end of its lifetime/, details: { ours: [/./] } },
    });
  }
});

t.test(
  'IKEv1: a refused pair of networks is asked for again, ever more seldom, until it is taken',
  async (t) => {
    const both = ['10.2.0.0/24', '10.2.1.0/24'];
    const passive = { establishMode: 'peer_only' } as const;
    const made = v1Pair({
      east: { peer: { cidrs: both } },
      west: { ...passive, local: { cidrs: both.slice(0, 1) } },
    });
    made.sim.initiate(made.east);
    made.sim.run(20_000);
    t.equal(made.east.childInfo.size, 1);
    const [first] = made.east.eventsOf('child-failed');
    t.match(first, { role: 'initiator', failure: { cause: 'ts_mismatch' } });
    t.equal(describeSelector(first!.pair!.peer), both[1]);
    t.ok(first!.retryAt! > made.sim.now && first!.retryAt! < 40_000, 'and it is told when');
    made.sim.run(3_000_000);
    const tries = made.east.eventsOf('child-failed');
    t.ok(tries.length >= 4 && tries.length <= 7, `${tries.length} tries in 50 minutes`);
    t.ok(made.east.childInfo.size >= 1, 'the other pair is not disturbed');
    const connections = made.west.config.connections.map((one) => ({
      ...one,
      local: { ...one.local, selectors: made.east.config.connections[0]!.peer.selectors },
    }));
    made.sim.input(made.west, { kind: 'configure', config: { connections } });
    t.ok(
      made.sim.run(made.sim.now + 3_700_000, () => made.east.childInfo.size === 2),
      'the peer was mended: the pair comes by itself',
    );
  },
);

t.test('an end that never initiates asks for nothing again', async (t) => {
  const made = establishedV1();
  t.same(made.east.eventsOf('child-failed'), []);
  const networks = { local: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] } };
  const passive = v1Pair({
    east: { local: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] } },
    west: { ...networks, establishMode: 'peer_only' },
  });
  passive.sim.initiate(passive.east);
  passive.sim.run(100_000);
  t.ok(passive.west.eventsOf('child-failed').every(({ retryAt }) => retryAt === undefined));
});
