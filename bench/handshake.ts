import type { BenchRow } from '#culvert/cli/bench-row.js';
import { createOpensslBackend } from '#culvert/crypto/backend.js';
import type { ConnectionConfig } from '#culvert/ike/config.js';
import { Engine } from '#culvert/ike/engine.js';
import { DEFAULT_LIMITS } from '#culvert/ike/limits.js';
import type { Output, SendOutput } from '#culvert/ike/outputs.js';
import { identityOfAddress } from '#culvert/ike/policy/identity.js';
import { cidrSelector } from '#culvert/ike/policy/selectors.js';
import { utf8 } from '#culvert/util/bytes.js';
import { cidrOf } from '#culvert/util/ip.js';
import { SecretKey } from '#culvert/util/secret.js';
import { Dh, Encr, Integ, nameOf, Prf } from '#culvert/wire/ike/registry.js';

const A = '192.0.2.1';
const B = '192.0.2.2';
const GROUPS = [
  Dh.MODP_1024,
  Dh.MODP_1536,
  Dh.MODP_2048,
  Dh.MODP_3072,
  Dh.ECP_256,
  Dh.ECP_384,
  Dh.CURVE25519,
];
/** Time spent on all groups together, in milliseconds. */
const BUDGET = 4000;

const crypto = createOpensslBackend();
const random = { bytes: (length: number) => globalThis.crypto.getRandomValues(new Uint8Array(length)) };

/**
 * Whole negotiations a second: both roles in one process, four messages each, from `initiate` to the child SA
 * at both ends, then forgotten. No network and no data plane: what the engine and its cryptography cost.
 */
export function benchHandshake(milliseconds = BUDGET): BenchRow[] {
  return GROUPS.map((group) => measure(group, milliseconds / GROUPS.length));
}

function measure(group: number, milliseconds: number): BenchRow {
  // One for the caches: OpenSSL makes its group objects with the first use.
  handshake(group);
  let count = 0;
  const start = performance.now();
  let spent = 0;
  while (spent < milliseconds) {
    handshake(group);
    count++;
    spent = performance.now() - start;
  }
  return {
    part: 'handshake',
    name: nameOf('dh', group),
    value: Math.round((count * 1000) / spent),
    unit: 'handshakes/s',
    note: 'AES-256-CBC, SHA-256, PSK; both ends on one core',
  };
}

function handshake(group: number): void {
  const a = engine(A, B, group);
  const b = engine(B, A, group);
  let toB = sends(a.handle({ kind: 'initiate', connection: 'bench' }, 0));
  let installed = 0;
  while (toB.length > 0) {
    const fromB = toB.flatMap((one) => b.handle(delivered(one), 0));
    const fromA = sends(fromB).flatMap((one) => a.handle(delivered(one), 0));
    installed += [...fromA, ...fromB].filter((one) => one.kind === 'install-child').length;
    toB = sends(fromA);
  }
  if (installed !== 2)
    throw new Error(`the negotiation with group ${group} gave ${installed} child SAs, not 2`);
}

function sends(outputs: readonly Output[]): SendOutput[] {
  return outputs.filter((one): one is SendOutput => one.kind === 'send');
}

function delivered({ local, remote, natTraversalPort, bytes }: SendOutput) {
  return { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes } as const;
}

function engine(own: string, other: string, group: number): Engine {
  return new Engine({
    crypto,
    random,
    limits: DEFAULT_LIMITS,
    config: { connections: [connection(own, other, group)] },
  });
}

function connection(own: string, other: string, group: number): ConnectionConfig {
  const aes = { id: Encr.AES_CBC, keyBits: 256 };
  return {
    id: 'bench',
    psk: new SecretKey(utf8('correct-horse-battery')),
    initiateVersion: 2,
    acceptVersions: [2],
    establishMode: 'bidirectional',
    adminUp: true,
    local: { address: own, identity: identityOfAddress(own), selectors: network(own) },
    peer: { addresses: [other], port: 500, identity: identityOfAddress(other), selectors: network(other) },
    ikeProposals: [
      { encryption: [aes], integrity: [Integ.HMAC_SHA2_256_128], prf: [Prf.HMAC_SHA2_256], dh: [group] },
    ],
    espProposals: [{ encryption: [aes], integrity: [Integ.HMAC_SHA2_256_128], dh: [] }],
    ikeLifetime: 28_800,
    childLifetime: 3600,
    dpd: { action: 'none', interval: 10, timeout: 30 },
    encapsulation: 'always',
  };
}

function network(address: string): ConnectionConfig['local']['selectors'] {
  return [cidrSelector(cidrOf(`10.${address.slice(-1)}.0.0/24`))];
}
