import fc from 'fast-check';

/** A document for `culvert apply`, as its file has it. Many are legal, some are not. */
export interface DocumentInput {
  readonly ike_policies: readonly PolicyInput[];
  readonly ipsec_policies: readonly PolicyInput[];
  readonly vpn_gateways: readonly GatewayInput[];
}

export interface PolicyInput {
  readonly name: string;
  readonly [field: string]: unknown;
}

export interface GatewayInput {
  readonly name: string;
  readonly subnet: string;
  readonly mode: 'policy' | 'route';
  readonly connections: readonly ConnectionInput[];
}

export interface ConnectionInput {
  readonly name: string;
  readonly psk: string;
  readonly admin_state_up: boolean;
  readonly ike_policy?: string;
  readonly ipsec_policy?: string;
  readonly local: { readonly cidrs?: readonly string[]; readonly ike_identities?: readonly Identity[] };
  readonly peer: {
    readonly address?: string;
    readonly fqdn?: string;
    readonly cidrs?: readonly string[];
    readonly ike_identity?: Identity;
  };
  readonly [field: string]: unknown;
}

interface Identity {
  readonly type: string;
  readonly value: string;
}

/** Two subnets of one VPC and one of another. */
export const SUBNETS = ['subnet-1', 'subnet-3', 'subnet-2'] as const;

const PEERS = [
  { address: '198.51.100.1' },
  { address: '198.51.100.2' },
  { address: '198.51.100.3' },
  { address: '198.51.100.4' },
  { fqdn: 'branch.example' },
  { fqdn: 'hub.example' },
];
const IDENTITIES: readonly Identity[] = [
  { type: 'key_id', value: 'MTIzNA==' },
  { type: 'fqdn', value: 'me.example' },
];
const LOCAL = [
  ['192.168.8.0/24'],
  ['192.168.8.0/25'],
  ['192.168.8.0/25', '192.168.8.128/25'],
  ['192.168.8.0/24', '192.168.9.0/24'],
  ['192.168.8.0/23'],
];
/** Second octets of networks that do not overlap unless they are equal. */
const BLOCKS = Array.from({ length: 24 }, (_, index) => index + 1);
/** What a connection has of a block: documents that differ in it widen, narrow and split networks. */
const FORMS = [
  (n: number) => [`10.${n}.0.0/16`],
  (n: number) => [`10.${n}.0.0/17`],
  (n: number) => [`10.${n}.0.0/17`, `10.${n}.128.0/17`],
  (n: number) => [`10.${n}.128.0/17`],
  (n: number) => [`10.${n}.7.0/24`],
];

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** Once among `n` times. */
const rarely = <T>(n: number, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: n - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const key = fc.constantFrom('first-good-key', 'second-good-key');
const oneOf = <T>(items: readonly T[]) => fc.constantFrom(...items);

const ikePolicies = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('ike-1', 'ike-2', 'ike-3'),
    ike_version: fc.constantFrom(2, 2, 2, 1),
    encryption_algorithm: fc.constantFrom('aes128', 'aes256'),
    authentication_algorithm: fc.constant('sha256'),
    dh_groups: fc.constantFrom([14], [14], [14], [19, 14]),
    key_lifetime: fc.constantFrom(3600, 28_800),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
);

const ipsecPolicies = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('esp-1', 'esp-2'),
    encryption_algorithm: fc.constantFrom('aes128gcm16', 'aes256gcm16'),
    pfs: fc.constantFrom('disabled', 'group_14'),
  }),
  { selector: ({ name }) => name, maxLength: 2 },
);

/** What connections to one peer have to have in common, so that not most documents are illegal for it. */
const peerSettings = fc.record({ psk: key, ike: fc.nat(3), ipsec: fc.nat(2) });

