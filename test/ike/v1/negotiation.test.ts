import t from 'tap';
import { Dh, Encr, Integ, Prf } from '../../../src/wire/ike/registry.js';
import { encodeV1Message } from '../../../src/wire/ike/v1/message.js';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { connection, EAST, Simulation, WEST } from '../../helpers/engine-pair.js';
import { FIRST_V1_HEADER } from '../../helpers/ike-headers.js';
import { establishedV1, v1, v1Faults, v1Pair } from '../../helpers/v1-pair.js';

const AES_256 = { id: Encr.AES_CBC, keyBits: 256 };
const AES_128 = { id: Encr.AES_CBC, keyBits: 128 };
const TRIPLE_DES = { id: Encr.TRIPLE_DES, keyBits: 0 };
const HASHES = [
  [Integ.HMAC_SHA2_256_128, Prf.HMAC_SHA2_256],
  [Integ.HMAC_SHA1_96, Prf.HMAC_SHA1],
  [Integ.HMAC_MD5_96, Prf.HMAC_MD5],
] as const;
const GROUPS = [Dh.MODP_2048, Dh.MODP_1536, Dh.MODP_1024];

t.test('every combination of the matrix, against an end that offers and takes all of them', async (t) => {
  for (const cipher of [AES_256, AES_128, TRIPLE_DES]) {
    for (const [integrity, prf] of HASHES) {
      for (const dh of GROUPS) {
        const only = {
          ikeProposals: [{ encryption: [cipher], integrity: [integrity], prf: [prf], dh: [dh] }],
        };
        for (const options of [{ east: only }, { west: only }]) {
          const { east } = establishedV1(options);
          const [ike] = east.ikes.values();
          t.strictSame(ike!.suite, { encryption: cipher, integrity, prf, dh });
        }
      }
      for (const group of [0, ...GROUPS]) {
        const only = {
          espProposals: [{ encryption: [cipher], integrity: [integrity], dh: group === 0 ? [] : [group] }],
        };
        const { east } = establishedV1({ east: only, west: only });
        const [child] = east.children.values();
        t.strictSame(child!.suite, { encryption: cipher, integrity, dh: group, esn: false });
      }
    }
  }
});

t.test('AES-GCM in phase 2', async (t) => {
  const gcm = {
    espProposals: [{ encryption: [{ id: Encr.AES_GCM_16, keyBits: 128 }], integrity: [], dh: [Dh.ECP_256] }],
  };
  const { east } = establishedV1({ east: gcm, west: gcm });
  const [child] = east.children.values();
  t.match(child!.suite, { encryption: { id: Encr.AES_GCM_16, keyBits: 128 }, integrity: 0, dh: Dh.ECP_256 });
  t.equal(child!.keysIn.encryption.length, 20, 'key and salt');
});

t.test('proposals of which version 1 has none are told at once', async (t) => {
  const aead = {
    encryption: [{ id: Encr.AES_GCM_16, keyBits: 256 }],
    integrity: [],
    prf: [Prf.HMAC_SHA2_256],
    dh: [Dh.ECP_256],
  };
  const { sim, east } = v1Pair({ east: { ikeProposals: [aead] } });
  sim.initiate(east);
  t.match(east.eventsOf('ike-failed')[0]!.failure, { cause: 'unsupported', message: /AEAD/ });
  const chacha = {
    espProposals: [{ encryption: [{ id: Encr.CHACHA20_POLY1305, keyBits: 0 }], integrity: [], dh: [] }],
  };
  const made = v1Pair({ east: chacha, west: chacha });
  made.sim.initiate(made.east);
  made.sim.run(1000);
  t.match(made.east.eventsOf('child-failed')[0]!.failure, { cause: 'unsupported', message: /ChaCha20/ });
});

