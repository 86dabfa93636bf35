import { isIP } from 'node:net';
import type { Options, PositionalOptions } from 'yargs';
import type { FieldPath } from '../../store/connection-fields.js';
import { CliError, UsageError } from '../errors.js';
import type { ApiClient, ApiObject } from './api-client.js';
import { readLine } from './connect.js';
import { givenFields, optionName, optionsOf } from './field-options.js';
import { givenGateway } from './gateways.js';
import { looseJson, operand, textOption, vpcOption } from './options.js';
import { ask, canAsk } from './prompt.js';
import { resolveConnection, resolveGateway, resolveObject } from './resolve.js';
import { compact, type DeleteCommand, type Given, type VpnCommand, wholeNumber } from './spec.js';
import { connectionView } from './views.js';

const gateway = operand('VPN gateway by name or id');
const connection = operand('Connection by name or id');
/** The operands of a command about one connection. */
export const connectionOperands = { gateway, connection };

const IDENTITY_TYPES = ['fqdn', 'hostname', 'ipv4_address', 'key_id'] as const;
const identityType = (whose: string): Options => ({
  choices: IDENTITY_TYPES,
  requiresArg: true,
  describe: `Type of the ${whose} IKE identity`,
});

/** Fields that an option gives as they are. */
const PLAIN = [
  'admin_state_up',
  'dead_peer_detection.action',
  'dead_peer_detection.interval',
  'dead_peer_detection.timeout',
  'profile',
  'establish_mode',
  'distribute_traffic',
  'routing_protocol',
] as const satisfies readonly FieldPath[];

/** Options that creation and update have in common. */
const settings: Readonly<Record<string, Options>> = optionsOf(
  'admin_state_up',
  'dead_peer_detection.action',
  'dead_peer_detection.interval',
  'dead_peer_detection.timeout',
  'ike_policy',
  'ipsec_policy',
  'profile',
  'establish_mode',
  'distribute_traffic',
  'routing_protocol',
  'peer.asn',
  'tunnels',
  'psk_file',
);

const KEY_WARNING =
  'A key on the command line is seen by every user of this machine while the command runs, and stays in the\n' +
  "shell's history. Name a file with --psk-file instead, or leave the key out and be asked for it.";

/** Path of the connections of a gateway, or of one of them. */
export const connectionPath = (gatewayId: string, id = ''): string =>
  `/vpn_gateways/${gatewayId}/connections${id && `/${id}`}`;

const cidrOperands: Readonly<Record<string, PositionalOptions>> = {
  gateway,
  connection,
  cidr: operand('Network as address/prefix, or its address followed by the length'),
  'prefix-length': { type: 'string', describe: 'Length of the prefix, when CIDR is an address alone' },
};
const CIDR_OPERANDS = '<gateway> <connection> <cidr> [prefix-length]';

