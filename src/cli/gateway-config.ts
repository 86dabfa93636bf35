import { peerAddressBesideTunnel } from '../connection/own-address.js';
import { dhName, encryptionName, integrityName, prfName } from '../crypto/names.js';
import { weakPskMessage } from '../crypto/psk-strength.js';
import { isWeak } from '../crypto/strength.js';
import { networkWarnings } from '../daemon/host/preflight.js';
import { connectionName, type EspProposalSpec, type IkeProposalSpec } from '../ike/config.js';
import { type ConfigError, formatConfigErrors } from '../store/config-error.js';
import { toEngineConfig } from '../store/engine-config.js';
import { readGatewayFile } from '../store/gateway-file.js';
import type { GatewayFile } from '../store/model.js';
import { exposedKeys, readPsks } from '../store/psk.js';
import { err, ok, type Result } from '../util/result.js';
import type { SecretKey } from '../util/secret.js';
import { readInput, sourceName } from './read-input.js';

/** Legal, but something an operator should know before the gateway runs. */
export interface ConfigAdvisory {
  /** Null when it is about the file. */
  readonly connection: string | null;
  readonly code:
    | 'exposed_keys'
    | 'weak_algorithm'
    | 'weak_algorithm_accepted'
    | 'weak_psk'
    | 'network_not_tunnelled'
    | 'peer_address_beside_tunnel';
  readonly message: string;
}

/** A configuration file that was checked, with the keys it names, by connection id. */
export interface LoadedConfig {
  readonly file: GatewayFile;
  /** The caller wipes them. */
  readonly psks: Map<string, SecretKey>;
}

/**
 * Reads a configuration file and the key files it names. A file that is wrong gives all its errors.
 * @throws CliError when the file itself cannot be read
 */
export function loadConfig(path: string): Result<LoadedConfig, readonly ConfigError[]> {
  const file = readGatewayFile(readInput(path, 'the configuration file'), sourceName(path));
  if (!file.ok) return file;
  const psks = readPsks(file.value);
  return psks.ok ? ok({ file: file.value, psks: psks.value }) : err(psks.error);
}

/** The errors for people: `FILE:LINE:COLUMN: path: message`, one per line, and how many there are. */
export function describeErrors(path: string, errors: readonly ConfigError[]): string {
  const count = errors.length === 1 ? '1 error' : `${errors.length} errors`;
  return `${formatConfigErrors(errors, path)}\nculvert: ${count} in ${path}; correct the file and check it again`;
}

/**
 * Networks and addresses that will not pass the tunnel, keys that are easy to guess, and weak algorithms, named or what
 * auto-negotiation may fall back to.
 */
export function adviseConfig({ file, psks }: LoadedConfig): ConfigAdvisory[] {
  const { connections } = toEngineConfig(file, psks, new Map());
  const networks = networkWarnings(file).map((warning) => ({
    ...warning,
    code: 'network_not_tunnelled' as const,
  }));
  const beside = connections.flatMap((config): ConfigAdvisory[] => {
    const message = peerAddressBesideTunnel(config);
    const connection = connectionName(config);
    return message === undefined ? [] : [{ connection, code: 'peer_address_beside_tunnel', message }];
  });
  const weak = connections.flatMap((config, i): ConfigAdvisory[] => {
    const { name: connection, ikePolicy, ipsecPolicy } = file.connections[i]!;
    const weakIke = weakNames(config.ikeProposals);
    const weakEsp = weakNames(config.espProposals);
    const named = [
      ...(ikePolicy === undefined ? [] : weakIke.map((name) => `${name} (IKE policy ${ikePolicy})`)),
      ...(ipsecPolicy === undefined ? [] : weakEsp.map((name) => `${name} (IPsec policy ${ipsecPolicy})`)),
    ];
    const open = [...(ikePolicy === undefined ? weakIke : []), ...(ipsecPolicy === undefined ? weakEsp : [])];
    const advisories: ConfigAdvisory[] = [];
    const weakKey = weakPskMessage(config.psk.expose());
    if (weakKey !== undefined) {
      advisories.push({ connection, code: 'weak_psk', message: weakKey });
    }
    if (named.length > 0) {
      const message = `weak: ${named.join(', ')}; choose aes256, sha256 and group 14 or better when the peer can`;
      advisories.push({ connection, code: 'weak_algorithm', message });
    }
    if (open.length > 0) {
      const message =
        `auto-negotiation also accepts ${[...new Set(open)].join(', ')} when the peer has nothing better; ` +
        'name policies, or set gateway.profile: modern';
      advisories.push({ connection, code: 'weak_algorithm_accepted', message });
    }
    return advisories;
  });
  const exposed = exposedKeys(file);
  const ofFile: ConfigAdvisory[] =
    exposed === undefined ? [] : [{ connection: null, code: 'exposed_keys', message: exposed }];
  return [...ofFile, ...networks, ...beside, ...weak];
}

function weakNames(specs: readonly (IkeProposalSpec | EspProposalSpec)[]): string[] {
  const names = new Set<string>();
  for (const spec of specs) {
    for (const cipher of spec.encryption) {
      if (isWeak({ kind: 'encryption', ...cipher })) names.add(encryptionName(cipher));
    }
    for (const id of spec.integrity) if (isWeak({ kind: 'integrity', id })) names.add(integrityName(id));
    for (const id of 'prf' in spec ? spec.prf : []) {
      if (isWeak({ kind: 'prf', id })) names.add(prfName(id));
    }
    for (const id of spec.dh) if (isWeak({ kind: 'dh', id })) names.add(`DH ${id} (${dhName(id)})`);
  }
  return [...names];
}
