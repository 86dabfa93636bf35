import { type IkePolicyRecord, type IpsecPolicyRecord, KIND } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { View } from '../context.js';
import type { Dialect } from '../dialect.js';
import type { IkePolicyAnswer, IpsecPolicyAnswer } from '../schemas/answers.js';
import { connectionReference } from './connections.js';
import type { Links } from './links.js';

/** The value of the singular form where there are several; never accepted as input. */
const MULTIPLE = 'multiple';
const MULTIPLE_GROUPS = 65_535;

type AdditionalKeyExchange = IkePolicyAnswer['additional_key_exchanges'][number];
type Cipher = IkePolicyAnswer['encryption_algorithms'][number];
type IkeHash = IkePolicyAnswer['authentication_algorithms'][number];
type IpsecHash = IpsecPolicyAnswer['authentication_algorithms'][number];

/** Renders an IKE policy with the connections that use it; older dialects have one algorithm of each kind. */
export function ikePolicyAnswer(
  { id, value }: StoredObject<IkePolicyRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
): IkePolicyAnswer {
  const groups = stored<IkePolicyAnswer['dh_groups'][number]>(value.dhGroups);
  return {
    additional_key_exchanges: stored<AdditionalKeyExchange>(value.additionalKeyExchanges ?? []),
    ...algorithms(stored<Cipher>(value.encryption), stored<IkeHash>(value.authentication), dialect),
    connections: connectionsUsing(KIND.ikePolicy, id, view, links),
    created_at: value.createdAt,
    dh_group: one(groups, MULTIPLE_GROUPS),
    dh_groups: groups,
    href: links.ikePolicy(id),
    id,
    ike_version: value.ikeVersion,
    key_lifetime: value.keyLifetime,
    name: value.name,
    negotiation_mode: 'main',
    resource_group: links.resourceGroup(value.resourceGroup),
    resource_type: 'ike_policy',
  };
}

/** Renders an IPsec policy with the connections that use it; older dialects have one algorithm of each kind. */
export function ipsecPolicyAnswer(
  { id, value }: StoredObject<IpsecPolicyRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
): IpsecPolicyAnswer {
  // AEAD ciphers authenticate by themselves.
  const hashes = value.authentication.length === 0 ? ['disabled'] : value.authentication;
  const groups = stored<IpsecPolicyAnswer['pfs_groups'][number]>(value.pfsGroups);
  return {
    additional_key_exchanges: stored<AdditionalKeyExchange>(value.additionalKeyExchanges ?? []),
    ...algorithms(stored<Cipher>(value.encryption), stored<IpsecHash>(hashes), dialect),
    connections: connectionsUsing(KIND.ipsecPolicy, id, view, links),
    created_at: value.createdAt,
    encapsulation_mode: 'tunnel',
    href: links.ipsecPolicy(id),
    id,
    key_lifetime: value.keyLifetime,
    name: value.name,
    pfs: one(groups, MULTIPLE),
    pfs_groups: groups,
    resource_group: links.resourceGroup(value.resourceGroup),
    resource_type: 'ipsec_policy',
    transform_protocol: 'esp',
  };
}

/** The names of a stored policy, which the schemas of the bodies let in: no others are in the store. */
function stored<T>(names: readonly (string | number)[]): readonly T[] {
  return names as readonly unknown[] as readonly T[];
}

function algorithms<Hash extends string>(
  encryption: readonly Cipher[],
  authentication: readonly Hash[],
  dialect: Dialect,
) {
  const ciphers = encryption.map(
    (name): Cipher =>
      name === '3des' || name === 'triple_des' ? (dialect.early ? '3des' : 'triple_des') : name,
  );
  return {
    authentication_algorithm: one(authentication, MULTIPLE),
    authentication_algorithms: authentication,
    encryption_algorithm: one(ciphers, MULTIPLE),
    encryption_algorithms: ciphers,
  };
}

function one<T, const M>(names: readonly T[], multiple: M): T | M {
  return names.length === 1 ? names[0]! : multiple;
}

function connectionsUsing(kind: string, id: string, view: View, links: Links) {
  return view
    .connections()
    .filter(({ value }) => (kind === KIND.ikePolicy ? value.ikePolicy : value.ipsecPolicy) === id)
    .map((connection) => connectionReference(connection, links));
}
