import fc from 'fast-check';
import t from 'tap';
import { espSuiteNames, groupName, ikeSuiteNames, suiteWord } from '../../src/connection/names.js';
import { codeOf, type StatusCause, statusReason } from '../../src/connection/reasons.js';
import type { ConnectionConfig } from '../../src/ike/config.js';
import type { Failure, IkeEvent, Role } from '../../src/ike/events.js';
import { covers } from '../../src/ike/policy/selectors.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { FedTracker } from './fed.js';
import { childInfo, comesUp, connection, ikeInfo, network } from './samples.js';

const EPOCH = Date.UTC(2026, 0, 1);
const PEER = { address: '192.0.2.2', port: 500 };

function tracker(...configs: ConnectionConfig[]): FedTracker {
  const out = new FedTracker((at) => new Date(EPOCH + at).toISOString());
  out.configure(configs.map((config) => ({ config, peer: config.peer.addresses[0] ?? 'peer.example' })));
  return out;
}

function feed(one: FedTracker, events: readonly IkeEvent[], now = 0): void {
  for (const event of events) one.handle(event, now);
}

function fails(failure: Failure, role: Role = 'initiator', name: string | undefined = 'c'): IkeEvent {
  const named = name === undefined ? {} : { connection: name };
  return { kind: 'ike-failed', ...named, ikeId: 5, role, peer: PEER, failure };
}

t.test('suites have the names of the API', async (t) => {
  t.same(ikeSuiteNames(ikeInfo(1).suite), {
    encryption: 'aes256',
    integrity: 'sha256',
    prf: 'sha256',
    dh_group: 'group_14',
    additional_key_exchanges: [],
  });
  t.same(espSuiteNames(childInfo(1, 1).suite), {
    encryption: 'aes128gcm16',
    integrity: null,
    dh_group: null,
    additional_key_exchanges: [],
  });
  const weak = {
    encryption: { id: Encr.TRIPLE_DES, keyBits: 0 },
    integrity: Integ.HMAC_MD5_96,
    dh: 2,
    esn: false,
  };
  t.equal(suiteWord(espSuiteNames(weak)), '3des-md5-group_2');
  t.equal(groupName(0), null);
});

t.test('every cause has a public code, a sentence and advice', async (t) => {
  const codes: Record<StatusCause, string> = {
    dns_failed: 'peer_not_responding',
    peer_silent: 'peer_not_responding',
    port_500_blocked: 'peer_not_responding',
    port_4500_blocked: 'peer_not_responding',
    psk_mismatch: 'cannot_authenticate_connection',
    psk_mismatch_likely: 'cannot_authenticate_connection',
    identity_mismatch: 'cannot_authenticate_connection',
    authentication_refused: 'cannot_authenticate_connection',
    ike_version_mismatch: 'ike_policy_mismatch',
    ike_proposal_mismatch: 'ike_policy_mismatch',
    child_proposal_mismatch: 'ipsec_policy_mismatch',
    ts_mismatch: 'ike_v2_local_remote_cidr_mismatch',
    ts_narrowed: 'ike_v2_local_remote_cidr_mismatch',
    pfs_mismatch: 'ipsec_policy_mismatch',
    invalid_syntax: 'internal_error',
    cookie_loop: 'peer_not_responding',
    half_open_limit: 'peer_not_responding',
    no_additional_sas: 'internal_error',
    peer_busy: 'internal_error',
    child_sa_limit: 'internal_error',
    peer_deleted: 'internal_error',
    dpd_timeout: 'peer_not_responding',
    rekey_failed: 'internal_error',
    clock_or_lifetime: 'internal_error',
    admin_down: 'internal_error',
    no_matching_connection: 'internal_error',
    terminated: 'internal_error',
    unsupported: 'internal_error',
    nat_traversal_unsupported: 'ipsec_policy_mismatch',
    internal_error: 'internal_error',
    waiting_for_peer: 'peer_not_responding',
    local_route_conflict: 'internal_error',
    peer_address_in_networks: 'internal_error',
    tun_error: 'internal_error',
  };
  for (const [cause, code] of Object.entries(codes)) {
    const reason = statusReason({ cause: cause as StatusCause, message: 'the thing differs' });
    t.equal(reason.code, code, cause);
    t.match(reason.message, /^The thing differs\. [A-Z].*[.!]$/, `${cause}: two sentences`);
    t.equal(reason.details?.cause, cause);
    t.type(reason.more_info, 'string');
  }
  t.equal(codeOf('ts_mismatch', 1), 'ike_v1_id_local_remote_cidr_mismatch');
});

