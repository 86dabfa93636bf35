import t from 'tap';
import {
  type BadFile,
  cnsa2,
  GATEWAY,
  gateway,
  ike,
  ipsec,
  modern,
  one,
  peer,
  refuses,
} from '../helpers/config-snippets.js';

const BAD: readonly BadFile[] = [
  ['empty', '', ['the file is empty: a gateway is needed at least']],
  ['only comments', '# nothing\n', ['the file is empty: a gateway is needed at least']],
  [
    'a text',
    'hello',
    [
      '1:1: needs a map of fields (gateway, ike_policies, ipsec_policies, defaults, connections, limits), not a text',
    ],
  ],
  [
    'a list',
    '- a\n',
    [
      '1:1: needs a map of fields (gateway, ike_policies, ipsec_policies, defaults, connections, limits), not a list',
    ],
  ],
  ['no gateway', 'connections: []\n', ['1:1: gateway: is missing']],
  ['tab', 'gateway:\n\tname: a\n', ['2:1: not YAML: a tab is used for indentation: use spaces']],
  [
    'open bracket',
    'gateway: { name: a, address: 192.0.2.1\nconnections: []\n',
    ['2:1: not YAML: the indentation does not fit, or a bracket before it is not closed'],
  ],
  [
    'duplicate field',
    'gateway:\n  name: a\n  address: 192.0.2.1\n  name: b\n',
    ['4:3: the field "name" stands here a second time: keep one of the two'],
  ],
  [
    'two documents',
    `${GATEWAY}---\n${GATEWAY}`,
    ['2:1: not YAML: more than one document: remove what stands from the second "---" on'],
  ],
  [
    'alias',
    `${GATEWAY}connections: *all\n`,
    [
      '2:1: there is no anchor (&) of this name before this alias (*): correct the name, or put a text that begins with * in quotes',
    ],
  ],
  [
    'anchor',
    `${GATEWAY}connections: &all\n`,
    ['2:1: an anchor (&) before no value: put one behind it, or put a text that begins with & in quotes'],
  ],
  [
    'tag',
    `${GATEWAY}connections: !all []\n`,
    ['2:1: YAML tags (!) are not used here: leave it out, or put a text that begins with one in quotes'],
  ],
  [
    'binary tag',
    'gateway: { name: !!binary YQ==, address: 192.0.2.1 }\n',
    ['1:12: YAML tags (!) are not used here: leave it out, or put a text that begins with one in quotes'],
  ],
  [
    'list as name',
    `${GATEWAY}? [a, b]\n: 1\n`,
    ['2:3: not YAML: a list, map or alias (*) is used as a field name: put a name in quotes'],
  ],
  [
    'second colon',
    'gateway:\n  name: a: b\n',
    ['2:9: not YAML: a second ": " in one line: put a text that holds it in quotes, or begin a new line'],
  ],
  [
    'unclosed quote',
    'gateway:\n  name: "a\n',
    ['3:1: not YAML: a closing quote, bracket, comma or colon is missing'],
  ],
  [
    'too big',
    `#${'x'.repeat(5 * 1024 * 1024)}`,
    ['the file has 5242881 characters: at most 4194304 are read'],
  ],
  [
    'unknown top field',
    `${GATEWAY}conections: []\n`,
    ['2:1: conections: is not a known field; did you mean "connections"?'],
  ],
  [
    'unknown field, far',
    `${GATEWAY}routes: []\n`,
    [
      '2:1: routes: is not a known field; known here are gateway, ike_policies, ipsec_policies, defaults, connections, limits',
    ],
  ],
  [
    'unknown nested field',
    peer('adress: 192.0.2.2'),
    ['3:99: connections[0].peer.adress: is not a known field; did you mean "address"?'],
  ],
  [
    'hyphens',
    one({ 'ike-policy': 'x' }),
    ['3:121: connections[0].ike-policy: is not a known field; did you mean "ike_policy"?'],
  ],
  [
    'gateway without name',
    gateway('address: 192.0.2.1'),
    [
      '1:10: gateway.name: is missing: a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter and does not end in a hyphen',
    ],
  ],
  [
    'gateway without address',
    gateway('name: a'),
    ['1:10: gateway.address: is missing: the IP address on which IKE and ESP listen'],
  ],
  [
    'gateway name',
    gateway('name: Site_A, address: 192.0.2.1'),
    [
      '1:18: gateway.name: "Site_A" does not fit: a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter and does not end in a hyphen',
    ],
  ],
  [
    'gateway name ends',
    gateway('name: a-, address: 192.0.2.1'),
    [
      '1:18: gateway.name: "a-" does not fit: a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter and does not end in a hyphen',
    ],
  ],
  [
    'gateway name number',
    gateway('name: 12, address: 192.0.2.1'),
    ['1:18: gateway.name: needs a text, not 12: put it in quotes'],
  ],
  [
    'gateway workers',
    gateway('name: a, address: 192.0.2.1, workers: 3'),
    ['1:50: gateway.workers: 3 is not one of 1, 2, 4, 8, 16'],
  ],
  [
    'gateway mode',
    gateway('name: a, address: 192.0.2.1, mode: routed'),
    ['1:47: gateway.mode: "routed" is not one of policy, route; did you mean "route"?'],
  ],
  [
    'gateway address no ip',
    gateway('name: a, address: gw.example'),
    ['1:30: gateway.address: "gw.example" is no IP address'],
  ],
  [
    'gateway address any',
    gateway('name: a, address: 0.0.0.0'),
    ['1:30: gateway.address: "0.0.0.0" stands for any address: name one'],
  ],
  [
    'gateway address multicast',
    gateway('name: a, address: 224.0.0.1'),
    ['1:30: gateway.address: "224.0.0.1" is a multicast or broadcast address'],
  ],
  [
    'gateway interface',
    gateway('name: a, address: 192.0.2.1, interface: culvert/zero'),
    [
      '1:52: gateway.interface: "culvert/zero" does not fit: the name of a TUN device: letters, digits, - _ and ., 15 characters at most',
    ],
  ],
  [
    'gateway interface long',
    gateway('name: a, address: 192.0.2.1, interface: sixteen-letters-'),
    [
      '1:52: gateway.interface: "sixteen-letters-" does not fit: the name of a TUN device: letters, digits, - _ and ., 15 characters at most',
    ],
  ],
  [
    'gateway encapsulation',
    gateway('name: a, address: 192.0.2.1, encapsulation: never'),
    ['1:56: gateway.encapsulation: "never" is not one of always, auto'],
  ],
  [
    'gateway profile',
    gateway('name: a, address: 192.0.2.1, profile: Modern'),
    [
      '1:50: gateway.profile: "Modern" is not one of compatible, current, modern, cnsa2; did you mean "modern"?',
    ],
  ],
  [
    'gateway control',
    gateway(`name: a, address: 192.0.2.1, control: /${'x'.repeat(107)}`),
    [
      '1:50: gateway.control: "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" does not fit: the path of a Unix socket, 1 to 107 characters',
    ],
  ],
  [
    'control characters',
    gateway('name: "a\\e[31m", address: 192.0.2.1'),
    [
      '1:18: gateway.name: "a\\u{1b}[31m" does not fit: a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter and does not end in a hyphen',
    ],
  ],
  [
    'ike policy without all',
    `${GATEWAY}ike_policies:\n  - { name: p }\n`,
    ['3:5: ike_policies[0].encryption_algorithm: is missing', '3:5: ike_policies[0].dh_group: is missing'],
  ],
  [
    'ike cipher',
    ike('encryption_algorithm: aes-256, authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:38: ike_policies[0].encryption_algorithm: "aes-256" is not one of aes256, aes192, aes128, 3des, triple_des, aes256gcm16, aes192gcm16, aes128gcm16, chacha20poly1305; did you mean "aes256"?',
    ],
  ],
  [
    'ike cipher unknown',
    ike('encryption_algorithm: blowfish, authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:38: ike_policies[0].encryption_algorithm: "blowfish" is not one of aes256, aes192, aes128, 3des, triple_des, aes256gcm16, aes192gcm16, aes128gcm16, chacha20poly1305',
    ],
  ],
  [
    'ike hash',
    ike('encryption_algorithm: aes256, authentication_algorithm: sha2, dh_group: 14'),
    [
      '3:72: ike_policies[0].authentication_algorithm: "sha2" is not one of sha256, sha384, sha512, sha1, md5; did you mean "sha256"?',
    ],
  ],
  [
    'ike group',
    ike('encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 25'),
    ['3:90: ike_policies[0].dh_group: 25 is not one of 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31'],
  ],
  [
    'ike group by name',
    ike('encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: group_14'),
    [
      '3:90: ike_policies[0].dh_group: "group_14" is not one of 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31; did you mean 14?',
    ],
  ],
  [
    'ike version',
    ike('ike_version: 3, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14'),
    ['3:29: ike_policies[0].ike_version: 3 is not one of 1, 2'],
  ],
  [
    'ike lifetime',
    ike('key_lifetime: 60, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14'),
    ['3:30: ike_policies[0].key_lifetime: 60 is too small: seconds, from 300 to 86400'],
  ],
  [
    'ike lifetime long',
    ike('key_lifetime: 86401, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14'),
    ['3:30: ike_policies[0].key_lifetime: 86401 is too large: seconds, from 300 to 86400'],
  ],
  [
    'ike lifetime text',
    ike('key_lifetime: 8h, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:30: ike_policies[0].key_lifetime: needs a whole number (seconds, from 300 to 86400), not the text "8h"',
    ],
  ],
  [
    'ike lifetime fraction',
    ike('key_lifetime: 3600.5, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14'),
    ['3:30: ike_policies[0].key_lifetime: needs a whole number (seconds, from 300 to 86400), not 3600.5'],
  ],
  [
    'both forms',
    ike(
      'encryption_algorithm: aes256, encryption_algorithms: [aes128], authentication_algorithm: sha256, dh_group: 14',
    ),
    ['3:46: ike_policies[0].encryption_algorithms: conflicts with encryption_algorithm: keep one of the two'],
  ],
  [
    'empty list',
    ike('encryption_algorithms: [], authentication_algorithm: sha256, dh_group: 14'),
    ['3:39: ike_policies[0].encryption_algorithms: is empty: leave it out or name at least one'],
  ],
  [
    'twice',
    ike('encryption_algorithms: [aes256, aes256], authentication_algorithm: sha256, dh_group: 14'),
    ['3:48: ike_policies[0].encryption_algorithms[1]: "aes256" is in the list twice: keep one'],
  ],
  [
    'twice by two names',
    ike('encryption_algorithms: [3des, triple_des], authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:46: ike_policies[0].encryption_algorithms[1]: "triple_des" is in the list twice under two names: keep one',
    ],
  ],
  [
    'four',
    ike(
      'encryption_algorithms: [aes256, aes192, aes128, 3des], authentication_algorithm: sha256, dh_group: 14',
    ),
    ['3:39: ike_policies[0].encryption_algorithms: has 4 items: at most 3 are taken'],
  ],
  [
    'mixed',
    ike('encryption_algorithms: [aes256gcm16, aes256], authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:39: ike_policies[0].encryption_algorithms: mixes AEAD ciphers (gcm16, chacha20poly1305) with others: make a policy of each kind',
    ],
  ],
  [
    'version 1 lists',
    ike(
      'ike_version: 1, encryption_algorithms: [aes256, aes128], authentication_algorithm: sha256, dh_groups: [14, 5]',
    ),
    [
      '3:55: ike_policies[0].encryption_algorithms: names 2 algorithms: with ike_version 1 it is one',
      '3:118: ike_policies[0].dh_groups: names 2 algorithms: with ike_version 1 it is one',
    ],
  ],
  [
    'version 1 aead',
    ike('ike_version: 1, encryption_algorithm: aes256gcm16, authentication_algorithm: sha256, dh_group: 14'),
    [
      '3:54: ike_policies[0].encryption_algorithm: IKEv1 has no AEAD ciphers of its own: choose aes256, aes192 or aes128, or ike_version 2',
    ],
  ],
  [
    'ike without hash',
    ike('encryption_algorithm: aes256, dh_group: 14'),
    ['3:5: ike_policies[0].authentication_algorithm: is missing'],
  ],
  [
    'modern ike',
    modern(
      'ike_policies:\n  - { name: p, encryption_algorithm: 3des, authentication_algorithms: [sha256, sha1], dh_groups: [14, 5] }\n',
    ),
    [
      '3:38: ike_policies[0].encryption_algorithm: "3des" is refused by the profile "modern": choose aes256 or aes256gcm16',
      '3:71: ike_policies[0].authentication_algorithms: "sha1" is refused by the profile "modern": choose sha256, sha384 or sha512',
      '3:98: ike_policies[0].dh_groups: "5" is refused by the profile "modern": choose group 14 to 21 or 31',
    ],
  ],
  [
    'modern ipsec',
    modern(
      'ipsec_policies:\n  - { name: p, encryption_algorithm: triple_des, authentication_algorithm: md5, pfs: group_2 }\n',
    ),
    [
      '3:38: ipsec_policies[0].encryption_algorithm: "triple_des" is refused by the profile "modern": choose aes256 or aes256gcm16',
      '3:76: ipsec_policies[0].authentication_algorithm: "md5" is refused by the profile "modern": choose sha256, sha384 or sha512',
      '3:86: ipsec_policies[0].pfs: "group_2" is refused by the profile "modern": choose group 14 to 21 or 31',
    ],
  ],
  [
    'modern IKEv1',
    modern(
      'ike_policies:\n  - { name: p, ike_version: 1, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }\n',
    ),
    [
      '3:29: ike_policies[0].ike_version: is refused by the profile "modern", which is without IKEv1 (RFC 9395): choose 2',
    ],
  ],
  [
    'cnsa2 ike',
    cnsa2('ike_policies:\n  - { name: p, encryption_algorithm: aes128gcm16, dh_groups: [20, 31] }\n'),
    [
      '3:5: ike_policies[0].additional_key_exchanges: lacks "ml_kem_1024", which the profile "cnsa2" asks for beside a group: add it',
      '3:5: ike_policies[0].authentication_algorithm: is sha256 when it is left out, which the profile "cnsa2" refuses: choose sha384 or sha512',
      '3:38: ike_policies[0].encryption_algorithm: "aes128gcm16" is refused by the profile "cnsa2": choose aes256gcm16',
      '3:62: ike_policies[0].dh_groups: "31" is refused by the profile "cnsa2": choose group 20',
    ],
  ],
  [
    'cnsa2 ipsec',
    cnsa2(
      'ipsec_policies:\n  - { name: p, encryption_algorithm: aes256, authentication_algorithm: sha256, pfs: group_20 }\n',
    ),
    [
      '3:5: ipsec_policies[0].additional_key_exchanges: lacks "ml_kem_1024", which the profile "cnsa2" asks for beside a group: add it',
      '3:38: ipsec_policies[0].encryption_algorithm: "aes256" is refused by the profile "cnsa2": choose aes256gcm16',
      '3:72: ipsec_policies[0].authentication_algorithm: "sha256" is refused by the profile "cnsa2": choose sha384 or sha512',
    ],
  ],
  [
    'additional key exchanges of IKEv1',
    ike(
      'ike_version: 1, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14, additional_key_exchanges: [ml_kem_768]',
    ),
    [
      '3:136: ike_policies[0].additional_key_exchanges: IKEv1 has no additional key exchanges (RFC 9370): choose ike_version 2, or leave them out',
    ],
  ],
  [
    'additional key exchanges without PFS',
    ipsec('encryption_algorithm: aes256gcm16, additional_key_exchanges: [ml_kem_768]'),
    [
      '3:77: ipsec_policies[0].additional_key_exchanges: follow an exchange in a PFS group, which this policy does without: name pfs_groups, and no disabled',
    ],
  ],
  [
    'an unknown additional key exchange, and one twice',
    ike(
      'encryption_algorithm: aes256gcm16, dh_group: 31, additional_key_exchanges: [mlkem768, ml_kem_512, ml_kem_512]',
    ),
    [
      '3:92: ike_policies[0].additional_key_exchanges[0]: "mlkem768" is not one of ml_kem_512, ml_kem_768, ml_kem_1024; did you mean "ml_kem_768"?',
      '3:114: ike_policies[0].additional_key_exchanges[2]: "ml_kem_512" is in the list twice: keep one',
    ],
  ],
  [
    'ipsec aead with hash',
    ipsec('encryption_algorithm: aes256gcm16, authentication_algorithm: sha256, pfs: disabled'),
    [
      '3:77: ipsec_policies[0].authentication_algorithm: aes256gcm16 authenticates by itself: write disabled, or leave the field out',
    ],
  ],
  [
    'ipsec cbc disabled',
    ipsec('encryption_algorithm: aes256, authentication_algorithm: disabled, pfs: disabled'),
    [
      '3:72: ipsec_policies[0].authentication_algorithm: only AEAD ciphers (gcm16, chacha20poly1305) go without it: name an algorithm to go with aes256',
    ],
  ],
  [
    'ipsec cbc without hash',
    ipsec('encryption_algorithm: aes256'),
    ['3:5: ipsec_policies[0].authentication_algorithm: is missing'],
  ],
  [
    'ipsec pfs',
    ipsec('encryption_algorithm: aes256, authentication_algorithm: sha256, pfs: 14'),
    [
      '3:85: ipsec_policies[0].pfs: 14 is not one of disabled, group_2, group_5, group_14, group_15, group_16, group_17, group_18, group_19, group_20, group_21, group_22, group_23, group_24, group_31; did you mean "group_14"?',
    ],
  ],
  [
    'ipsec pfs old',
    ipsec('encryption_algorithm: aes256, authentication_algorithm: sha256, pfs: group_25'),
    [
      '3:85: ipsec_policies[0].pfs: "group_25" is not one of disabled, group_2, group_5, group_14, group_15, group_16, group_17, group_18, group_19, group_20, group_21, group_22, group_23, group_24, group_31',
    ],
  ],
  [
    'policy names',
    `${GATEWAY}ipsec_policies:\n  - { name: p, encryption_algorithm: aes256gcm16 }\n  - { name: p, encryption_algorithm: aes128gcm16 }\n`,
    [
      '4:13: ipsec_policies[1].name: "p" is the name of ipsec_policies[0] already: policies need different names',
    ],
  ],
];

t.test('every fault of the file, the gateway and the policies is one clear line', async (t) =>
  refuses(t, BAD),
);
