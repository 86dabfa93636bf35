import {
  type CONNECTION_FIELDS,
  canonicalValue,
  DPD_DEFAULTS,
  type FieldPath,
  fieldOf,
  type GROUPS,
  keptPaths,
  putAt,
  valueAt,
} from '../../store/connection-fields.js';
import type { Static } from '../../util/json-schema.js';

/** The fields of a connection that a server keeps: what one can be wished to be. */
const PATHS = keptPaths('api');

type Fields = typeof CONNECTION_FIELDS;
type Path = {
  [K in FieldPath]: Fields[K] extends { only: 'file' } | { unkept: readonly ['api'] } ? never : K;
}[FieldPath];
/** Fields that every wish has. */
type Certain = 'name' | { [K in Path]: Fields[K] extends { default: unknown } ? K : never }[Path];
type NameIn<G extends string, K extends string> = K extends `${infer Group}.${infer Name}`
  ? Group extends G
    ? Name
    : never
  : G extends ''
    ? K
    : never;
type Level<G extends string> = {
  readonly [K in Certain as NameIn<G, K>]: Static<Fields[K]['schema']>;
} & {
  readonly [K in Exclude<Path, Certain> as NameIn<G, K>]?: Static<Fields[K]['schema']>;
};

/**
 * A connection as a file declares it or a server has it, as the newest version of the API writes it: canonical, with
 * all defaults filled in, and its policies by their names. Without `psk` the key that is there stays; without policies
 * they are negotiated automatically; identities that are not there follow from addresses and names.
 */
export type ConnectionWish = Level<''> & { readonly [G in (typeof GROUPS)[number]]: Level<G> };

/** An IKE identity, in the words of the API. */
type Identity = ConnectionWish['local']['ike_identities'][number];

const DPD = 'dead_peer_detection';

/** What is compared, shown and sent as one value: a field, or all of dead peer detection. */
export type Setting = Exclude<Path, `${typeof DPD}.${string}`> | typeof DPD;

/** All settings, in the order of the table of fields. */
export const SETTINGS = [
  ...new Set(PATHS.map((path) => (path.startsWith(`${DPD}.`) ? DPD : path))),
] as readonly Setting[];

/** The value of a setting that is not given. */
export function usualOf(setting: Setting): unknown {
  return setting === DPD ? DPD_DEFAULTS : fieldOf(setting).default;
}

/** Whether a setting that a file leaves out is taken away on the server; of the others, that of the server stays. */
export function isCleared(setting: Setting): boolean {
  return setting !== DPD && fieldOf(setting).clears === true;
}

/** Reads a connection of a file, or an answer of the API in which policies are names. */
export function connectionWish(input: object): ConnectionWish {
  const wish: Record<string, unknown> = {};
  for (const path of PATHS) {
    const value = valueAt(input, path) ?? fieldOf(path).default;
    if (value !== undefined) putAt(wish, path, canonicalValue(path, value));
  }
  return wish as unknown as ConnectionWish;
}

/** The address or host name of the peer. */
export function hostOf({ peer }: ConnectionWish): string {
  return peer.address ?? peer.fqdn ?? '';
}

/**
 * The wish without the identities that follow by themselves: local ones from the addresses of the gateway, the peer's
 * from its own.
 */
export function withoutDerived(wish: ConnectionWish, addresses: readonly string[]): ConnectionWish {
  const { local, peer } = wish;
  const { ike_identity: theirs, ...rest } = peer;
  const ours = local.ike_identities;
  const followOurs =
    ours.length === addresses.length && ours.every((one, index) => isDerived(one, addresses[index]!));
  const followsTheirs = theirs !== undefined && isDerived(theirs, hostOf(wish));
  return {
    ...wish,
    local: followOurs ? { ...local, ike_identities: [] } : local,
    peer: followsTheirs ? rest : peer,
  };
}

/** Whether the identity is what an address or a host name makes by itself. */
function isDerived({ type, value }: Identity, from: string): boolean {
  if (value !== from) return false;
  const isAddress = /^[0-9.]+$/.test(from) || from.includes(':');
  return isAddress ? type.endsWith('_address') : type === (from.includes('.') ? 'fqdn' : 'hostname');
}
