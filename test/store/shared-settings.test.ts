import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatConfigErrors } from '../../src/store/config-error.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import type { GatewayFile } from '../../src/store/model.js';
import { readPsks } from '../../src/store/psk.js';
import { MAX_ALIASED } from '../../src/store/yaml-anchors.js';

const GATEWAY = 'gateway: { name: g, address: 192.0.2.1 }\n';
const KEY = 'correct-horse-battery';

function connection(n: number, more = ''): string {
  return `  - { name: c${n}, ${more}local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.${n}, cidrs: [10.2.${n}.0/24] } }\n`;
}

function good(text: string, source = 'test'): GatewayFile {
  const read = readGatewayFile(text, source);
  if (!read.ok) throw new Error(formatConfigErrors(read.error));
  return read.value;
}

function errors(text: string): string[] {
  const read = readGatewayFile(text, 'test');
  return read.ok ? [] : formatConfigErrors(read.error).split('\n');
}

t.test('connections have what "defaults" gives them and what they name themselves', async (t) => {
  const file = good(`${GATEWAY}ike_policies:
  - { name: strong, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
defaults:
  psk: ${KEY}
  ike_policy: strong
  establish_mode: peer_only
  dead_peer_detection: { action: clear, interval: 10, timeout: 30 }
  local: { cidrs: [10.1.0.0/24], ike_identities: [{ type: fqdn, value: a.example }] }
connections:
  - { name: c1, peer: { address: 192.0.2.11, cidrs: [10.2.1.0/24] } }
  - name: c2
    psk: another-long-key
    ike_policy: null
    establish_mode: bidirectional
    dead_peer_detection: { interval: 5 }
    local: { cidrs: [10.9.0.0/24] }
    peer: { address: 192.0.2.12, cidrs: [10.2.2.0/24] }
`);
  const [first, second] = file.connections;
  t.match(first, {
    ikePolicy: 'strong',
    establishMode: 'peer_only',
    deadPeerDetection: { action: 'clear', interval: 10, timeout: 30 },
    local: { cidrs: ['10.1.0.0/24'], ikeIdentities: [{ type: 'fqdn', value: 'a.example' }] },
  });
  t.match(second, {
    establishMode: 'bidirectional',
    deadPeerDetection: { action: 'clear', interval: 5, timeout: 30 },
    local: { cidrs: ['10.9.0.0/24'], ikeIdentities: [{ type: 'fqdn', value: 'a.example' }] },
  });
  t.equal(second?.ikePolicy, undefined, 'null is "without"');
  const keys = readPsks(file);
  t.ok(keys.ok);
  if (!keys.ok) return;
  const text = (name: string) => Buffer.from(keys.value.get(connectionIdOf(name))!.expose()).toString();
  t.equal(text('c1'), KEY);
  t.equal(text('c2'), 'another-long-key');
});

t.test('of psk and psk_file a connection has its own or that of "defaults", never one of each', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-defaults-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = good(
    `${GATEWAY}defaults: { psk_file: key }\nconnections:\n${connection(2, `psk: ${KEY}, `)}${connection(3)}`,
  );
  t.equal(file.connections[0]?.psk.kind, 'inline');
  t.match(file.connections[1]?.psk, { kind: 'file', path: 'key' });
  const many = [2, 3, 4, 5].map((n) => connection(n)).join('');
  const source = join(folder, 'gateway.yaml');
  const missing = readPsks(good(`${GATEWAY}defaults: { psk_file: key }\nconnections:\n${many}`, source));
  t.same(missing, {
    ok: false,
    error: [{ path: 'connections[0].psk_file', message: '"key" is not there (the same for 3 more)' }],
  });
  writeFileSync(join(folder, 'key'), KEY);
  chmodSync(join(folder, 'key'), 0o600);
  t.ok(readPsks(good(`${GATEWAY}defaults: { psk_file: key }\nconnections:\n${many}`, source)).ok);
});

t.test('what is wrong in "defaults" is reported there, once for all connections', async (t) => {
  const many = [2, 3, 4].map((n) => connection(n)).join('');
  const of = (defaults: string) =>
    errors(`${GATEWAY}defaults: { psk: ${KEY}, ${defaults} }\nconnections:\n${many}`);
  t.match(of('establish_mode: always'), [/^2:\d+: defaults\.establish_mode: "always" is not one of/]);
  t.match(of('ike_policy: none'), [/^2:\d+: defaults\.ike_policy: .*"none"/]);
  t.match(of('dead_peer_detection: { interval: 60 }'), [
    /^2:\d+: defaults\.dead_peer_detection: an interval of 60 s/,
  ]);
  t.match(of('dead_peer_detection: { intervall: 6 }'), [
    /^2:\d+: defaults\.dead_peer_detection\.intervall: .*"interval"/,
  ]);
  t.match(of('peer: { address: 192.0.2.7 }'), [/^2:\d+: defaults\.peer: is not a known field/]);
  t.match(errors(`${GATEWAY}defaults: { psk: short }\nconnections:\n${many}`), [
    /^2:\d+: defaults\.psk: has 5 characters/,
  ]);
  t.match(errors(`${GATEWAY}defaults: text\nconnections: []\n`), [/^2:\d+: defaults: needs a map of fields/]);
  const own = errors(
    `${GATEWAY}defaults: { psk: ${KEY} }\nconnections:\n${connection(2, 'establish_mode: never, ')}`,
  );
  t.match(
    own,
    [/^4:\d+: connections\[0\]\.establish_mode: /],
    'what a connection names itself is its own fault',
  );
  const missing = errors(`${GATEWAY}defaults: {}\nconnections:\n${many}`);
  t.equal(missing.length, 3);
  t.match(missing, [/connections\[0\]\.psk: is missing/]);
});

