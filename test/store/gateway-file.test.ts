import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { formatIdentity } from '../../src/ike/policy/identity.js';
import { autoEspProposals, autoIkeProposals, PROFILES } from '../../src/ike/policy/matrix.js';
import { describeEspSpecs, describeIkeSpecs } from '../../src/ike/policy/proposals.js';
import { formatConfigErrors } from '../../src/store/config-error.js';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import type { GatewayFile } from '../../src/store/model.js';
import { readPsks } from '../../src/store/psk.js';
import { PSK_PATTERN, pskProblem } from '../../src/store/psk-rule.js';
import { fromUtf8, utf8 } from '../../src/util/bytes.js';
import { formatIp } from '../../src/util/ip.js';
import { SecretKey } from '../../src/util/secret.js';
import type { TrafficSelector } from '../../src/wire/ike/payloads.js';

function read(text: string, source = 'gateway.yaml'): GatewayFile {
  const file = readGatewayFile(text, source);
  if (!file.ok) throw new Error(formatConfigErrors(file.error, source));
  return file.value;
}

function engineOf(text: string, addresses: ReadonlyMap<string, readonly string[]> = new Map()) {
  const file = read(text);
  const psks = readPsks(file);
  if (!psks.ok) throw new Error(formatConfigErrors(psks.error));
  return toEngineConfig(file, psks.value, addresses).connections;
}

const ranges = (selectors: readonly TrafficSelector[]) =>
  selectors.map(({ startAddress, endAddress }) => `${formatIp(startAddress)}-${formatIp(endAddress)}`);
const example = (name: string) =>
  readFileSync(new URL(`../../fixtures/config/${name}`, import.meta.url), 'utf8');

const EVERY_FIELD = `
gateway:
  name: site-a
  mode: policy
  address: 192.0.2.1
  interface: culvert7
  encapsulation: auto
  workers: 4
  profile: compatible
  control: /tmp/control.sock
ike_policies:
  - { name: strong, ike_version: 2, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14, key_lifetime: 28800 }
  - { name: lists, encryption_algorithms: [aes192, 3des], authentication_algorithms: [sha512, sha384], dh_groups: [31, 19, 2] }
  - { name: old, ike_version: 1, encryption_algorithm: triple_des, authentication_algorithm: md5, dh_group: 2 }
  - { name: aead, encryption_algorithms: [aes256gcm16, chacha20poly1305], authentication_algorithm: sha384, dh_group: 20 }
  - { name: aead-default, encryption_algorithm: aes128gcm16, dh_group: 31 }
ipsec_policies:
  - { name: strong, encryption_algorithm: aes256, authentication_algorithm: sha256, pfs: group_14, key_lifetime: 300 }
  - { name: aead, encryption_algorithm: chacha20poly1305, authentication_algorithm: disabled, pfs_groups: [group_31, disabled] }
  - { name: lists, encryption_algorithms: [aes256, aes128], authentication_algorithms: [sha512, sha1] }
connections:
  - name: to-b
    psk: correct-horse-battery
    admin_state_up: false
    establish_mode: peer_only
    dead_peer_detection: { action: hold, interval: 5, timeout: 60 }
    ike_policy: strong
    ipsec_policy: strong
    local: { cidrs: [10.1.0.0/24, '2001:DB8:1::/48'], ike_identities: [{ type: key_id, value: c2l0ZS1h }] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24, '2001:db8:2::/48'], ike_identity: { type: email, value: b@b.example } }
  - { name: to-c, psk: other-secret, ike_policy: lists, ipsec_policy: lists, local: { cidrs: [10.1.0.0/24] }, peer: { fqdn: C.example., cidrs: [10.3.0.0/24] } }
  - { name: to-d, psk: other-secret, ike_policy: old, ipsec_policy: aead, local: { cidrs: [10.1.0.0/24] }, peer: { fqdn: d, cidrs: [10.4.0.0/24] } }
  - { name: to-e, psk: other-secret, ike_policy: aead, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.5, cidrs: [0.0.0.0/0] } }
  - { name: to-f, psk: other-secret, ike_policy: aead-default, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.6, cidrs: [10.6.0.0/24] } }
`;

