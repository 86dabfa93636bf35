import type { IdentityTypeName } from '../ike/policy/identity.js';
import {
  type CONNECTION_FIELDS,
  canonicalValue,
  FIELD_PATHS,
  type FieldPath,
  fieldOf,
  keptPaths,
  type Origin,
  putAt,
  valueAt,
} from './connection-fields.js';
import type { ConnectionSettings, GatewayConnection, GatewaySettings, IkeIdentity } from './model.js';

/** What the API knows of the settings of a connection: it has its routes in routing tables. */
export interface ApiSettings extends Omit<ConnectionSettings, 'peer' | 'interface' | 'routes'> {
  /** As it was given; absent in a connection that was restored without its key. */
  readonly psk?: string;
  readonly peer: Omit<ConnectionSettings['peer'], 'port'>;
}

type Camel<S extends string> = S extends `${infer Head}_${infer Rest}`
  ? `${Head}${Capitalize<Camel<Rest>>}`
  : S;
type Leaf<T, Groups extends string> = {
  [K in keyof T & string]: K extends Groups ? `${K}.${keyof NonNullable<T[K]> & string}` : K;
}[keyof T & string];
type Leaves<T> = Leaf<T, 'deadPeerDetection' | 'local' | 'peer'>;
type CamelPath<P extends string> = P extends `${infer G}.${infer N}` ? `${Camel<G>}.${Camel<N>}` : Camel<P>;
type Kept<O extends Origin> = {
  [K in FieldPath]: (typeof CONNECTION_FIELDS)[K] extends
    | { only: Exclude<Origin, O> }
    | { unkept: readonly [O] }
    ? never
    : CamelPath<K>;
}[FieldPath];
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
/** The settings, if the table has every field of theirs and no other: else what returns them does not compile. */
type Held<S, O extends Origin> = Same<Kept<O>, Leaves<S>> extends true ? S : 'a field is not in the table';

const KEPT: Readonly<Record<Origin, readonly FieldPath[]>> = {
  file: keptPaths('file'),
  api: keptPaths('api'),
};

/** The fields of a connection under their names in a file or a body, such as fit the schema. */
type Written = object;

/** What a file asks for. */
export function settingsOf(input: Written): ConnectionSettings {
  return read('file', input) as unknown as Held<ConnectionSettings, 'file'>;
}

/** What a body that makes a connection asks for, in canonical form. Its policies are by their ids. */
export function apiSettingsOf(input: Written): ApiSettings {
  return normal(read('api', input)) as unknown as Held<ApiSettings, 'api'>;
}

/** The settings with the fields that `input` gives; those at `cleared` are worked out by themselves again. */
export function withChanges<S extends ApiSettings>(
  before: S,
  input: Written,
  cleared: readonly FieldPath[] = [],
): S {
  const after = copyOf(before);
  for (const path of cleared) put(after, path, undefined);
  for (const path of KEPT.api) {
    const given = valueAt(input, path);
    if (given !== undefined) put(after, path, canonicalValue(path, given));
  }
  return after as unknown as S;
}

/** The fields that null takes away in a body, out of those that it has as null. */
export function clearedIn(raw: Written): FieldPath[] {
  return FIELD_PATHS.filter((path) => fieldOf(path).clears === true && valueAt(raw, path) === null);
}

/** The connection as a gateway runs it: canonical, with the identities that follow from addresses and names. */
export function completed(
  settings: ConnectionSettings,
  gateway: GatewaySettings,
  given: Pick<GatewayConnection, 'id' | 'psk'>,
): GatewayConnection {
  const picked: Fields = {};
  for (const path of KEPT.file) {
    const value = modelled(settings, path);
    if (value !== undefined) put(picked, path, value);
  }
  const { local, peer, routes = [], ...own } = normal(picked) as unknown as ConnectionSettings;
  const { address, fqdn, ikeIdentity, ...rest } = peer;
  const host = fqdn === undefined ? { address: address ?? '' } : { fqdn: bareName(fqdn) };
  return {
    ...given,
    ...own,
    local: {
      ...local,
      ikeIdentities:
        local.ikeIdentities.length > 0 ? local.ikeIdentities : [identityOfAddress(gateway.address)],
    },
    peer: {
      ...rest,
      ...host,
      ikeIdentity:
        ikeIdentity ??
        (host.fqdn === undefined ? identityOfAddress(host.address) : identityOfName(host.fqdn)),
    },
    routes,
  };
}

/** A host name without the dot of the root. */
export function bareName(fqdn: string): string {
  return fqdn.endsWith('.') ? fqdn.slice(0, -1) : fqdn;
}

/** The identity that follows from an address. */
export function identityOfAddress(address: string): IkeIdentity {
  return { type: address.includes(':') ? 'ipv6_address' : 'ipv4_address', value: address };
}

/** The identity that follows from a host name: one without a dot is no fully qualified one. */
function identityOfName(name: string): IkeIdentity {
  const type: IdentityTypeName = name.includes('.') ? 'fqdn' : 'hostname';
  return { type, value: name };
}

type Fields = Record<string, unknown>;

function read(origin: Origin, input: Written): Fields {
  const out: Fields = {};
  for (const path of KEPT[origin]) {
    const value = valueAt(input, path) ?? fieldOf(path).default;
    if (value !== undefined) put(out, path, value);
  }
  return out;
}

function normal(settings: Fields): Fields {
  for (const path of FIELD_PATHS) {
    const value = modelled(settings, path);
    if (value !== undefined) put(settings, path, canonicalValue(path, value));
  }
  return settings;
}

function modelled(settings: object, path: FieldPath): unknown {
  return valueAt(settings, camelCase(path));
}

function put(settings: Fields, path: FieldPath, value: unknown): void {
  putAt(settings, camelCase(path), value);
}

/** Two levels deep, which is as deep as fields are nested. */
function copyOf(settings: object): Fields {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name,
      typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : value,
    ]),
  );
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
