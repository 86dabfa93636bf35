import type { Options, PositionalOptions } from 'yargs';
import { UsageError } from '../errors.js';
import type { ApiClient, ApiObject } from './api-client.js';
import { givenGroup, groupChoice, groupFilter, ofGroup, oneOrMany, operand, textOption } from './options.js';
import { KINDS, resolveObject } from './resolve.js';
import { compact, type DeleteCommand, type Given, type VpnCommand, wholeNumber } from './spec.js';
import { connectionView, ikePolicyView, ipsecPolicyView, type View } from './views.js';

/** What the commands of the two kinds of policies differ in. */
interface PolicyKind {
  readonly kind: 'ike_policy' | 'ipsec_policy';
  /** `ike-policy`, also the operand's name. */
  readonly word: string;
  readonly lists: string;
  readonly title: string;
  readonly view: View;
  readonly createOperands: readonly (readonly [name: string, describe: string])[];
  readonly createExample: string;
  /** Fields that operands or options give. `word` names the option or operand of a field. */
  fields(given: Given, from: 'operands' | 'options'): Record<string, unknown>;
  readonly updateOptions: Readonly<Record<string, Options>>;
}

const LIFETIME = { 'key-lifetime': textOption('Seconds, from 1800 to 86400') };
const several = 'one or, separated by commas, several in order of preference';

const ike: PolicyKind = {
  kind: 'ike_policy',
  word: 'ike-policy',
  lists: 'ike-policies',
  title: 'IKE policy',
  view: ikePolicyView,
  createOperands: [
    ['authentication', `sha256, sha384, sha512, sha1, md5: ${several}`],
    ['dh-group', `2, 5, 14 to 24, 31: ${several}`],
    ['encryption', `aes128, aes192, aes256, 3des: ${several}`],
    ['ike-version', '1 or 2'],
  ],
  createExample: 'strong sha256 14 aes256 2 --key-lifetime 28800',
  fields(given, from) {
    const groups = listOf(given, from, 'dh-group');
    const version = given.text('ike-version');
    return {
      ...algorithms(given, from),
      ...oneOrMany(
        groups?.map((group) => wholeNumber('a DH group', group)),
        'dh_group',
        'dh_groups',
      ),
      ...compact({
        ike_version: version === undefined ? undefined : wholeNumber('the IKE version', version),
      }),
    };
  },
  updateOptions: {
    ...algorithmOptions(),
    'dh-groups': textOption(several),
    'dh-group': { ...textOption('As --dh-groups'), hidden: true },
    'ike-version': textOption('1 or 2'),
  },
};

const ipsec: PolicyKind = {
  kind: 'ipsec_policy',
  word: 'ipsec-policy',
  lists: 'ipsec-policies',
  title: 'IPsec policy',
  view: ipsecPolicyView,
  createOperands: [
    ['authentication', `sha256, sha384, sha512, sha1, md5; disabled with aes…gcm16: ${several}`],
    ['encryption', `aes128, aes192, aes256, aes128gcm16, aes192gcm16, aes256gcm16, 3des: ${several}`],
    ['pfs', `disabled, group_14 and so on: ${several}`],
  ],
  createExample: 'strong sha256 aes256 group_14 --key-lifetime 3600',
  fields(given, from) {
    const groups = from === 'operands' ? given.list('pfs') : (given.list('pfsgs') ?? given.list('pfs'));
    return {
      ...algorithms(given, from),
      ...oneOrMany(groups, 'pfs', 'pfs_groups'),
    };
  },
  updateOptions: {
    ...algorithmOptions(),
    pfsgs: textOption(several),
    pfs: { ...textOption('As --pfsgs'), hidden: true },
  },
};

function algorithmOptions(): Record<string, Options> {
  return {
    'authentication-algorithms': textOption(several),
    'encryption-algorithms': textOption(several),
    // The reference CLI's older names.
    'authentication-algorithm': { ...textOption('As --authentication-algorithms'), hidden: true },
    'encryption-algorithm': { ...textOption('As --encryption-algorithms'), hidden: true },
  };
}

function algorithms(given: Given, from: 'operands' | 'options'): Record<string, unknown> {
  const suffix = from === 'operands' ? '' : '-algorithm';
  const authentication = listOf(given, from, `authentication${suffix}`);
  const encryption = listOf(given, from, `encryption${suffix}`);
  return {
    ...oneOrMany(authentication, 'authentication_algorithm', 'authentication_algorithms'),
    ...oneOrMany(encryption, 'encryption_algorithm', 'encryption_algorithms'),
  };
}

/** An operand, or an option in its plural or its older singular name. */
function listOf(given: Given, from: 'operands' | 'options', name: string): string[] | undefined {
  return from === 'operands' ? given.list(name) : (given.list(`${name}s`) ?? given.list(name));
}

