import type { Offload } from '../dataplane/offload.js';
import { DEFAULT_LIMITS } from '../ike/limits.js';
import { formatIp, parseIp } from '../util/ip.js';
import { err, ok, type Result } from '../util/result.js';
import { SecretKey } from '../util/secret.js';
import { type ConfigError, type ConfigIssue, type ConfigPath, under } from './config-error.js';
import { issuesOf, withDefaults } from './connection-defaults.js';
import { checkConnection, unicastProblem } from './connection-rules.js';
import { type ConfigFileInput, ConfigFileSchema, type ConnectionInput } from './connection-schema.js';
import { completed, settingsOf } from './connection-settings.js';
import { connectionIdOf } from './hashed-id.js';
import type { GatewayConnection, GatewayFile, GatewayLimits, GatewaySettings, PskSource } from './model.js';
import { checkOwnNetworks, checkPair, placeConnection } from './overlap-rules.js';
import {
  checkIkePolicy,
  checkIpsecPolicy,
  completedIkePolicy,
  completedIpsecPolicy,
  readIkePolicy,
  readIpsecPolicy,
} from './policy-rules.js';
import { decodePsk } from './psk-encoding.js';
import { DEFAULTS, type GatewayInput, type LimitsInput } from './schema.js';
import { SchemaCheck, shown } from './schema-check.js';
import { readYaml } from './yaml-source.js';

const check = new SchemaCheck(ConfigFileSchema);

/**
 * Reads a gateway's configuration file: YAML, then the schema, then the rules between fields. Gives the
 * configuration with all defaults, or every error found, in the order of the file. Files named by
 * `psk_file` are read by `readPsks`.
 */
export function readGatewayFile(text: string, sourceName: string): Result<GatewayFile, ConfigError[]> {
  const yaml = readYaml(text);
  if (!yaml.ok) return yaml;
  const { value, locate } = yaml.value;
  if (value === null || value === undefined) {
    return err([{ path: '', message: 'the file is empty: a gateway is needed at least' }]);
  }
  const whole = withDefaults(value);
  const input = check.withoutNulls(whole.value);
  const issues = check.issues(input);
  const file = readValid(input, sourceName, issues);
  if (issues.length === 0 && file !== undefined) return ok(file);
  const errors = issuesOf(issues, whole).map(locate);
  return err(errors.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)));
}

/**
 * Applies the rules to all objects that fit the schema, so that one fault does not hide the others. The
 * result is only good when `issues` stays empty; undefined when the gateway itself cannot be read.
 */
function readValid(input: unknown, source: string, issues: ConfigIssue[]): GatewayFile | undefined {
  const broken = issues.map(({ path }) => path);
  const isValid = (path: ConfigPath) => !broken.some((bad) => startsWith(bad, path) || startsWith(path, bad));
  if (!isValid(['gateway'])) return undefined;
  const file = input as ConfigFileInput;
  const gateway = readGateway(file.gateway, issues);
  const valid = <T>(list: string, items: readonly T[] | undefined): { path: ConfigPath; input: T }[] =>
    isList(items)
      ? items.map((item, index) => ({ path: [list, index], input: item })).filter(({ path }) => isValid(path))
      : [];
  checkNames('ike_policies', file.ike_policies, 'policies', issues);
  checkNames('ipsec_policies', file.ipsec_policies, 'policies', issues);
  checkNames('connections', file.connections, 'connections', issues);
  const { profile } = gateway;
  const ikePolicies = valid('ike_policies', file.ike_policies).map(({ path, input }) => {
    const { settings, place } = readIkePolicy(path, input, issues);
    checkIkePolicy(settings, place, profile, issues);
    return completedIkePolicy(settings);
  });
  const ipsecPolicies = valid('ipsec_policies', file.ipsec_policies).map(({ path, input }) => {
    const { settings, place } = readIpsecPolicy(path, input, issues);
    checkIpsecPolicy(settings, place, profile, issues);
    return completedIpsecPolicy(settings);
  });
  const around = {
    gateway,
    // With the names of policies that are at fault: a reference to one of these is no fault of its own.
    ikePolicies: namesOf(file.ike_policies),
    ipsecPolicies: namesOf(file.ipsec_policies),
  };
  const versionOne = new Set(
    ikePolicies.filter(({ ikeVersion }) => ikeVersion === 1).map((policy) => policy.name),
  );
  const connections = valid('connections', file.connections).map(({ path, input }) => {
    const settings = settingsOf(input);
    checkConnection(path, settings, around, issues);
    const psk = readPsk(path, input, issues);
    const connection = completed(settings, gateway, { id: connectionIdOf(input.name), psk });
    return placeConnection(path, connection, versionOne.has(connection.ikePolicy ?? ''));
  });
  checkDevices(
    connections.map(({ connection }) => connection),
    issues,
  );
  for (const [index, one] of connections.entries()) {
    checkOwnNetworks(one, issues);
    for (const earlier of connections.slice(0, index)) checkPair(earlier, one, issues);
  }
  return {
    source,
    gateway,
    ikePolicies,
    ipsecPolicies,
    connections: connections.map(({ connection }) => connection),
    limits: readLimits(isValid(['limits']) ? (file.limits ?? {}) : {}, issues),
  };
}

