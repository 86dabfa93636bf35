import { dhFromName, encryptionFromName, integrityFromName } from '../crypto/names.js';
import { isWeak } from '../crypto/strength.js';
import { findEncryption } from '../crypto/transforms.js';
import type { Profile } from '../ike/policy/matrix.js';
import { type ConfigIssue, type ConfigPath, under } from './config-error.js';
import type { IkePolicy, IpsecPolicy } from './model.js';
import { DEFAULTS, type IkePolicyInput, type IpsecPolicyInput } from './schema.js';

/** A policy that passed the schema, and where it stands. */
export interface Placed<T> {
  readonly path: ConfigPath;
  readonly input: T;
}

/** The hash of the PRF beside an AEAD cipher whose policy names no authentication algorithm. */
const AEAD_PRF = 'sha256';

/** The policy with its defaults; what breaks a rule goes to `issues`. */
export function readIkePolicy(
  { path, input }: Placed<IkePolicyInput>,
  profile: Profile,
  issues: ConfigIssue[],
): IkePolicy {
  const encryption = categoryOf(path, input, 'encryption_algorithm', 'encryption_algorithms', issues);
  const authentication = categoryOf(
    path,
    input,
    'authentication_algorithm',
    'authentication_algorithms',
    issues,
  );
  const groups = categoryOf(path, input, 'dh_group', 'dh_groups', issues);
  const ikeVersion = input.ike_version ?? DEFAULTS.ikeVersion;
  required(encryption, issues);
  required(groups, issues);
  const aead = checkCiphers(encryption, issues);
  // Beside an AEAD cipher there is no integrity algorithm: the hash is that of the PRF (RFC 5282 §8).
  if (aead === false) required(authentication, issues);
  if (ikeVersion === 1) checkVersion1([encryption, authentication, groups], aead === true, issues);
  if (profile === 'modern') refuseWeak([encryption, authentication, groups], issues);
  return {
    name: input.name,
    ikeVersion,
    encryption: encryption.values,
    authentication: authentication.values.length === 0 ? [AEAD_PRF] : authentication.values,
    dhGroups: groups.values.map(Number),
    keyLifetime: input.key_lifetime ?? DEFAULTS.ikeKeyLifetime,
  };
}

/** As `readIkePolicy`. */
export function readIpsecPolicy(
  { path, input }: Placed<IpsecPolicyInput>,
  profile: Profile,
  issues: ConfigIssue[],
): IpsecPolicy {
  const encryption = categoryOf(path, input, 'encryption_algorithm', 'encryption_algorithms', issues);
  const authentication = categoryOf(
    path,
    input,
    'authentication_algorithm',
    'authentication_algorithms',
    issues,
  );
  const pfs = categoryOf(path, input, 'pfs', 'pfs_groups', issues);
  required(encryption, issues);
  const aead = checkCiphers(encryption, issues);
  if (aead !== undefined) checkAuthentication(authentication, aead, encryption.values[0]!, issues);
  if (profile === 'modern') refuseWeak([encryption, authentication, pfs], issues);
  const groups = pfs.values.length === 0 ? [DEFAULTS.pfs] : pfs.values;
  return {
    name: input.name,
    encryption: encryption.values,
    authentication: authentication.values.filter((name) => name !== 'disabled'),
    pfsGroups: groups.map((name) => (name === 'disabled' ? 0 : dhFromName(name)!)),
    keyLifetime: input.key_lifetime ?? DEFAULTS.ipsecKeyLifetime,
  };
}

/** What a policy says of one category of algorithms, in either form. */
interface Category {
  readonly kind: 'encryption' | 'integrity' | 'dh';
  /** Where to point: the field that is given, or the singular one. */
  readonly path: ConfigPath;
  readonly values: readonly string[];
}

type CategoryField = 'encryption_algorithm' | 'authentication_algorithm' | 'dh_group' | 'pfs';

const KINDS: Readonly<Record<CategoryField, Category['kind']>> = {
  encryption_algorithm: 'encryption',
  authentication_algorithm: 'integrity',
  dh_group: 'dh',
  pfs: 'dh',
};

function categoryOf(
  path: ConfigPath,
  input: object,
  one: CategoryField,
  many: string,
  issues: ConfigIssue[],
): Category {
  const fields = input as Readonly<
    Record<string, string | number | readonly (string | number)[] | undefined>
  >;
  const single = fields[one];
  const list = fields[many];
  if (single !== undefined && list !== undefined) {
    issues.push({
      path: under(path, many),
      rule: 'only_one',
      atName: true,
      message: `stands beside ${one}: keep one of the two`,
    });
  }
  const field = list === undefined ? one : many;
  const values = [list ?? single ?? []].flat().map(String);
  return { kind: KINDS[one], path: under(path, field), values };
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
    const message = `"${category.values[doubled]}" stands in the list twice under two names: keep one`;
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

const STRONGER: Readonly<Record<Category['kind'], string>> = {
  encryption: 'aes256 or aes256gcm16',
  integrity: 'sha256, sha384 or sha512',
  dh: 'group 14 to 21 or 31',
};

function refuseWeak(categories: readonly Category[], issues: ConfigIssue[]): void {
  for (const { kind, path, values } of categories) {
    for (const name of values) {
      if (!isWeakName(kind, name)) continue;
      const message = `"${name}" is refused by the profile "modern": choose ${STRONGER[kind]}`;
      issues.push({ path, rule: 'weak', message });
    }
  }
}

function isWeakName(kind: Category['kind'], name: string): boolean {
  if (name === 'disabled') return false;
  if (kind === 'encryption') return isWeak({ kind, ...encryptionFromName(name)! });
  return isWeak({ kind, id: (kind === 'integrity' ? integrityFromName(name) : dhFromName(name))! });
}
