import { stringify } from 'yaml';
import type { Suite } from '../suite.js';
import type { Site } from './site-network.js';

/** What differs between the configuration files of a pair's two gateways. */
export interface PairGatewayOptions {
  readonly control: string;
  readonly pskFile: string;
  /** Without a suite the two auto-negotiate. */
  readonly suite?: Suite | undefined;
  /** 2 when left out. */
  readonly ikeVersion?: 1 | 2 | undefined;
  /** The end that waits lets the other initiate, so that the two do not do it at the same time. */
  readonly establishMode: 'bidirectional' | 'peer_only';
}

/** A policy that asks for version 1, with the strongest suite of auto-negotiation. */
const VERSION_1 = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 };

/** The configuration file of one end, as an operator would write it. */
export function pairGatewayFile(site: Site, peer: Site, options: PairGatewayOptions): string {
  const { suite, ikeVersion = 2 } = options;
  // Auto-negotiation takes both versions and initiates version 2: the end that initiates asks for version 1.
  const initiates = options.establishMode === 'bidirectional';
  const ike = suite?.ike ?? (ikeVersion === 1 && initiates ? VERSION_1 : undefined);
  return stringify({
    gateway: { name: site.name, mode: 'policy', address: site.address, control: options.control },
    ...(ike === undefined ? {} : { ike_policies: [{ name: 'pair', ike_version: ikeVersion, ...ike }] }),
    ...(suite === undefined ? {} : { ipsec_policies: [{ name: 'pair', ...suite.esp }] }),
    connections: [
      {
        name: `to-${peer.name}`,
        psk_file: options.pskFile,
        establish_mode: options.establishMode,
        ...(ike === undefined ? {} : { ike_policy: 'pair' }),
        ...(suite === undefined ? {} : { ipsec_policy: 'pair' }),
        local: { cidrs: [site.cidr] },
        peer: { address: peer.address, cidrs: [peer.cidr] },
      },
    ],
  });
}

const PSK_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** A pre-shared key of 43 characters, 6 random bits each: as strong as 256 bits. It cannot begin with 0x or 0s. */
export function randomPsk(random: (length: number) => Uint8Array): string {
  return `k${Array.from(random(43), (octet) => PSK_ALPHABET[octet & 63]).join('')}`;
}
