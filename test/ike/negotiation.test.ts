import t from 'tap';
import type { IkeProposalSpec } from '../../src/ike/config.js';
import { Dh, Encr, Integ, NotifyType, Prf } from '../../src/wire/ike/registry.js';
import {
  EAST,
  establishedPair,
  faults,
  type Pair,
  pair,
  type SimNode,
  WEST,
} from '../helpers/engine-pair.js';

const AES = [{ id: Encr.AES_CBC, keyBits: 256 }];

function proposal(dh: readonly number[], encryption = AES): IkeProposalSpec[] {
  return [{ encryption, integrity: [Integ.HMAC_SHA2_256_128], prf: [Prf.HMAC_SHA2_256], dh }];
}

/** Initiates from east and runs long enough for every outcome. */
function attempt(made: Pair, forMillis = 60_000): Pair {
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + forMillis);
  return made;
}

/** The cause of each failed attempt, in order. */
function causes(node: SimNode): string[] {
  return node.eventsOf('ike-failed').map((event) => event.failure.cause);
}

function summaries(node: SimNode, direction: 'in' | 'out' = 'out'): string[] {
  return node
    .eventsOf('message')
    .filter((event) => event.direction === direction)
    .map((event) => event.summary.replace(/ \[.*/, ''));
}

t.test('four messages make one IKE SA and one child SA', async (t) => {
  const made = establishedPair();
  t.strictSame(summaries(made.east), ['IKE_SA_INIT request 0', 'IKE_AUTH request 1']);
  t.strictSame(summaries(made.west), ['IKE_SA_INIT response 0', 'IKE_AUTH response 1']);
  t.equal(made.sim.net.sent.length, 4);
  const [ike] = made.east.eventsOf('ike-established');
  t.match(ike, {
    ike: { role: 'initiator', peerIdentity: 'fqdn:west.example', nat: { local: false, peer: false } },
  });
  t.equal(ike!.ike.suite.dh, Dh.MODP_2048, 'the strongest of the matrix');
  t.strictSame(made.east.eventsOf('advisory'), []);
  t.equal(made.east.eventsOf('child-established')[0]!.child.narrowed, false);
  t.equal([...made.east.children.values()][0]!.encapsulation, 'esp', 'no NAT, no encapsulation asked for');
});

t.test('initiate is idempotent while the connection is up or on its way', async (t) => {
  const { sim, east, west } = pair();
  sim.initiate(east);
  t.strictSame(sim.initiate(east), []);
  sim.run(1000);
  t.strictSame(sim.initiate(east), []);
  t.strictSame(sim.initiate(west), []);
  t.equal(sim.net.sent.length, 4);
});

t.test('a responder does not initiate what its peer has begun', async (t) => {
  const made = pair();
  made.sim.initiate(made.east);
  made.sim.run(7);
  t.equal(made.west.engine.sizes.halfOpen, 1);
  t.strictSame(made.sim.initiate(made.west), []);
  made.sim.run(20_000);
  t.equal(made.west.eventsOf('ike-initiating').length, 0);
  t.equal(faults(made), undefined);
});

t.test('... but initiates by itself when the peer does not go on', async (t) => {
  const made = pair();
  made.sim.net.impair('IKE_SA_INIT response', { kind: 'drop' }, 99);
  made.sim.net.impair((packet) => packet.from.address === EAST, { kind: 'delay', by: 1 }, 1);
  made.sim.initiate(made.east);
  made.sim.run(7);
  made.sim.initiate(made.west);
  made.sim.run(2500);
  t.equal(made.west.eventsOf('ike-initiating').length, 1);
});

t.test('INVALID_KE_PAYLOAD: once more with the group that is wanted', async (t) => {
  const made = attempt(
    pair({
      east: { ikeProposals: proposal([Dh.CURVE25519, Dh.MODP_2048]) },
      west: { ikeProposals: proposal([Dh.MODP_2048]) },
    }),
  );
  t.equal(faults(made), undefined);
  t.match(made.east.eventsOf('ke-group-changed'), [{ from: Dh.CURVE25519, to: Dh.MODP_2048 }]);
  t.equal(made.east.eventsOf('ike-established').length, 1);
  t.equal(made.west.engine.sizes.ikeSas, 1, 'the first request left no state');
});

t.test('INVALID_KE_PAYLOAD with a group that was not offered does not loop', async (t) => {
  const { sim, east } = pair({ east: { ikeProposals: proposal([Dh.CURVE25519]) } });
  sim.initiate(east);
  const [request] = sim.net.sent;
  for (const group of [Dh.MODP_1024, Dh.CURVE25519])
    forgeNotify(sim, request!.bytes, NotifyType.INVALID_KE_PAYLOAD, [0, group]);
  sim.net.impair('IKE_SA_INIT request', { kind: 'drop' }, 99);
  sim.net.impair('IKE_SA_INIT response', { kind: 'drop' }, 99);
  sim.run(5000);
  t.equal(east.eventsOf('ke-group-changed').length, 0);
  t.strictSame(causes(east), ['ike_proposal_mismatch']);
});

/** An unprotected answer to an IKE_SA_INIT request, as anyone could send it. */
function forgeNotify(sim: Pair['sim'], request: Uint8Array, type: number, data: readonly number[]): void {
  const length = 28 + 8 + data.length;
  const bytes = new Uint8Array(length);
  bytes.set(request.subarray(0, 8));
  bytes.set([41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, length], 16);
  bytes.set([0, 0, 0, 8 + data.length, 0, 0, type >>> 8, type & 0xff, ...data], 28);
  sim.net.inject(
    {
      from: { address: WEST, port: 500 },
      to: { address: EAST, port: 500 },
      natTraversalPort: false,
      bytes,
    },
    sim.now,
  );
}

t.test('a forged refusal does not stop a negotiation that the peer answers', async (t) => {
  for (const type of [
    NotifyType.NO_PROPOSAL_CHOSEN,
    NotifyType.INVALID_SYNTAX,
    NotifyType.INVALID_MAJOR_VERSION,
  ]) {
    const made = pair({ conditions: { latency: [100, 100], loss: 0, duplicate: 0 } });
    made.sim.initiate(made.east);
    forgeNotify(made.sim, made.sim.net.sent[0]!.bytes, type, []);
    made.sim.run(5000);
    t.equal(faults(made), undefined);
  }
});

t.test('COOKIE is demanded under load, answered, and holds for the INVALID_KE retry too', async (t) => {
  const made = attempt(
    pair({
      limits: { cookieThreshold: 0 },
      east: { ikeProposals: proposal([Dh.CURVE25519, Dh.MODP_2048]) },
      west: { ikeProposals: proposal([Dh.MODP_2048]) },
    }),
  );
  t.equal(faults(made), undefined);
  t.equal(made.west.eventsOf('cookie-demanded').length, 1);
  t.equal(made.east.eventsOf('cookie-answered').length, 1);
  t.strictSame(summaries(made.west).slice(0, 4), [
    'IKE_SA_INIT response 0',
    'IKE_SA_INIT response 0',
    'IKE_SA_INIT response 0',
    'IKE_AUTH response 1',
  ]);
});

t.test('a peer that always wants another cookie is a loop, not a silent peer', async (t) => {
  const { sim, east } = pair();
  sim.net.impair((packet) => packet.to.address === WEST, { kind: 'drop' }, 99);
  sim.initiate(east);
  for (let i = 0; i < 10; i++) {
    forgeNotify(sim, sim.net.sent[0]!.bytes, NotifyType.COOKIE, [1, 2, 3, i]);
    // Each cookie waits for an answer that it may have overtaken.
    sim.run(sim.now + 250);
  }
  sim.run(sim.now + 5000);
  t.strictSame(causes(east), ['cookie_loop']);
  t.ok(sim.net.sent.length < 12, 'no more than one request a cookie');
});

t.test('no proposal in common: both ends say what they offered', async (t) => {
  const made = attempt(
    pair({
      east: { ikeProposals: proposal([Dh.MODP_2048], [{ id: Encr.AES_CBC, keyBits: 128 }]) },
      west: { ikeProposals: proposal([Dh.MODP_2048]) },
    }),
  );
  t.strictSame(causes(made.east), ['ike_proposal_mismatch']);
  t.equal(made.west.eventsOf('ike-failed')[0]!.failure.cause, 'ike_proposal_mismatch');
  const { details } = made.west.eventsOf('ike-failed')[0]!.failure;
  t.match(details?.ours?.[0], /256/);
  t.match(details?.theirs?.[0], /128/);
  t.match(details?.nearest?.differs, ['encryption']);
  t.match(made.east.eventsOf('ike-failed')[0]!.failure.details?.ours?.[0], /128/);
  t.equal(made.west.engine.sizes.ikeSas, 0);
});

t.test('another pre-shared key and another identity are told apart, at both ends', async (t) => {
  const psk = attempt(pair({ west: { psk: 'something-else' } }));
  t.strictSame(causes(psk.west), ['psk_mismatch']);
  t.strictSame(causes(psk.east), ['authentication_refused']);

  const idi = attempt(pair({ west: { peer: { identity: 'other.example' } } }));
  t.strictSame(causes(idi.west), ['identity_mismatch']);
  t.match(idi.west.eventsOf('ike-failed')[0]!.failure.details, {
    receivedIdentity: 'fqdn:east.example',
    expectedIdentity: 'fqdn:other.example',
  });

  const idr = attempt(pair({ east: { peer: { identity: 'other.example' } } }));
  t.strictSame(causes(idr.west), ['identity_mismatch'], 'the IDr that is asked for is not ours');
  for (const made of [psk, idi, idr]) {
    t.equal(made.east.ikes.size + made.west.ikes.size, 0);
    t.equal(made.east.engine.sizes.ikeSas, 0);
    made.sim.run(made.sim.now + 60_000);
    t.equal(made.west.engine.sizes.ikeSas, 0, 'nothing is left');
  }
});

t.test('a refusal that is lost is repeated, and the request is judged once', async (t) => {
  const made = pair({ west: { psk: 'something-else' } });
  made.sim.net.impair('IKE_AUTH response', { kind: 'drop' }, 3);
  attempt(made);
  t.strictSame(causes(made.east), ['authentication_refused']);
  t.strictSame(causes(made.west), ['psk_mismatch']);
});

t.test('no common network: the IKE SA stands, the connection is reported', async (t) => {
  const made = attempt(pair({ west: { local: { cidrs: ['10.9.0.0/24'] } } }));
  t.equal(made.east.ikes.size, 1);
  t.equal(made.west.ikes.size, 1);
  t.equal(made.east.children.size, 0);
  const [theirs] = made.west.eventsOf('child-failed');
  t.match(theirs, { role: 'responder', failure: { cause: 'ts_mismatch' } });
  t.match(theirs!.failure.details, {
    localSelectors: ['10.9.0.0/24'],
    receivedLocalSelectors: ['10.2.0.0/24'],
  });
  t.match(made.east.eventsOf('child-failed'), [{ role: 'initiator', failure: { cause: 'ts_mismatch' } }]);
  // A later attempt asks for the missing child SA alone.
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  t.equal(made.east.eventsOf('child-failed').length, 2);
  t.equal(made.east.eventsOf('ike-initiating').length, 1);
});

t.test('ESP proposals without a match leave the IKE SA too', async (t) => {
  const esp = (keyBits: number) => [
    { encryption: [{ id: Encr.AES_CBC, keyBits }], integrity: [Integ.HMAC_SHA2_256_128], dh: [] },
  ];
  const made = attempt(pair({ east: { espProposals: esp(128) }, west: { espProposals: esp(256) } }));
  t.match(made.west.eventsOf('child-failed'), [{ failure: { cause: 'child_proposal_mismatch' } }]);
  t.match(made.east.eventsOf('child-failed'), [{ failure: { cause: 'child_proposal_mismatch' } }]);
});

t.test('selectors are narrowed to what both ends have', async (t) => {
  const made = attempt(
    pair({
      east: { local: { cidrs: ['10.1.0.0/16', '10.3.0.0/24'] } },
      west: { peer: { cidrs: ['10.1.7.0/24', '10.4.0.0/24'] } },
    }),
  );
  t.equal(faults(made), undefined);
  const [child] = made.east.children.values();
  t.equal(child!.localTs.length, 1);
  t.strictSame([...child!.localTs[0]!.startAddress], [10, 1, 7, 0]);
  t.match(made.east.eventsOf('advisory'), [{ code: 'ts_narrowed' }]);
  t.equal(made.west.eventsOf('child-established')[0]!.child.narrowed, true);
});

t.test('several networks at each end share one child SA', async (t) => {
  const a = ['10.1.0.0/24', '10.11.0.0/24'];
  const b = ['10.2.0.0/24', '10.12.0.0/24'];
  const made = establishedPair({
    east: { local: { cidrs: a }, peer: { cidrs: b } },
    west: { local: { cidrs: b }, peer: { cidrs: a } },
  });
  t.equal([...made.west.children.values()][0]!.localTs.length, 2);
});

t.test('weak algorithms are an advisory, not an error', async (t) => {
  const weak: IkeProposalSpec = {
    encryption: [{ id: Encr.TRIPLE_DES, keyBits: 0 }],
    integrity: [Integ.HMAC_MD5_96],
    prf: [Prf.HMAC_MD5],
    dh: [Dh.MODP_1024],
  };
  const made = establishedPair({ east: { ikeProposals: [weak] } });
  for (const node of [made.east, made.west]) {
    t.match(node.eventsOf('advisory')[0], {
      code: 'weak_algorithm',
      message: /TRIPLE_DES.*HMAC_MD5_96.*MODP_1024/,
    });
  }
});

t.test('a silent peer is given up after all tries; its next address is tried before', async (t) => {
  const alone = pair();
  alone.sim.net.impair(() => true, { kind: 'drop' }, 999);
  attempt(alone, 120_000);
  t.strictSame(causes(alone.east), ['peer_silent']);
  t.equal(alone.east.eventsOf('ike-failed')[0]!.failure.details?.tries, 8);
  t.equal(alone.sim.net.sent.length, 8);
  t.equal(alone.east.engine.nextDeadline(), undefined, 'nothing is left to wait for');

  const two = attempt(pair({ east: { peer: { addresses: ['192.0.2.99', WEST] } } }), 120_000);
  t.equal(faults(two), undefined);
  t.strictSame(
    two.east.eventsOf('ike-initiating').map((event) => event.peer.address),
    ['192.0.2.99', WEST],
  );
});

t.test('port 4500 blocked: told apart from a silent peer', async (t) => {
  const made = pair({ east: { encapsulation: 'always' } });
  made.sim.net.impair((packet) => packet.natTraversalPort, { kind: 'drop' }, 999);
  attempt(made, 120_000);
  t.strictSame(causes(made.east), ['port_4500_blocked']);
});

t.test('a connection without peer address, or administratively down, is not initiated', async (t) => {
  t.strictSame(causes(attempt(pair({ east: { peer: { addresses: [] } } })).east), ['dns_failed']);
  t.strictSame(causes(attempt(pair({ east: { adminUp: false } })).east), ['admin_down']);
});

t.test('a request for a connection that is down is refused by name', async (t) => {
  const made = attempt(pair({ west: { adminUp: false } }));
  t.match(made.west.eventsOf('ike-failed'), [{ connection: 'site', failure: { cause: 'admin_down' } }]);
  t.strictSame(causes(made.east), ['authentication_refused']);
});

t.test('an unknown peer is refused without state', async (t) => {
  const made = attempt(pair({ west: { peer: { addresses: ['192.0.2.77'] } } }));
  t.match(made.west.eventsOf('ike-failed')[0], { failure: { cause: 'no_matching_connection' } });
  t.strictSame(causes(made.east), ['ike_proposal_mismatch']);
  t.equal(made.west.engine.sizes.ikeSas, 0);
});

t.test('the same seed gives the same octets', async (t) => {
  const trace = (seed: number): string[] => {
    const made = attempt(pair({ seed, conditions: { latency: [5, 200], loss: 0.2, duplicate: 0.1 } }));
    return made.sim.net.sent.map((packet) => Array.from(packet.bytes).join(','));
  };
  t.strictSame(trace(5), trace(5));
  t.notSame(trace(5), trace(6));
});

t.test('with PFS the first child SA has none, the next ones have', async (t) => {
  const esp = [{ encryption: AES, integrity: [Integ.HMAC_SHA2_256_128], dh: [Dh.MODP_2048, Dh.CURVE25519] }];
  const made = establishedPair({
    east: { espProposals: esp },
    west: { espProposals: [{ ...esp[0]!, dh: [Dh.CURVE25519] }] },
  });
  const [child] = made.east.children.keys();
  made.sim.input(made.east, { kind: 'install-failed', childId: child!, reason: 'no device' });
  made.sim.run(made.sim.now + 1000);
  t.equal(made.west.children.size, 0, 'deleted at the peer too');
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  t.equal(faults(made), undefined);
  t.equal([...made.east.children.values()][0]!.suite.dh, Dh.CURVE25519);
  t.match(made.east.eventsOf('ke-group-changed'), [{ from: Dh.MODP_2048, to: Dh.CURVE25519 }]);
});
