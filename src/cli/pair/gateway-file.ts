import { stringify } from 'yaml';
import type { Suite } from '../suite.js';
import type { Site } from './site-network.js';

export interface PairGatewayOptions {
  readonly control: string;
  readonly pskFile: string;
  /** Without a suite the two auto-negotiate. */
  readonly suite?: Suite | undefined;
  /** The end that waits lets the other initiate, so that the two do not do it at the same time. */
  readonly establishMode: 'bidirectional' | 'peer_only';
}

/** The configuration file of one end, as an operator would write it. */
export function pairGatewayFile(site: Site, peer: Site, options: PairGatewayOptions): string {
  const { suite } = options;
  return stringify({
    gateway: { name: site.name, mode: 'policy', address: site.address, control: options.control },
    ...(suite === undefined
      ? {}
      : {
          ike_policies: [{ name: 'pair', ike_version: 2, ...suite.ike }],
          ipsec_policies: [{ name: 'pair', ...suite.esp }],
        }),
    connections: [
      {
        name: `to-${peer.name}`,
        psk_file: options.pskFile,
        establish_mode: options.establishMode,
        ...(suite === undefined ? {} : { ike_policy: 'pair', ipsec_policy: 'pair' }),
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
