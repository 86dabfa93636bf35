import { View } from '../../src/api/context.js';
import type { ConnectionInput } from '../../src/store/connection-schema.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import type { ConnectionRecord, IkePolicyRecord, IpsecPolicyRecord } from '../../src/store/records.js';
import type { Snapshot } from '../../src/store/store.js';
import { cidrRange, intersectRanges, parseCidr } from '../../src/util/ip.js';
import type { DocumentInput } from './arbitrary-documents.js';

interface JudgedConnection {
  readonly name: string;
  readonly admin_state_up?: boolean | undefined;
  readonly peer: {
    readonly address?: string | undefined;
    readonly fqdn?: string | undefined;
    readonly cidrs?: readonly string[] | undefined;
  };
}

interface JudgedGateway {
  readonly name: string;
  readonly vpc: string;
  readonly mode: string;
  readonly address: string;
  readonly connections: readonly JudgedConnection[];
}

interface Judged {
  readonly ike_policies: readonly object[];
  readonly ipsec_policies: readonly object[];
  readonly gateways: readonly JudgedGateway[];
}

/** Not the address of a peer; documents do not say which one a gateway will have. */
const SOME_ADDRESS = '169.61.161.200';

/**
 * What breaks a rule in a document, found without the code of the API: each gateway is read as the configuration
 * file of a daemon of its own.
 */
export function faultsOfDocument(document: DocumentInput, vpcOf: (subnet: string) => string): string[] {
  return faultsOf({
    ...document,
    gateways: document.vpn_gateways.map(({ name, subnet, mode, connections }) => ({
      name,
      mode,
      vpc: vpcOf(subnet),
      address: SOME_ADDRESS,
      connections: connections.map(({ distribute_traffic: _, ...one }) => one),
    })),
  });
}

/** The same of a state of the store. */
export function faultsOfState(snapshot: Snapshot): string[] {
  const view = new View(snapshot);
  const ids = new Set(view.gateways().map(({ id }) => id));
  const homeless = view.connections().filter(({ value }) => !ids.has(value.gateway));
  const names = (list: readonly { readonly value: { readonly name: string } }[]) =>
    list.map(({ value }) => value.name);
  const lists = [
    names(view.ikePolicies()),
    names(view.ipsecPolicies()),
    view.gateways().map(({ value }) => `${value.vpc} ${value.name}`),
    view.connections().map(({ value }) => `${value.gateway} ${value.name}`),
    view.gateways().flatMap(({ value }) => value.members.flatMap((one) => one.publicAddress ?? [])),
  ];
  return [
    ...homeless.map(({ value }) => `connection ${value.name} has no gateway`),
    ...lists
      .flatMap((list) => list.filter((one, index) => list.indexOf(one) < index))
      .map((one) => `${one} twice`),
    ...faultsOf({
      ike_policies: view.ikePolicies().map(({ id, value }) => ikePolicyInput(id, value)),
      ipsec_policies: view.ipsecPolicies().map(({ id, value }) => ipsecPolicyInput(id, value)),
      gateways: view.gateways().map(({ id, value }) => ({
        name: value.name,
        vpc: value.vpc,
        mode: value.mode,
        address: value.members[0]!.publicAddress!,
        connections: view.connectionsOf(id).map((one) => connectionInput(one.value.name, one.value)),
      })),
    }),
  ];
}

function faultsOf({ ike_policies, ipsec_policies, gateways }: Judged): string[] {
  const out: string[] = [];
  // Policies are judged where there is no gateway, too.
  const none: JudgedGateway = {
    name: 'none',
    vpc: '',
    mode: 'policy',
    address: SOME_ADDRESS,
    connections: [],
  };
  for (const { name, mode, address, connections } of [none, ...gateways]) {
    const judge = (list: readonly JudgedConnection[]): string[] => {
      const file = { gateway: { name, mode, address }, ike_policies, ipsec_policies, connections: list };
      const read = readGatewayFile(JSON.stringify(file), name);
      return read.ok ? [] : read.error.map(({ path, message }) => `${name}: ${path} ${message}`);
    };
    // Connections that nothing tells apart may differ while one of them is down.
    out.push(...judge(connections).filter((fault) => !/has the peer and the IKE identities of/.test(fault)));
    out.push(...judge(connections.filter((one) => one.admin_state_up !== false)));
  }
  return [...out, ...faultsAcross(gateways)];
}

/** In a VPC a network belongs to one peer, whichever gateways lead there. */
function faultsAcross(gateways: readonly JudgedGateway[]): string[] {
  const networks = gateways.flatMap(({ name, vpc, connections }) =>
    connections.flatMap(({ peer }) =>
      (peer.cidrs ?? []).map((text) => ({ name, vpc, text, remote: peer.address ?? peer.fqdn })),
    ),
  );
  return networks.flatMap((a, index) =>
    networks.slice(0, index).flatMap((b) => {
      const apart = a.name === b.name || a.vpc !== b.vpc || a.remote === b.remote;
      return apart || !overlap(a.text, b.text)
        ? []
        : [`${a.text} of ${a.name} overlaps ${b.text} of ${b.name}`];
    }),
  );
}

function overlap(a: string, b: string): boolean {
  const [one, other] = [parseCidr(a), parseCidr(b)];
  if (!one.ok || !other.ok) return false;
  return intersectRanges(cidrRange(one.value), cidrRange(other.value)) !== undefined;
}

/** A connection as the configuration file would say it. */
function connectionInput(name: string, record: ConnectionRecord): ConnectionInput {
  const { local, peer } = record;
  return {
    name,
    ...(record.psk === undefined ? {} : { psk: record.psk }),
    admin_state_up: record.adminStateUp,
    establish_mode: record.establishMode,
    dead_peer_detection: { ...record.deadPeerDetection },
    ...(record.ikePolicy === undefined ? {} : { ike_policy: record.ikePolicy }),
    ...(record.ipsecPolicy === undefined ? {} : { ipsec_policy: record.ipsecPolicy }),
    local: {
      ...(local.cidrs.length === 0 ? {} : { cidrs: [...local.cidrs] }),
      ike_identities: [...local.ikeIdentities],
    },
    peer: {
      ...(peer.address === undefined ? {} : { address: peer.address }),
      ...(peer.fqdn === undefined ? {} : { fqdn: peer.fqdn }),
      ...(peer.cidrs.length === 0 ? {} : { cidrs: [...peer.cidrs] }),
      ...(peer.ikeIdentity === undefined ? {} : { ike_identity: peer.ikeIdentity }),
    },
  };
}

/** A policy as the configuration file would say it. */
function ikePolicyInput(name: string, record: IkePolicyRecord): object {
  return {
    name,
    ike_version: record.ikeVersion,
    encryption_algorithms: [...record.encryption],
    authentication_algorithms: [...record.authentication],
    dh_groups: [...record.dhGroups],
    key_lifetime: record.keyLifetime,
  };
}

function ipsecPolicyInput(name: string, record: IpsecPolicyRecord): object {
  return {
    name,
    encryption_algorithms: [...record.encryption],
    ...(record.authentication.length === 0 ? {} : { authentication_algorithms: [...record.authentication] }),
    pfs_groups: [...record.pfsGroups],
    key_lifetime: record.keyLifetime,
  };
}
