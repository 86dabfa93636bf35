import { dhFromName, encryptionFromName, integrityFromName } from '../crypto/names.js';
import { isWeak } from '../crypto/strength.js';
import { findEncryption } from '../crypto/transforms.js';
import type { Profile } from '../ike/policy/matrix.js';
import { type ConfigIssue, type ConfigPath, under } from './config-error.js';
import type { IkePolicy, IpsecPolicy } from './model.js';
import {
  ALGORITHM_FIELDS,
  type AlgorithmNames,
  type CategoryName,
  DEFAULTS,
  type IkePolicyInput,
  type IpsecPolicyInput,
} from './schema.js';

/** The hash of the PRF beside an AEAD cipher whose policy names no authentication algorithm. */
const AEAD_PRF = 'sha256';

/** What a policy has of each category: IKE policies have groups, IPsec policies PFS groups by name. */
interface Algorithms {
  readonly encryption: readonly string[];
  readonly authentication: readonly string[];
  readonly groups: readonly (string | number)[];
}

/** The place of the algorithms of a category, for what is said of them. */
export type CategoryPlace = (category: CategoryName) => ConfigPath;

/** What an IKE policy asks for: `authentication` may be left out beside AEAD ciphers. */
export type IkePolicySettings = IkePolicy;

/** What an IPsec policy asks for; `disabled` means no authentication beside AEAD ciphers, and for no PFS. */
export interface IpsecPolicySettings extends Omit<IpsecPolicy, 'pfsGroups'> {
  readonly pfsGroups: readonly string[];
}

/** A policy as it was asked for, and the place of its algorithms. */
export interface WrittenPolicy<S> {
  readonly settings: S;
  readonly place: CategoryPlace;
}

/**
 * What a file or a body asks of an IKE policy, with the defaults of its fields. What it leaves out is that of `before`,
 * when there is one. Two forms of one category go to `issues`.
 */
export function readIkePolicy(
  path: ConfigPath,
  input: Partial<IkePolicyInput>,
  issues: ConfigIssue[],
  before?: IkePolicySettings,
): WrittenPolicy<IkePolicySettings> {
  const known = before && { ...before, groups: before.dhGroups };
  const { algorithms, place } = readAlgorithms(path, input, ALGORITHM_FIELDS.ike, issues, known);
  const settings = {
    name: input.name ?? before?.name ?? '',
    ikeVersion: input.ike_version ?? before?.ikeVersion ?? DEFAULTS.ikeVersion,
    encryption: algorithms.encryption,
    authentication: algorithms.authentication,
    dhGroups: algorithms.groups.map(Number),
    ...additionalOf(input.additional_key_exchanges ?? before?.additionalKeyExchanges),
    keyLifetime: input.key_lifetime ?? before?.keyLifetime ?? DEFAULTS.ikeKeyLifetime,
  };
  return { settings, place };
}

/** As `readIkePolicy`. */
export function readIpsecPolicy(
  path: ConfigPath,
  input: Partial<IpsecPolicyInput>,
  issues: ConfigIssue[],
  before?: IpsecPolicySettings,
): WrittenPolicy<IpsecPolicySettings> {
  const known = before && { ...before, groups: before.pfsGroups };
  const { algorithms, place } = readAlgorithms(path, input, ALGORITHM_FIELDS.ipsec, issues, known);
  const settings = {
    name: input.name ?? before?.name ?? '',
    encryption: algorithms.encryption,
    authentication: algorithms.authentication,
    pfsGroups: algorithms.groups.map(String),
    ...additionalOf(input.additional_key_exchanges ?? before?.additionalKeyExchanges),
    keyLifetime: input.key_lifetime ?? before?.keyLifetime ?? DEFAULTS.ipsecKeyLifetime,
  };
  return { settings, place };
}

/** Absent rather than empty: an empty list in a body takes them away. */
function additionalOf(names: readonly string[] = []): Pick<IkePolicy, 'additionalKeyExchanges'> {
  return names.length === 0 ? {} : { additionalKeyExchanges: names };
}

/** The place of the algorithms in a stored policy: it has them as lists. */
export function placeOfStored(kind: keyof typeof ALGORITHM_FIELDS, policy: Omit<Algorithms, 'groups'>) {
  const names = ALGORITHM_FIELDS[kind];
  return (category: CategoryName): ConfigPath => {
    const isEmpty = category !== 'groups' && policy[category].length === 0;
    return [names[category][isEmpty ? 'one' : 'many']];
  };
}