function commandsOf(policy: PolicyKind): (VpnCommand | DeleteCommand)[] {
  return [...showCommands(policy), createCommand(policy), updateCommand(policy), deleteCommand(policy)];
}

/** The operand of commands about one policy. */
function onePolicy({ title }: PolicyKind): Readonly<Record<string, PositionalOptions>> {
  return { policy: operand(`${title} by name or id`) };
}

function findPolicy({ kind }: PolicyKind, api: ApiClient, given: Given): Promise<ApiObject> {
  return resolveObject(api, kind, given.operand('policy'));
}

function showCommands(policy: PolicyKind): VpnCommand[] {
  const { kind, word, lists, title, view } = policy;
  const { path, list } = KINDS[kind];
  return [
    {
      name: lists,
      operands: '',
      positionals: {},
      options: groupFilter,
      description: `List the ${title.replace('policy', 'policies')}`,
      examples: [[lists, 'All of them']],
      run: async (api, given) => ({
        kind: 'list',
        view,
        items: await ofGroup(api, given, api.list(path, list)),
      }),
    },
    {
      name: word,
      operands: '<policy>',
      positionals: onePolicy(policy),
      description: `Show one ${title}`,
      examples: [[`${word} strong`, 'By its name']],
      run: async (api, given) => ({ kind: 'object', object: await findPolicy(policy, api, given) }),
    },
    {
      name: `${word}-connections`,
      operands: '<policy>',
      positionals: onePolicy(policy),
      description: `List the connections that use an ${title}`,
      examples: [[`${word}-connections strong`, 'Those that an update of it would change']],
      run: async (api, given) => {
        const { id } = await findPolicy(policy, api, given);
        const items = await api.list(`${path}/${id}/connections`, 'connections');
        return { kind: 'list', view: connectionView, items };
      },
    },
  ];
}

function createCommand(policy: PolicyKind): VpnCommand {
  const { kind, word, title } = policy;
  const { path } = KINDS[kind];
  const names = policy.createOperands.map(([name]) => `<${name}>`).join(' ');
  return {
    name: `${word}-create`,
    operands: `<name> ${names}`,
    positionals: {
      name: operand('Its name'),
      ...Object.fromEntries(policy.createOperands.map(([name, text]) => [name, operand(text)])),
    },
    options: { ...LIFETIME, ...groupChoice },
    description: `Create an ${title}`,
    examples: [[`${word}-create ${policy.createExample}`, 'For connections that name it']],
    run: async (api, given) => {
      const group = await givenGroup(api, given);
      const { body } = await api.call('POST', path, {
        name: given.operand('name'),
        ...policy.fields(given, 'operands'),
        ...compact({
          key_lifetime: given.number('key-lifetime'),
          resource_group: group && { id: group.id },
        }),
      });
      return { kind: 'object', object: body as never };
    },
  };
}

function updateCommand(policy: PolicyKind): VpnCommand {
  const { kind, word, title } = policy;
  const { path } = KINDS[kind];
  return {
    name: `${word}-update`,
    operands: '<policy>',
    positionals: onePolicy(policy),
    options: { name: textOption('New name'), ...policy.updateOptions, ...LIFETIME },
    description: `Change an ${title}`,
    examples: [[`${word}-update strong --key-lifetime 14400`, 'Running SAs follow at once, by rekeying']],
    run: async (api, given) => {
      const fields = {
        ...compact({ name: given.text('name'), key_lifetime: given.number('key-lifetime') }),
        ...policy.fields(given, 'options'),
      };
      if (Object.keys(fields).length === 0) throw new UsageError('name at least one option to change');
      const { id } = await findPolicy(policy, api, given);
      const { body } = await api.call('PATCH', `${path}/${id}`, fields);
      return { kind: 'object', object: body as never };
    },
  };
}

function deleteCommand({ kind, word, title }: PolicyKind): DeleteCommand {
  const { path } = KINDS[kind];
  return {
    name: `${word}-delete`,
    operands: '<policies...>',
    positionals: { policies: { ...operand(`${title} by name or id, or several`), array: true } },
    description: `Delete ${title.replace('policy', 'policies')} that no connection uses`,
    examples: [[`${word}-delete strong --force`, 'Without asking']],
    find: async (api, given) => {
      const wanted = given.operands('policies');
      const found = await Promise.all(wanted.map((name) => resolveObject(api, kind, name)));
      return found.map((object) => ({
        object,
        path: `${path}/${object.id}`,
        text: `${title} "${object.name}"`,
      }));
    },
  };
}

export const policyCommands: readonly (VpnCommand | DeleteCommand)[] = [
  ...commandsOf(ike),
  ...commandsOf(ipsec),
];