t.test(
  'a peer that only UDP 4500 reaches gets IKE and ESP there, whatever goes for the others',
  async (t) => {
    const networks = 'local: { cidrs: [10.1.0.0/24] }';
    const connections = engineOf(`
gateway: { name: a, address: 192.0.2.1, encapsulation: auto }
connections:
  - { name: b, psk: correct-horse, ${networks}, peer: { address: 192.0.2.2, port: 4500, cidrs: [10.2.0.0/24] } }
  - { name: c, psk: correct-horse, ${networks}, peer: { fqdn: c.example, port: 500, cidrs: [10.3.0.0/24] } }
  - { name: d, psk: correct-horse, ${networks}, peer: { address: 192.0.2.4, cidrs: [10.4.0.0/24] } }
`);
    t.same(
      connections.map(({ id: name, peer, encapsulation }) => [name, peer.port, encapsulation]),
      [
        [connectionIdOf('b'), 4500, 'always'],
        [connectionIdOf('c'), 500, 'auto'],
        [connectionIdOf('d'), 500, 'auto'],
      ],
    );
  },
);

t.test('what is left out gets its default', async (t) => {
  const text = `
gateway: { name: a, address: 192.0.2.1, mode: }
ike_policies:
ipsec_policies: []
connections:
  - { name: b, psk: correct-horse, ike_policy: null, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }
`;
  const { connections, ...rest } = read(text, '/etc/culvert/gateway.yaml');
  t.same(rest, {
    source: '/etc/culvert/gateway.yaml',
    gateway: {
      name: 'a',
      mode: 'policy',
      address: '192.0.2.1',
      interface: 'culvert0',
      failClosed: true,
      encapsulation: 'always',
      profile: 'compatible',
      control: '/run/culvert/control.sock',
    },
    ikePolicies: [],
    ipsecPolicies: [],
    limits: {
      halfOpenTotal: 500,
      halfOpenPerSource: 20,
      halfOpenBytes: 2_097_152,
      cookieThreshold: 30,
      ikeSas: 1000,
      ikeSasPerPeer: 100,
      messageBytes: 65_507,
      firstMessageBytes: 8192,
      fragmentPacket: 1280,
      requestsPerSecondInAll: 100,
      requestsPerSecond: 100,
      childSas: 15_360,
      requestsPerConnection: 50,
    },
  });
  const { psk, ...connection } = connections[0]!;
  t.equal(psk.kind === 'inline' ? fromUtf8(psk.key.expose()) : '', 'correct-horse');
  t.same(connection, {
    id: connectionIdOf('b'),
    name: 'b',
    adminStateUp: true,
    establishMode: 'bidirectional',
    deadPeerDetection: { action: 'restart', interval: 2, timeout: 10 },
    distributeTraffic: false,
    local: { cidrs: ['10.1.0.0/24'], ikeIdentities: [{ type: 'ipv4_address', value: '192.0.2.1' }] },
    peer: {
      address: '192.0.2.2',
      cidrs: ['10.2.0.0/24'],
      ikeIdentity: { type: 'ipv4_address', value: '192.0.2.2' },
    },
    routes: [],
  });
  t.same(read('gateway: { name: a, address: 192.0.2.1 }').connections, [], 'a gateway without connections');
});

t.test('every field, and what the engine is told', async (t) => {
  const [b, c, d, e, f] = engineOf(
    EVERY_FIELD,
    new Map([[connectionIdOf('to-c'), ['198.51.100.1', '198.51.100.2']]]),
  );
  t.match(b, {
    id: connectionIdOf('to-b'),
    adminUp: false,
    establishMode: 'peer_only',
    initiateVersion: 2,
    acceptVersions: [2],
    dpd: { action: 'hold', interval: 5, timeout: 60 },
    ikeLifetime: 28800,
    childLifetime: 300,
    encapsulation: 'auto',
  });
  t.equal(read(EVERY_FIELD).gateway.workers, 4);
  t.equal(fromUtf8(b!.psk.expose()), 'correct-horse-battery');
  t.equal(formatIdentity(b!.local.identity), 'key_id:c2l0ZS1h');
  t.equal(formatIdentity(b!.peer.identity), 'email:b@b.example');
  t.same(ranges(b!.local.selectors), [
    '10.1.0.0-10.1.0.255',
    '2001:db8:1::-2001:db8:1:ffff:ffff:ffff:ffff:ffff',
  ]);
  t.same(describeIkeSpecs(b!.ikeProposals), ['AES_CBC-256 HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048']);
  t.same(describeEspSpecs(b!.espProposals), ['AES_CBC-256 HMAC_SHA2_256_128 MODP_2048 NO_ESN']);

  t.same(c!.peer.addresses, ['198.51.100.1', '198.51.100.2']);
  t.equal(formatIdentity(c!.peer.identity), 'fqdn:C.example');
  t.same(describeIkeSpecs(c!.ikeProposals), [
    'AES_CBC-192/TRIPLE_DES HMAC_SHA2_512_256/HMAC_SHA2_384_192 PRF_HMAC_SHA2_512/PRF_HMAC_SHA2_384 CURVE25519/ECP_256/MODP_1024',
  ]);
  t.same(describeEspSpecs(c!.espProposals), [
    'AES_CBC-256/AES_CBC-128 HMAC_SHA2_512_256/HMAC_SHA1_96 NO_ESN',
  ]);

  t.same(d!.peer.addresses, [], 'a name that is not resolved');
  t.same([d!.initiateVersion, d!.acceptVersions], [1, [1]]);
  t.same(describeIkeSpecs(d!.ikeProposals), ['TRIPLE_DES HMAC_MD5_96 PRF_HMAC_MD5 MODP_1024']);
  t.same(describeEspSpecs(d!.espProposals), ['CHACHA20_POLY1305 CURVE25519/NONE NO_ESN']);

  t.same([e!.initiateVersion, e!.acceptVersions], [2, [2]]);
  t.same(describeIkeSpecs(e!.ikeProposals), ['AES_GCM_16-256/CHACHA20_POLY1305 PRF_HMAC_SHA2_384 ECP_384']);
  t.same(ranges(e!.peer.selectors), ['0.0.0.0-255.255.255.255']);
  t.same(e!.espProposals, autoEspProposals('compatible'));
  t.same(describeIkeSpecs(f!.ikeProposals), ['AES_GCM_16-128 PRF_HMAC_SHA2_256 CURVE25519']);
});

