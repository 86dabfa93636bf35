import { type IdentityTypeName, isDomainName, makeIdentity } from '../ike/policy/identity.js';
import { canonicalCidr, formatCidr, formatIp, parseCidr, parseIp } from '../util/ip.js';
import { nearestWord } from '../util/nearest.js';
import { SecretKey } from '../util/secret.js';
import { type ConfigIssue, type ConfigPath, under } from './config-error.js';
import { connectionIdOf } from './hashed-id.js';
import type { GatewayConnection, GatewaySettings, IkeIdentity, PskSource } from './model.js';
import type { Placed } from './policy-rules.js';
import { decodePsk } from './psk-encoding.js';
import { type ConnectionInput, DEFAULTS, type IkeIdentityInput } from './schema.js';
import { shown } from './schema-check.js';

/** What a connection is checked against. */
export interface ConnectionSurroundings {
  readonly gateway: GatewaySettings;
  readonly ikePolicies: readonly string[];
  readonly ipsecPolicies: readonly string[];
}

/** The connection with its defaults; what breaks a rule goes to `issues`. */
export function readConnection(
  { path, input }: Placed<ConnectionInput>,
  around: ConnectionSurroundings,
  issues: ConfigIssue[],
): GatewayConnection {
  const { gateway } = around;
  checkPolicy(under(path, 'ike_policy'), input.ike_policy, 'ike_policies', around.ikePolicies, issues);
  checkPolicy(
    under(path, 'ipsec_policy'),
    input.ipsec_policy,
    'ipsec_policies',
    around.ipsecPolicies,
    issues,
  );
  const deadPeerDetection = { ...DEFAULTS.dpd, ...input.dead_peer_detection };
  if (deadPeerDetection.interval > deadPeerDetection.timeout) {
    const message = `an interval of ${deadPeerDetection.interval} s is longer than the timeout of ${deadPeerDetection.timeout} s: make it at most as long`;
    issues.push({ path: under(path, 'dead_peer_detection'), message });
  }
  const peer = readPeer(path, input, gateway, issues);
  checkCidrs(path, input, gateway.mode, issues);
  checkRoutes(path, input, gateway.mode, issues);
  return {
    id: connectionIdOf(input.name),
    name: input.name,
    psk: readPsk(path, input, issues),
    adminStateUp: input.admin_state_up ?? DEFAULTS.adminStateUp,
    establishMode: input.establish_mode ?? DEFAULTS.establishMode,
    deadPeerDetection,
    ...(input.ike_policy === undefined ? {} : { ikePolicy: input.ike_policy }),
    ...(input.ipsec_policy === undefined ? {} : { ipsecPolicy: input.ipsec_policy }),
    local: {
      cidrs: canonicalCidrs(input.local?.cidrs),
      ikeIdentities: readLocalIdentities(path, input, gateway, issues),
    },
    peer,
    ...(input.interface === undefined ? {} : { interface: input.interface }),
    routes: canonicalCidrs(input.routes),
  };
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

function readPsk(path: ConfigPath, input: ConnectionInput, issues: ConfigIssue[]): PskSource {
  const { psk, psk_file: file } = input;
  if (psk !== undefined && file !== undefined) {
    const message = 'stands beside psk: keep one of the two';
    issues.push({ path: under(path, 'psk_file'), rule: 'only_one', atName: true, message });
  }
  const encoding = input.psk_encoding ?? 'text';
  if (file !== undefined) return { kind: 'file', path: file, encoding };
  if (psk === undefined) {
    const message = 'is missing: give psk (in quotes when it begins with & * ! @ # or %) or psk_file';
    issues.push({ path: under(path, 'psk'), rule: 'missing', message });
    return { kind: 'inline', key: new SecretKey(new Uint8Array()) };
  }
  const octets = decodePsk(psk, encoding);
  if (!octets.ok) issues.push({ path: under(path, 'psk'), rule: 'bad_psk', message: octets.error });
  return { kind: 'inline', key: new SecretKey(octets.ok ? octets.value : new Uint8Array()) };
}

function readPeer(
  path: ConfigPath,
  { peer }: ConnectionInput,
  gateway: GatewaySettings,
  issues: ConfigIssue[],
): GatewayConnection['peer'] {
  const at = under(path, 'peer');
  const common = {
    ...(peer.port === undefined ? {} : { port: peer.port }),
    cidrs: canonicalCidrs(peer.cidrs),
  };
  if (peer.address !== undefined && peer.fqdn !== undefined) {
    const message = 'stands beside address: keep one of the two';
    issues.push({ path: under(at, 'fqdn'), rule: 'only_one', atName: true, message });
  } else if (peer.address === undefined && peer.fqdn === undefined) {
    issues.push({ path: at, rule: 'missing', message: 'needs an address or an fqdn' });
  }
  const identityPath = under(at, 'ike_identity');
  const given = peer.ike_identity && checkIdentity(identityPath, peer.ike_identity, issues);
  if (peer.fqdn !== undefined) {
    const fqdn = checkPeerName(under(at, 'fqdn'), peer.fqdn, issues);
    const type: IdentityTypeName = fqdn.includes('.') ? 'fqdn' : 'hostname';
    return { fqdn, ...common, ikeIdentity: given ?? { type, value: fqdn } };
  }
  const address = checkPeerAddress(under(at, 'address'), peer.address, gateway, issues);
  return { address, ...common, ikeIdentity: given ?? addressIdentity(address) };
}

function checkPeerName(path: ConfigPath, fqdn: string, issues: ConfigIssue[]): string {
  const name = fqdn.endsWith('.') ? fqdn.slice(0, -1) : fqdn;
  if (parseIp(fqdn) !== undefined) {
    issues.push({
      path,
      rule: 'bad_address',
      message: `${shown(fqdn, path)} is an address: write it as peer.address`,
    });
  } else if (!isDomainName(name) || /(?:^|\.)[0-9]+$/.test(name)) {
    issues.push({ path, rule: 'bad_address', message: `${shown(fqdn, path)} is no host name` });
  }
  return name;
}

function checkPeerAddress(
  path: ConfigPath,
  text: string | undefined,
  gateway: GatewaySettings,
  issues: ConfigIssue[],
): string {
  if (text === undefined) return '';
  const problem = unicastProblem(text);
  if (problem !== undefined) {
    const remedy = isDomainName(text) && /[a-z]/i.test(text) ? ': write a host name as peer.fqdn' : '';
    issues.push({ path, rule: 'bad_address', message: `${shown(text, path)} ${problem}${remedy}` });
    return text;
  }
  const ip = parseIp(text)!;
  const address = formatIp(ip);
  const own = parseIp(gateway.address);
  if (own !== undefined && own.length !== ip.length) {
    const message = `${shown(text, path)} and the gateway's address ${gateway.address} are of different families: IKE runs between two IPv4 or two IPv6 addresses`;
    issues.push({ path, rule: 'bad_address', message });
  } else if (address === gateway.address) {
    issues.push({
      path,
      rule: 'bad_address',
      message: `${shown(text, path)} is this gateway's own address`,
    });
  }
  return address;
}

/** What keeps a text from being the address of one host, or undefined. */
export function unicastProblem(text: string): string | undefined {
  const ip = parseIp(text);
  if (ip === undefined) return 'is no IP address';
  if (ip.every((octet) => octet === 0)) return 'stands for any address: name one';
  const multicast = ip.length === 4 ? ip[0]! >= 224 : ip[0] === 0xff;
  return multicast ? 'is a multicast or broadcast address' : undefined;
}

function readLocalIdentities(
  path: ConfigPath,
  { local }: ConnectionInput,
  gateway: GatewaySettings,
  issues: ConfigIssue[],
): IkeIdentity[] {
  const at = under(path, 'local', 'ike_identities');
  const given = local?.ike_identities ?? [];
  if (gateway.mode === 'policy' && given.length > 1) {
    issues.push({
      path: at,
      rule: 'list_size',
      message: `has ${given.length} identities: in policy mode it is one`,
    });
  }
  if (gateway.mode === 'route' && given.length === 1) {
    issues.push({
      path: at,
      rule: 'list_size',
      message: 'has 1 identity: in route mode there are two, one for each member, or none',
    });
  }
  if (given.length === 0) return [addressIdentity(gateway.address)];
  return given.map((identity, index) => checkIdentity(under(at, index), identity, issues));
}

function checkIdentity(path: ConfigPath, identity: IkeIdentityInput, issues: ConfigIssue[]): IkeIdentity {
  const { type, value } = identity;
  const made = makeIdentity(type, value);
  if (!made.ok) {
    issues.push({
      path: under(path, 'value'),
      rule: 'bad_identity',
      message: `${shown(value, path)} ${made.error}`,
    });
  }
  return { type, value };
}

function addressIdentity(address: string): IkeIdentity {
  return { type: address.includes(':') ? 'ipv6_address' : 'ipv4_address', value: address };
}

function checkCidrs(
  path: ConfigPath,
  { local, peer }: ConnectionInput,
  mode: GatewaySettings['mode'],
  issues: ConfigIssue[],
): void {
  for (const [side, cidrs] of [
    ['local', local?.cidrs],
    ['peer', peer.cidrs],
  ] as const) {
    const at = under(path, side, 'cidrs');
    if (mode === 'policy' && cidrs === undefined) {
      issues.push({
        path: at,
        rule: 'missing',
        message: 'is missing: in policy mode at least one network is needed',
      });
    }
    if (mode === 'route' && cidrs !== undefined) {
      const message = 'is not used in route mode, where routes decide: leave it out';
      issues.push({ path: at, rule: 'unknown_field', atName: true, message });
    }
    for (const [index, text] of (cidrs ?? []).entries()) {
      const cidr = parseCidr(text);
      const place = under(at, index);
      if (!cidr.ok) {
        issues.push({ path: place, rule: 'bad_cidr', message: `${shown(text, place)} ${cidr.error}` });
      }
    }
  }
}

/** A device of its own and routes into it are for route mode only. */
function checkRoutes(
  path: ConfigPath,
  input: ConnectionInput,
  mode: GatewaySettings['mode'],
  issues: ConfigIssue[],
): void {
  for (const field of ['interface', 'routes'] as const) {
    if (mode === 'route' || input[field] === undefined) continue;
    const message = 'is for route mode only; in policy mode the networks of peer.cidrs are routed';
    issues.push({ path: under(path, field), atName: true, message });
  }
  const seen = new Set<string>();
  for (const [index, text] of (input.routes ?? []).entries()) {
    const cidr = parseCidr(text);
    const place = under(path, 'routes', index);
    if (!cidr.ok) {
      issues.push({ path: place, message: `${shown(text, place)} ${cidr.error}` });
      continue;
    }
    const network = formatCidr(cidr.value);
    if (seen.has(network)) {
      issues.push({ path: place, message: `${shown(text, place)} stands in the list twice: keep one` });
    }
    seen.add(network);
  }
}

function canonicalCidrs(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).map(canonicalCidr);
}