/** The rules between the fields of an IKE policy; what breaks one is added to `issues`. */
export function checkIkePolicy(
  policy: IkePolicySettings,
  place: CategoryPlace,
  profile: Profile,
  issues: ConfigIssue[],
): void {
  const { encryption, authentication, dh } = categoriesOf({ ...policy, groups: policy.dhGroups }, place);
  required(encryption, issues);
  required(dh, issues);
  const aead = checkCiphers(encryption, issues);
  // Beside an AEAD cipher there is no integrity algorithm: the hash is that of the PRF (RFC 5282 §8).
  if (aead === false) required(authentication, issues);
  if (policy.ikeVersion === 1) {
    checkVersion1([encryption, authentication, dh], aead === true, issues);
    if (policy.additionalKeyExchanges !== undefined) {
      const message =
        'IKEv1 has no additional key exchanges (RFC 9370): choose ike_version 2, or leave them out';
      issues.push({ path: beside(dh, 'additional_key_exchanges'), message });
    }
  }
  checkProfile(policy, { encryption, authentication, dh }, profile, issues);
  if (profile === 'cnsa2' && authentication.values.length === 0) {
    const message = `is ${AEAD_PRF} when it is left out, which the profile "cnsa2" refuses: choose sha384 or sha512`;
    issues.push({ path: authentication.path, rule: 'weak', message });
  }
  if (policy.ikeVersion === 1 && (profile === 'modern' || profile === 'cnsa2')) {
    const message = `is refused by the profile "${profile}", which is without IKEv1 (RFC 9395): choose 2`;
    issues.push({ path: beside(dh, 'ike_version'), rule: 'weak', message });
  }
}

/** As `checkIkePolicy`. */
export function checkIpsecPolicy(
  policy: IpsecPolicySettings,
  place: CategoryPlace,
  profile: Profile,
  issues: ConfigIssue[],
): void {
  const { encryption, authentication, dh } = categoriesOf({ ...policy, groups: policy.pfsGroups }, place);
  required(encryption, issues);
  const aead = checkCiphers(encryption, issues);
  if (aead !== undefined) checkAuthentication(authentication, aead, encryption.values[0]!, issues);
  const withoutPfs = dh.values.length === 0 || dh.values.includes(DEFAULTS.pfs);
  if (policy.additionalKeyExchanges !== undefined && withoutPfs) {
    const message =
      'follow an exchange in a PFS group, which this policy does without: name pfs_groups, and no disabled';
    issues.push({ path: beside(dh, 'additional_key_exchanges'), message });
  }
  checkProfile(policy, { encryption, authentication, dh }, profile, issues);
}

/** A field of the same policy. */
function beside({ path }: Category, field: string): ConfigPath {
  return [...path.slice(0, -1), field];
}

/** The policy with what follows from its fields. */
export function completedIkePolicy(policy: IkePolicySettings): IkePolicy {
  const { name, ikeVersion, encryption, authentication, dhGroups, keyLifetime } = policy;
  const hashes = authentication.length === 0 ? [AEAD_PRF] : authentication;
  return {
    name,
    ikeVersion,
    encryption,
    authentication: hashes,
    dhGroups,
    ...additionalOf(policy.additionalKeyExchanges),
    keyLifetime,
  };
}

/** As `completedIkePolicy`. */
export function completedIpsecPolicy(policy: IpsecPolicySettings): IpsecPolicy {
  const { name, encryption, keyLifetime } = policy;
  const groups = policy.pfsGroups.length === 0 ? [DEFAULTS.pfs] : policy.pfsGroups;
  return {
    name,
    encryption,
    authentication: hashesOf(policy),
    pfsGroups: groups.map((group) => (group === 'disabled' ? 0 : dhFromName(group)!)),
    ...additionalOf(policy.additionalKeyExchanges),
    keyLifetime,
  };
}

/** The authentication algorithms that an IPsec policy names; none beside AEAD ciphers. */
export function hashesOf({ authentication }: IpsecPolicySettings): readonly string[] {
  return authentication.filter((name) => name !== 'disabled');
}

/** What a policy says of one category of algorithms, in either form. */
interface Category {
  readonly kind: 'encryption' | 'integrity' | 'dh';
  /** Where to point: the field that is given, or the singular one. */
  readonly path: ConfigPath;
  readonly values: readonly string[];
}

function categoriesOf(
  { encryption, authentication, groups }: Algorithms,
  place: CategoryPlace,
): Readonly<Record<'encryption' | 'authentication' | 'dh', Category>> {
  return {
    encryption: { kind: 'encryption', path: place('encryption'), values: encryption },
    authentication: { kind: 'integrity', path: place('authentication'), values: authentication },
    dh: { kind: 'dh', path: place('groups'), values: groups.map(String) },
  };
}

function readAlgorithms(
  path: ConfigPath,
  input: object,
  names: AlgorithmNames,
  issues: ConfigIssue[],
  before: Algorithms | undefined,
): { readonly algorithms: Algorithms; readonly place: CategoryPlace } {
  const fields = input as Readonly<
    Record<string, string | number | readonly (string | number)[] | undefined>
  >;
  const places = new Map<CategoryName, ConfigPath>();
  const read = (category: CategoryName): readonly (string | number)[] => {
    const { one, many } = names[category];
    const single = fields[one];
    const list = fields[many];
    if (single !== undefined && list !== undefined) {
      const message = `conflicts with ${one}: keep one of the two`;
      issues.push({ path: under(path, many), rule: 'only_one', atName: true, message });
    }
    const given = [list ?? single ?? before?.[category] ?? []].flat();
    const isList = list !== undefined || (single === undefined && before !== undefined && given.length > 0);
    places.set(category, under(path, isList ? many : one));
    return given;
  };
  const algorithms = {
    encryption: read('encryption').map(String),
    authentication: read('authentication').map(String),
    groups: read('groups'),
  };
  return { algorithms, place: (category) => places.get(category)! };
}

