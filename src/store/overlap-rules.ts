import { identityKey, makeIdentity } from '../ike/policy/identity.js';
import { equalBytes } from '../util/bytes.js';
import { type Cidr, cidrRange, type IpRange, intersectRanges, parseCidr } from '../util/ip.js';
import { type ConfigIssue, type ConfigPath, formatPath, under } from './config-error.js';
import type { GatewayConnection, IkeIdentity, PskSource } from './model.js';

/** A network of a connection, and its place. */
interface PlacedCidr {
  readonly path: ConfigPath;
  readonly text: string;
  readonly cidr: Cidr;
  readonly range: IpRange;
}

/** A connection that was read, its place, and what it is compared by. */
export interface PlacedConnection {
  readonly path: ConfigPath;
  readonly connection: GatewayConnection;
  /** Peer and both identities: equal when nothing in IKE distinguishes two connections. */
  readonly ends: string;
  readonly local: readonly PlacedCidr[];
  readonly peer: readonly PlacedCidr[];
  /** Its IKE policy names version 1. */
  readonly versionOneOnly: boolean;
}

/** Makes a connection ready for `checkOwnNetworks` and `checkPair`. */
export function placeConnection(
  path: ConfigPath,
  connection: GatewayConnection,
  versionOneOnly = false,
): PlacedConnection {
  const { local, peer } = connection;
  const remote = peer.address ?? (peer.fqdn ?? '').toLowerCase();
  const ends = [remote, keyOf(peer.ikeIdentity), keyOf(local.ikeIdentities[0])].join(' ');
  return {
    path,
    connection,
    ends,
    local: placed(path, 'local', local.cidrs),
    peer: placed(path, 'peer', peer.cidrs),
    versionOneOnly,
  };
}

/** Networks within one connection: no two may overlap, on one side or across, and each needs a partner. */
export function checkOwnNetworks({ local, peer }: PlacedConnection, issues: ConfigIssue[]): void {
  for (const side of [local, peer]) {
    for (const [index, one] of side.entries()) {
      const other = side.slice(0, index).find((earlier) => overlap(earlier, one));
      if (other !== undefined) {
        const rule = other.text === one.text ? 'cidr_duplicated' : 'cidr_overlap';
        issues.push({ path: one.path, rule, message: `${clash(one, other)}: keep one of the two` });
      }
    }
  }
  for (const one of peer) {
    const own = local.find((net) => overlap(net, one) && !isDefault(net) && !isDefault(one));
    if (own === undefined) continue;
    issues.push({
      path: one.path,
      rule: 'cidr_overlap',
      message: `${clash(one, own)}: a network is on one side of the tunnel`,
    });
  }
  for (const [own, across, side] of [
    [local, peer, 'peer'],
    [peer, local, 'local'],
  ] as const) {
    for (const one of own) {
      if (across.length === 0 || across.some(({ cidr }) => sameFamily(cidr, one.cidr))) continue;
      const message = `"${one.text}" has no network of its family in ${side}.cidrs to talk to: add one or leave it out`;
      issues.push({ path: one.path, message });
    }
  }
}

/**
 * Two connections: networks of different peers may not overlap, since a packet could go to either; to one
 * peer the same pair of networks may not be there twice; and two connections that no identity distinguishes
 * must agree in all that is settled before their networks are known (RFC 7296 §2.9, §2.15). In IKEv1 that is
 * the whole of phase 1, which belongs to one connection (RFC 2409 §5.4): there nothing else may be alike.
 */
