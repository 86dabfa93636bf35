import type { Connection, Gateway, Identity } from '../api/types.ts';
import { numberOf } from './schema-check.ts';

/** An identity as it is entered; an empty value leaves it to the gateway. */
export interface IdentityEntry {
  readonly type: Identity['type'];
  readonly value: string;
}

/** A connection as it is entered, field by field in the order of the page. */
export interface ConnectionEntry {
  readonly name: string;
  /** An IP address or a host name. */
  readonly peer: string;
  readonly establishMode: 'bidirectional' | 'peer_only';
  /** Empty leaves the one that there is. */
  readonly psk: string;
  readonly distributeTraffic: boolean;
  /** Networks apart by spaces, commas or lines. */
  readonly localCidrs: string;
  readonly peerCidrs: string;
  readonly dpdAction: 'restart' | 'clear' | 'hold' | 'none';
  readonly dpdInterval: string;
  readonly dpdTimeout: string;
  /** Ids; empty for auto-negotiation. */
  readonly ikePolicy: string;
  readonly ipsecPolicy: string;
  readonly localIdentities: readonly [IdentityEntry, IdentityEntry];
  readonly peerIdentity: IdentityEntry;
}

/** The name of a field of the page. */
export type EntryField = keyof ConnectionEntry;

const AUTOMATIC: IdentityEntry = { type: 'ipv4_address', value: '' };

/** A page on which nothing was entered yet. */
export const EMPTY_ENTRY: ConnectionEntry = {
  name: '',
  peer: '',
  establishMode: 'bidirectional',
  psk: '',
  distributeTraffic: false,
  localCidrs: '',
  peerCidrs: '',
  dpdAction: 'restart',
  dpdInterval: '2',
  dpdTimeout: '10',
  ikePolicy: '',
  ipsecPolicy: '',
  localIdentities: [AUTOMATIC, AUTOMATIC],
  peerIdentity: AUTOMATIC,
};

/** Where the fields of the page are in the bodies of the API. */
export const BODY_PATHS: Readonly<Record<EntryField, readonly string[]>> = {
  name: ['name'],
  peer: ['peer.address', 'peer.fqdn', 'peer'],
  establishMode: ['establish_mode'],
  psk: ['psk'],
  distributeTraffic: ['distribute_traffic'],
  localCidrs: ['local.cidrs'],
  peerCidrs: ['peer.cidrs'],
  dpdAction: ['dead_peer_detection.action'],
  dpdInterval: ['dead_peer_detection.interval'],
  dpdTimeout: ['dead_peer_detection.timeout'],
  ikePolicy: ['ike_policy'],
  ipsecPolicy: ['ipsec_policy'],
  localIdentities: ['local.ike_identities'],
  peerIdentity: ['peer.ike_identity'],
};

/** The body that makes the connection. */
export function bodyOf(entry: ConnectionEntry, mode: Gateway['mode']): Record<string, unknown> {
  const { peerIdentity, ikePolicy, ipsecPolicy } = entry;
  const isRoute = mode === 'route';
  const local = {
    ...(isRoute ? {} : { cidrs: listOf(entry.localCidrs) }),
    ...identitiesOf(entry, mode),
  };
  const peer = {
    ...hostOf(entry.peer),
    ...(isRoute ? {} : { cidrs: listOf(entry.peerCidrs) }),
    ...(peerIdentity.value.trim() === '' ? {} : { ike_identity: trimmed(peerIdentity) }),
  };
  return {
    name: entry.name.trim(),
    ...(entry.psk === '' ? {} : { psk: entry.psk }),
    establish_mode: entry.establishMode,
    ...(isRoute ? { distribute_traffic: entry.distributeTraffic } : {}),
    dead_peer_detection: {
      action: entry.dpdAction,
      interval: numberOf(entry.dpdInterval),
      timeout: numberOf(entry.dpdTimeout),
    },
    ...(ikePolicy === '' ? {} : { ike_policy: { id: ikePolicy } }),
    ...(ipsecPolicy === '' ? {} : { ipsec_policy: { id: ipsecPolicy } }),
    ...(Object.keys(local).length === 0 ? {} : { local }),
    peer,
  };
}