t.test('a connection is listed whether it is up or not', async (t) => {
  const one = tracker(connection('c'), connection('d', { adminUp: false }), connection('e'));
  t.same(
    one.status().map((doc) => [doc.name, doc.status, doc.admin_state_up, doc.ike, doc.children]),
    [
      ['c', 'down', true, null, []],
      ['d', 'down', false, null, []],
      ['e', 'down', true, null, []],
    ],
  );
  one.configure([{ config: connection('e'), peer: 'b' }]);
  t.same(
    one.status().map((doc) => doc.name),
    ['e'],
  );
});

t.test('an established connection shows both SAs and their counters', async (t) => {
  const one = tracker(connection('c'));
  const before = one.revision;
  feed(one, comesUp('c'));
  t.ok(one.revision > before);
  const drops = { replay: 3 };
  const traffic = { id: 1, packetsIn: 7, bytesIn: 700, packetsOut: 8, bytesOut: 800, drops };
  const [doc] = one.status(new Map([[1, traffic]]));
  t.match(doc, {
    status: 'up',
    peer: '192.0.2.2',
    ike: {
      version: 2,
      state: 'established',
      role: 'initiator',
      encryption: 'aes256',
      dh_group: 'group_14',
      local_endpoint: '192.0.2.1:4500',
      peer_identity: 'fqdn:b.example',
      established_at: '2026-01-01T00:00:01.000Z',
      rekey_at: '2026-01-01T00:00:02.000Z',
    },
    children: [
      {
        state: 'installed',
        local_ts: ['10.1.0.0/24'],
        peer_ts: ['10.2.0.0/24'],
        spi_in: 'c0000001',
        spi_out: '0000000a',
        packets_in: 7,
        bytes_out: 800,
        drops: { replay: 3 },
      },
    ],
    status_reasons: [],
  });
});