const connections = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('one', 'two', 'three', 'four'),
    peer: fc.nat(PEERS.length - 1),
    mine: maybe(oneOf(IDENTITIES)),
    theirs: maybe(oneOf(IDENTITIES)),
    local: oneOf(LOCAL),
    forms: fc.array(fc.nat(FORMS.length - 1), { minLength: 1, maxLength: 2 }),
    stray: rarely(40, oneOf(BLOCKS)),
    up: fc.constantFrom(true, true, true, false),
    mode: fc.constantFrom('bidirectional', 'peer_only'),
    spread: fc.boolean(),
    interval: fc.constantFrom(2, 30),
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 4 },
);

const NAMES = ['left', 'middle', 'right'] as const;

const gateways = fc.uniqueArray(
  fc.record({
    name: oneOf(NAMES),
    // Mostly where it is in other documents, too.
    elsewhere: rarely(6, oneOf(SUBNETS)),
    mode: fc.constantFrom(...Array<'policy'>(7).fill('policy'), 'route' as const),
    connections,
  }),
  { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
);

const nth = (policies: readonly PolicyInput[], index: number): string | undefined => policies[index]?.name;

export const documents: fc.Arbitrary<DocumentInput> = fc
  .record({
    ike_policies: ikePolicies,
    ipsec_policies: ipsecPolicies,
    gateways,
    settings: fc.array(peerSettings, { minLength: PEERS.length, maxLength: PEERS.length }),
    // In order, so that documents differ in little, or shuffled, so that networks move.
    blocks: fc.oneof(
      fc.constant(BLOCKS),
      fc.shuffledSubarray(BLOCKS.slice(0, 12), { minLength: 12 }),
      fc.shuffledSubarray(BLOCKS, { minLength: BLOCKS.length }),
    ),
  })
  .map(({ ike_policies, ipsec_policies, gateways: wanted, settings, blocks }) => {
    let used = 0;
    const vpn_gateways = wanted.map(
      ({ connections: list, elsewhere, ...gateway }): GatewayInput => ({
        ...gateway,
        subnet: elsewhere ?? SUBNETS[NAMES.indexOf(gateway.name)]!,
        connections: list.map((one): ConnectionInput => {
          const { psk, ike, ipsec } = settings[one.peer]!;
          const networks = one.forms.flatMap((form) => FORMS[form]!(blocks[used++ % blocks.length]!));
          const stray = one.stray === undefined ? [] : FORMS[0]!(one.stray);
          const route = gateway.mode === 'route';
          const policies = [nth(ike_policies, ike), nth(ipsec_policies, ipsec)] as const;
          return {
            name: one.name,
            psk,
            admin_state_up: one.up,
            establish_mode: one.mode,
            dead_peer_detection: { action: 'restart', interval: one.interval, timeout: 120 },
            distribute_traffic: one.spread,
            ...(policies[0] === undefined ? {} : { ike_policy: policies[0] }),
            ...(policies[1] === undefined ? {} : { ipsec_policy: policies[1] }),
            local: {
              ...(route ? {} : { cidrs: one.local }),
              ...(one.mine === undefined || route ? {} : { ike_identities: [one.mine] }),
            },
            peer: {
              ...PEERS[one.peer]!,
              ...(route ? {} : { cidrs: [...networks, ...stray] }),
              ...(one.theirs === undefined ? {} : { ike_identity: one.theirs }),
            },
          };
        }),
      }),
    );
    return { ike_policies, ipsec_policies, vpn_gateways };
  });

/** Other networks for one connection of a document, which often belong to another: all else stays as it was. */
export const slips: fc.Arbitrary<(document: DocumentInput) => DocumentInput> = fc
  .record({ gateway: fc.nat(), connection: fc.nat(), block: oneOf(BLOCKS.slice(0, 8)), form: oneOf(FORMS) })
  .map(({ gateway, connection, block, form }) => (document) => {
    const { vpn_gateways: gateways } = document;
    const owner = gateways[gateway % gateways.length]!;
    const one = owner.connections[connection % owner.connections.length]!;
    if (owner.mode === 'route') return document;
    const other = { ...one, peer: { ...one.peer, cidrs: form(block) } };
    const connections = owner.connections.map((each) => (each === one ? other : each));
    return {
      ...document,
      vpn_gateways: gateways.map((each) => (each === owner ? { ...owner, connections } : each)),
    };
  });