t.test('no common IKE proposal: the responder sees what differs, the initiator is told', async (t) => {
  const spec = (dh: number) => ({
    ikeProposals: [
      { encryption: [AES_256], integrity: [Integ.HMAC_SHA2_256_128], prf: [Prf.HMAC_SHA2_256], dh: [dh] },
    ],
  });
  const { sim, east, west } = v1Pair({ east: spec(Dh.MODP_1024), west: spec(Dh.MODP_2048) });
  sim.initiate(east);
  sim.run(5000);
  t.match(west.eventsOf('ike-failed')[0], {
    role: 'responder',
    connection: 'site',
    failure: {
      cause: 'ike_proposal_mismatch',
      details: {
        theirs: ['AES_CBC-256 HMAC_SHA2_256_128 MODP_1024'],
        ours: ['AES_CBC-256 HMAC_SHA2_256_128 MODP_2048'],
        nearest: { differs: ['dh_group'], advice: /MODP_1024.*MODP_2048/ },
      },
    },
  });
  t.match(east.eventsOf('ike-failed')[0]!.failure, {
    cause: 'ike_proposal_mismatch',
    details: { notify: 'NO_PROPOSAL_CHOSEN', exchange: 'MAIN_MODE' },
  });
});

t.test('no common ESP proposal, PFS included', async (t) => {
  const spec = (dh: number[]) => ({
    espProposals: [{ encryption: [AES_256], integrity: [Integ.HMAC_SHA2_256_128], dh }],
  });
  for (const [ours, theirs] of [
    [[Dh.MODP_2048], []],
    [[], [Dh.MODP_2048]],
    [[Dh.MODP_2048], [Dh.MODP_1024]],
  ] as const) {
    const { sim, east, west } = v1Pair({ east: spec([...ours]), west: spec([...theirs]) });
    sim.initiate(east);
    sim.run(2000);
    t.match(west.eventsOf('child-failed')[0], { role: 'responder', failure: { cause: 'pfs_mismatch' } });
    t.match(east.eventsOf('child-failed')[0], {
      role: 'initiator',
      failure: { cause: 'child_proposal_mismatch', details: { notify: 'NO_PROPOSAL_CHOSEN' } },
    });
    t.equal(east.ikes.size, 1, 'phase 1 stands');
    t.equal(west.children.size, 0);
  }
});

t.test('another pre-shared key', async (t) => {
  const { sim, east, west } = v1Pair({ east: { psk: 'another' } });
  sim.initiate(east);
  sim.run(10_000);
  t.match(west.eventsOf('ike-failed'), [
    {
      connection: 'site',
      role: 'responder',
      failure: { cause: 'psk_mismatch_likely', message: /pre-shared key mismatch, very likely/ },
    },
  ]);
  t.match(east.eventsOf('ike-failed')[0]!.failure, {
    cause: 'psk_mismatch_likely',
    details: { notify: 'PAYLOAD_MALFORMED' },
  });
  t.equal(east.ikes.size + west.ikes.size, 0);
  sim.run(60_000);
  t.strictSame(west.engine.sizes, { ikeSas: 0, halfOpen: 0, sources: 0, offers: 0 });
});

t.test('a silent peer with another key, and one behind a closed port 4500', async (t) => {
  for (const encapsulation of ['auto', 'always'] as const) {
    const { sim, east } = v1Pair({ east: { encapsulation } });
    let main = 0;
    sim.net.impair(
      (packet) => packet.name.startsWith('exchange(2)') && packet.from.address === EAST && ++main > 2,
      { kind: 'drop' },
      100,
    );
    sim.initiate(east);
    sim.run(120_000);
    t.equal(
      east.eventsOf('ike-failed')[0]!.failure.cause,
      encapsulation === 'auto' ? 'psk_mismatch_likely' : 'port_4500_blocked',
    );
  }
});

t.test('a wrong identity, of either end', async (t) => {
  const asked = v1Pair({ east: { local: { identity: 'stranger.example' } } });
  asked.sim.initiate(asked.east);
  asked.sim.run(5000);
  t.match(asked.west.eventsOf('ike-failed')[0], {
    connection: 'site',
    failure: {
      cause: 'identity_mismatch',
      details: { expectedIdentity: 'fqdn:east.example', receivedIdentity: 'fqdn:stranger.example' },
    },
  });
  t.match(asked.east.eventsOf('ike-failed')[0]!.failure, {
    cause: 'authentication_refused',
    details: { notify: 'INVALID_ID_INFORMATION' },
  });
  const answered = v1Pair({ east: { peer: { identity: 'stranger.example' } } });
  answered.sim.initiate(answered.east);
  answered.sim.run(5000);
  t.match(answered.east.eventsOf('ike-failed')[0]!.failure, {
    cause: 'identity_mismatch',
    details: { expectedIdentity: 'fqdn:stranger.example', receivedIdentity: 'fqdn:west.example' },
  });
  t.equal(answered.west.ikes.size, 0, 'the responder was told that it is not up');
  t.equal(answered.west.children.size, 0);
});

