import { readFileSync } from 'node:fs';
import { isPair, isScalar, parseDocument, visit } from 'yaml';
import { readDocument } from '../../src/cli/declarative/document.js';
import { readServeFile } from '../../src/daemon/serve/serve-file.js';
import { type ConfigError, formatConfigErrors } from '../../src/store/config-error.js';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { readPsks } from '../../src/store/psk.js';
import type { Result } from '../../src/util/result.js';
import { ODD } from '../helpers/api-shapes.js';
import type { SeededRandom } from '../helpers/seeded-random.js';
import { type FuzzPart, hold, pick } from './part.js';

const MUTATIONS = 40;
const KEY = 'q7Rz-secret-9Wk3';
/** Fields whose values are secrets. */
const SECRET_FIELDS = ['psk', 'hash', 'token'];
const TOKEN = 'Zx81-token-4Tq7-token-4Tq7';

const read = (path: string): string =>
  readFileSync(new URL(`../../fixtures/${path}`, import.meta.url), 'utf8');

const FULL_GATEWAY = `gateway:
  { name: a, mode: policy, address: 192.0.2.1, interface: culvert7, encapsulation: auto, profile: modern,
    offload: { tso: true, gro: false }, mss: 1300, workers: 2, control: /run/x.sock }
ike_policies:
  - { name: p, ike_version: 2, encryption_algorithms: [aes256, aes128], authentication_algorithm: sha256,
      dh_groups: [14, 19], key_lifetime: 3600 }
ipsec_policies:
  - { name: p, encryption_algorithm: aes128gcm16, authentication_algorithm: disabled, pfs: group_14 }
connections:
  - name: b
    psk: ${KEY}
    ike_policy: p
    ipsec_policy: p
    dead_peer_detection: { action: hold, interval: 2, timeout: 10 }
    local: { cidrs: [10.1.0.0/24, 2001:db8:1::/48], ike_identities: [ { type: fqdn, value: a.example } ] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24], ike_identity: { type: key_id, value: MTIz } }
  - { name: c, psk: "${KEY}", peer: { fqdn: c.example, cidrs: [10.3.0.0/24] }, local: { cidrs: [10.1.0.0/24] } }
limits: { half_open: 100, cookie_threshold: 10 }
`;

interface Sample {
  readonly text: string;
  read(text: string): Result<unknown, readonly ConfigError[]>;
}

/** Read, and taken as far as the daemon takes it before it starts. */
function readGateway(text: string): Result<unknown, readonly ConfigError[]> {
  const file = readGatewayFile(text, 'gateway.yaml');
  if (!file.ok || file.value.connections.some(({ psk }) => psk.kind === 'file')) return file;
  const psks = readPsks(file.value);
  if (psks.ok) toEngineConfig(file.value, psks.value, new Map());
  return file;
}

const readServer = (text: string) => readServeFile(text, '/nowhere/site.yaml');
const readApply = (text: string) => readDocument(text, () => KEY);

/** The key is looked for in what comes out. */
const withKey = (text: string): string => text.replaceAll(/psk: \S+/g, `psk: ${KEY}`);

const SAMPLES: readonly Sample[] = [
  { text: FULL_GATEWAY, read: readGateway },
  { text: withKey(read('config/site-a.yaml')), read: readGateway },
  { text: withKey(read('config/strongswan-peer.yaml')), read: readGateway },
  {
    text: `${read('walkthrough/site.yaml').replace('auth: none', 'auth: token')}tokens:
  - { name: t, role: viewer, token: ${TOKEN} }
`,
    read: readServer,
  },
  { text: withKey(read('walkthrough/vpn.yaml')), read: readApply },
];

const PIECES: readonly string[] = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ':',
    ': ',
    '- ',
    ',',
    '"',
    "'",
    '#',
    '\n',
    '\t',
    '\r\n',
    '  ',
    '&a ',
    '*a',
    '!!binary ',
  ],
  ...[
    '!x ',
    '|',
    '>',
    '? ',
    '---\n',
    '...',
    '%YAML 1.1\n',
    '<<: ',
    '~',
    '\u0000',
    '\ufeff',
    'é',
    '\u{1f600}',
    '\\',
  ],
  ...['psk', 'psk:', 'psk_file: x', 'cidrs', 'null', '1e999', '0x10', '__proto__: {}', '10.1.0.0/8', '::/0'],
  ...ODD.map((value) => JSON.stringify(value)),
];

function mutateText(text: string, random: SeededRandom): string {
  let out = text;
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(out.length + 1);
    const lines = out.split('\n');
    const line = random.below(lines.length);
    switch (random.below(6)) {
      case 0:
        out = out.slice(0, at) + pick(random, PIECES) + out.slice(at);
        break;
      case 1:
        out = out.slice(0, at) + out.slice(at + 1 + random.below(12));
        break;
      case 2:
        out = out.slice(0, at) + pick(random, PIECES) + out.slice(at + 1 + random.below(8));
        break;
      case 3:
        out = lines.filter((_, i) => i !== line).join('\n');
        break;
      case 4:
        out = lines.flatMap((one, i) => (i === line ? [one, one] : [one])).join('\n');
        break;
      default:
        out = lines
          .map((one, i) => (i === line ? ' '.repeat(random.below(7)) + one.trimStart() : one))
          .join('\n');
    }
  }
  return out;
}

/**
 * Whether a mutation has put the text of a secret where no secret belongs: into the name of a field, or the value of one
 * that holds none. There it is no key any more, and a message may quote it.
 */
function isMisplaced(text: string, part: string): boolean {
  let found = false;
  visit(parseDocument(text, { logLevel: 'silent' }), {
    Scalar(place, { value }, path) {
      if (!String(value).includes(part)) return;
      const pair = path.findLast((node) => isPair(node));
      const name = isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : '';
      found ||= place === 'key' || !SECRET_FIELDS.includes(name);
    },
  });
  return found;
}

function run(random: SeededRandom): number {
  for (let n = 0; n < MUTATIONS; n++) {
    const sample = pick(random, SAMPLES);
    const text = mutateText(sample.text, random);
    const result = sample.read(text);
    if (result.ok) continue;
    hold(result.error.length > 0, 'refused without an error');
    const said = formatConfigErrors(result.error, 'file.yaml');
    hold(!said.includes('undefined') && !said.includes('[object'), `no sentence: ${said}`);
    for (const secret of [KEY, TOKEN]) {
      for (const part of [secret.slice(0, 8), secret.slice(-8)]) {
        hold(!said.includes(part) || isMisplaced(text, part), `a key is shown: ${said}\n${text}`);
      }
    }
  }
  return MUTATIONS;
}

/** Files of the gateway, the server and `apply`: whatever is in them, they are read or refused in words without keys. */
export const configPart: FuzzPart = { name: 'config', run };