export function checkPair(first: PlacedConnection, second: PlacedConnection, issues: ConfigIssue[]): void {
  const alike = first.ends === second.ends;
  if (alike) checkAgreement(first, second, issues);
  if (alike && first.local.length === 0 && second.local.length === 0) {
    // Route mode: both carry everything.
    const message = `has the peer and the IKE identities of connection ${first.connection.name}: in route mode nothing else tells the two apart; give one of them other IKE identities`;
    issues.push({ path: second.path, rule: 'ends_alike', message });
  }
  for (const one of second.peer) {
    const other = first.peer.find((earlier) => clashes(earlier, one));
    if (other === undefined) continue;
    if (!alike) {
      const message = `${clash(one, other)} of connection ${first.connection.name}: a network belongs to one peer`;
      issues.push({ path: one.path, rule: 'cidr_overlap', message });
      continue;
    }
    const pair = second.local.find((own) => first.local.some((earlier) => overlap(earlier, own)));
    if (pair === undefined) continue;
    const message = `"${pair.text}" to "${one.text}" overlaps a pair of connection ${first.connection.name} to the same peer: give each pair to one connection`;
    issues.push({ path: one.path, rule: 'cidr_pair_duplicated', message });
  }
}

function checkAgreement(first: PlacedConnection, second: PlacedConnection, issues: ConfigIssue[]): void {
  const a = first.connection;
  const b = second.connection;
  const differs = [
    ...(samePsk(a.psk, b.psk) ? [] : ['psk']),
    ...(a.ikePolicy === b.ikePolicy ? [] : ['ike_policy']),
    ...(a.ipsecPolicy === b.ipsecPolicy ? [] : ['ipsec_policy']),
    ...(a.profile === b.profile ? [] : ['profile']),
  ];
  if (differs.length === 0) {
    if (first.versionOneOnly || second.versionOneOnly) {
      const message = `has the peer and the IKE identities of connection ${a.name}, and IKEv1 learns the networks only after it has settled on one of the two: put all networks into one connection, use ike_version 2, or give one of them other IKE identities`;
      issues.push({ path: second.path, rule: 'ends_alike', message });
    }
    return;
  }
  const message = `has the peer and the IKE identities of connection ${a.name} but another ${differs.join(' and ')}: nothing would tell the two apart; make them equal, or give one of them other IKE identities`;
  issues.push({ path: second.path, rule: 'ends_alike', message });
}

function keyOf(identity: IkeIdentity | undefined): string {
  if (identity === undefined) return '';
  const made = makeIdentity(identity.type, identity.value);
  return made.ok ? identityKey(made.value) : `${identity.type}:${identity.value}`;
}

/** Two places in one operator's file: nothing is learned from how long the comparison takes. */
function samePsk(a: PskSource, b: PskSource): boolean {
  if (a.kind === 'inline' && b.kind === 'inline') return equalBytes(a.key.expose(), b.key.expose());
  return a.kind === 'file' && b.kind === 'file' && a.path === b.path && a.encoding === b.encoding;
}

function placed(path: ConfigPath, side: 'local' | 'peer', cidrs: readonly string[]): PlacedCidr[] {
  const out: PlacedCidr[] = [];
  for (const [index, text] of cidrs.entries()) {
    const cidr = parseCidr(text);
    if (!cidr.ok) continue;
    const place = under(path, side, 'cidrs', index);
    out.push({ path: place, text, cidr: cidr.value, range: cidrRange(cidr.value) });
  }
  return out;
}

/**
 * 0.0.0.0/0 and ::/0 mean "all the rest": beside them every other network is more specific and goes
 * first, so they clash only with themselves.
 */
function clashes(a: PlacedCidr, b: PlacedCidr): boolean {
  return overlap(a, b) && isDefault(a) === isDefault(b);
}

function isDefault({ cidr }: PlacedCidr): boolean {
  return cidr.prefix === 0;
}

function overlap(a: PlacedCidr, b: PlacedCidr): boolean {
  return intersectRanges(a.range, b.range) !== undefined;
}

function sameFamily(a: Cidr, b: Cidr): boolean {
  return a.address.length === b.address.length;
}

function clash(one: PlacedCidr, other: PlacedCidr): string {
  const verb = one.text === other.text ? 'is the same as' : 'overlaps';
  return `"${one.text}" ${verb} "${other.text}" in ${formatPath(other.path)}`;
}