t.test('several connections with one peer address: key and identity find the one', async (t) => {
  const names = ['one', 'two', 'three'];
  for (const meant of names) {
    const sim = new Simulation({ seed: 3 });
    const patch = (name: string) => ({
      ...v1({ psk: name === 'three' ? 'key of two' : `key of ${name}` }),
      id: name,
      local: { identity: 'west.example', cidrs: ['10.2.0.0/24'] },
      peer: { identity: `${name}.example`, cidrs: ['10.1.0.0/24'] },
    });
    const west = sim.addNode('west', WEST, {
      connections: names.map((name) => connection('west', patch(name))),
    });
    const east = sim.addNode('east', EAST, {
      connections: [
        connection('east', {
          ...v1({ psk: meant === 'three' ? 'key of two' : `key of ${meant}` }),
          local: { identity: `${meant}.example`, cidrs: ['10.1.0.0/24'] },
        }),
      ],
    });
    sim.initiate(east);
    sim.run(2000);
    t.equal(west.eventsOf('ike-established')[0]?.connection, meant);
    t.equal(v1Faults({ sim, east, west }), undefined);
  }
});

t.test('a pair of a connection that main mode cannot tell from another: both are named', async (t) => {
  const sim = new Simulation({});
  const second = { id: 'twin', local: { cidrs: ['10.11.0.0/24'] }, peer: { cidrs: ['10.12.0.0/24'] } };
  const mirrored = { id: 'twin', local: { cidrs: ['10.12.0.0/24'] }, peer: { cidrs: ['10.11.0.0/24'] } };
  const east = sim.addNode('east', EAST, { connections: [connection('east', v1(second))] });
  const west = sim.addNode('west', WEST, {
    connections: [connection('west', v1()), connection('west', v1(mirrored))],
  });
  sim.input(east, { kind: 'initiate', connection: 'twin' });
  sim.run(2000);
  t.match(west.eventsOf('child-failed'), [
    {
      connection: 'site',
      failure: { cause: 'ts_mismatch', message: /connection twin has; .* connection site, .*IKEv2/ },
    },
  ]);
  t.equal(west.children.size, 0);
});

t.test('networks that do not mirror: both pairs are told', async (t) => {
  const { sim, east, west } = v1Pair({ east: { peer: { cidrs: ['10.9.0.0/16'] } } });
  sim.initiate(east);
  sim.run(2000);
  t.match(west.eventsOf('child-failed')[0], {
    role: 'responder',
    failure: {
      cause: 'ts_mismatch',
      details: {
        localSelectors: ['10.2.0.0/24'],
        peerSelectors: ['10.1.0.0/24'],
        receivedLocalSelectors: ['10.9.0.0/16'],
        receivedPeerSelectors: ['10.1.0.0/24'],
      },
    },
  });
  t.match(east.eventsOf('child-failed')[0]!.failure, {
    cause: 'ts_mismatch',
    details: {
      notify: 'INVALID_ID_INFORMATION',
      localSelectors: ['10.1.0.0/24'],
      peerSelectors: ['10.9.0.0/16'],
    },
  });
});

t.test('a part of a network that is configured is granted, and said', async (t) => {
  const { sim, east, west } = v1Pair({ east: { local: { cidrs: ['10.1.0.128/25'] } } });
  sim.initiate(east);
  sim.run(2000);
  t.equal(v1Faults({ sim, east, west }), undefined);
  t.equal(west.eventsOf('child-established')[0]!.child.narrowed, true);
  t.ok(west.eventsOf('advisory').some((event) => event.code === 'ts_narrowed'));
});

