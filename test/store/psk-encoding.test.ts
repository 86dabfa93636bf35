import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { planReload } from '../../src/daemon/gateway/reload.js';
import { decodeDesired, encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import type { EngineConfig } from '../../src/ike/config.js';
import { formatConfigErrors } from '../../src/store/config-error.js';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import { readPsks } from '../../src/store/psk.js';
import { decodePsk } from '../../src/store/psk-encoding.js';
import { toHex, utf8 } from '../../src/util/bytes.js';
import { EAST, Simulation, WEST } from '../helpers/engine-pair.js';

const OCTETS = Uint8Array.from([0x00, 0xff, 0x0a, 0x80, 0x2f, 0x3d, 0x20, 0xc3, 0x28, 0x01, 0x77]);
const HEX = toHex(OCTETS);
const BASE64 = Buffer.from(OCTETS).toString('base64');

const fileOf = (key: string) => `
gateway: { name: a, address: 192.0.2.1 }
connections:
  - name: b
    ${key}
    local: { cidrs: [10.1.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
`;

/** The key that a gateway with this file has, and the file. */
function loaded(text: string, source = 'gateway.yaml') {
  const file = readGatewayFile(text, source);
  if (!file.ok) throw new Error(formatConfigErrors(file.error));
  const psks = readPsks(file.value);
  if (!psks.ok) throw new Error(formatConfigErrors(psks.error));
  return { file: file.value, psks: psks.value, key: toHex(psks.value.get(connectionIdOf('b'))!.expose()) };
}

t.test('any octets are a key, in hexadecimal and base64, with or without their prefix', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 128 }), (octets) => {
      const [hex, base64] = [toHex(octets), Buffer.from(octets).toString('base64')];
      for (const [text, encoding] of [
        [hex, 'hex'],
        [`0x${hex.toUpperCase()}`, 'hex'],
        [base64, 'base64'],
        [`0s${base64}`, 'base64'],
        [`${base64.slice(0, 5)}\n ${base64.slice(5)}`, 'base64'],
      ] as const) {
        const decoded = decodePsk(text, encoding);
        if (!decoded.ok || toHex(decoded.value) !== hex) return false;
      }
      return true;
    }),
  );
  const own = Buffer.from('0sAAAAAA', 'base64');
  t.same(
    decodePsk('0sAAAAAA', 'base64'),
    { ok: true, value: Uint8Array.from(own) },
    'no prefix: it is the key',
  );
});

t.test('what is refused, without a character of it', async (t) => {
  for (const [text, encoding, said] of [
    ['0xabcdef123456', 'text', /begins with 0x, .*psk_encoding: hex/],
    ['0sq83vEjRW', 'text', /begins with 0s, .*psk_encoding: base64/],
    ['with/slash=', 'text', /position 5.*psk_encoding: hex or base64/],
    ['short', 'text', /^has 5 characters: 6 to 128 are needed$/],
    ['abcdef12345', 'hex', /has 11 hexadecimal digits: two stand for an octet/],
    ['abcdef1234', 'hex', /stands for 5 octets: 6 to 128 are needed/],
    ['ab'.repeat(129), 'hex', /stands for 129 octets/],
    ['quite-a-secret', 'hex', /no hexadecimal digit, number 1 of them/],
    ['quite-a-secret', 'base64', /not in base64 .*, number 6 of them/],
    ['q83vEjRWq83vEjR', 'base64', /has 15 characters of base64: they come in fours, filled up with =/],
    ['====', 'base64', /not in base64|fours/],
    ['', 'hex', /stands for 0 octets/],
  ] as const) {
    const decoded = decodePsk(text, encoding);
    t.match(decoded, { ok: false, error: said }, `${encoding} ${text.slice(0, 20)}`);
    if (!decoded.ok && text.length > 4) t.notMatch(decoded.error, text.slice(0, 6));
  }
});