export const connectionCommands: readonly (VpnCommand | DeleteCommand)[] = [
  {
    name: 'vpn-gateway-connections',
    operands: '<gateway>',
    positionals: { gateway },
    options: vpcOption,
    description: 'List the connections of a VPN gateway, and why one is down',
    examples: [['vpn-gateway-connections my-gateway', 'All of them']],
    run: async (api, given) => {
      const { id } = await givenGateway(api, given);
      return { kind: 'list', view: connectionView, items: await api.list(connectionPath(id), 'connections') };
    },
  },
  {
    name: 'vpn-gateway-connection',
    operands: '<gateway> <connection>',
    positionals: connectionOperands,
    options: vpcOption,
    description: 'Show one connection of a VPN gateway',
    examples: [['vpn-gateway-connection my-gateway my-connection', 'By its name']],
    run: async (api, given) => ({ kind: 'object', object: (await givenConnection(api, given)).connection }),
  },
  {
    name: 'vpn-gateway-connection-create',
    operands: '<name> <gateway> <peer> [psk]',
    positionals: {
      name: operand('Its name'),
      gateway,
      peer: operand('Address or host name of the peer'),
      psk: { type: 'string', describe: 'Pre-shared key; prefer --psk-file, or leave it out to be asked' },
    },
    options: {
      ...settings,
      ...optionsOf('local.cidrs', 'peer.cidrs'),
      'local-ike-identity-type': identityType('local'),
      'local-ike-identity-value': textOption('Value of the local IKE identity'),
      'local-ike-identities': textOption('All local IKE identities: JSON or @FILE'),
      'peer-ike-identity-type': identityType("peer's"),
      'peer-ike-identity-value': textOption("Value of the peer's IKE identity"),
      ...vpcOption,
    },
    repeatable: [optionName('local.cidrs'), optionName('peer.cidrs')],
    description: 'Create a connection on a VPN gateway',
    examples: [
      [
        'vpn-gateway-connection-create to-branch my-gateway 192.0.2.2 --psk-file key --local-cidr 10.1.0.0/24 --peer-cidr 10.2.0.0/24',
        'With auto-negotiation',
      ],
    ],
    epilogue: KEY_WARNING,
    run: async (api, given) => {
      const { id } = await givenGateway(api, given);
      const peer = given.operand('peer');
      const body = {
        name: given.operand('name'),
        psk: await givenKey(given, true),
        ...(await givenSettings(api, given)),
        local: compact({ cidrs: given.list('local-cidr'), ike_identities: await localIdentities(given) }),
        peer: compact({
          [isIP(peer) === 0 ? 'fqdn' : 'address']: peer,
          cidrs: given.list('peer-cidr'),
          ike_identity: identity(given, 'peer'),
          asn: given.number('peer-asn'),
        }),
      };
      const { body: made } = await api.call('POST', connectionPath(id), body);
      return { kind: 'object', object: made as ApiObject };
    },
  },
  {
    name: 'vpn-gateway-connection-update',
    operands: '<gateway> <connection>',
    positionals: connectionOperands,
    options: {
      ...optionsOf('name', 'psk'),
      ...settings,
      'reset-ike-policy': { type: 'boolean', default: false, describe: 'Auto-negotiation for IKE again' },
      'reset-ipsec-policy': { type: 'boolean', default: false, describe: 'Auto-negotiation for IPsec again' },
      ...optionsOf('peer.address', 'peer.fqdn'),
      ...vpcOption,
    },
    description: 'Change a connection; what need not be negotiated again keeps running',
    examples: [
      ['vpn-gateway-connection-update my-gateway my-connection --admin-state-up false', 'Take it down'],
    ],
    epilogue: KEY_WARNING,
    run: updateConnection,
  },
  {
    name: 'vpn-gateway-connection-delete',
    operands: '<gateway> <connections...>',
    positionals: {
      gateway,
      connections: { ...operand('Connection by name or id, or several'), array: true },
    },
    options: vpcOption,
    description: 'Delete connections of a VPN gateway',
    examples: [['vpn-gateway-connection-delete my-gateway my-connection --force', 'Without asking']],
    find: async (api, given) => {
      const owner = await givenGateway(api, given);
      const wanted = given.operands('connections');
      const found = await Promise.all(wanted.map((name) => resolveConnection(api, owner, name)));
      return found.map((object) => ({
        object,
        path: connectionPath(owner.id, object.id),
        text: `connection "${object.name}" of ${owner.name}`,
      }));
    },
  },
  ...(['local', 'peer'] as const).flatMap((side) => [addCidr(side), deleteCidr(side)]),
];

function addCidr(side: 'local' | 'peer'): VpnCommand {
  const name = `vpn-gateway-connection-${side}-cidr-add`;
  return {
    name,
    operands: CIDR_OPERANDS,
    positionals: cidrOperands,
    options: vpcOption,
    description: `Add a ${side} network to a connection`,
    examples: [
      [`${name} my-gateway my-connection 3.3.3.0/24`, 'A further child SA; the others are not touched'],
    ],
    run: async (api, given) => {
      const found = await givenConnection(api, given);
      const cidr = givenCidr(given);
      await api.call('PUT', cidrPath(found, side, cidr));
      const text = `${found.connection.name}: ${cidr} is a ${side} network`;
      return { kind: 'done', text, json: { cidr, side, connection: found.connection.id } };
    },
  };
}

function deleteCidr(side: 'local' | 'peer'): DeleteCommand {
  const name = `vpn-gateway-connection-${side}-cidr-delete`;
  return {
    name,
    operands: CIDR_OPERANDS,
    positionals: cidrOperands,
    options: vpcOption,
    description: `Remove a ${side} network from a connection`,
    examples: [[`${name} my-gateway my-connection 3.3.3.0/24 --force`, 'Without asking']],
    find: async (api, given) => {
      const found = await givenConnection(api, given);
      const cidr = givenCidr(given);
      const target = cidrPath(found, side, cidr);
      await api.call('GET', target);
      const text = `the ${side} network ${cidr} of ${found.connection.name}`;
      return [{ object: { id: cidr, name: cidr }, path: target, text }];
    },
  };
}

interface Found {
  readonly gateway: ApiObject;
  readonly connection: ApiObject;
}