t.test('a peer that cannot use our authentication may want another identity than ours', async (t) => {
  const silent = v1Pair();
  let answers = 0;
  silent.sim.net.impair(({ from }) => from.address === WEST && answers++ >= 2, { kind: 'drop' }, 999);
  silent.sim.initiate(silent.east);
  silent.sim.run(120_000);
  t.match(silent.east.eventsOf('ike-failed')[0]!.failure, {
    cause: 'psk_mismatch_likely',
    message: /very likely; where the keys agree, it expects another identity than fqdn:east\.example/,
  });
});

t.test('aggressive mode is refused by name', async (t) => {
  const { sim, west } = v1Pair();
  const header = { ...FIRST_V1_HEADER, exchangeType: V1Exchange.AGGRESSIVE_MODE };
  const bytes = encodeV1Message(header, [{ kind: 'nonce', data: new Uint8Array(16) }]);
  const local = { address: WEST, port: 500 };
  const send = (address: string) =>
    sim.input(west, {
      kind: 'datagram',
      local,
      remote: { address, port: 500 },
      natTraversalPort: false,
      bytes,
    });
  const outputs = send(EAST);
  t.match(west.eventsOf('ike-failed')[0], {
    connection: 'site',
    failure: { cause: 'unsupported', message: /aggressive mode/ },
  });
  const answers = outputs.filter((one) => one.kind === 'send');
  t.equal(answers.length, 1);
  t.ok(answers[0]!.bytes.length < bytes.length + 20, 'no amplification');
  t.match(
    west.eventsOf('message').map((event) => event.summary),
    [/AGGRESSIVE/, /INFORMATIONAL.*UNSUPPORTED_EXCHANGE_TYPE/],
  );
  t.equal(send('198.51.100.7').filter((one) => one.kind === 'send').length, 0, 'strangers get no answer');
});

t.test('address translation: port 4500, UDP encapsulation, in both dialects', async (t) => {
  for (const draft of [false, true]) {
    const made = v1Pair({
      west: { establishMode: 'peer_only', peer: { addresses: ['198.51.100.1'] } },
      east: { local: { address: EAST } },
    });
    const { sim, east, west } = made;
    sim.net.nats.push({ inside: EAST, outside: '198.51.100.1', portBase: 10_000 });
    if (draft) {
      // A peer of before RFC 3947: its vendor id is lost, those of the drafts stay.
      sim.net.impair((packet) => packet.from.address === EAST, {
        kind: 'corrupt',
        change: (bytes) => {
          const at = Buffer.from(bytes).indexOf(Buffer.from('4a131c81070358455c5728f20e95452f', 'hex'));
          if (at >= 0) bytes[at] = 0;
          return bytes;
        },
      });
    }
    sim.initiate(east);
    sim.run(2000);
    t.equal(v1Faults(made), undefined);
    const [ike] = east.ikes.values();
    const [other] = west.ikes.values();
    t.strictSame(ike!.nat, { local: true, peer: false, peerMayForce: false });
    t.strictSame(other!.nat, { local: false, peer: true, peerMayForce: false });
    t.equal(ike!.peer.port, 4500);
    t.equal(other!.peer.port, 14_500);
    const [child] = west.children.values();
    t.equal(child!.encapsulation, 'udp');
    t.equal(child!.peer.port, 14_500);
    t.ok(sim.net.sent.filter((packet) => packet.natTraversalPort).every((packet) => packet.to.port !== 500));
  }
});

t.test('the peer behind a NAT that starts again is found at its new port', async (t) => {
  const made = v1Pair({ west: { establishMode: 'peer_only', peer: { addresses: ['198.51.100.1'] } } });
  const { sim, east, west } = made;
  const nat = { inside: EAST, outside: '198.51.100.1', portBase: 10_000 };
  sim.net.nats.push(nat);
  sim.initiate(east);
  sim.run(2000);
  nat.portBase = 20_000;
  sim.run(20_000);
  t.match(west.eventsOf('peer-moved')[0], { from: { port: 14_500 }, to: { port: 24_500 } });
  t.ok(west.outputs.some((one) => one.kind === 'update-peer' && one.peer.port === 24_500));
  sim.run(60_000);
  t.equal(v1Faults(made), undefined);
});

t.test('encapsulation that is asked for without a NAT', async (t) => {
  const made = establishedV1({ east: { encapsulation: 'always' } });
  const [child] = made.west.children.values();
  t.equal(child!.encapsulation, 'udp');
  t.equal(child!.peer.port, 4500);
});

