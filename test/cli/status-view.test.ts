import t from 'tap';
import { renderConnection, renderStatus } from '../../src/cli/status-view.js';
import { plainStyle } from '../../src/cli/style.js';
import { statusReason } from '../../src/connection/reasons.js';
import type {
  ChildStatus,
  ConnectionStatusDocument,
  IkeStatus,
  StatusDocument,
} from '../../src/connection/status.js';

const now = Date.parse('2026-01-01T12:00:00Z');
const view = { style: plainStyle, now };

const ike: IkeStatus = {
  version: 2,
  state: 'established',
  role: 'initiator',
  initiator_spi: '0102030405060708',
  responder_spi: '1112131415161718',
  encryption: 'aes256',
  integrity: 'sha256',
  prf: 'sha256',
  dh_group: 'modp2048',
  additional_key_exchanges: [],
  nat: { local: false, peer: true, peer_may_force: false },
  local_endpoint: '192.0.2.1:4500',
  peer_endpoint: '192.0.2.2:4500',
  peer_identity: 'fqdn:b.example',
  established_at: '2026-01-01T11:56:55Z',
  rekey_at: '2026-01-01T19:30:00Z',
};

const child: ChildStatus = {
  state: 'installed',
  local_ts: ['10.1.0.0/24'],
  peer_ts: ['10.2.0.0/24', '10.3.0.0/24'],
  spi_in: 'c0ffee01',
  spi_out: 'c0ffee02',
  encryption: 'aes128gcm16',
  integrity: null,
  dh_group: null,
  additional_key_exchanges: [],
  encapsulation: 'udp',
  bytes_in: 1536,
  bytes_out: 84,
  packets_in: 12,
  packets_out: 1,
  drops: { replay: 2, auth_failed: 0 },
  established_at: '2026-01-01T11:56:55Z',
  rekey_at: '2026-01-01T12:55:00Z',
};

const up: ConnectionStatusDocument = {
  id: 'id-b',
  name: 'to-site-b',
  status: 'up',
  admin_state_up: true,
  establish_mode: 'bidirectional',
  peer: '192.0.2.2',
  ike,
  children: [child],
  status_reasons: [],
  advisories: [{ code: 'weak_algorithm', message: 'sha1 was agreed on' }],
};

const mismatch: ConnectionStatusDocument = {
  id: 'id-c',
  name: 'to-c',
  status: 'down',
  admin_state_up: true,
  establish_mode: 'peer_only',
  peer: '192.0.2.3',
  ike: null,
  children: [],
  status_reasons: [
    statusReason(
      {
        cause: 'ike_proposal_mismatch',
        message: 'no IKE proposal in common',
        details: {
          ours: ['aes256/sha256/modp2048'],
          theirs: ['aes256/sha256/modp1024', '3des/md5/modp1024'],
          nearest: { proposal: 1, differs: ['dh_group'], advice: 'peer offers DH 2; your policy allows 14' },
        },
      },
      { role: 'responder', count: 3 },
    ),
  ],
  advisories: [],
};

const identity: ConnectionStatusDocument = {
  ...mismatch,
  name: 'to-d',
  status_reasons: [
    statusReason({
      cause: 'identity_mismatch',
      message: 'the peer is somebody else',
      details: { expectedIdentity: 'fqdn:d.example', receivedIdentity: 'ipv4_address:10.0.0.7' },
    }),
  ],
};

function documentOf(...connections: ConnectionStatusDocument[]): StatusDocument {
  return {
    gateway: {
      name: 'site-a',
      mode: 'policy',
      address: '192.0.2.1',
      interface: 'culvert0',
      data_plane: 'ffi',
      raw_esp: true,
      version: '0.1.0',
      started_at: '2026-01-01T09:53:00Z',
      drops: {},
    },
    connections,
  };
}

t.test('the overview: a line about the gateway, a row a connection, then what is wrong', async (t) => {
  t.same(renderStatus(documentOf(up, mismatch), view), [
    'site-a: policy mode, 192.0.2.1, culvert0, ffi data plane, running for 2h07m, 1 of 2 connections up',
    '',
    'NAME       STATUS  PEER       IKE                           CHILD                                   ESP               IN   OUT  SINCE',
    '---------  ------  ---------  ----------------------------  --------------------------------------  -----------  -------  ----  -----',
    'to-site-b  up      192.0.2.2  IKEv2 aes256/sha256/modp2048  10.1.0.0/24 <> 10.2.0.0/24,10.3.0.0/24  aes128gcm16  1.5 KiB  84 B  3m05s',
    'to-c       down    192.0.2.3  -                             -                                       -                  -     -      -',
    '',
    'to-site-b:',
    '  advisory weak_algorithm: sha1 was agreed on',
    '',
    'to-c:',
    '  ike_policy_mismatch: No IKE proposal in common. Peer offers DH 2; your policy allows 14.',
    '    cause  ike_proposal_mismatch',
    '',
    '    #  we accept               peer offers',
    '    -  ----------------------  ----------------------',
    '    1  aes256/sha256/modp2048  aes256/sha256/modp1024',
    '    2                          3des/md5/modp1024',
    '',
    '    nearest miss  proposal 1: differs in dh_group',
    '    role          responder',
    '    count         3',
  ]);
});