t.test('anchors, aliases and merges', async (t) => {
  const file = good(`x-dpd: &dpd { action: hold, interval: 7, timeout: 21 }
x-base: &base
  psk: ${KEY}
  dead_peer_detection: *dpd
  local: { cidrs: [10.1.0.0/24] }
${GATEWAY}connections:
  - <<: *base
    name: c1
    peer: { address: 192.0.2.11, cidrs: [10.2.1.0/24] }
  - name: c2
    <<: [*base, { establish_mode: peer_only }]
    dead_peer_detection: { <<: *dpd, interval: 9 }
    peer: { address: 192.0.2.12, cidrs: [10.2.2.0/24] }
`);
  t.match(file.connections[0], { deadPeerDetection: { action: 'hold', interval: 7, timeout: 21 } });
  t.match(file.connections[1], {
    establishMode: 'peer_only',
    deadPeerDetection: { action: 'hold', interval: 9, timeout: 21 },
    local: { cidrs: ['10.1.0.0/24'] },
  });
});

t.test('what is wrong behind an alias is reported where it is written', async (t) => {
  const shared = `x-base: &base { psk: ${KEY}, establish_mode: always, local: { cidrs: [10.1.0.0/24] } }\n`;
  const peer = 'peer: { address: 192.0.2.11, cidrs: [10.2.1.0/24] }';
  t.match(errors(`${shared}${GATEWAY}connections:\n  - { <<: *base, name: c1, ${peer} }\n`), [
    /^1:\d+: connections\[0\]\.establish_mode: "always" is not one of/,
  ]);
  t.match(
    errors(
      `x-list: &list [10.1.0.1/24]\n${GATEWAY}connections:\n  - { name: c, psk: ${KEY}, local: { cidrs: *list }, ${peer} }\n`,
    ),
    [/^1:16: connections\[0\]\.local\.cidrs\[0\]: /],
  );
});

t.test('anchors that cannot be followed', async (t) => {
  const one = (text: string) => errors(text)[0];
  t.match(one(`${GATEWAY}connections: *none\n`), /^2:1: there is no anchor/);
  t.match(one('x-a: &a [1, *a]\n'), /^1:\d+: an alias \(\*\) inside of what its own anchor/);
  t.match(one('x-a: &a { b: { c: *a } }\n'), /^1:\d+: an alias \(\*\) inside of what its own anchor/);
  t.match(one('x-a: &a { <<: *a }\n'), /^1:\d+: an alias \(\*\) inside of what its own anchor/);
  t.match(
    one('x-a: &a name\ngateway: { *a : g }\n'),
    /^2:\d+: not YAML: a list, map or alias \(\*\) is used as a field name/,
  );
  t.match(one(`${GATEWAY}limits: { <<: 5 }\n`), /^2:\d+: needs a map, an alias/);
  t.match(one('x-a: &a { __proto__: 1 }\n'), /^1:\d+: "__proto__" is not a known field/);
  t.match(one(`x-secret: 1\n${GATEWAY}y-other: 1\n`), /y-other: is not a known field/);
  t.notMatch(errors(`${GATEWAY}connections: [{ psk: *${KEY} }]\n`).join(), KEY, 'an alias may be a key');
});

t.test('a few lines that stand for billions of values are refused before anybody counts them', async (t) => {
  let laughs = 'x-a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n';
  for (let n = 1; n < 12; n++) {
    const nine = Array(9)
      .fill(`*a${n - 1}`)
      .join(', ');
    laughs += `x-a${n}: &a${n} [${nine}]\n`;
  }
  const [first, ...others] = errors(`${laughs}${GATEWAY}`);
  t.match(first, new RegExp(`^6:\\d+: the aliases .* stand for more than ${MAX_ALIASED} values`));
  t.same(others, [], 'said once');
  const thousand = Array.from(
    { length: 1000 },
    (_, n) =>
      `  - { <<: *base, name: c${n}, peer: { address: 10.${n >> 8}.${n & 255}.1, cidrs: [172.${16 + (n >> 8)}.${n & 255}.0/24] } }`,
  ).join('\n');
  const many =
    errors(`x-base: &base { psk: ${KEY}, local: { cidrs: [10.1.0.0/24] }, dead_peer_detection: { action: hold } }
${GATEWAY}connections:\n${thousand}\n`);
  t.same(many, [], 'a thousand connections are no such thing');
});
