import fc from 'fast-check';
import t from 'tap';
import type { ConnectionConfig, Identity } from '../../../src/ike/config.js';
import type { Failure } from '../../../src/ike/events.js';
import { candidatesOf } from '../../../src/ike/policy/candidates.js';
import {
  formatIdentity,
  type IdentityTypeName,
  makeIdentity,
  sameIdentity,
} from '../../../src/ike/policy/identity.js';
import { checkPeerIdentity, chooseByIdentity } from '../../../src/ike/policy/lookup.js';
import { autoEspProposals, autoIkeProposals } from '../../../src/ike/policy/matrix.js';
import { PeerIndex } from '../../../src/ike/policy/peer-index.js';
import { cidrSelector } from '../../../src/ike/policy/selectors.js';
import { utf8 } from '../../../src/util/bytes.js';
import { cidrOf } from '../../../src/util/ip.js';
import type { Result } from '../../../src/util/result.js';
import { SecretKey } from '../../../src/util/secret.js';
import { IdType } from '../../../src/wire/ike/registry.js';

function identity(text: string): Identity {
  const colon = text.indexOf(':');
  const made = makeIdentity(text.slice(0, colon) as IdentityTypeName, text.slice(colon + 1));
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

t.test('identities from configuration', async (t) => {
  const good: readonly [string, number, string][] = [
    ['ipv4_address:192.0.2.1', IdType.IPV4_ADDR, 'ipv4_address:192.0.2.1'],
    ['ipv6_address:2001:DB8::1', IdType.IPV6_ADDR, 'ipv6_address:2001:db8::1'],
    ['fqdn:gw.A.example', IdType.FQDN, 'fqdn:gw.A.example'],
    ['fqdn:gw.a.example.', IdType.FQDN, 'fqdn:gw.a.example'],
    ['hostname:gateway', IdType.FQDN, 'fqdn:gateway'],
    ['hostname:gw.a.example', IdType.FQDN, 'fqdn:gw.a.example'],
    ['email:vpn@a.example', IdType.RFC822_ADDR, 'email:vpn@a.example'],
    ['key_id:c2l0ZS1h', IdType.KEY_ID, 'key_id:c2l0ZS1h'],
    ['key_id:/wA=', IdType.KEY_ID, 'key_id:/wA='],
  ];
  for (const [text, idType, shown] of good) {
    t.equal(identity(text).idType, idType, text);
    t.equal(formatIdentity(identity(text)), shown);
  }
  t.same(identity('key_id:c2l0ZS1h').data, utf8('site-a'));
  const bad: readonly [IdentityTypeName, string, RegExp][] = [
    ['ipv4_address', '192.0.2.256', /is no IPv4 address/],
    ['ipv4_address', '2001:db8::1', /is no IPv4 address/],
    ['ipv6_address', '192.0.2.1', /is no IPv6 address/],
    ['fqdn', '192.0.2.1', /is an address, not a name: use type ipv4_address/],
    ['fqdn', '2001:db8::1', /use type ipv6_address/],
    ['fqdn', 'gateway', /is not fully qualified/],
    ['fqdn', 'a..example', /is no domain name/],
    ['fqdn', '-a.example', /is no domain name/],
    ['fqdn', `${'a'.repeat(64)}.example`, /is no domain name/],
    ['fqdn', `${'a.'.repeat(130)}example`, /is no domain name/],
    ['hostname', 'a b', /is no domain name/],
    ['hostname', '', /is no domain name/],
    ['email', 'a.example', /is no mail address/],
    ['email', '@a.example', /is no mail address/],
    ['key_id', 'c2l0ZS1hX', /is not base64/],
    ['key_id', 'site a', /is not base64/],
    ['key_id', '', /is not base64/],
    ['key_id', 'A'.repeat(400), /has 300 octets: at most 256/],
  ];
  for (const [type, value, reason] of bad) {
    const made = makeIdentity(type, value);
    t.match(made.ok ? 'accepted' : made.error, reason, `${type} ${value.slice(0, 20)}`);
  }
});

t.test('which identities are the same', async (t) => {
  const cases: readonly [string, string, boolean][] = [
    ['fqdn:gw.a.example', 'fqdn:GW.A.Example', true],
    ['fqdn:gw.a.example', 'hostname:gw.a.example.', true],
    ['fqdn:gw.a.example', 'fqdn:gw.b.example', false],
    ['email:vpn@a.example', 'email:vpn@A.EXAMPLE', true],
    ['email:vpn@a.example', 'email:VPN@a.example', false],
    ['key_id:c2l0ZS1h', 'key_id:c2l0ZS1h', true],
    ['key_id:QQ==', 'key_id:YQ==', false],
    ['ipv4_address:192.0.2.1', 'ipv4_address:192.0.2.1', true],
    ['ipv4_address:192.0.2.1', 'ipv4_address:192.0.2.2', false],
    ['hostname:abcd', 'key_id:YWJjZA==', false],
  ];
  for (const [a, b, same] of cases) {
    t.equal(sameIdentity(identity(a), identity(b)), same, `${a} and ${b}`);
    t.equal(sameIdentity(identity(b), identity(a)), same);
  }
  t.ok(
    sameIdentity({ idType: 2, data: utf8('a.example.') }, identity('fqdn:a.example')),
    "a peer's trailing dot",
  );
});

t.test('what a peer calls itself never disturbs a terminal', async (t) => {
  t.equal(
    formatIdentity({ idType: IdType.FQDN, data: utf8('a\u001b[31m.example') }),
    'fqdn:0x611b5b33316d2e6578616d706c65',
  );
  t.equal(formatIdentity({ idType: IdType.FQDN, data: new Uint8Array(0) }), 'fqdn:(empty)');
  t.equal(
    formatIdentity({ idType: IdType.DER_ASN1_DN, data: new Uint8Array([0x30, 0]) }),
    'der_asn1_dn:0x3000',
  );
  t.equal(formatIdentity({ idType: 201, data: new Uint8Array([1]) }), 'id_type_201:0x01');
  t.equal(formatIdentity({ idType: IdType.IPV4_ADDR, data: new Uint8Array([1]) }), 'ipv4_address:0x01');
  fc.assert(
    fc.property(fc.nat(255), fc.uint8Array({ maxLength: 400 }), (idType, data) => {
      const text = formatIdentity({ idType, data });
      return /^[!-~]+(?:… \(\d+ octets\))?$|^\w+:\(empty\)$|^key_id:$/.test(text) && text.length < 320;
    }),
  );
});

function connection(
  name: string,
  changes: Partial<Omit<ConnectionConfig, 'local' | 'peer'>> & {
    localAddress?: string;
    localIdentity?: string;
    localCidr?: string;
    peerAddresses?: readonly string[];
    peerIdentity?: string;
    peerCidr?: string;
  } = {},
): ConnectionConfig {
  const { localAddress, localIdentity, localCidr, peerAddresses, peerIdentity, peerCidr, ...rest } = changes;
  const selectors = (text: string) => [cidrSelector(cidrOf(text))];
  return {
    id: name,
    psk: new SecretKey(utf8('not-used-here')),
    initiateVersion: 2,
    acceptVersions: [1, 2],
    establishMode: 'bidirectional',
    adminUp: true,
    local: {
      address: localAddress ?? '192.0.2.1',
      identity: identity(localIdentity ?? 'fqdn:a.example'),
      selectors: selectors(localCidr ?? '10.1.0.0/24'),
    },
    peer: {
      addresses: peerAddresses ?? ['192.0.2.2'],
      port: 500,
      identity: identity(peerIdentity ?? 'fqdn:b.example'),
      selectors: selectors(peerCidr ?? '10.2.0.0/24'),
    },
    ikeProposals: autoIkeProposals('compatible'),
    espProposals: autoEspProposals('compatible'),
    ikeLifetime: 28800,
    childLifetime: 3600,
    dpd: { action: 'restart', interval: 2, timeout: 10 },
    encapsulation: 'always',
    ...rest,
  };
}

t.test('candidates by address', async (t) => {
  const connections = [
    connection('down', { adminUp: false }),
    connection('roaming', {
      establishMode: 'peer_only',
      peerAddresses: ['198.51.100.7'],
      peerIdentity: 'fqdn:r.example',
    }),
    connection('behind-nat', {
      establishMode: 'peer_only',
      peerAddresses: ['203.0.113.9'],
      peerIdentity: 'ipv4_address:192.168.1.5',
    }),
    connection('fixed', {
      establishMode: 'peer_only',
      peerAddresses: ['203.0.113.10'],
      peerIdentity: 'ipv4_address:203.0.113.10',
    }),
    connection('by-address'),
    connection('v1-only', { initiateVersion: 1, acceptVersions: [1] }),
    connection('elsewhere', { localAddress: '192.0.2.77' }),
    connection('any-local', { localAddress: '0.0.0.0', peerAddresses: ['192.0.2.5', '192.0.2.2'] }),
    connection('other-peer', { peerAddresses: ['192.0.2.3'] }),
    connection('unresolved', { peerAddresses: [] }),
  ];
  const index = new PeerIndex(connections);
  const names = (remote: string, version: 1 | 2) =>
    Array.from(index.candidates({ local: '192.0.2.1', remote, version }), ({ id: name }) => name);
  t.same(names('192.0.2.2', 2), ['by-address', 'any-local', 'roaming', 'behind-nat', 'down']);
  t.same(names('192.0.2.2', 1), ['by-address', 'v1-only', 'any-local', 'roaming', 'behind-nat', 'down']);
  t.same(names('203.0.113.9', 2), ['behind-nat', 'roaming']);
  t.same(names('203.0.113.10', 2), ['fixed', 'roaming', 'behind-nat']);
  t.same(names('2001:db8::9', 2), ['roaming', 'behind-nat']);
});

t.test('choosing by identity', async (t) => {
  const b = connection('to-b');
  const c = connection('to-c', { peerIdentity: 'fqdn:c.example' });
  const other = connection('to-b-as-x', { localIdentity: 'fqdn:x.example' });
  const second = connection('to-b-second', { localCidr: '10.7.0.0/24', peerCidr: '10.8.0.0/24' });
  const down = connection('to-d', { peerIdentity: 'fqdn:d.example', adminUp: false });
  const all = [b, c, other, second, down];
  const chosen = (result: Result<ConnectionConfig, Failure>) =>
    result.ok ? result.value.id : result.error.cause;
  t.equal(chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:B.example'))), 'to-b');
  t.equal(
    chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:c.example'), identity('fqdn:a.example'))),
    'to-c',
  );
  t.equal(
    chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:b.example'), identity('fqdn:x.example'))),
    'to-b-as-x',
  );
  t.equal(chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:d.example'))), 'admin_down');
  t.equal(chosen(chooseByIdentity(candidatesOf([]), identity('fqdn:b.example'))), 'identity_mismatch');
  const proposed = { localTs: second.local.selectors, peerTs: second.peer.selectors };
  t.equal(
    chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:b.example'), undefined, undefined, proposed)),
    'to-b-second',
  );
  const foreign = { localTs: second.local.selectors, peerTs: second.local.selectors };
  t.equal(
    chosen(chooseByIdentity(candidatesOf(all), identity('fqdn:b.example'), undefined, undefined, foreign)),
    'to-b',
  );
});

t.test('identity mismatches name both sides', async (t) => {
  const b = connection('to-b');
  const c = connection('to-c', { peerIdentity: 'fqdn:c.example' });
  const byAddress = connection('to-e', {
    peerAddresses: ['203.0.113.9'],
    peerIdentity: 'ipv4_address:203.0.113.9',
  });
  const cases: readonly [Result<ConnectionConfig, Failure>, Failure][] = [
    [
      chooseByIdentity(candidatesOf([b]), identity('fqdn:z.example'), undefined, '192.0.2.2'),
      {
        cause: 'identity_mismatch',
        message: 'the peer says it is fqdn:z.example; connection to-b expects fqdn:b.example',
        details: { expectedIdentity: 'fqdn:b.example', receivedIdentity: 'fqdn:z.example' },
      },
    ],
    [
      chooseByIdentity(candidatesOf([b, c]), identity('key_id:YWJj')),
      {
        cause: 'identity_mismatch',
        message:
          'the peer says it is key_id:YWJj; connections to-b, to-c expect fqdn:b.example, fqdn:c.example',
        details: { expectedIdentity: 'fqdn:b.example, fqdn:c.example', receivedIdentity: 'key_id:YWJj' },
      },
    ],
    [
      chooseByIdentity(candidatesOf([b]), identity('fqdn:b.example'), identity('ipv4_address:192.0.2.1')),
      {
        cause: 'identity_mismatch',
        message:
          'the peer asks for ipv4_address:192.0.2.1; connection to-b has the local identity fqdn:a.example: ' +
          'make the identity the peer expects and local.ike_identities the same',
        details: { expectedIdentity: 'fqdn:a.example', receivedIdentity: 'ipv4_address:192.0.2.1' },
      },
    ],
    [
      checkPeerIdentity(byAddress, identity('ipv4_address:192.168.1.5'), '203.0.113.9'),
      {
        cause: 'identity_mismatch',
        message:
          'the peer says it is ipv4_address:192.168.1.5, but its packets come from 203.0.113.9, which connection to-e ' +
          'expects as its identity: a peer behind NAT sends its private address. Set peer.ike_identity to ' +
          '{ type: ipv4_address, value: 192.168.1.5 }, or give the peer ipv4_address:203.0.113.9 as its own identity',
        details: {
          expectedIdentity: 'ipv4_address:203.0.113.9',
          receivedIdentity: 'ipv4_address:192.168.1.5',
        },
      },
    ],
    [
      checkPeerIdentity(byAddress, identity('fqdn:e.example'), '203.0.113.9'),
      {
        cause: 'identity_mismatch',
        message: 'the peer says it is fqdn:e.example; connection to-e expects ipv4_address:203.0.113.9',
        details: { expectedIdentity: 'ipv4_address:203.0.113.9', receivedIdentity: 'fqdn:e.example' },
      },
    ],
  ];
  for (const [result, expected] of cases) t.same(result.ok ? 'accepted' : result.error, expected);
  t.ok(checkPeerIdentity(byAddress, identity('ipv4_address:203.0.113.9'), '203.0.113.9').ok);
});