function required(category: Category, issues: ConfigIssue[]): void {
  if (category.values.length === 0)
    issues.push({ path: category.path, rule: 'missing', message: 'is missing' });
}

/** Whether the ciphers are AEAD; undefined when there are none or they are mixed. */
function checkCiphers(category: Category, issues: ConfigIssue[]): boolean | undefined {
  const ciphers = category.values.map((name) => encryptionFromName(name)!);
  const aead = ciphers.map((cipher) => findEncryption(cipher.id, cipher.keyBits)!.aead);
  const doubled = ciphers.findIndex(
    (a, i) => ciphers.findIndex((b) => a.id === b.id && a.keyBits === b.keyBits) < i,
  );
  if (doubled >= 0) {
    const message = `"${category.values[doubled]}" is in the list twice under two names: keep one`;
    issues.push({ path: under(category.path, doubled), rule: 'listed_twice', message });
  }
  if (aead.includes(true) && aead.includes(false)) {
    const message = 'mixes AEAD ciphers (gcm16, chacha20poly1305) with others: make a policy of each kind';
    issues.push({ path: category.path, message });
    return undefined;
  }
  return aead[0];
}

function checkAuthentication(category: Category, aead: boolean, cipher: string, issues: ConfigIssue[]): void {
  const disabled = category.values.includes('disabled');
  if (aead && category.values.some((name) => name !== 'disabled')) {
    const message = `${cipher} authenticates by itself: write disabled, or leave the field out`;
    issues.push({ path: category.path, message });
  } else if (!aead && disabled) {
    const message = `only AEAD ciphers (gcm16, chacha20poly1305) go without it: name an algorithm to go with ${cipher}`;
    issues.push({ path: category.path, message });
  } else if (!aead) {
    required(category, issues);
  }
}

/** IKEv1 offers one algorithm a category here, and has no AEAD for its own messages (RFC 5282 §1). */
function checkVersion1(categories: readonly Category[], aead: boolean, issues: ConfigIssue[]): void {
  for (const { path, values } of categories) {
    if (values.length <= 1) continue;
    issues.push({ path, message: `names ${values.length} algorithms: with ike_version 1 it is one` });
  }
  if (aead) {
    const message = 'IKEv1 has no AEAD ciphers of its own: choose aes256, aes192 or aes128, or ike_version 2';
    issues.push({ path: categories[0]!.path, message });
  }
}

/** What a profile asks of policies that are named. */
function checkProfile(
  { additionalKeyExchanges = [] }: Pick<IkePolicy, 'additionalKeyExchanges'>,
  categories: Readonly<Record<'encryption' | 'authentication' | 'dh', Category>>,
  profile: Profile,
  issues: ConfigIssue[],
): void {
  const strict = STRICT[profile];
  if (strict === undefined) return;
  for (const { kind, path, values } of Object.values(categories)) {
    for (const name of values) {
      if (!strict.refuses(kind, name)) continue;
      const message = `"${name}" is refused by the profile "${profile}": choose ${strict.choose[kind]}`;
      issues.push({ path, rule: 'weak', message });
    }
  }
  if (profile !== 'cnsa2') return;
  const exchanges = categories.dh.values.some((group) => group !== 'disabled');
  if (!exchanges || additionalKeyExchanges.includes('ml_kem_1024')) return;
  const message = 'lacks "ml_kem_1024", which the profile "cnsa2" asks for beside a group: add it';
  issues.push({ path: beside(categories.dh, 'additional_key_exchanges'), rule: 'weak', message });
}

/** Names of what CNSA 2.0 allows. A policy in an IKE file has the hash of its PRF as authentication. */
const CNSA_2: Readonly<Record<Category['kind'], readonly string[]>> = {
  encryption: ['aes256gcm16'],
  integrity: ['sha384', 'sha512', 'disabled'],
  dh: ['20', 'group_20', 'disabled'],
};

/** Profiles that refuse algorithms in policies that are named, and what is to be chosen instead. */
const STRICT: { readonly [P in Profile]?: StrictProfile } = {
  modern: {
    refuses: isWeakName,
    choose: {
      encryption: 'aes256 or aes256gcm16',
      integrity: 'sha256, sha384 or sha512',
      dh: 'group 14 to 21 or 31',
    },
  },
  cnsa2: {
    refuses: (kind, name) => !CNSA_2[kind].includes(name),
    choose: { encryption: 'aes256gcm16', integrity: 'sha384 or sha512', dh: 'group 20' },
  },
};

interface StrictProfile {
  refuses(kind: Category['kind'], name: string): boolean;
  readonly choose: Readonly<Record<Category['kind'], string>>;
}

function isWeakName(kind: Category['kind'], name: string): boolean {
  if (name === 'disabled') return false;
  if (kind === 'encryption') return isWeak({ kind, ...encryptionFromName(name)! });
  return isWeak({ kind, id: (kind === 'integrity' ? integrityFromName(name) : dhFromName(name))! });
}