t.test('one connection in detail', async (t) => {
  t.same(renderConnection(up, view), [
    'to-site-b: up',
    '  wanted          up',
    '  establish mode  bidirectional',
    '  peer            192.0.2.2',
    '  IKE             IKEv2 aes256/sha256/modp2048, PRF sha256, established as initiator',
    '  IKE SPIs        0102030405060708 (initiator), 1112131415161718 (responder)',
    '  endpoints       192.0.2.1:4500 - 192.0.2.2:4500',
    '  peer identity   fqdn:b.example',
    '  behind a NAT    the peer',
    '  established     2026-01-01T11:56:55Z, 3m05s ago',
    '  rekey           2026-01-01T19:30:00Z, in 7h30m',
    '',
    '  child SA, installed',
    '  selectors    10.1.0.0/24 <> 10.2.0.0/24,10.3.0.0/24',
    '  ESP          aes128gcm16, in UDP',
    '  SPIs         c0ffee01 (in), c0ffee02 (out)',
    '  in           1.5 KiB, 12 packets',
    '  out          84 B, 1 packets',
    '  dropped      replay 2',
    '  established  2026-01-01T11:56:55Z, 3m05s ago',
    '  rekey        2026-01-01T12:55:00Z, in 55m00s',
    '',
    '  advisory weak_algorithm: sha1 was agreed on',
  ]);
});

t.test('an identity mismatch shows both identities', async (t) => {
  const lines = renderConnection(identity, view);
  t.ok(
    lines.some((line) => /^ +expected identity +fqdn:d\.example$/.test(line)),
    lines.join('\n'),
  );
  t.ok(lines.some((line) => /^ +received identity +ipv4_address:10\.0\.0\.7$/.test(line)));
  t.ok(lines.some((line) => line.startsWith('  cannot_authenticate_connection: ')));
});

t.test('a refusal without the peer’s offers says so', async (t) => {
  const refused = {
    ...mismatch,
    status_reasons: [
      statusReason({
        cause: 'ike_proposal_mismatch',
        message: 'refused',
        details: { ours: ['aes256/sha256'] },
      }),
    ],
  };
  t.match(
    renderConnection(refused, view).join('\n'),
    /we accept +peer offers \(not told\)\n.*\n +1 {2}aes256\/sha256/,
  );
});

t.test('unfinished, empty and several children', async (t) => {
  const connecting = { ...mismatch, ike: { ...ike, state: 'connecting' as const }, status_reasons: [] };
  t.match(renderStatus(documentOf(connecting), view)[4], /^to-c +down +192\.0\.2\.3 +connecting +- /);
  t.equal(renderStatus(documentOf(), view).at(-1), 'No connections are configured.');
  const two = renderStatus(documentOf({ ...up, children: [child, { ...child, state: 'rekeyed' }] }), view);
  t.match(two[5], /^ +10\.1\.0\.0\/24 <> .* aes128gcm16 \(rekeyed\)/);
});

t.test('a screen of 80 columns is kept to', async (t) => {
  const lines = renderStatus(documentOf(up), { ...view, width: 80 });
  // The line about the gateway and long messages are wrapped by the terminal or by us; the table by us.
  for (const line of lines.slice(2)) t.ok(line.length <= 80, line);
});

t.test('the overview tells of several packet workers', async (t) => {
  const document = documentOf(up);
  const workers = [2, 0].map((child_sas) => ({ child_sas, handed_over: 3, taken_over: 3 }));
  const of = (count: number) => ({
    ...document,
    gateway: { ...document.gateway, workers: workers.slice(0, count) },
  });
  t.match(renderStatus(of(1), view)[0], /culvert0, ffi data plane, running/);
  t.match(renderStatus(of(2), view)[0], /ffi data plane with 2 workers \(2\/0 child SAs\), running/);
});

t.test('networks that several connections name', async (t) => {
  const routes = [
    { destination: '10.2.0.0/24', carries: true },
    { destination: '10.3.0.0/24', carries: true, moved_at: '2026-01-01T11:59:18Z' },
    { destination: '10.4.0.0/24', carries: false, moved_at: '2026-01-01T09:53:00Z' },
  ];
  const text = renderConnection({ ...up, routes }, view).join('\n');
  t.match(text, /^ {2}carries +10\.2\.0\.0\/24, 10\.3\.0\.0\/24 for 42s$/m);
  t.match(text, /^ {2}left to others +10\.4\.0\.0\/24 for 2h07m$/m);
  t.notMatch(renderConnection({ ...up, routes: routes.slice(0, 1) }, view).join('\n'), /left to others/);
});