/** The connection that the operands name, and its gateway. @throws CliError */
export async function givenConnection(api: ApiClient, given: Given): Promise<Found> {
  const owner = await resolveGateway(api, given.operand('gateway'), given.text('vpc'));
  return { gateway: owner, connection: await resolveConnection(api, owner, given.operand('connection')) };
}

function cidrPath({ gateway: owner, connection: one }: Found, side: 'local' | 'peer', cidr: string): string {
  return `${connectionPath(owner.id, one.id)}/${side}/cidrs/${encodeURIComponent(cidr)}`;
}

/** `3.3.3.0/24`, or as older reference CLIs had it, `3.3.3.0 24`. */
function givenCidr(given: Given): string {
  const cidr = given.operand('cidr');
  const length = given.text('prefix-length');
  if (length === undefined) return cidr;
  if (cidr.includes('/')) throw new UsageError(`"${cidr}" has a prefix length: leave out "${length}"`);
  return `${cidr}/${wholeNumber('the prefix length', length)}`;
}

async function updateConnection(api: ApiClient, given: Given): ReturnType<VpnCommand['run']> {
  for (const kind of ['ike', 'ipsec'] as const) {
    if (given.on(`reset-${kind}-policy`) && given.text(`${kind}-policy`) !== undefined) {
      throw new UsageError(`--reset-${kind}-policy and --${kind}-policy exclude each other`);
    }
  }
  const fields = {
    ...givenFields(given, 'name'),
    ...compact({ psk: await givenKey(given, false) }),
    ...(await givenSettings(api, given)),
    ...givenFields(given, 'peer.address', 'peer.fqdn', 'peer.asn'),
    // null is how a policy is taken away.
    ...(given.on('reset-ike-policy') ? { ike_policy: null } : {}),
    ...(given.on('reset-ipsec-policy') ? { ipsec_policy: null } : {}),
  };
  if (Object.keys(fields).length === 0) throw new UsageError('name at least one option to change');
  const found = await givenConnection(api, given);
  const target = connectionPath(found.gateway.id, found.connection.id);
  // With the tag of what is there now: a change of tunnels is refused without.
  const { etag } = await api.call('GET', target);
  const headers: Record<string, string> = etag === undefined ? {} : { 'if-match': etag };
  const { body } = await api.call('PATCH', target, fields, {}, headers);
  return { kind: 'object', object: body as ApiObject };
}

async function givenSettings(api: ApiClient, given: Given): Promise<Record<string, unknown>> {
  const tunnels = given.text('tunnels');
  return {
    ...givenFields(given, ...PLAIN),
    ...compact({
      ike_policy: await policy(api, 'ike_policy', given.text('ike-policy')),
      ipsec_policy: await policy(api, 'ipsec_policy', given.text('ipsec-policy')),
      tunnels: tunnels === undefined ? undefined : await looseJson('--tunnels', tunnels),
    }),
  };
}

async function policy(
  api: ApiClient,
  kind: 'ike_policy' | 'ipsec_policy',
  nameOrId: string | undefined,
): Promise<{ readonly id: string } | undefined> {
  if (nameOrId === undefined) return undefined;
  return { id: (await resolveObject(api, kind, nameOrId)).id };
}

/** The key from the command line, a file or the keyboard. */
async function givenKey(given: Given, needed: boolean): Promise<string | undefined> {
  const key = given.text('psk');
  const file = given.text('psk-file');
  if (key !== undefined && file !== undefined) {
    throw new UsageError('a key and --psk-file exclude each other');
  }
  if (key !== undefined || (file === undefined && !needed)) return key;
  if (file !== undefined) return readLine(file);
  if (!canAsk()) throw new UsageError('the pre-shared key is missing: name a file with --psk-file');
  const typed = await ask('Pre-shared key: ', true);
  if (typed !== (await ask('Once more: ', true))) throw new CliError('the two keys are not the same');
  return typed;
}

async function localIdentities(given: Given): Promise<unknown> {
  const all = given.text('local-ike-identities');
  const one = identity(given, 'local');
  if (all === undefined) return one === undefined ? undefined : [one];
  if (one !== undefined) {
    throw new UsageError('--local-ike-identities and --local-ike-identity-type exclude each other');
  }
  return looseJson('--local-ike-identities', all);
}

function identity(given: Given, side: 'local' | 'peer'): object | undefined {
  const type = given.text(`${side}-ike-identity-type`);
  const value = given.text(`${side}-ike-identity-value`);
  if (type === undefined && value === undefined) return undefined;
  if (type === undefined || value === undefined) {
    throw new UsageError(`--${side}-ike-identity-type and --${side}-ike-identity-value go together`);
  }
  return { type, value };
}