function readPsk(path: ConfigPath, input: ConnectionInput, issues: ConfigIssue[]): PskSource {
  const { psk, psk_file: file } = input;
  if (psk !== undefined && file !== undefined) {
    const message = 'conflicts with psk: keep one of the two';
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

function readGateway(input: GatewayInput, issues: ConfigIssue[]): GatewaySettings {
  const path = ['gateway', 'address'];
  const problem = unicastProblem(input.address);
  if (problem !== undefined) issues.push({ path, message: `${shown(input.address, path)} ${problem}` });
  const ip = parseIp(input.address);
  return {
    name: input.name,
    mode: input.mode ?? DEFAULTS.mode,
    address: ip === undefined ? input.address : formatIp(ip),
    interface: input.interface ?? DEFAULTS.interface,
    encapsulation: input.encapsulation ?? DEFAULTS.encapsulation,
    profile: input.profile ?? DEFAULTS.profile,
    ...(input.offload === undefined ? {} : { offload: defined(input.offload) }),
    ...(input.mss === undefined ? {} : { mss: input.mss }),
    ...(input.workers === undefined ? {} : { workers: input.workers }),
    failClosed: input.fail_closed ?? DEFAULTS.failClosed,
    control: input.control ?? DEFAULTS.control,
  };
}

/** The bounds that an operator may set, with the defaults of those that are left out. */
export function limitsOf(input: LimitsInput): GatewayLimits {
  return {
    halfOpenTotal: input.half_open ?? DEFAULT_LIMITS.halfOpenTotal,
    halfOpenPerSource: input.half_open_per_source ?? DEFAULT_LIMITS.halfOpenPerSource,
    halfOpenBytes: input.half_open_bytes ?? DEFAULT_LIMITS.halfOpenBytes,
    cookieThreshold: input.cookie_threshold ?? DEFAULT_LIMITS.cookieThreshold,
    ikeSas: input.ike_sas ?? DEFAULT_LIMITS.ikeSas,
    ikeSasPerPeer: input.ike_sas_per_peer ?? DEFAULT_LIMITS.ikeSasPerPeer,
    messageBytes: input.message_bytes ?? DEFAULT_LIMITS.messageBytes,
    firstMessageBytes: input.first_message_bytes ?? DEFAULT_LIMITS.firstMessageBytes,
    fragmentPacket: input.fragment_packet ?? DEFAULT_LIMITS.fragmentPacket,
    requestsPerSecondInAll: input.requests_per_second ?? DEFAULT_LIMITS.requestsPerSecondInAll,
    requestsPerSecond: input.requests_per_second_per_source ?? DEFAULT_LIMITS.requestsPerSecond,
    childSas: input.child_sas ?? DEFAULT_LIMITS.childSas,
    requestsPerConnection: input.requests_per_second_per_connection ?? DEFAULT_LIMITS.requestsPerConnection,
  };
}

function readLimits(input: LimitsInput, issues: ConfigIssue[]): GatewayLimits {
  const path = ['limits'];
  const limits = limitsOf(input);
  if (limits.cookieThreshold > limits.halfOpenTotal) {
    const message =
      `a cookie_threshold of ${limits.cookieThreshold} lies above half_open ${limits.halfOpenTotal}: ` +
      'a flood would lock real peers out before it meets a cookie; make it smaller';
    issues.push({ path, message });
  }
  return limits;
}

/** In route mode each connection has a device of its own: no two may name the same. */
function checkDevices(connections: readonly GatewayConnection[], issues: ConfigIssue[]): void {
  const seen = new Map<string, number>();
  for (const [index, { interface: device }] of connections.entries()) {
    if (device === undefined) continue;
    const other = seen.get(device);
    if (other !== undefined) {
      const message = `"${device}" is the device of connections[${other}] already: each needs its own`;
      issues.push({ path: ['connections', index, 'interface'], message });
    }
    seen.set(device, index);
  }
}

/** Without the fields that are not set. */
function defined(offload: NonNullable<GatewayInput['offload']>): Partial<Offload> {
  return Object.fromEntries(Object.entries(offload).filter(([, on]) => on !== undefined));
}

function checkNames(list: string, items: unknown, what: string, issues: ConfigIssue[]): void {
  const names = isList(items) ? items.map(nameOf) : [];
  for (const [index, name] of names.entries()) {
    const first = names.indexOf(name);
    if (name === undefined || first === index) continue;
    const message = `"${name}" is the name of ${list}[${first}] already: ${what} need different names`;
    issues.push({ path: [list, index, 'name'], message });
  }
}

function namesOf(items: unknown): string[] {
  return isList(items) ? items.map(nameOf).filter((name) => name !== undefined) : [];
}

function nameOf(item: unknown): string | undefined {
  const name = typeof item === 'object' && item !== null && 'name' in item ? item.name : undefined;
  return typeof name === 'string' && /^[-a-z0-9]{1,63}$/.test(name) ? name : undefined;
}

function isList<T>(value: readonly T[] | unknown): value is readonly T[] {
  return Array.isArray(value);
}

function startsWith(path: ConfigPath, beginning: ConfigPath): boolean {
  return beginning.every((step, index) => path[index] === step);
}