t.test('each message lost, doubled or late once: the same SAs come of it', async (t) => {
  for (const from of [EAST, WEST]) {
    for (let n = 1; n <= 5; n++) {
      for (const impairment of [
        { kind: 'drop' },
        { kind: 'duplicate' },
        { kind: 'delay', by: 700 },
      ] as const) {
        const made = v1Pair();
        let count = 0;
        made.sim.net.impair((packet) => packet.from.address === from && ++count === n, impairment);
        made.sim.initiate(made.east);
        made.sim.run(made.sim.now + 20_000);
        t.equal(v1Faults(made), undefined, `${from} message ${n} ${impairment.kind}`);
      }
    }
  }
});

t.test(
  'message 3 of quick mode is lost for good: ESP traffic shows that the initiator has the SAs',
  async (t) => {
    const { sim, east, west } = v1Pair();
    let quick = 0;
    sim.net.impair(
      (packet) => packet.name.startsWith('exchange(32)') && packet.from.address === EAST && ++quick > 1,
      { kind: 'drop' },
      50,
    );
    sim.initiate(east);
    sim.run(300);
    t.equal(west.eventsOf('child-established').length, 0);
    const [child] = west.children.values();
    t.equal(child!.outbound, false);
    sim.input(west, { kind: 'inbound-traffic', childId: child!.id, at: sim.now });
    t.equal(west.eventsOf('child-established').length, 1);
    t.ok(west.activated.has(child!.id));
  },
);

t.test('lifetimes differ: the shorter one counts at both ends, and nothing fails', async (t) => {
  for (const [a, b] of [
    [600, 86_400],
    [86_400, 600],
  ] as const) {
    const { east, west, sim } = establishedV1({
      east: { ikeLifetime: a, childLifetime: a },
      west: { ikeLifetime: b, childLifetime: b },
    });
    for (const node of [east, west]) {
      const [child] = node.childInfo.values();
      t.ok(child!.rekeyAt < sim.now + 600_000, `${node.name} rekeys within the shorter lifetime`);
    }
    const [responder] = west.ikes.values();
    t.ok(responder!.rekeyAt < sim.now + 600_000);
  }
});

t.test('terminate deletes at both ends; the peer reports why', async (t) => {
  for (const name of ['east', 'west'] as const) {
    const made = establishedV1();
    const [actor, other] = name === 'east' ? [made.east, made.west] : [made.west, made.east];
    made.sim.input(actor, { kind: 'terminate', connection: 'site' });
    made.sim.run(made.sim.now + 1000);
    for (const node of [actor, other]) t.equal(node.ikes.size + node.children.size + node.childInfo.size, 0);
    t.equal(actor.eventsOf('ike-closed')[0]!.reason, 'terminated');
    t.equal(other.eventsOf('ike-closed')[0]!.reason, 'peer-deleted');
    t.equal(other.engine.sizes.ikeSas, 0);
  }
});

t.test('round trips: of R-U-THERE that is acknowledged at once, not of one that was repeated', async (t) => {
  const { sim, east } = establishedV1();
  sim.run(sim.now + 60_000);
  const measured = east.eventsOf('round-trip');
  t.ok(measured.length > 0);
  t.equal(measured.length, east.eventsOf('liveness-probe').length);
  const [ike] = east.ikes.keys();
  const expected = { kind: 'round-trip', connection: 'site', ikeId: ike, exchange: 'R-U-THERE', time: 10 };
  for (const event of measured) t.same(event, expected);

  const probes = east.eventsOf('liveness-probe').length;
  // The first is lost on its way, so that the acknowledgement is of the second.
  sim.net.impair(({ from }) => from.address === EAST, { kind: 'drop' }, 1);
  t.ok(sim.run(sim.now + 60_000, () => east.eventsOf('liveness-probe').length === probes + 2));
  t.equal(east.eventsOf('round-trip').length, measured.length, 'nobody knows which sending was answered');
});

