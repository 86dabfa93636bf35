import { createOpensslBackend } from '#culvert/crypto/backend.js';
import type { ConnectionConfig } from '#culvert/ike/config.js';
import { Engine } from '#culvert/ike/engine.js';
import { DEFAULT_LIMITS } from '#culvert/ike/limits.js';
import type { Output } from '#culvert/ike/outputs.js';
import { makeIdentity } from '#culvert/ike/policy/identity.js';
import { autoEspProposals, autoIkeProposals } from '#culvert/ike/policy/matrix.js';
import { cidrSelector } from '#culvert/ike/policy/selectors.js';
import { utf8 } from '#culvert/util/bytes.js';
import { cidrOf } from '#culvert/util/ip.js';
import { SecretKey } from '#culvert/util/secret.js';

export const GATEWAY = '192.0.2.1';
export const STRANGER = '203.0.113.77';
/** The moment at which all happens: virtual time does not advance, so that limits apply as in a flood. */
export const NOW = 10;

export const crypto = createOpensslBackend();
export const random = {
  bytes: (length: number) => globalThis.crypto.getRandomValues(new Uint8Array(length)),
};

export function sent(outputs: readonly Output[]): Uint8Array[] {
  return outputs.flatMap((output) => (output.kind === 'send' ? [output.bytes] : []));
}

export function arriving(bytes: Uint8Array, from = STRANGER, to = GATEWAY) {
  const [local, remote] = [
    { address: to, port: 500 },
    { address: from, port: 500 },
  ];
  return { kind: 'datagram', local, remote, natTraversalPort: false, bytes } as const;
}

export function engine(list: readonly ConnectionConfig[]): Engine {
  return new Engine({ crypto, random, limits: DEFAULT_LIMITS, config: { connections: list } });
}

/** The connection of a peer at `STRANGER` as the gateway has it, and as that peer has it. */
export function peerConnection(end: 'gateway' | 'peer'): ConnectionConfig {
  const made = connection('peer', { local: GATEWAY, peer: STRANGER, version: 2 });
  if (end === 'gateway') return made;
  const { local, peer } = made;
  return {
    ...made,
    establishMode: 'bidirectional',
    local: { address: STRANGER, identity: peer.identity, selectors: peer.selectors },
    peer: { addresses: [GATEWAY], port: 500, identity: local.identity, selectors: local.selectors },
  };
}

export function connections(count: number): ConnectionConfig[] {
  return Array.from({ length: count }, (_, n) =>
    connection(`site-${n}`, { local: GATEWAY, peer: `198.51.${n >> 8}.${n & 0xff}`, version: 2 }),
  );
}

export function connection(
  name: string,
  { local, peer, version }: { local: string; peer: string; version: 1 | 2 },
): ConnectionConfig {
  return {
    id: name,
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
  return [cidrSelector(cidrOf(text))];
}
