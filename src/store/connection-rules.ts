import { isDomainName, makeIdentity } from '../ike/policy/identity.js';
import { formatCidr, formatIp, parseCidr, parseIp } from '../util/ip.js';
import { nearestWord } from '../util/nearest.js';
import { type ConfigIssue, type ConfigPath, under } from './config-error.js';
import { bareName } from './connection-settings.js';
import type { ConnectionSettings, GatewaySettings, IkeIdentity } from './model.js';
import { shown } from './schema-check.js';

/** What a connection is checked against. */
export interface ConnectionSurroundings {
  readonly gateway: GatewaySettings;
  readonly ikePolicies: readonly string[];
  readonly ipsecPolicies: readonly string[];
}

/**
 * The rules between the fields of a connection. `path` is its place; below, its fields have the same names
 * wherever it was written. What breaks a rule is added to `issues`.
 */
export function checkConnection(
  path: ConfigPath,
  settings: ConnectionSettings,
  around: ConnectionSurroundings,
  issues: ConfigIssue[],
): void {
  const { gateway } = around;
  const { ikePolicy, ipsecPolicy, deadPeerDetection } = settings;
  checkPolicy(under(path, 'ike_policy'), ikePolicy, 'ike_policies', around.ikePolicies, issues);
  checkPolicy(under(path, 'ipsec_policy'), ipsecPolicy, 'ipsec_policies', around.ipsecPolicies, issues);
  const { interval, timeout } = deadPeerDetection;
  if (interval > timeout) {
    const message = `an interval of ${interval} s is longer than the timeout of ${timeout} s: make it at most as long`;
    issues.push({ path: under(path, 'dead_peer_detection'), message });
  }
  checkPeer(under(path, 'peer'), settings.peer, gateway, issues);
  checkCidrs(path, settings, gateway.mode, issues);
  checkRoutes(path, settings, gateway.mode, issues);
  checkLocalIdentities(under(path, 'local', 'ike_identities'), settings, gateway.mode, issues);
}

function checkPolicy(
  path: ConfigPath,
  name: string | undefined,
  list: string,
  known: readonly string[],
  issues: ConfigIssue[],
): void {
  if (name === undefined || known.includes(name)) return;
  const near = nearestWord(name, known);
  const remedy =
    near !== undefined
      ? `; did you mean "${near}"?`
      : known.length > 0
        ? ` (${known.join(', ')}): add it, or leave this out for auto-negotiation`
        : ', which is empty: add it, or leave this out for auto-negotiation';
  issues.push({ path, message: `${shown(name, path)} is not in ${list}${remedy}` });
}

function checkPeer(
  path: ConfigPath,
  peer: ConnectionSettings['peer'],
  gateway: GatewaySettings,
  issues: ConfigIssue[],
): void {
  if (peer.address !== undefined && peer.fqdn !== undefined) {
    const message = 'conflicts with address: keep one of the two';
    issues.push({ path: under(path, 'fqdn'), rule: 'only_one', atName: true, message });
  } else if (peer.address === undefined && peer.fqdn === undefined) {
    issues.push({ path, rule: 'missing', message: 'needs an address or an fqdn' });
  }
  if (peer.ikeIdentity !== undefined) checkIdentity(under(path, 'ike_identity'), peer.ikeIdentity, issues);
  if (peer.fqdn !== undefined) checkPeerName(under(path, 'fqdn'), peer.fqdn, issues);
  else if (peer.address !== undefined) {
    checkPeerAddress(under(path, 'address'), peer.address, gateway, issues);
  }
}

function checkPeerName(path: ConfigPath, fqdn: string, issues: ConfigIssue[]): void {
  const name = bareName(fqdn);
  if (parseIp(fqdn) !== undefined) {
    issues.push({
      path,
      rule: 'bad_address',
      message: `${shown(fqdn, path)} is an address: write it as peer.address`,
    });
  } else if (!isDomainName(name) || /(?:^|\.)[0-9]+$/.test(name)) {
    issues.push({ path, rule: 'bad_address', message: `${shown(fqdn, path)} is no host name` });
  }
}