t.test('auto-negotiation and profiles', async (t) => {
  const text = (profile: string) => `
gateway: { name: a, address: 192.0.2.1, profile: ${profile} }
connections:
  - { name: b, psk: correct-horse, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }
`;
  for (const profile of PROFILES) {
    const [b] = engineOf(text(profile));
    t.same([b!.initiateVersion, b!.acceptVersions], [2, profile === 'compatible' ? [1, 2] : [2]]);
    t.same(b!.ikeProposals, autoIkeProposals(profile));
    t.same(b!.espProposals, autoEspProposals(profile));
    t.same([b!.ikeLifetime, b!.childLifetime], [28800, 3600]);
  }
  const [own] = engineOf(text('modern').replace('psk:', 'profile: cnsa2, psk:'));
  t.same(
    own!.ikeProposals,
    autoIkeProposals('cnsa2'),
    'that of the connection goes before that of the gateway',
  );
});

t.test('route mode leaves the choice to routes', async (t) => {
  const [b] = engineOf(`
gateway: { name: a, address: 192.0.2.1, mode: route }
connections:
  - name: b
    psk: correct-horse
    local: { ike_identities: [{ type: hostname, value: one }, { type: hostname, value: two }] }
    peer: { address: 192.0.2.2 }
  - { name: c, psk: correct-horse, peer: { address: 192.0.2.3 } }
`);
  const all = ['0.0.0.0-255.255.255.255', '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'];
  t.same(ranges(b!.local.selectors), all);
  t.same(ranges(b!.peer.selectors), all);
  t.equal(formatIdentity(b!.local.identity), 'fqdn:one');
});

t.test('what may stand together', async (t) => {
  const pair = (first: string, second: string) => `
gateway: { name: a, address: 192.0.2.1 }
connections:
  - { name: b, psk: correct-horse, ${first} }
  - { name: c, ${second} }
`;
  const cases: readonly [string, string][] = [
    [
      'one peer with a connection a pair of networks',
      pair(
        'local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }',
        'psk: correct-horse, local: { cidrs: [10.7.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }',
      ),
    ],
    [
      'two peers behind one address, by identity',
      pair(
        'local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24], ike_identity: { type: hostname, value: x } }',
        'psk: other-secret, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.3.0.0/24], ike_identity: { type: hostname, value: y } }',
      ),
    ],
    [
      'the default network beside a part of it',
      pair(
        'local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [0.0.0.0/0] }',
        'psk: other-secret, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.3, cidrs: [10.3.0.0/24] }',
      ),
    ],
  ];
  for (const [name, text] of cases) t.ok(readGatewayFile(text, 'x').ok, name);
  t.ok(engineOf(example('site-a.yaml'))[0]);
});