t.test('an IKEv1 connection is up as long as its ESP SAs stand, with an ISAKMP SA or without', async (t) => {
  const one = tracker(connection('c'));
  const gone = { kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-deleted' } as const;
  feed(one, [
    { kind: 'ike-established', connection: 'c', ike: ikeInfo(1, { version: 1 }) },
    { kind: 'child-established', connection: 'c', child: childInfo(1, 1) },
    gone,
  ]);
  t.match(one.status(), [
    { status: 'up', ike: null, children: [{ state: 'installed' }], status_reasons: [] },
  ]);
  t.equal(one.status()[0]!.flaps!.total, 0);
  feed(one, [{ kind: 'child-closed', connection: 'c', childId: 1, reason: 'peer-dead' }]);
  t.match(one.status(), [
    { status: 'down', children: [], status_reasons: [{ details: { cause: 'dpd_timeout' } }] },
  ]);
  t.equal(one.status()[0]!.flaps!.total, 1);
  // In IKEv2 the child SAs go with their IKE SA, without events of their own.
  feed(one, [...comesUp('c'), gone]);
  t.match(one.status(), [{ status: 'down', children: [] }]);
});

t.test('some pairs of networks without a child SA: degraded, with the gap named', async (t) => {
  const config = connection('c', {
    peer: { ...connection('c').peer, selectors: [network('10.2.0.0/24'), network('10.3.0.0/24')] },
  });
  const one = tracker(config);
  feed(one, comesUp('c'));
  const [doc] = one.status();
  t.equal(doc?.status, 'degraded');
  t.match(doc?.status_reasons, [
    {
      code: 'ike_v2_local_remote_cidr_mismatch',
      message: /10\.1\.0\.0\/24 with 10\.3\.0\.0\/24/,
      details: { cause: 'ts_narrowed', uncovered: [{ local: '10.1.0.0/24', peer: '10.3.0.0/24' }] },
    },
  ]);
  feed(one, [
    {
      kind: 'child-established',
      connection: 'c',
      child: childInfo(2, 1, { peerTs: [network('10.3.0.0/24')] }),
    },
  ]);
  t.equal(one.status()[0]?.status, 'up', 'a second child SA closes the gap');
});

t.test('the last failure is kept, with count and times, until the connection is up', async (t) => {
  const one = tracker(connection('c'));
  const silent = { cause: 'peer_silent', message: 'no answer to IKE_SA_INIT' } as const;
  feed(one, [fails(silent)], 1000);
  feed(one, [fails(silent)], 5000);
  const [reason] = one.status()[0]!.status_reasons;
  t.match(reason, {
    code: 'peer_not_responding',
    details: {
      cause: 'peer_silent',
      count: 2,
      role: 'initiator',
      first_at: '2026-01-01T00:00:01.000Z',
      last_at: '2026-01-01T00:00:05.000Z',
    },
  });
  feed(one, [fails({ cause: 'psk_mismatch', message: 'the PSK differs' })], 6000);
  t.match(one.status()[0]!.status_reasons, [{ details: { cause: 'psk_mismatch', count: 1 } }]);
  feed(one, comesUp('c'), 7000);
  t.same(one.status()[0]!.status_reasons, []);
  feed(one, [{ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-dead' }], 9000);
  t.match(one.status()[0], {
    status: 'down',
    children: [],
    status_reasons: [{ details: { cause: 'dpd_timeout' } }],
  });
});

t.test('what both sides know of one mistake is joined, the more telling first', async (t) => {
  const one = tracker(connection('c'));
  const refused = {
    cause: 'ike_proposal_mismatch',
    message: 'the peer refused all',
    details: { ours: ['A'], notify: 'NO_PROPOSAL_CHOSEN' },
  } as const;
  const seen = {
    cause: 'ike_proposal_mismatch',
    message: 'no common proposal',
    details: {
      ours: ['A'],
      theirs: ['B'],
      nearest: { proposal: 1, differs: ['dh_group'], advice: 'peer offers DH 2; your policy allows 14' },
    },
  } as const;
  feed(one, [fails(seen, 'responder'), fails(refused, 'initiator')], 1);
  const reasons = one.status()[0]!.status_reasons;
  t.equal(reasons.length, 1);
  t.match(reasons[0], {
    code: 'ike_policy_mismatch',
    message: /Peer offers DH 2; your policy allows 14\./,
    details: { role: 'responder', theirs: ['B'], nearest: { differs: ['dh_group'] } },
  });
});

t.test('a failure of an unknown peer belongs to the connections with its address', async (t) => {
  const other = connection('d', { peer: { ...connection('d').peer, addresses: ['192.0.2.99'] } });
  const one = tracker(connection('c'), other);
  const failure = {
    cause: 'identity_mismatch',
    message: 'the peer calls itself x.example',
    details: { receivedIdentity: 'fqdn:x.example', expectedIdentity: 'fqdn:b.example' },
  } as const;
  feed(one, [fails(failure, 'responder', undefined)]);
  const [c, d] = one.status();
  t.match(c?.status_reasons, [{ details: { received_identity: 'fqdn:x.example' } }]);
  t.same(d?.status_reasons, []);
});

t.test('a stray failure beside a working tunnel is not its state', async (t) => {
  const one = tracker(connection('c'));
  feed(one, comesUp('c'));
  feed(one, [fails({ cause: 'psk_mismatch', message: 'x' }, 'responder')]);
  t.match(one.status()[0], { status: 'up', status_reasons: [] });
});

t.test('while a negotiation gets no answer the status says so', async (t) => {
  const one = tracker(connection('c'));
  feed(one, [{ kind: 'ike-initiating', connection: 'c', ikeId: 5, version: 2, peer: PEER }]);
  t.same(one.status()[0]!.status_reasons, []);
  feed(one, [
    { kind: 'retransmit', connection: 'c', ikeId: 5, exchange: 'IKE_SA_INIT', attempt: 2, peer: PEER },
  ]);
  t.match(one.status()[0]!.status_reasons, [{ details: { cause: 'peer_silent', tries: 3 } }]);
});

t.test('peer_only says that it waits; an operator stop and advisories are shown', async (t) => {
  const one = tracker(connection('c', { establishMode: 'peer_only' }));
  t.match(one.status()[0]!.status_reasons, [{ details: { cause: 'waiting_for_peer' } }]);
  const stopped = one.status(new Map(), new Map([['c', { stopped: true }]]))[0]!;
  t.same(stopped.status_reasons, []);
  t.match(stopped.advisories, [{ code: 'stopped_by_operator' }]);
  const advisory = {
    kind: 'advisory',
    connection: 'c',
    code: 'weak_algorithm',
    message: '3DES is weak',
  } as const;
  feed(one, [advisory, advisory]);
  t.same(one.status()[0]!.advisories, [{ code: 'weak_algorithm', message: '3DES is weak' }]);
});

t.test('quirks of the peer are shown for as long as an IKE SA with it stands', async (t) => {
  const one = tracker(connection('c'));
  feed(one, comesUp('c'));
  feed(one, [
    { kind: 'quirk', connection: 'c', code: 'trailing_zeros' },
    { kind: 'quirk', connection: 'c', code: 'trailing_zeros' },
  ]);
  t.match(one.status()[0]!.quirks, [{ code: 'trailing_zeros', message: /pads its IKE messages/ }]);
  t.equal(one.status()[0]!.quirks?.length, 1);
  feed(one, [{ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'peer-deleted' }]);
  t.same(one.status()[0]!.quirks, []);
});

t.test('a rekeyed child is told from its successor, a moved peer is shown', async (t) => {
  const one = tracker(connection('c'));
  feed(one, comesUp('c'));
  feed(one, [
    { kind: 'child-established', connection: 'c', child: childInfo(2, 1, { replaces: 1 }) },
    {
      kind: 'peer-moved',
      connection: 'c',
      ikeId: 1,
      from: PEER,
      to: { address: '198.51.100.7', port: 1024 },
    },
  ]);
  t.match(one.status()[0], {
    ike: { peer_endpoint: '198.51.100.7:1024' },
    children: [{ state: 'rekeyed' }, { state: 'installed' }],
  });
  feed(one, [{ kind: 'child-closed', connection: 'c', childId: 1, reason: 'rekeyed' }]);
  t.match(one.status()[0], { status: 'up', children: [{ state: 'installed' }] });
});

t.test('coverage of one selector by several', async (t) => {
  t.ok(covers([network('10.1.0.0/25'), network('10.1.0.128/25')], [network('10.1.0.0/24')]));
  t.ok(covers([network('0.0.0.0/0')], [network('10.1.0.0/24')]));
  t.notOk(covers([network('10.1.0.0/25')], [network('10.1.0.0/24')]));
  t.notOk(covers([network('10.1.0.128/25')], [network('10.1.0.0/24')]));
  t.notOk(covers([network('::/0')], [network('10.1.0.0/24')]), 'another family');
  t.notOk(covers([{ ...network('0.0.0.0/0'), protocol: 6 }], [network('10.1.0.0/24')]), 'one protocol only');
  t.ok(covers([network('0.0.0.0/1'), network('128.0.0.0/1')], [network('0.0.0.0/0')]), 'to the last address');

  const octet = fc.integer({ min: 0, max: 255 });
  const range = fc.tuple(octet, octet).map(([a, b]) => {
    const selector = network('10.0.0.0/24');
    const [low, high] = a < b ? [a, b] : [b, a];
    return {
      ...selector,
      startAddress: Uint8Array.of(10, 0, 0, low),
      endAddress: Uint8Array.of(10, 0, 0, high),
    };
  });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), range, (list, wanted) => {
      let all = true;
      for (let x = wanted.startAddress[3]!; x <= wanted.endAddress[3]!; x++) {
        if (!list.some((one) => one.startAddress[3]! <= x && x <= one.endAddress[3]!)) all = false;
      }
      return covers(list, [wanted]) === all;
    }),
  );
});
