import { encryptionFromName, integrityFromName, keyExchangeFromName, prfFromName } from '../crypto/names.js';
import { findEncryption } from '../crypto/transforms.js';
import type {
  ConnectionConfig,
  EngineConfig,
  EspProposalSpec,
  Identity,
  IkeProposalSpec,
} from '../ike/config.js';
import { makeIdentity } from '../ike/policy/identity.js';
import { autoEspProposals, autoIkeProposals, autoVersions } from '../ike/policy/matrix.js';
import { cidrSelector, type Networks } from '../ike/policy/selectors.js';
import type { ConnectionId } from '../util/ids.js';
import { cidrOf } from '../util/ip.js';
import type { SecretKey } from '../util/secret.js';
import { NAT_TRAVERSAL_PORT } from '../wire/ike/constants.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import type { GatewayConnection, GatewayFile, IkeIdentity, IkePolicy, IpsecPolicy } from './model.js';
import { DEFAULTS } from './schema.js';

/**
 * The desired state of the engine. `psks` comes from `readPsks`; `addresses` are those that a peer's host name
 * was resolved to, by connection id (a missing entry means "not resolved"); a connection with
 * `peer.address` needs none.
 * @throws Error when a connection has no key or the file was not made by `readGatewayFile`: both are bugs
 */
export function toEngineConfig(
  file: GatewayFile,
  psks: ReadonlyMap<ConnectionId, SecretKey>,
  addresses: ReadonlyMap<ConnectionId, readonly string[]>,
): EngineConfig {
  return {
    connections: file.connections.map((connection) => toConnection(file, connection, psks, addresses)),
  };
}

function toConnection(
  file: GatewayFile,
  connection: GatewayConnection,
  psks: ReadonlyMap<ConnectionId, SecretKey>,
  addresses: ReadonlyMap<ConnectionId, readonly string[]>,
): ConnectionConfig {
  const { gateway } = file;
  const { local, peer, id, name, profile = gateway.profile } = connection;
  const networks = networksOf(connection);
  const psk = psks.get(id);
  if (psk === undefined) throw new Error(`connection ${name} has no pre-shared key: readPsks comes first`);
  const ike = named(file.ikePolicies, connection.ikePolicy);
  const port = peer.port ?? DEFAULTS.peerPort;
  const ipsec = named(file.ipsecPolicies, connection.ipsecPolicy);
  return {
    id,
    name,
    psk,
    // Auto-negotiation begins with IKEv2 and may answer both; a policy means one version.
    initiateVersion: ike?.ikeVersion ?? 2,
    acceptVersions: ike === undefined ? autoVersions(profile) : [ike.ikeVersion],
    establishMode: connection.establishMode,
    adminUp: connection.adminStateUp,
    local: {
      address: gateway.address,
      // Route mode names an identity for each of two members; this process is the first.
      identity: toIdentity(local.ikeIdentities[0]!),
      selectors: networks.local.selectors,
    },
    peer: {
      addresses: peer.address === undefined ? (addresses.get(id) ?? []) : [peer.address],
      port,
      identity: toIdentity(peer.ikeIdentity),
      selectors: networks.peer.selectors,
    },
    ikeProposals: ike === undefined ? autoIkeProposals(profile) : [toIkeProposal(ike)],
    espProposals: ipsec === undefined ? autoEspProposals(profile) : [toEspProposal(ipsec)],
    ikeLifetime: ike?.keyLifetime ?? DEFAULTS.ikeKeyLifetime,
    childLifetime: ipsec?.keyLifetime ?? DEFAULTS.ipsecKeyLifetime,
    dpd: connection.deadPeerDetection,
    // Where nothing but UDP 4500 reaches the peer, ESP has to go that way too.
    encapsulation: port === NAT_TRAVERSAL_PORT ? 'always' : gateway.encapsulation,
  };
}

/** The proposal that an IKE policy makes: every combination of its lists, in its order. */
function toIkeProposal(policy: IkePolicy): IkeProposalSpec {
  return {
    encryption: policy.encryption.map(cipher),
    integrity: isAeadPolicy(policy) ? [] : policy.authentication.map((hash) => integrityFromName(hash)!),
    prf: policy.authentication.map((hash) => prfFromName(hash)!),
    dh: policy.dhGroups,
    ...additional(policy),
  };
}

/** As `toIkeProposal`. PFS `disabled` alone is an empty list, beside groups it is DH NONE. */
function toEspProposal(policy: IpsecPolicy): EspProposalSpec {
  return {
    encryption: policy.encryption.map(cipher),
    integrity: policy.authentication.map((hash) => integrityFromName(hash)!),
    dh: policy.pfsGroups.every((group) => group === 0) ? [] : policy.pfsGroups,
    ...additional(policy),
  };
}

/** Each additional key exchange of a policy is made, by the one method that it names. */
function additional({
  additionalKeyExchanges,
}: IkePolicy | IpsecPolicy): Pick<IkeProposalSpec, 'additional'> {
  if (additionalKeyExchanges === undefined) return {};
  return { additional: additionalKeyExchanges.map((name) => [keyExchangeFromName(name)!]) };
}

function cipher(name: string) {
  return encryptionFromName(name)!;
}

function isAeadPolicy(policy: IkePolicy): boolean {
  return policy.encryption.map(cipher).every(({ id, keyBits }) => findEncryption(id, keyBits)?.aead === true);
}

function named<T extends { readonly name: string }>(
  policies: readonly T[],
  name: string | undefined,
): T | undefined {
  if (name === undefined) return undefined;
  const policy = policies.find((one) => one.name === name);
  if (policy === undefined) throw new Error(`there is no policy ${name}`);
  return policy;
}

function toIdentity({ type, value }: IkeIdentity): Identity {
  const made = makeIdentity(type, value);
  if (!made.ok) throw new Error(`identity ${type} ${made.error}`);
  return made.value;
}

/** The networks of a connection as selectors. */
export function networksOf({ local, peer }: Pick<GatewayConnection, 'local' | 'peer'>): Networks {
  return {
    local: { selectors: toSelectors(local.cidrs) },
    peer: { selectors: toSelectors(peer.cidrs) },
  };
}

/** No networks means route mode: everything, and the routes decide. */
function toSelectors(cidrs: readonly string[]): TrafficSelector[] {
  const all = cidrs.length === 0 ? ['0.0.0.0/0', '::/0'] : cidrs;
  return all.map((text) => cidrSelector(cidrOf(text)));
}