t.test('the examples are two halves of one tunnel', async (t) => {
  const [a] = engineOf(example('site-a.yaml'));
  const [b] = engineOf(example('site-b.yaml'));
  for (const [own, seen] of [
    [a!.local, b!.peer],
    [b!.local, a!.peer],
  ] as const) {
    t.same(
      [own.identity, own.selectors],
      [seen.identity, seen.selectors],
      'each is the peer that the other expects',
    );
  }
  t.same([a!.local.address, b!.local.address], [b!.peer.addresses[0], a!.peer.addresses[0]]);
  t.same(a!.psk.expose(), b!.psk.expose());
  t.same([a!.ikeProposals, a!.espProposals], [b!.ikeProposals, b!.espProposals]);
  const [branch] = engineOf(example('strongswan-peer.yaml'));
  const swanctl = example('strongswan-peer.swanctl.conf');
  t.match(swanctl, `remote_addrs = ${branch!.local.address}`);
  t.match(swanctl, `secret = "${fromUtf8(branch!.psk.expose())}"`);
});

t.test('keys in files', async (t) => {
  const folder = t.testdir({});
  const file = (name: string) =>
    read(
      `
gateway: { name: a, address: 192.0.2.1 }
connections:
  - { name: b, psk_file: ${name}, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }
`,
      join(folder, 'gateway.yaml'),
    );
  const put = (name: string, text: string, mode = 0o600) => {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), mode);
  };
  mkdirSync(join(folder, 'folder'));
  put('plain', 'correct-horse');
  put('line', 'correct-horse\n');
  put('dos', 'correct-horse\r\n');
  put('lines', 'correct-horse\n\n');
  put('blank', 'correct-horse \n');
  put('empty', '');
  put('newline', '\n');
  put('short', 'abc\n');
  put('hex', '0xabcdef\n');
  put('long', 'a'.repeat(600));
  put('group', 'correct-horse', 0o640);
  put('world', 'correct-horse', 0o604);
  const cases: readonly [name: string, key: string | undefined, problem?: string][] = [
    ['plain', 'correct-horse'],
    ['line', 'correct-horse'],
    ['dos', 'correct-horse'],
    [join(folder, 'line'), 'correct-horse'],
    ['lines', undefined, 'holds white space at position 14'],
    ['blank', undefined, 'holds white space at position 14'],
    ['empty', undefined, 'has 0 characters: 6 to 128 are needed'],
    ['newline', undefined, 'has 0 characters: 6 to 128 are needed'],
    ['short', undefined, 'has 3 characters: 6 to 128 are needed'],
    ['hex', undefined, 'begins with 0x, behind which strongSwan'],
    ['long', undefined, 'is longer than a key of 128 characters can be'],
    ['group', undefined, 'is accessible by group or others (mode 640): run chmod 600 on it'],
    ['world', undefined, 'is accessible by group or others (mode 604): run chmod 600 on it'],
    ['folder', undefined, 'is not a regular file: name one'],
    ['nowhere', undefined, 'is not there'],
  ];
  for (const [name, key, problem] of cases) {
    const psks = readPsks(file(name));
    if (psks.ok) {
      t.equal(fromUtf8(psks.value.get(connectionIdOf('b'))!.expose()), key, name);
    } else {
      t.equal(psks.error[0]!.path, 'connections[0].psk_file', name);
      t.match(psks.error[0]!.message, `"${name}" ${problem ?? 'nothing'}`, name);
    }
  }
  t.throws(() => toEngineConfig(file('plain'), new Map(), new Map()), /readPsks comes first/);
  const given = new SecretKey(utf8('correct-horse'));
  t.equal(
    toEngineConfig(file('plain'), new Map([[connectionIdOf('b'), given]]), new Map()).connections[0]!.psk,
    given,
  );
});

t.test('the rule for keys and its pattern say the same', async () => {
  const pattern = new RegExp(PSK_PATTERN);
  const letters = fc.constantFrom(...'0xsaZ9-+&!@#$%^*(),.:_ /\\"\'~é\n');
  fc.assert(
    fc.property(
      fc.string({ unit: letters, maxLength: 140 }),
      (psk) => pattern.test(psk) === (pskProblem(psk) === undefined),
    ),
    { numRuns: 2000 },
  );
});

/** Texts that no message could hold by chance, of all kinds an operator may try as a key. */
const secret = fc
  .tuple(
    fc.constantFrom(
      '',
      '&',
      '*',
      '!',
      '@',
      '#',
      '%',
      '0x',
      '0s',
      '|',
      '>',
      '{',
      '[',
      ', ',
      ': ',
      '- ',
      '? ',
      '`',
      '"',
      "'",
    ),
    fc.string({ unit: fc.constantFrom(...'qQjJzZxXkK0987&*!@#%:,.+-_ '), minLength: 8, maxLength: 20 }),
    fc.constantFrom('', ':', ': ', ' #', '"', "'", ' ', '\\'),
  )
  .map((parts) => parts.join(''));