t.test('dead peer detection: probes, answers, and death', async (t) => {
  const made = establishedV1();
  const { sim, east, west } = made;
  sim.run(sim.now + 60_000);
  t.ok(east.eventsOf('liveness-probe').length > 0);
  t.equal(v1Faults(made), undefined, 'a peer that answers lives');
  const before = east.eventsOf('liveness-probe').length;
  for (let i = 0; i < 10; i++) {
    const [child] = east.childInfo.values();
    sim.input(east, { kind: 'inbound-traffic', childId: child!.childId, at: sim.now });
    sim.run(sim.now + 5000);
  }
  t.equal(east.eventsOf('liveness-probe').length, before, 'ESP is a sign of life');
  sim.net.impair(() => true, { kind: 'drop' }, 1000);
  sim.run(sim.now + 60_000);
  for (const node of [east, west]) {
    t.equal(node.ikes.size + node.children.size, 0);
    t.match(node.eventsOf('ike-closed')[0], { reason: 'peer-dead', failure: { cause: 'dpd_timeout' } });
  }
});

t.test('a peer that forgot everything says INITIAL-CONTACT: what it had goes at once', async (t) => {
  const made = establishedV1();
  const { sim, west } = made;
  const again = sim.addNode('again', EAST, {
    connections: [connection('east', v1())],
  });
  sim.nodes.splice(sim.nodes.indexOf(made.east), 1);
  sim.initiate(again);
  sim.run(sim.now + 1000);
  t.equal(west.eventsOf('ike-closed')[0]!.reason, 'replaced');
  t.equal(west.eventsOf('child-closed')[0]!.reason, 'replaced');
  t.equal(west.ikes.size, 1);
  t.equal(west.children.size, 1);
});

t.test('one listener serves both versions', async (t) => {
  const sim = new Simulation();
  const third = '192.0.2.3';
  const west = sim.addNode('west', WEST, {
    connections: [
      connection('west', { id: 'v1', acceptVersions: [1, 2] }),
      connection('west', {
        id: 'v2',
        acceptVersions: [1, 2],
        peer: { addresses: [third], identity: 'third.example', cidrs: ['10.3.0.0/24'] },
      }),
    ],
  });
  const east = sim.addNode('east', EAST, { connections: [connection('east', v1())] });
  const other = sim.addNode('third', third, {
    connections: [
      connection('east', { local: { address: third, identity: 'third.example', cidrs: ['10.3.0.0/24'] } }),
    ],
  });
  sim.initiate(east);
  sim.initiate(other);
  sim.run(2000);
  t.strictSame(
    west
      .eventsOf('ike-established')
      .map(({ connection: name, ike }) => [name, ike.version])
      .sort(),
    [
      ['v1', 1],
      ['v2', 2],
    ],
  );
  const refused = v1Pair({ west: { acceptVersions: [2] } });
  refused.sim.initiate(refused.east);
  refused.sim.run(1000);
  t.equal(refused.west.eventsOf('ike-failed')[0]!.failure.cause, 'ike_version_mismatch');
});

t.test('large messages go in fragments and come together', async (t) => {
  const long = { idType: 11, data: new Uint8Array(1800).fill(7) };
  const sim = new Simulation({ conditions: { latency: [5, 60], loss: 0, duplicate: 0.2 } });
  const eastConfig = connection('east', v1());
  const westConfig = connection('west', v1());
  const east = sim.addNode('east', EAST, {
    connections: [{ ...eastConfig, local: { ...eastConfig.local, identity: long } }],
  });
  const west = sim.addNode('west', WEST, {
    connections: [{ ...westConfig, peer: { ...westConfig.peer, identity: long } }],
  });
  sim.initiate(east);
  sim.run(3000);
  t.equal(v1Faults({ sim, east, west }), undefined);
  t.ok(
    sim.net.sent.every((packet) => packet.bytes.length <= 1220),
    'no datagram is large',
  );
  t.ok(
    sim.net.sent.some((packet) => packet.bytes[16] === 132),
    'there are fragments',
  );
});

t.test('shutdown says goodbye and takes nothing new', async (t) => {
  const made = establishedV1();
  const { sim, east, west } = made;
  sim.input(west, { kind: 'shutdown' });
  sim.run(sim.now + 1000);
  t.equal(east.eventsOf('ike-closed')[0]!.reason, 'peer-deleted');
  sim.initiate(east);
  sim.run(sim.now + 2000);
  t.equal(west.engine.sizes.ikeSas, 0);
});
