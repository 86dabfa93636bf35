import { type IkePolicyRecord, type IpsecPolicyRecord, KIND } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { connectionReference } from './connections.js';
import type { Links } from './links.js';

/** Stands in the singular form for several; never taken as input. */
const MULTIPLE = 'multiple';
const MULTIPLE_GROUPS = 65_535;

export function ikePolicyAnswer(
  { id, value }: StoredObject<IkePolicyRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
): object {
  const groups = value.dhGroups;
  return {
    ...algorithms(value.encryption, value.authentication, dialect),
    connections: connectionsUsing(KIND.ikePolicy, id, view, links),
    created_at: value.createdAt,
    dh_group: groups.length === 1 ? groups[0] : MULTIPLE_GROUPS,
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

export function ipsecPolicyAnswer(
  { id, value }: StoredObject<IpsecPolicyRecord>,
  view: View,
  links: Links,
  dialect: Dialect,
): object {
  // AEAD ciphers authenticate by themselves.
  const authentication = value.authentication.length === 0 ? ['disabled'] : value.authentication;
  const groups = value.pfsGroups;
  return {
    ...algorithms(value.encryption, authentication, dialect),
    connections: connectionsUsing(KIND.ipsecPolicy, id, view, links),
    created_at: value.createdAt,
    encapsulation_mode: 'tunnel',
    href: links.ipsecPolicy(id),
    id,
    key_lifetime: value.keyLifetime,
    name: value.name,
    pfs: groups.length === 1 ? groups[0] : MULTIPLE,
    pfs_groups: groups,
    resource_group: links.resourceGroup(value.resourceGroup),
    resource_type: 'ipsec_policy',
    transform_protocol: 'esp',
  };
}

function algorithms(
  encryption: readonly string[],
  authentication: readonly string[],
  dialect: Dialect,
): Record<string, unknown> {
  const ciphers = encryption.map((name) =>
    name === '3des' || name === 'triple_des' ? (dialect.early ? '3des' : 'triple_des') : name,
  );
  return {
    authentication_algorithm: one(authentication),
    authentication_algorithms: authentication,
    encryption_algorithm: one(ciphers),
    encryption_algorithms: ciphers,
  };
}

function one(names: readonly string[]): string {
  return names.length === 1 ? names[0]! : MULTIPLE;
}

function connectionsUsing(kind: string, id: string, view: View, links: Links): object[] {
  return view
    .connections()
    .filter(({ value }) => (kind === KIND.ikePolicy ? value.ikePolicy : value.ipsecPolicy) === id)
    .map((connection) => connectionReference(connection, links));
}