/** A part of a key that is long enough to be a leak. */
const leaks = (text: string, key: string) => {
  const trimmed = key.trim();
  for (let i = 0; i + 6 <= trimmed.length; i++) {
    const part = trimmed.slice(i, i + 6);
    if (/[qQjJzZxXkK]{3}/.test(part) && text.includes(part)) return part;
  }
  return undefined;
};

t.test('no message ever holds a key, wherever the fault is', async (t) => {
  const places = [
    (key: string) => `    psk: ${key}\n`,
    (key: string) => `    psk:${key}\n`,
    (key: string) => `    psk : "${key}"\n`,
    (key: string) => `    psk: ${key}\n    psk: ${key}\n`,
    (key: string) => `    psk: [${key}]\n`,
    (key: string) => `    psk: { value: ${key} }\n`,
    (key: string) =>
      `    psk: ${key}\n    psk_file: x\n    dead_peer_detection: { interval: 99 }\n    nonsense: 1\n`,
    (key: string) => `    psk: ${JSON.stringify(key)}\n    establish_mode: never\n`,
    (key: string) => `    psk:\n      - ${key}\n`,
    (key: string) => `   psk: ${key}\n`,
    (key: string) => `    peer: { psk:${key} }\n`,
    (key: string) => `    ${JSON.stringify(`psk:${key}`)}:\n`,
    (key: string) => `    ${JSON.stringify(`psk=${key}`)}:\n`,
  ];
  let refused = 0;
  fc.assert(
    fc.property(secret, fc.constantFrom(...places), (key, place) => {
      const text = `gateway: { name: a, address: 192.0.2.1 }\nconnections:\n  - name: b\n${place(key)}    peer: { address: 192.0.2.2 }\n`;
      const file = readGatewayFile(text, 'gateway.yaml');
      if (file.ok) return true;
      refused++;
      const leak = leaks(formatConfigErrors(file.error), key);
      if (leak !== undefined) throw new Error(`${JSON.stringify(leak)} in ${formatConfigErrors(file.error)}`);
      return true;
    }),
    { numRuns: 3000 },
  );
  t.ok(refused > 2000, 'the files are bad ones');
});

t.test('any text gives errors or a configuration, never an exception', async () => {
  const words = fc.constantFrom(
    'gateway',
    'connections',
    'psk',
    'name',
    'peer',
    'cidrs',
    ':',
    ': ',
    '\n',
    '\n  ',
    '\n    ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ', ',
    '"',
    "'",
    '&a',
    '*a',
    '!t',
    '|',
    '>',
    '#',
    '---\n',
    '...',
    '<<: ',
    '? ',
    '~',
    'null',
    '1',
    '0x1',
    'true',
    '10.1.0.0/24',
    '192.0.2.1',
    '__proto__',
    'constructor',
    '\t',
    '\u0000',
    '\ufeff',
    '%YAML 1.2\n',
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
      const file = readGatewayFile(parts.join(''), 'x');
      return file.ok || (file.error.length > 0 && file.error.every(({ message }) => message !== ''));
    }),
    { numRuns: 2000 },
  );
});

t.test('fields named like what objects inherit are refused at every place', async (t) => {
  const text = `gateway: { name: a, address: 192.0.2.1 }
ike_policies:
  - { name: p, encryption_algorithms: [aes256], authentication_algorithm: sha256, dh_group: 14 }
connections:
  - name: c
    psk: correct-horse-battery
    local: { cidrs: [10.1.0.0/24], ike_identities: [{ type: fqdn, value: a.example }] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
`;
  t.ok(readGatewayFile(text, 'test').ok);
  const braces = [...text].flatMap((char, index) => (char === '{' ? [index + 1] : []));
  // Whatever stands in a list that must not repeat itself is compared item by item.
  const lists = [...text].flatMap((char, index) => (char === '[' ? [index + 1] : []));
  const values = ['1', 'text', '[1]', '{}', '{ a: 1 }', 'null'];
  const inside = (at: number, more: string) => text.slice(0, at) + more + text.slice(at);
  for (const name of Object.getOwnPropertyNames(Object.prototype)) {
    const files = values.flatMap((value) => [
      `${name}: ${value}\n${text}`,
      ...braces.map((at) => inside(at, ` ${name}: ${value},`)),
      ...lists.map((at) => inside(at, `{ ${name}: ${value} }, { ${name}: ${value} }, `)),
    ]);
    const missed = files.filter((file) => {
      const read = readGatewayFile(file, 'test');
      const error = read.ok ? undefined : read.error[0];
      return error?.message !== `"${name}" is not a known field: remove it` || error.line === undefined;
    });
    t.same(missed, [], `${name} at ${files.length} places`);
  }
});
