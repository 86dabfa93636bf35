import { formatPath } from '../../store/config-error.js';
import type { GatewayConnection, GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import { SecretKey } from '../../util/secret.js';
import { ControlError } from '../control/protocol.js';
import { FreshConfig } from '../gateway/fresh-config.js';
import { desiredIssues, type PlainFile } from './desired-schema.js';

/** What a supervisor wants its gateway to be: a configuration in plain JSON, keys in it as base64. */
export interface DesiredState {
  readonly file: PlainFile;
}

/**
 * The wire form of a configuration. It holds the keys in clear: it goes over a Unix socket of mode 0600 and nowhere
 * else. Policies that no connection uses are left out, so that a change of one is no change here.
 */
export function encodeDesired(file: GatewayFile): DesiredState {
  const used = new Set(file.connections.flatMap(({ ikePolicy, ipsecPolicy }) => [ikePolicy, ipsecPolicy]));
  return {
    file: {
      ...file,
      ikePolicies: file.ikePolicies.filter(({ name }) => used.has(name)),
      ipsecPolicies: file.ipsecPolicies.filter(({ name }) => used.has(name)),
      connections: file.connections.map((connection) => ({ ...connection, psk: keyText(connection) })),
    },
  };
}

function keyText({ name, psk }: GatewayConnection): string {
  if (psk.kind === 'inline') return Buffer.from(psk.key.expose()).toString('base64');
  throw new Error(`connection ${name} names a key file: desired state holds its keys itself`);
}

/**
 * The configuration in the parameters of a `configure` request. The sender is a program of this very version, which
 * has checked it by the rules of the store; what does not have the form of one is refused as a whole, before any
 * key is taken from it.
 * @throws ControlError bad_request, with the first fault
 */
export function decodeDesired(params: Readonly<Record<string, unknown>>): FreshConfig {
  const [issue] = desiredIssues(params);
  if (issue !== undefined) {
    throw new ControlError('bad_request', `the desired state: ${formatPath(issue.path)} ${issue.message}`);
  }
  const { file } = params as unknown as DesiredState;
  const psks = new Map<ConnectionId, SecretKey>();
  const connections = file.connections.map(({ psk, ...rest }): GatewayConnection => {
    const key = new SecretKey(Uint8Array.from(Buffer.from(psk, 'base64')));
    psks.set(rest.id, key);
    // One object for both: who wipes the keys of a configuration wipes this one too.
    return { ...rest, psk: { kind: 'inline', key } };
  });
  return new FreshConfig({ file: { ...file, connections }, psks });
}
