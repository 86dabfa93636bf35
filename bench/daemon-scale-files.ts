/** The ends of the pair: the one that initiates, and the one that answers. */
export const SCALE_ADDRESSES = ['192.0.2.1', '192.0.2.2'] as const;

/** Networks of an IKEv1 connection on either side; every pair of them is a child SA (RFC 2409 §5.5). */
const NETWORKS = [5, 10] as const;
const PAIRS = NETWORKS[0] * NETWORKS[1];

/** Two files of one network: connections between the two gateways with so many child SAs together. */
export interface DaemonScaleFiles {
  readonly initiator: { readonly gateway: object; readonly [section: string]: unknown };
  readonly responder: { readonly gateway: object; readonly [section: string]: unknown };
  readonly connections: number;
  readonly childSas: number;
}

/** Connections of IKEv2, a child SA each, at most: all of them are to one peer, and what strangers send counts for all. */
const MAX_SINGLE = 200;

/** Configurations with `sas` child SAs: one in ten, two hundred at most, of IKEv2 with a connection each. */
export function daemonScaleFiles(sas: number): DaemonScaleFiles {
  const many = Math.max(0, Math.floor((sas - Math.min(MAX_SINGLE, sas / 10)) / PAIRS));
  const single = sas - many * PAIRS;
  const links = [
    ...Array.from({ length: many }, (_, i) => link(1, i, NETWORKS)),
    ...Array.from({ length: single }, (_, i) => link(2, many + i, [1, 1])),
  ];
  return {
    initiator: file(0, links),
    responder: file(1, links),
    connections: links.length,
    childSas: sas,
  };
}

interface Link {
  readonly name: string;
  readonly version: 1 | 2;
  readonly networks: readonly [readonly string[], readonly string[]];
}

function link(version: 1 | 2, number: number, [ours, theirs]: readonly [number, number]): Link {
  const networks = (side: 0 | 1, count: number): string[] =>
    Array.from({ length: count }, (_, n) => network(side, number * NETWORKS[side] + n));
  return { name: `site-${number}`, version, networks: [networks(0, ours), networks(1, theirs)] };
}

/** Networks of sixteen addresses (RFC 1918): 172.16.0.0/12 behind the initiator, 10.0.0.0/8 behind the responder. */
function network(side: 0 | 1, number: number): string {
  const start = (side === 0 ? 0xac10_0000 : 0x0a00_0000) + number * 16;
  return `${[24, 16, 8, 0].map((shift) => (start >>> shift) & 0xff).join('.')}/28`;
}

function file(end: 0 | 1, links: readonly Link[]): DaemonScaleFiles['initiator'] {
  const suite = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' };
  const identity = (name: string, side: number) => ({ type: 'fqdn', value: `${name}.${'ab'[side]}.example` });
  const policies = ([1, 2] as const).map((version) => ({
    ...{ name: `v${version}`, ike_version: version, ...suite, dh_group: 19 },
  }));
  const other = end === 0 ? 1 : 0;
  return {
    gateway: { name: 'scale', address: SCALE_ADDRESSES[end] },
    ike_policies: policies,
    ipsec_policies: [{ name: 'esp', ...suite, pfs: 'disabled' }],
    limits: {
      ...{ ike_sas: 2 * links.length + 10, ike_sas_per_peer: 2 * links.length + 10 },
      ...{ half_open: 1000, half_open_per_source: 1000, cookie_threshold: 1000 },
      requests_per_second_per_source: 1000,
    },
    connections: links.map(({ name, version, networks }) => ({
      name,
      psk: 'many-tunnels-one-secret',
      ike_policy: `v${version}`,
      ipsec_policy: 'esp',
      establish_mode: end === 0 ? 'bidirectional' : 'peer_only',
      dead_peer_detection: { action: 'restart', interval: 30, timeout: 120 },
      local: { cidrs: networks[end], ike_identities: [identity(name, end)] },
      peer: {
        address: SCALE_ADDRESSES[other],
        cidrs: networks[other],
        ike_identity: identity(name, other),
      },
    })),
  };
}