/** A connection as it would be entered. Identities that the gateway works out itself are empty. */
export function entryOf(connection: Connection, { members = [] }: Gateway): ConnectionEntry {
  const { local, peer, dead_peer_detection: dpd } = connection;
  const own = members.map(({ public_ip }) => public_ip.address);
  const identity = (index: number): IdentityEntry => {
    const given = local.ike_identities[index];
    return given === undefined || given.value === own[index] ? AUTOMATIC : given;
  };
  const host = peer.fqdn ?? peer.address ?? '';
  return {
    name: connection.name,
    peer: host,
    establishMode: connection.establish_mode,
    psk: '',
    distributeTraffic: connection.mode === 'route' && connection.distribute_traffic,
    localCidrs: connection.mode === 'policy' ? connection.local.cidrs.join('\n') : '',
    peerCidrs: connection.mode === 'policy' ? connection.peer.cidrs.join('\n') : '',
    dpdAction: dpd.action,
    dpdInterval: String(dpd.interval),
    dpdTimeout: String(dpd.timeout),
    ikePolicy: connection.ike_policy?.id ?? '',
    ipsecPolicy: connection.ipsec_policy?.id ?? '',
    localIdentities: [identity(0), identity(1)],
    peerIdentity: peer.ike_identity.value === host ? AUTOMATIC : peer.ike_identity,
  };
}

/** The public addresses that connections of the gateway have at this end. */
export function ownAddresses({ members = [], mode }: Gateway): string[] {
  return members.slice(0, mode === 'route' ? 2 : 1).map(({ public_ip }) => public_ip.address);
}

/** The fields that were changed. */
export function changedFields(before: ConnectionEntry, after: ConnectionEntry): readonly EntryField[] {
  const fields = Object.keys(before) as EntryField[];
  return fields.filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
}

/** The body that changes these fields, for a step of a transaction, which may change all of them. */
export function changeOf(
  entry: ConnectionEntry,
  fields: readonly EntryField[],
  mode: Gateway['mode'],
): object {
  const whole = bodyOf(entry, mode) as Record<string, unknown> & { peer: object; local?: object };
  const body: Record<string, unknown> = {};
  const put = (group: string, name: string, value: unknown): void => {
    body[group] = { ...(body[group] as object | undefined), [name]: value };
  };
  for (const field of fields) {
    if (field === 'ikePolicy') body.ike_policy = whole.ike_policy ?? null;
    else if (field === 'ipsecPolicy') body.ipsec_policy = whole.ipsec_policy ?? null;
    else if (field === 'peer') body.peer = { ...(body.peer as object | undefined), ...hostOf(entry.peer) };
    else if (field === 'localIdentities')
      put('local', 'ike_identities', identitiesOf(entry, mode).ike_identities ?? []);
    else if (field === 'peerIdentity') {
      const { value } = entry.peerIdentity;
      put('peer', 'ike_identity', value.trim() === '' ? null : trimmed(entry.peerIdentity));
    } else {
      const [group, name] = BODY_PATHS[field][0]!.split('.') as [string, string?];
      const value = name === undefined ? whole[group] : (whole[group] as Record<string, unknown>)[name];
      if (name === undefined) body[group] = value;
      else put(group, name, value);
    }
  }
  return body;
}

/** Whether a peer is given by its address; else it is a host name. */
export function isAddress(host: string): boolean {
  return /^[0-9.]+$/.test(host.trim()) || host.includes(':');
}

/** Networks as they are entered, apart by spaces, commas or lines. */
export function listOf(text: string): string[] {
  return text.split(/[\s,;]+/).filter((word) => word !== '');
}

function hostOf(text: string): { address: string } | { fqdn: string } | Record<string, never> {
  const host = text.trim();
  if (host === '') return {};
  return isAddress(host) ? { address: host } : { fqdn: host };
}

/** One for a gateway of policy mode; two or none for one of route mode. */
function identitiesOf(
  { localIdentities }: ConnectionEntry,
  mode: Gateway['mode'],
): { ike_identities?: readonly IdentityEntry[] } {
  const wanted = mode === 'route' ? localIdentities : localIdentities.slice(0, 1);
  const given = wanted.filter(({ value }) => value.trim() !== '').map(trimmed);
  return given.length === 0 ? {} : { ike_identities: given };
}

function trimmed({ type, value }: IdentityEntry): IdentityEntry {
  return { type, value: value.trim() };
}
