import type { Options, PositionalOptions } from 'yargs';
import { dialectOf } from '../../api/dialect.js';
import { ikePolicyBodies, ipsecPolicyBodies } from '../../api/schemas/requests.js';
import { ALGORITHM_FIELDS, type AlgorithmNames, type CategoryName } from '../../store/schema.js';
import { UsageError } from '../errors.js';
import { API_VERSION, type ApiClient, type ApiObject } from './api-client.js';
import {
  bodyBy,
  fieldsOf,
  type GivenField,
  isNumeric,
  optionsBy,
  optionText,
  type Shape,
} from './field-options.js';
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
  /** Schemas of the bodies, whose fields operands and options follow from. */
  readonly bodies: { readonly create: object; readonly patch: object };
  readonly algorithms: AlgorithmNames;
  /** What may be given of each category when a policy is created. */
  readonly choices: Readonly<Record<CategoryName, string>>;
  readonly createExample: string;
}

const several = 'one or, separated by commas, several in order of preference';

const ike: PolicyKind = {
  kind: 'ike_policy',
  word: 'ike-policy',
  lists: 'ike-policies',
  title: 'IKE policy',
  view: ikePolicyView,
  bodies: ikePolicyBodies(dialectOf(API_VERSION)),
  algorithms: ALGORITHM_FIELDS.ike,
  choices: {
    authentication: 'sha256, sha384, sha512, sha1, md5',
    groups: '2, 5, 14 to 24, 31',
    encryption: 'aes128, aes192, aes256, 3des',
  },
  createExample: 'strong sha256 14 aes256 2 --key-lifetime 28800',
};

const ipsec: PolicyKind = {
  kind: 'ipsec_policy',
  word: 'ipsec-policy',
  lists: 'ipsec-policies',
  title: 'IPsec policy',
  view: ipsecPolicyView,
  bodies: ipsecPolicyBodies(dialectOf(API_VERSION)),
  algorithms: ALGORITHM_FIELDS.ipsec,
  choices: {
    authentication: 'sha256, sha384, sha512, sha1, md5; disabled with aes…gcm16',
    encryption: 'aes128, aes192, aes256, aes128gcm16, aes192gcm16, aes256gcm16, 3des',
    groups: 'disabled, group_14 and so on',
  },
  createExample: 'strong sha256 aes256 group_14 --key-lifetime 3600',
};

/** Options of the reference CLI that have a name of their own. */
const OPTION_NAMES: Readonly<Record<string, string>> = { pfs_groups: 'pfsgs' };
/** What error messages call the numbers. */
const NOUNS: Readonly<Record<string, string>> = { dh_group: 'a DH group', ike_version: 'the IKE version' };

/** A category of algorithms, by what gives it: an operand, or an option and its older name. */
interface AlgorithmField {
  readonly one: string;
  readonly many: string;
  readonly numeric: boolean;
  readonly operand: string;
  readonly choices: string;
  readonly options: readonly [name: string, older: string];
}

/** What a command line may give of a policy beside its name. */
interface PolicyFields {
  readonly algorithms: readonly AlgorithmField[];
  /** Fields of one value, by options. */
  readonly plain: readonly GivenField[];
  /** Those of them that are operands of creation, which has to have them. */
  readonly required: readonly GivenField[];
}

interface BodySchema {
  readonly properties: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
}

function policyFields({ bodies, algorithms, choices }: PolicyKind): PolicyFields {
  const create = bodies.create as BodySchema;
  const lists = (['authentication', 'encryption', 'groups'] as const).map((category): AlgorithmField => {
    const { one, many } = algorithms[category];
    return {
      one,
      many,
      numeric: isNumeric(create.properties[many]?.items ?? {}),
      operand: optionText(one.replace('_algorithm', '')),
      choices: `${choices[category]}: ${several}`,
      options: [OPTION_NAMES[many] ?? optionText(many), optionText(one)],
    };
  });
  const apart = ['name', 'resource_group', ...lists.flatMap(({ one, many }) => [one, many])];
  const plain = fieldsOf({ ...create.properties, ...(bodies.patch as BodySchema).properties }, apart)
    .map((field): GivenField => {
      const noun = NOUNS[field.path];
      return noun === undefined ? field : { ...field, noun };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const required = plain.filter(({ path }) => create.required?.includes(path));
  return { algorithms: lists, plain, required };
}

function algorithmOptions(algorithms: readonly AlgorithmField[]): Record<string, Options> {
  return Object.fromEntries(
    algorithms.flatMap(({ options: [name, older] }) => [
      [name, textOption(several)],
      [older, { ...textOption(`As --${name}`), hidden: true }],
    ]),
  );
}

function givenAlgorithms(
  given: Given,
  algorithms: readonly AlgorithmField[],
  namesOf: (field: AlgorithmField) => readonly string[],
): Record<string, unknown> {
  const bodies = algorithms.map((field) => {
    const { one, many, numeric } = field;
    const texts = namesOf(field)
      .map((name) => given.list(name))
      .find((list) => list !== undefined);
    const values = numeric ? texts?.map((text) => wholeNumber(NOUNS[one] ?? one, text)) : texts;
    return oneOrMany<string | number>(values, one, many);
  });
  return Object.assign({}, ...bodies);
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
  const { kind, word, title, createExample } = policy;
  const { path } = KINDS[kind];
  const { algorithms, plain, required } = policyFields(policy);
  const operands = [
    ...algorithms.map((field) => [field.operand, operand(field.choices)] as const),
    ...required.map(({ name, help }) => [name, operand(help)] as const),
  ].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    name: `${word}-create`,
    operands: `<name> ${operands.map(([name]) => `<${name}>`).join(' ')}`,
    positionals: { name: operand('Its name'), ...Object.fromEntries(operands) },
    options: { ...optionsBy(plain.filter((field) => !required.includes(field))), ...groupChoice },
    description: `Create an ${title}`,
    examples: [[`${word}-create ${createExample}`, 'For connections that name it']],
    run: async (api, given) => {
      const group = await givenGroup(api, given);
      const { body } = await api.call('POST', path, {
        name: given.operand('name'),
        ...givenAlgorithms(given, algorithms, (field) => [field.operand]),
        ...bodyBy(given, plain),
        ...compact({ resource_group: group && { id: group.id } }),
      });
      return { kind: 'object', object: body as never };
    },
  };
}

function updateCommand(policy: PolicyKind): VpnCommand {
  const { kind, word, title } = policy;
  const { path } = KINDS[kind];
  const { algorithms, plain } = policyFields(policy);
  return {
    name: `${word}-update`,
    operands: '<policy>',
    positionals: onePolicy(policy),
    options: { name: textOption('New name'), ...algorithmOptions(algorithms), ...optionsBy(plain) },
    description: `Change an ${title}`,
    examples: [[`${word}-update strong --key-lifetime 14400`, 'Running SAs follow at once, by rekeying']],
    run: async (api, given) => {
      const fields = {
        ...compact({ name: given.text('name') }),
        ...bodyBy(given, plain),
        ...givenAlgorithms(given, algorithms, ({ options }) => options),
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