t.test('in the file, in a key file, and for the rules between connections', async (t) => {
  const folder = t.testdir();
  const source = join(folder, 'gateway.yaml');
  const key = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return name;
  };
  t.equal(loaded(fileOf(`psk: "${HEX}"\n    psk_encoding: hex`)).key, HEX);
  t.equal(loaded(fileOf(`psk: ${BASE64}\n    psk_encoding: base64`)).key, HEX);
  t.equal(
    loaded(fileOf('psk: correct-horse\n    psk_encoding: text')).key,
    toHex(Buffer.from('correct-horse')),
  );
  for (const [name, text, encoding] of [
    ['hex', `0x${HEX}\r\n`, 'hex'],
    ['base64', `${BASE64.slice(0, 8)}\n${BASE64.slice(8)}\n`, 'base64'],
  ] as const) {
    const settings = `psk_file: ${key(name, text)}\n    psk_encoding: ${encoding}`;
    t.equal(loaded(fileOf(settings), source).key, HEX, name);
  }
  key('bad', 'not-hex-at-all\n');
  const bad = readGatewayFile(fileOf('psk_file: bad\n    psk_encoding: hex'), source);
  t.match(bad.ok && readPsks(bad.value), {
    error: [
      { path: 'connections[0].psk_file', message: /^"bad" holds a character that is no hexadecimal digit/ },
    ],
  });
  const twoOf = (first: string, second: string): string =>
    `${fileOf(first)}  - { name: c, ${second}, local: { cidrs: [10.7.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }\n`;
  const same = `psk: "${HEX}"\n    psk_encoding: hex`;
  t.ok(
    readGatewayFile(twoOf(same, `psk: "${BASE64}", psk_encoding: base64`), source).ok,
    'one key, written twice',
  );
  t.notOk(readGatewayFile(twoOf(same, `psk: "${BASE64}", psk_encoding: text`), source).ok);
});

/** Two ends with these keys under virtual time: whether they agree. */
function agree(here: string, there: string, version: 1 | 2): boolean {
  const side = (own: number, other: number, key: string): string => `
gateway: { name: a, address: 192.0.2.${own} }
ike_policies:
  - { name: p, ike_version: ${version}, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
connections:
  - name: b
    ${key}
    ike_policy: p
    local: { cidrs: [10.${own}.0.0/24] }
    peer: { address: 192.0.2.${other}, cidrs: [10.${other}.0.0/24] }
`;
  const configOf = (text: string): EngineConfig => {
    const { file, psks } = loaded(text);
    return toEngineConfig(file, psks, new Map());
  };
  const sim = new Simulation();
  const east = sim.addNode('east', EAST, configOf(side(1, 2, here)));
  sim.addNode('west', WEST, configOf(side(2, 1, there)));
  sim.initiate(east, connectionIdOf('b'));
  return sim.run(30_000, () => east.childInfo.size > 0);
}

t.test('two ends agree however each of them has the key written down', async (t) => {
  const hex = `psk: "${HEX}"\n    psk_encoding: hex`;
  const base64 = `psk: "0s${BASE64}"\n    psk_encoding: base64`;
  for (const version of [1, 2] as const) {
    t.ok(agree(hex, base64, version), `IKEv${version}`);
    t.ok(
      agree(`psk: "${toHex(utf8('correct-horse'))}"\n    psk_encoding: hex`, 'psk: correct-horse', version),
    );
    t.notOk(agree(hex, `psk: "${HEX}"`, version), 'the digits as a text are another key');
  }
});

t.test('a reload sees the key and not how it is written; a supervisor passes on any octets', async (t) => {
  const engine = ({ file, psks }: ReturnType<typeof loaded>) => toEngineConfig(file, psks, new Map());
  const plan = (before: string, after: string) =>
    planReload(loaded(before), loaded(after), (config) => engine(config as ReturnType<typeof loaded>));
  const hex = fileOf(`psk: "${HEX}"\n    psk_encoding: hex`);
  t.match(plan(hex, fileOf(`psk: "${BASE64}"\n    psk_encoding: base64`)), { connections: [], unchanged: 1 });
  t.match(plan(hex, fileOf(`psk: "${HEX}"`)), {
    connections: [{ name: 'b', changes: [{ field: 'psk', action: 'next_authentication' }] }],
  });
  const { file } = loaded(hex);
  const sent = JSON.parse(JSON.stringify(encodeDesired(file)));
  t.equal(toHex(decodeDesired(sent).config.psks.get(connectionIdOf('b'))!.expose()), HEX);
  sent.file.connections[0].psk = 'not base64!';
  t.throws(() => decodeDesired(sent), { code: 'bad_request', message: /connections\[0\]\.psk/ });
});