function checkPeerAddress(
  path: ConfigPath,
  text: string,
  gateway: GatewaySettings,
  issues: ConfigIssue[],
): void {
  const problem = unicastProblem(text);
  if (problem !== undefined) {
    const remedy = isDomainName(text) && /[a-z]/i.test(text) ? ': write a host name as peer.fqdn' : '';
    issues.push({ path, rule: 'bad_address', message: `${shown(text, path)} ${problem}${remedy}` });
    return;
  }
  const ip = parseIp(text)!;
  const own = parseIp(gateway.address);
  if (own !== undefined && own.length !== ip.length) {
    const message = `${shown(text, path)} and the gateway's address ${gateway.address} are of different families: IKE runs between two IPv4 or two IPv6 addresses`;
    issues.push({ path, rule: 'bad_address', message });
  } else if (formatIp(ip) === gateway.address) {
    issues.push({
      path,
      rule: 'bad_address',
      message: `${shown(text, path)} is this gateway's own address`,
    });
  }
}

/** What keeps a text from being the address of one host, or undefined. */
export function unicastProblem(text: string): string | undefined {
  const ip = parseIp(text);
  if (ip === undefined) return 'is no IP address';
  if (ip.every((octet) => octet === 0)) return 'stands for any address: name one';
  const multicast = ip.length === 4 ? ip[0]! >= 224 : ip[0] === 0xff;
  return multicast ? 'is a multicast or broadcast address' : undefined;
}

function checkLocalIdentities(
  path: ConfigPath,
  { local: { ikeIdentities: given } }: ConnectionSettings,
  mode: GatewaySettings['mode'],
  issues: ConfigIssue[],
): void {
  if (mode === 'policy' && given.length > 1) {
    issues.push({
      path,
      rule: 'list_size',
      message: `has ${given.length} identities: in policy mode it is one`,
    });
  }
  if (mode === 'route' && given.length === 1) {
    issues.push({
      path,
      rule: 'list_size',
      message: 'has 1 identity: in route mode there are two, one for each member, or none',
    });
  }
  for (const [index, identity] of given.entries()) checkIdentity(under(path, index), identity, issues);
}

function checkIdentity(path: ConfigPath, { type, value }: IkeIdentity, issues: ConfigIssue[]): void {
  const made = makeIdentity(type, value);
  if (made.ok) return;
  issues.push({
    path: under(path, 'value'),
    rule: 'bad_identity',
    message: `${shown(value, path)} ${made.error}`,
  });
}

function checkCidrs(
  path: ConfigPath,
  { local, peer }: ConnectionSettings,
  mode: GatewaySettings['mode'],
  issues: ConfigIssue[],
): void {
  for (const [side, cidrs] of [
    ['local', local.cidrs],
    ['peer', peer.cidrs],
  ] as const) {
    const at = under(path, side, 'cidrs');
    if (mode === 'policy' && cidrs.length === 0) {
      issues.push({
        path: at,
        rule: 'missing',
        message: 'is missing: in policy mode at least one network is needed',
      });
    }
    if (mode === 'route' && cidrs.length > 0) {
      const message = 'is not used in route mode, where routes decide: leave it out';
      issues.push({ path: at, rule: 'unknown_field', atName: true, message });
    }
    for (const [index, text] of cidrs.entries()) {
      const cidr = parseCidr(text);
      const place = under(at, index);
      if (!cidr.ok) {
        issues.push({ path: place, rule: 'bad_cidr', message: `${shown(text, place)} ${cidr.error}` });
      }
    }
  }
}

/** A device of its own, routes into it and their distribution are for route mode only. */
function checkRoutes(
  path: ConfigPath,
  settings: ConnectionSettings,
  mode: GatewaySettings['mode'],
  issues: ConfigIssue[],
): void {
  for (const field of ['interface', 'routes'] as const) {
    if (mode === 'route' || isLeftOut(settings[field])) continue;
    const message = 'is for route mode only; in policy mode the networks of peer.cidrs are routed';
    issues.push({ path: under(path, field), atName: true, message });
  }
  if (settings.distributeTraffic && mode === 'policy') {
    const message = 'is for route mode only; in policy mode one tunnel carries everything';
    issues.push({ path: under(path, 'distribute_traffic'), atName: true, message });
  }
  const seen = new Set<string>();
  for (const [index, text] of (settings.routes ?? []).entries()) {
    const cidr = parseCidr(text);
    const place = under(path, 'routes', index);
    if (!cidr.ok) {
      issues.push({ path: place, message: `${shown(text, place)} ${cidr.error}` });
      continue;
    }
    const network = formatCidr(cidr.value);
    if (seen.has(network)) {
      issues.push({ path: place, message: `${shown(text, place)} is in the list twice: keep one` });
    }
    seen.add(network);
  }
}

function isLeftOut(value: string | readonly string[] | undefined): boolean {
  return value === undefined || value.length === 0;
}
