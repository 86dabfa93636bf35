import { cpuUsage } from 'node:process';
import type { BenchRow } from '#culvert/cli/bench-row.js';
import { createOpensslBackend } from '#culvert/crypto/backend.js';
import type { ConnectionConfig } from '#culvert/ike/config.js';
import { Engine } from '#culvert/ike/engine.js';
import { DEFAULT_LIMITS } from '#culvert/ike/limits.js';
import type { Output } from '#culvert/ike/outputs.js';
import { makeIdentity } from '#culvert/ike/policy/identity.js';
import { autoEspProposals, autoIkeProposals } from '#culvert/ike/policy/matrix.js';
import { cidrSelector } from '#culvert/ike/policy/selectors.js';
import { utf8 } from '#culvert/util/bytes.js';
import { parseCidr } from '#culvert/util/ip.js';
import { SecretKey } from '#culvert/util/secret.js';
import {
  aggressive,
  rubbishBehind,
  strangeInit,
  strangeMain,
  unaskedAnswer,
  unknownSpi,
} from './hostile-datagrams.js';
import { median } from './median.js';

const GATEWAY = '192.0.2.1';
const STRANGER = '203.0.113.77';
const COUNTS = [1, 100, 1000];
/** Datagrams of each kind whose CPU time is measured together, and how often. */
const BATCH = 100;
const ROUNDS = 3;

const crypto = createOpensslBackend();
const random = { bytes: (length: number) => globalThis.crypto.getRandomValues(new Uint8Array(length)) };

/** What one datagram makes the gateway do, with all that went before it. */
interface Attack {
  readonly name: string;
  /** Version of the half-open SA that it is sent on, when it is sent on one. */
  readonly onHalfOpen?: 1 | 2;
  datagram(halfOpen: Uint8Array): Uint8Array;
}

const ATTACKS: readonly Attack[] = [
  { name: 'IKE_SA_INIT, 256 strange transforms', datagram: once(() => strangeInit(0)) },
  { name: 'IKE_SA_INIT answer, unasked for', datagram: once(() => unaskedAnswer(0)) },
  { name: 'unknown IKE SA, 65,000 octets', datagram: once(() => unknownSpi(0)) },
  { name: 'IKE_AUTH, rubbish', onHalfOpen: 2, datagram: (last) => rubbishBehind(last, 1600) },
  { name: 'main mode 1, 256 strange transforms', datagram: once(() => strangeMain(0)) },
  { name: 'main mode 5, rubbish', onHalfOpen: 1, datagram: (last) => rubbishBehind(last, 1600) },
  { name: 'aggressive mode', datagram: once(() => aggressive(0)) },
];

function once(make: () => Uint8Array): () => Uint8Array {
  let made: Uint8Array | undefined;
  return () => (made ??= make());
}

/**
 * CPU time a gateway spends on the worst datagram of each exchange that a stranger can send, beside 1, 100 and 1,000
 * connections that take their peers from anywhere and have keys of their own. Virtual time stands still, so that the
 * limits on answers hold as in a flood.
 */
export function benchHostile(): BenchRow[] {
  return ATTACKS.flatMap((attack) => {
    const figures = COUNTS.map((count) => measure(attack, count));
    return COUNTS.map(
      (count, i): BenchRow => ({
        part: 'hostile',
        name: `${attack.name}, ${count} connections`,
        value: Math.round(figures[i]! * 10) / 10,
        unit: 'us',
        ...(i === 0 ? {} : { ratio: figures[i]! / figures[0]!, ratioOf: '1 connection' }),
      }),
    );
  });
}

function measure(attack: Attack, count: number): number {
  const figures: number[] = [];
  // One for the compiler and for what is made once a configuration.
  for (let round = -1; round < ROUNDS; round++) {
    const gateway = engine(connections(count));
    const halfOpen = attack.onHalfOpen === undefined ? NOTHING : begin(gateway, attack.onHalfOpen);
    const datagrams = Array.from({ length: BATCH }, (_, n) => numbered(attack, n, halfOpen));
    const before = cpuUsage();
    for (const bytes of datagrams) {
      gateway.handle(arriving(bytes), 10);
      gateway.nextDeadline();
    }
    const { user, system } = cpuUsage(before);
    if (round >= 0) figures.push((user + system) / BATCH);
  }
  return median(figures);
}

/** The `n`th datagram: with another initiator's SPI, or with other rubbish where the SPIs are those of an SA. */
function numbered(attack: Attack, n: number, halfOpen: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(attack.datagram(halfOpen));
  new DataView(bytes.buffer).setUint32(attack.onHalfOpen === undefined ? 4 : bytes.length - 4, n);
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** An honest negotiation up to the message that would prove who the peer is, which is not delivered. */
function begin(gateway: Engine, version: 1 | 2): Uint8Array {
  const peer = engine([connection('peer', { local: STRANGER, peer: GATEWAY, version })]);
  const unprotected = version === 1 ? 2 : 1;
  let out = sent(peer.handle({ kind: 'initiate', connection: 'peer' }, 10));
  for (let n = 0; n < unprotected; n++) {
    const answers = out.flatMap((bytes) => sent(gateway.handle(arriving(bytes), 10)));
    out = answers.flatMap((bytes) => sent(peer.handle(arriving(bytes, GATEWAY, STRANGER), 10)));
  }
  const [last] = out;
  if (last === undefined) throw new Error(`IKEv${version} did not come to its protected message`);
  return last;
}

function sent(outputs: readonly Output[]): Uint8Array[] {
  return outputs.flatMap((output) => (output.kind === 'send' ? [output.bytes] : []));
}

function arriving(bytes: Uint8Array, from = STRANGER, to = GATEWAY) {
  const [local, remote] = [
    { address: to, port: 500 },
    { address: from, port: 500 },
  ];
  return { kind: 'datagram', local, remote, natTraversalPort: false, bytes } as const;
}

function engine(list: readonly ConnectionConfig[]): Engine {
  return new Engine({ crypto, random, limits: DEFAULT_LIMITS, config: { connections: list } });
}

function connections(count: number): ConnectionConfig[] {
  return Array.from({ length: count }, (_, n) =>
    connection(`site-${n}`, { local: GATEWAY, peer: `198.51.${n >> 8}.${n & 0xff}`, version: 2 }),
  );
}

function connection(
  name: string,
  { local, peer, version }: { local: string; peer: string; version: 1 | 2 },
): ConnectionConfig {
  return {
    name,
    psk: new SecretKey(utf8(`the key of ${name}`)),
    initiateVersion: version,
    acceptVersions: [1, 2],
    establishMode: local === GATEWAY ? 'peer_only' : 'bidirectional',
    adminUp: true,
    local: { address: local, identity: named(`own.${name}.example`), selectors: network('10.1.0.0/24') },
    peer: {
      addresses: [peer],
      port: 500,
      identity: named(`${name}.example`),
      selectors: network('10.2.0.0/24'),
    },
    ikeProposals: autoIkeProposals('compatible'),
    espProposals: autoEspProposals('compatible'),
    ikeLifetime: 28_800,
    childLifetime: 3600,
    dpd: { action: 'none', interval: 10, timeout: 30 },
    encapsulation: 'auto',
  };
}

function named(name: string): ConnectionConfig['local']['identity'] {
  const made = makeIdentity('fqdn', name);
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

function network(text: string): ConnectionConfig['local']['selectors'] {
  const cidr = parseCidr(text);
  if (typeof cidr === 'string') throw new Error(cidr);
  return [cidrSelector(cidr)];
}
