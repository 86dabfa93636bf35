import { compact } from '../vpn/spec.js';
import { givenIdentities, givenIdentity } from './current.js';
import { differ, told } from './differences.js';
import type { ConnectionWish, Identity } from './document.js';

type Body = Record<string, unknown>;

/** Fields of a connection that are sent as they are. */
const SETTINGS = [
  'psk',
  'admin_state_up',
  'establish_mode',
  'dead_peer_detection',
  'distribute_traffic',
] as const;
const POLICIES = ['ike_policy', 'ipsec_policy'] as const;
const SIDES = ['local', 'peer'] as const;

/** The body that makes a connection, with its policies by name. */
export function newConnection({ local, peer, ike_policy, ipsec_policy, ...fields }: ConnectionWish): Body {
  const cidrs = (all: readonly string[]) => (all.length === 0 ? undefined : all);
  return {
    ...fields,
    ...(ike_policy === null ? {} : { ike_policy: { name: ike_policy } }),
    ...(ipsec_policy === null ? {} : { ipsec_policy: { name: ipsec_policy } }),
    local: compact({ cidrs: cidrs(local.cidrs), ike_identities: local.ike_identities ?? undefined }),
    peer: compact({
      [peer.kind]: peer.value,
      cidrs: cidrs(peer.cidrs),
      ike_identity: peer.ike_identity ?? undefined,
    }),
  };
}

/** What changes a connection, and the same in words; both empty when nothing does. */
export interface ConnectionDifference {
  readonly body: Body;
  readonly texts: readonly string[];
}

/** `addresses` are those of the gateway, which its identities follow from. */
export function connectionDifference(
  before: ConnectionWish,
  after: ConnectionWish,
  addresses: readonly string[],
): ConnectionDifference {
  const texts: string[] = [];
  const body: Body = {};
  if (before.name !== after.name) {
    texts.push(told('name', before.name, after.name));
    body.name = after.name;
  }
  for (const field of SETTINGS) {
    if (after[field] === undefined || !differ(before[field], after[field])) continue;
    texts.push(field === 'psk' ? 'psk: another key' : told(field, before[field], after[field]));
    body[field] = after[field];
  }
  for (const field of POLICIES) {
    const name = after[field];
    if (before[field] === name) continue;
    texts.push(told(field, before[field] ?? 'auto', name ?? 'auto'));
    body[field] = name === null ? null : { name };
  }
  const sides = { local: localDifference(before, after, addresses), peer: peerDifference(before, after) };
  for (const side of SIDES) {
    texts.push(...sides[side].texts);
    const networks = networkDifference(side, before[side].cidrs, after[side].cidrs);
    texts.push(...networks);
    const fields = {
      ...sides[side].body,
      ...(networks.length === 0 ? {} : { cidrs: after[side].cidrs }),
    };
    if (Object.keys(fields).length > 0) body[side] = fields;
  }
  return { body, texts };
}

function localDifference(
  before: ConnectionWish,
  after: ConnectionWish,
  addresses: readonly string[],
): ConnectionDifference {
  const old = before.local.ike_identities;
  const wanted = givenIdentities(after.local.ike_identities, addresses);
  if (!differ(old, wanted)) return { body: {}, texts: [] };
  const text = (all: typeof old): string => all?.map(identityText).join(', ') ?? 'automatic';
  return {
    body: { ike_identities: wanted ?? [] },
    texts: [told('local.ike_identities', text(old), text(wanted))],
  };
}

function peerDifference({ peer: old }: ConnectionWish, { peer }: ConnectionWish): ConnectionDifference {
  const texts: string[] = [];
  const isElsewhere = old.kind !== peer.kind || old.value !== peer.value;
  if (isElsewhere) {
    const field = old.kind === peer.kind ? `peer.${peer.kind}` : 'peer';
    texts.push(told(field, old.value, peer.value));
  }
  const wanted = givenIdentity(peer.ike_identity, peer.value);
  const isOther = differ(old.ike_identity, wanted);
  if (isOther) {
    texts.push(told('peer.ike_identity', identityText(old.ike_identity), identityText(wanted)));
  }
  return {
    // An identity may be stored that only looks automatic: it is the peer's old address.
    body: {
      ...(isElsewhere ? { [peer.kind]: peer.value } : {}),
      ...(isElsewhere || isOther ? { ike_identity: wanted } : {}),
    },
    texts,
  };
}

/** Their order does not count. */
function networkDifference(
  side: 'local' | 'peer',
  old: readonly string[],
  wanted: readonly string[],
): string[] {
  const texts = [
    ...wanted.filter((cidr) => !old.includes(cidr)).map((cidr) => `${side}.cidrs: + ${cidr}`),
    ...old.filter((cidr) => !wanted.includes(cidr)).map((cidr) => `${side}.cidrs: - ${cidr}`),
  ];
  // One that is in the list twice is for the server to refuse.
  if (texts.length === 0 && wanted.length !== old.length) texts.push(told(`${side}.cidrs`, old, wanted));
  return texts;
}

function identityText(identity: Identity | null): string {
  return identity === null ? 'automatic' : `${identity.type}:${identity.value}`;
}

/** Whether two connections have the same ends and networks, whatever their names and settings. */
export function haveSameEnds(
  known: ConnectionWish,
  wish: ConnectionWish,
  addresses: readonly string[],
): boolean {
  const { local, peer } = connectionDifference(known, wish, addresses).body;
  return local === undefined && peer === undefined;
}
