import type { IkePolicy, IpsecPolicy } from '../api/types.ts';
import facts from '../generated/facts.json' with { type: 'json' };
import { numberOf } from './schema-check.ts';

/** Which of the two negotiations a policy is for. */
export type PolicyKind = 'ike' | 'ipsec';

/** A category of algorithms. */
export type Category = 'encryption' | 'authentication' | 'groups';

/** A policy as it is entered: algorithms in order of preference. */
export interface PolicyEntry {
  readonly name: string;
  readonly version: 1 | 2;
  readonly encryption: readonly string[];
  readonly authentication: readonly string[];
  /** Numbers for IKE, `group_14` for IPsec. */
  readonly groups: readonly string[];
  readonly lifetime: string;
}

/** What may be chosen in each category, strongest first as the API lists it. */
export const CHOICES = facts.choices as Readonly<
  Record<PolicyKind, Readonly<Record<Category, readonly string[]>>>
>;

/** A strong policy that most peers know. */
export const NEW_POLICY: Readonly<Record<PolicyKind, PolicyEntry>> = {
  ike: {
    ...{ name: '', version: 2, encryption: ['aes256'], authentication: ['sha512'], groups: ['20'] },
    lifetime: '28800',
  },
  ipsec: {
    ...{ name: '', version: 2, encryption: ['aes256'], authentication: ['sha512'], groups: ['group_20'] },
    lifetime: '3600',
  },
};

const WEAK = new Set<string>(facts.weak);
/** Ciphers that authenticate themselves. */
const AEAD = /gcm16$|^chacha20poly1305$/;

/** Whether an algorithm is one to leave: `md5`, `3des`, `2`, `group_2` … */
export function isWeak(name: string | number): boolean {
  return WEAK.has(String(name));
}

/** An algorithm in words. */
export function algorithmName(name: string | number): string {
  const text = String(name);
  if (/^\d+$/.test(text)) return `Group ${text}`;
  if (text === 'disabled') return 'Disabled';
  return text.replace(/^group_/, 'Group ').replace('triple_des', '3des');
}

/** The algorithms of a policy that ought to be left. */
export function weakOf(policy: IkePolicy | IpsecPolicy): readonly string[] {
  return algorithmsOf(policy).filter(isWeak).map(algorithmName);
}

/** All algorithms of a policy, in the order of its categories. */
export function algorithmsOf(policy: IkePolicy | IpsecPolicy): readonly string[] {
  const groups = 'dh_groups' in policy ? policy.dh_groups.map(String) : policy.pfs_groups;
  return [...policy.encryption_algorithms, ...policy.authentication_algorithms, ...groups];
}

/** A policy as it would be entered. */
export function entryOfPolicy(policy: IkePolicy | IpsecPolicy): PolicyEntry {
  const isIke = 'dh_groups' in policy;
  return {
    name: policy.name,
    version: isIke ? policy.ike_version : 2,
    encryption: policy.encryption_algorithms,
    authentication: policy.authentication_algorithms.filter((name) => name !== 'disabled'),
    groups: isIke ? policy.dh_groups.map(String) : policy.pfs_groups.filter((name) => name !== 'disabled'),
    lifetime: String(policy.key_lifetime),
  };
}

/** The body that makes the policy, or makes another one of it. */
export function policyBody(kind: PolicyKind, entry: PolicyEntry): Record<string, unknown> {
  const { name, version, encryption, authentication, groups, lifetime } = entry;
  const common = {
    name: name.trim(),
    ...oneOrMany('encryption_algorithm', encryption),
    key_lifetime: numberOf(lifetime),
  };
  if (kind === 'ike') {
    const numbers = groups.map(Number);
    return {
      ...common,
      ...oneOrMany('authentication_algorithm', authentication),
      ...oneOrMany('dh_group', numbers),
      ike_version: version,
    };
  }
  const hashes = authenticatesItself(kind, encryption) ? ['disabled'] : authentication;
  return {
    ...common,
    ...oneOrMany('authentication_algorithm', hashes),
    ...oneOrMany('pfs', groups.length === 0 ? ['disabled'] : groups, 'pfs_groups'),
  };
}

/** Whether ciphers authenticate themselves, so that no hash is chosen beside them. */
export function authenticatesItself(kind: PolicyKind, encryption: readonly string[]): boolean {
  return kind === 'ipsec' && encryption.length > 0 && encryption.every((one) => AEAD.test(one));
}

/** Every server knows the singular field; the list is for several. */
function oneOrMany(name: string, values: readonly unknown[], many = `${name}s`): Record<string, unknown> {
  return values.length === 1 ? { [name]: values[0] } : { [many]: values };
}
