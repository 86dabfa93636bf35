import t from 'tap';
import {
  type BadFile,
  connection,
  connections,
  GATEWAY,
  one,
  peer,
  refuses,
} from '../helpers/config-snippets.js';

const BAD: readonly BadFile[] = [
  [
    'equals sign for a colon',
    `${GATEWAY}connections:\n  - { name: b, psk=correct-horse, peer: { address: 192.0.2.2 } }\n`,
    [
      '3:5: connections[0]: holds a field whose name is not one; known here are name, psk, psk_file, psk_encoding, admin_state_up, establish_mode, dead_peer_detection, ike_policy, ipsec_policy, profile, distribute_traffic, local, peer, interface, routes',
    ],
  ],
  [
    'connection as text',
    `${GATEWAY}connections:\n  - psk:correct-horse\n`,
    [
      '3:5: connections[0]: needs a map of fields (name, psk, psk_file, psk_encoding, admin_state_up, establish_mode, dead_peer_detection, ike_policy, ipsec_policy, profile, distribute_traffic, local, peer, interface, routes), not a text',
    ],
  ],
  [
    'blank forgotten',
    `${GATEWAY}connections:\n  - { name: b, psk:correct-horse, peer: { address: 192.0.2.2 } }\n`,
    ['3:5: connections[0]: "psk:" needs a blank behind the colon'],
  ],
  [
    'connection names',
    GATEWAY + connections(connection(), connection({ peer: '{ address: 192.0.2.3, cidrs: [10.3.0.0/24] }' })),
    [
      '4:13: connections[1].name: "b" is the name of connections[0] already: connections need different names',
    ],
  ],
  [
    'no psk',
    one({ psk: undefined }),
    [
      '3:5: connections[0].psk: is missing: give psk (in quotes when it begins with & * ! @ # or %) or psk_file',
    ],
  ],
  [
    'psk is a comment',
    `${GATEWAY}connections:\n  - name: b\n    psk: #secret\n    local: { cidrs: [10.1.0.0/24] }\n    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }\n`,
    [
      '4:10: connections[0].psk: is missing: give psk (in quotes when it begins with & * ! @ # or %) or psk_file',
    ],
  ],
  [
    'psk begins with &',
    one({ psk: '&correct-horse' }),
    ['3:16: an anchor (&) before no value: put one behind it, or put a text that begins with & in quotes'],
  ],
  [
    'psk begins with @',
    one({ psk: '@correct-horse' }),
    [
      '3:21: not YAML: a plain text cannot begin with this character: put it in quotes (so for texts that begin with & * ! | > @ ` % # { } [ ] , ?)',
    ],
  ],
  [
    'psk begins with !',
    one({ psk: '!correct-horse' }),
    ['3:16: YAML tags (!) are not used here: leave it out, or put a text that begins with one in quotes'],
  ],
  ['psk short', one({ psk: 'abcde' }), ['3:21: connections[0].psk: has 5 characters: 6 to 128 are needed']],
  [
    'psk long',
    one({ psk: 'a'.repeat(129) }),
    ['3:21: connections[0].psk: has 129 characters: 6 to 128 are needed'],
  ],
  [
    'psk blank',
    one({ psk: '"correct horse"' }),
    [
      '3:21: connections[0].psk: holds white space at position 8: allowed are letters, digits and - + & ! @ # $ % ^ * ( ) , . : _; any other key can be written in hexadecimal or base64, with psk_encoding: hex or base64',
    ],
  ],
  [
    'psk trailing blank',
    one({ psk: '"correct-horse "' }),
    [
      '3:21: connections[0].psk: holds white space at position 14: allowed are letters, digits and - + & ! @ # $ % ^ * ( ) , . : _; any other key can be written in hexadecimal or base64, with psk_encoding: hex or base64',
    ],
  ],
  [
    'psk letter',
    one({ psk: 'pässword' }),
    [
      '3:21: connections[0].psk: holds a character that is not allowed at position 2: allowed are letters, digits and - + & ! @ # $ % ^ * ( ) , . : _; any other key can be written in hexadecimal or base64, with psk_encoding: hex or base64',
    ],
  ],
  [
    'psk slash',
    one({ psk: 'pass/word' }),
    [
      '3:21: connections[0].psk: holds a character that is not allowed at position 5: allowed are letters, digits and - + & ! @ # $ % ^ * ( ) , . : _; any other key can be written in hexadecimal or base64, with psk_encoding: hex or base64',
    ],
  ],
  [
    'psk hex',
    one({ psk: '0xdeadbeef' }),
    ['3:21: connections[0].psk: needs a text, not a number or a truth value: put it in quotes'],
  ],
  [
    'psk base64',
    one({ psk: '0sdeadbeef' }),
    [
      '3:21: connections[0].psk: begins with 0s, behind which strongSwan has a key in base64: add psk_encoding: base64 when this is one, else choose another beginning',
    ],
  ],
  [
    'psk hex in quotes',
    one({ psk: '"0xdeadbeefdeadbeef"' }),
    [
      '3:21: connections[0].psk: begins with 0x, behind which strongSwan has a key in hexadecimal digits: add psk_encoding: hex when this is one, else choose another beginning',
    ],
  ],
  [
    'psk encoding',
    one({ psk: 'correct-horse', psk_encoding: 'a-key-by-mistake' }),
    ['3:135: connections[0].psk_encoding: the value is not one of text, hex, base64'],
  ],
  [
    'psk not in hex',
    one({ psk: 'abcdefabcdefg0', psk_encoding: 'hex' }),
    ['3:21: connections[0].psk: holds a character that is no hexadecimal digit, number 13 of them'],
  ],
  [
    'psk not in base64',
    one({ psk: 'correct-horse', psk_encoding: 'base64' }),
    ['3:21: connections[0].psk: holds a character that is not in base64 (A-Z a-z 0-9 + /), number 8 of them'],
  ],
  [
    'psk number',
    one({ psk: '12345678' }),
    ['3:21: connections[0].psk: needs a text, not a number or a truth value: put it in quotes'],
  ],
  ['psk list', one({ psk: '[correct-horse]' }), ['3:21: connections[0].psk: needs a text, not a list']],
  [
    'psk and file',
    one({ psk_file: '/etc/culvert/b.psk' }),
    ['3:121: connections[0].psk_file: conflicts with psk: keep one of the two'],
  ],
  [
    'admin state',
    one({ admin_state_up: 'yes' }),
    ['3:137: connections[0].admin_state_up: needs true or false, not the text "yes"'],
  ],
  [
    'establish mode',
    one({ establish_mode: 'peer-only' }),
    [
      '3:137: connections[0].establish_mode: "peer-only" is not one of bidirectional, peer_only; did you mean "peer_only"?',
    ],
  ],
  [
    'dpd action',
    one({ dead_peer_detection: '{ action: reset }' }),
    ['3:152: connections[0].dead_peer_detection.action: "reset" is not one of restart, clear, hold, none'],
  ],
  [
    'dpd interval',
    one({ dead_peer_detection: '{ interval: 0 }' }),
    ['3:154: connections[0].dead_peer_detection.interval: 0 is too small: seconds, from 1 to 86399'],
  ],
  [
    'dpd interval longer',
    one({ dead_peer_detection: '{ interval: 30 }' }),
    [
      '3:142: connections[0].dead_peer_detection: an interval of 30 s is longer than the timeout of 10 s: make it at most as long',
    ],
  ],
  [
    'unknown ike policy, near',
    `${GATEWAY}ike_policies:\n  - { name: strong, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }\n${connections(connection({ ike_policy: 'strogn' }))}`,
    ['5:133: connections[0].ike_policy: "strogn" is not in ike_policies; did you mean "strong"?'],
  ],
  [
    'unknown ike policy, far',
    `${GATEWAY}ike_policies:\n  - { name: strong, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }\n${connections(connection({ ike_policy: 'modern' }))}`,
    [
      '5:133: connections[0].ike_policy: "modern" is not in ike_policies (strong): add it, or leave this out for auto-negotiation',
    ],
  ],
  [
    'unknown ipsec policy',
    one({ ipsec_policy: 'strong' }),
    [
      '3:135: connections[0].ipsec_policy: "strong" is not in ipsec_policies, which is empty: add it, or leave this out for auto-negotiation',
    ],
  ],
  ['no peer', one({ peer: undefined }), ['3:5: connections[0].peer: is missing']],
  [
    'no peer address',
    one({ peer: '{ cidrs: [10.2.0.0/24] }' }),
    ['3:75: connections[0].peer: needs an address or an fqdn'],
  ],
  [
    'peer port',
    peer('address: 192.0.2.2, port: 5000'),
    ['3:125: connections[0].peer.port: 5000 is not one of 500, 4500'],
  ],
  [
    'address and fqdn',
    peer('address: 192.0.2.2, fqdn: b.example'),
    ['3:119: connections[0].peer.fqdn: conflicts with address: keep one of the two'],
  ],
  [
    'peer address name',
    peer('address: b.example'),
    ['3:108: connections[0].peer.address: "b.example" is no IP address: write a host name as peer.fqdn'],
  ],
  [
    'peer address bad',
    peer('address: 192.0.2.256'),
    ['3:108: connections[0].peer.address: "192.0.2.256" is no IP address'],
  ],
  [
    'peer address family',
    peer("address: '2001:db8::2'"),
    [
      `3:108: connections[0].peer.address: "2001:db8::2" and the gateway's address 192.0.2.1 are of different families: IKE runs between two IPv4 or two IPv6 addresses`,
    ],
  ],
  [
    'peer address own',
    peer('address: 192.0.2.1'),
    ['3:108: connections[0].peer.address: "192.0.2.1" is this gateway\'s own address'],
  ],
  [
    'peer address any',
    peer('address: 0.0.0.0'),
    ['3:108: connections[0].peer.address: "0.0.0.0" stands for any address: name one'],
  ],
  [
    'peer fqdn address',
    peer('fqdn: 192.0.2.2'),
    ['3:105: connections[0].peer.fqdn: "192.0.2.2" is an address: write it as peer.address'],
  ],
  [
    'peer fqdn bad',
    peer('fqdn: b_..example'),
    ['3:105: connections[0].peer.fqdn: "b_..example" is no host name'],
  ],
  [
    'peer identity type',
    peer('address: 192.0.2.2, ike_identity: { type: fqnd, value: b.example }'),
    [
      '3:141: connections[0].peer.ike_identity.type: "fqnd" is not one of ipv4_address, ipv6_address, fqdn, hostname, key_id, email; did you mean "fqdn"?',
    ],
  ],
  [
    'peer identity no value',
    peer('address: 192.0.2.2, ike_identity: { type: fqdn }'),
    ['3:133: connections[0].peer.ike_identity.value: is missing: 1 to 512 characters'],
  ],
  [
    'peer identity fqdn',
    peer('address: 192.0.2.2, ike_identity: { type: fqdn, value: 192.0.2.2 }'),
    [
      '3:154: connections[0].peer.ike_identity.value: "192.0.2.2" is an address, not a name: use type ipv4_address, or write a name',
    ],
  ],
  [
    'peer identity key_id',
    peer('address: 192.0.2.2, ike_identity: { type: key_id, value: site b }'),
    [
      '3:156: connections[0].peer.ike_identity.value: "site b" is not base64: write the base64 form of its octets, padded with = to a multiple of four',
    ],
  ],
  [
    'peer identity ipv4',
    peer('address: 192.0.2.2, ike_identity: { type: ipv4_address, value: b.example }'),
    [
      '3:162: connections[0].peer.ike_identity.value: "b.example" is no IPv4 address: write one such as 192.0.2.1, or choose another type',
    ],
  ],
  [
    'two local identities',
    one({
      local:
        '{ cidrs: [10.1.0.0/24], ike_identities: [{ type: hostname, value: a }, { type: hostname, value: b }] }',
    }),
    ['3:83: connections[0].local.ike_identities: has 2 identities: in policy mode it is one'],
  ],
  [
    'local identity',
    one({ local: '{ cidrs: [10.1.0.0/24], ike_identities: [{ type: hostname, value: a b }] }' }),
    [
      '3:109: connections[0].local.ike_identities[0].value: "a b" is no domain name: labels of letters, digits, - and _ with dots between, 253 characters at most',
    ],
  ],
  [
    'no local',
    one({ local: undefined }),
    ['3:5: connections[0].local.cidrs: is missing: in policy mode at least one network is needed'],
  ],
  [
    'no local cidrs',
    one({ local: '{ ike_identities: [] }' }),
    ['3:43: connections[0].local.cidrs: is missing: in policy mode at least one network is needed'],
  ],
  [
    'empty cidrs',
    one({ local: '{ cidrs: [] }' }),
    ['3:52: connections[0].local.cidrs: is empty: leave it out or name at least one'],
  ],
  [
    'cidr text',
    one({ local: '{ cidrs: 10.1.0.0/24 }' }),
    ['3:52: connections[0].local.cidrs: needs a list, not a text'],
  ],
  [
    'no prefix',
    one({ local: '{ cidrs: [10.1.0.0] }' }),
    [
      '3:53: connections[0].local.cidrs[0]: "10.1.0.0" is not a CIDR: write address/prefix, for example 10.1.0.0/24',
    ],
  ],
  [
    'host bits',
    one({ local: '{ cidrs: [10.1.0.1/24] }' }),
    ['3:53: connections[0].local.cidrs[0]: "10.1.0.1/24" has host bits set: write 10.1.0.0/24'],
  ],
  [
    'prefix',
    one({ local: '{ cidrs: [10.1.0.0/33] }' }),
    [
      '3:53: connections[0].local.cidrs[0]: "10.1.0.0/33" has a prefix length that is not between 0 and 32: "33"',
    ],
  ],
  [
    'cidr no address',
    one({ local: '{ cidrs: [lan/24] }' }),
    ['3:53: connections[0].local.cidrs[0]: "lan/24" has no IP address before the slash: "lan"'],
  ],
  [
    'local overlap',
    one({ local: '{ cidrs: [10.1.0.0/16, 10.1.7.0/24] }' }),
    [
      '3:66: connections[0].local.cidrs[1]: "10.1.7.0/24" overlaps "10.1.0.0/16" in connections[0].local.cidrs[0]: keep one of the two',
    ],
  ],
  [
    'local twice',
    one({ local: '{ cidrs: [10.1.0.0/24, 10.1.0.0/24] }' }),
    [
      '3:66: connections[0].local.cidrs[1]: "10.1.0.0/24" is the same as "10.1.0.0/24" in connections[0].local.cidrs[0]: keep one of the two',
    ],
  ],
  [
    'local and peer',
    one({ local: '{ cidrs: [10.0.0.0/8] }' }),
    [
      '3:104: connections[0].peer.cidrs[0]: "10.2.0.0/24" overlaps "10.0.0.0/8" in connections[0].local.cidrs[0]: a network is on one side of the tunnel',
    ],
  ],
  [
    'peer overlap',
    one({ peer: '{ address: 192.0.2.2, cidrs: [10.2.0.0/16, 10.2.0.0/24] }' }),
    [
      '3:118: connections[0].peer.cidrs[1]: "10.2.0.0/24" overlaps "10.2.0.0/16" in connections[0].peer.cidrs[0]: keep one of the two',
    ],
  ],
  [
    'no partner',
    one({ local: "{ cidrs: [10.1.0.0/24, '2001:db8:1::/48'] }" }),
    [
      '3:66: connections[0].local.cidrs[1]: "2001:db8:1::/48" has no network of its family in peer.cidrs to talk to: add one or leave it out',
    ],
  ],
  [
    'two peers',
    GATEWAY +
      connections(
        connection(),
        connection({ name: 'c', peer: '{ address: 192.0.2.3, cidrs: [10.2.0.128/25] }' }),
      ),
    [
      '4:105: connections[1].peer.cidrs[0]: "10.2.0.128/25" overlaps "10.2.0.0/24" in connections[0].peer.cidrs[0] of connection b: a network belongs to one peer',
    ],
  ],
  [
    'two default peers',
    GATEWAY +
      connections(
        connection({ peer: '{ address: 192.0.2.2, cidrs: [0.0.0.0/0] }' }),
        connection({ name: 'c', peer: '{ address: 192.0.2.3, cidrs: [0.0.0.0/0] }' }),
      ),
    [
      '4:105: connections[1].peer.cidrs[0]: "0.0.0.0/0" is the same as "0.0.0.0/0" in connections[0].peer.cidrs[0] of connection b: a network belongs to one peer',
    ],
  ],
  [
    'same pair',
    GATEWAY + connections(connection(), connection({ name: 'c' })),
    [
      '4:105: connections[1].peer.cidrs[0]: "10.1.0.0/24" to "10.2.0.0/24" overlaps a pair of connection b to the same peer: give each pair to one connection',
    ],
  ],
  [
    'same ends, other psk',
    GATEWAY +
      connections(
        connection(),
        connection({
          name: 'c',
          psk: 'other-secret',
          local: '{ cidrs: [10.7.0.0/24] }',
          peer: '{ address: 192.0.2.2, cidrs: [10.8.0.0/24] }',
        }),
      ),
    [
      '4:5: connections[1]: has the peer and the IKE identities of connection b but another psk: nothing would tell the two apart; make them equal, or give one of them other IKE identities',
    ],
  ],
  [
    'same host name, other psk file',
    GATEWAY +
      connections(
        connection({ peer: '{ fqdn: b.example, cidrs: [10.2.0.0/24] }' }),
        connection({
          name: 'c',
          psk: undefined,
          psk_file: 'c.psk',
          peer: '{ fqdn: B.example, cidrs: [10.8.0.0/24] }',
        }),
      ),
    [
      '4:5: connections[1]: has the peer and the IKE identities of connection b but another psk: nothing would tell the two apart; make them equal, or give one of them other IKE identities',
    ],
  ],
  [
    'IKEv1, same ends, other networks',
    GATEWAY +
      'ike_policies:\n  - { name: old, ike_version: 1, encryption_algorithm: aes128, authentication_algorithm: sha1, dh_group: 2 }\n' +
      connections(
        connection({ ike_policy: 'old' }),
        connection({
          name: 'c',
          ike_policy: 'old',
          local: '{ cidrs: [10.7.0.0/24] }',
          peer: '{ address: 192.0.2.2, cidrs: [10.8.0.0/24] }',
        }),
      ),
    [
      '6:5: connections[1]: has the peer and the IKE identities of connection b, and IKEv1 learns the networks only after it has settled on one of the two: put all networks into one connection, use ike_version 2, or give one of them other IKE identities',
    ],
  ],
  [
    'distribution in policy mode',
    GATEWAY + connections(connection({ distribute_traffic: 'true' })),
    [
      '3:121: connections[0].distribute_traffic: is for route mode only; in policy mode one tunnel carries everything',
    ],
  ],
  [
    'route with cidrs',
    `gateway: { name: a, address: 192.0.2.1, mode: route }\n${connections(connection())}`,
    [
      '3:45: connections[0].local.cidrs: is not used in route mode, where routes decide: leave it out',
      '3:97: connections[0].peer.cidrs: is not used in route mode, where routes decide: leave it out',
    ],
  ],
  [
    'route one identity',
    `gateway: { name: a, address: 192.0.2.1, mode: route }\n${connections(connection({ local: '{ ike_identities: [{ type: hostname, value: a }] }', peer: '{ address: 192.0.2.2 }' }))}`,
    [
      '3:61: connections[0].local.ike_identities: has 1 identity: in route mode there are two, one for each member, or none',
    ],
  ],
  [
    'several faults, in order',
    `gateway: { name: a, address: 192.0.2.1 }\nconnections:\n${connection({ psk: 'abc', local: '{ cidrs: [10.1.0.1/24] }' })}${connection({ name: 'c', establish_mode: 'both', peer: '{ address: x, cidrs: [10.2.0.0/24], color: red }' })}${connection({ name: 'd', ike_policy: 'nope', peer: '{ address: 192.0.2.4, cidrs: [10.4.0.0/24] }', local: '{ cidrs: [10.1.0.5/24] }' })}`,
    [
      '3:21: connections[0].psk: has 3 characters: 6 to 128 are needed',
      '3:43: connections[0].local.cidrs[0]: "10.1.0.1/24" has host bits set: write 10.1.0.0/24',
      '4:111: connections[1].peer.color: is not a known field; known here are address, fqdn, port, cidrs, ike_identity',
      '4:141: connections[1].establish_mode: "both" is not one of bidirectional, peer_only',
      '5:53: connections[2].local.cidrs[0]: "10.1.0.5/24" has host bits set: write 10.1.0.0/24',
      '5:133: connections[2].ike_policy: "nope" is not in ike_policies, which is empty: add it, or leave this out for auto-negotiation',
    ],
  ],
];

t.test('every fault of a connection is one clear line', async (t) => refuses(t, BAD));
