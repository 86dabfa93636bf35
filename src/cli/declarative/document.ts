import { dirname, resolve } from 'node:path';
import {
  type ConfigError,
  type ConfigIssue,
  type ConfigPath,
  formatConfigErrors,
} from '../../store/config-error.js';
import { DPD_DEFAULTS, defaultOf } from '../../store/connection-fields.js';
import { ApiConnectionSchema, ConnectionSchema } from '../../store/connection-schema.js';
import { DEFAULTS, IkePolicySchema, IpsecPolicySchema, PskSchema } from '../../store/schema.js';
import { SchemaCheck } from '../../store/schema-check.js';
import { readYaml } from '../../store/yaml-source.js';
import { canonicalCidr, canonicalIp } from '../../util/ip.js';
import * as Type from '../../util/json-schema.js';
import { err, ok, type Result } from '../../util/result.js';
import { CliError } from '../errors.js';
import { readInput, sourceName } from '../read-input.js';
import { readLine } from '../vpn/connect.js';

/** What a file wants there to be, with all defaults, in the terms in which two states are compared. */
export interface Document {
  readonly ikePolicies: readonly IkePolicyWish[];
  readonly ipsecPolicies: readonly IpsecPolicyWish[];
  readonly gateways: readonly GatewayWish[];
  /** Where something is in the file, `vpn.yaml:12:5`, or the nearest place to it that is there. */
  readonly locate: (path: ConfigPath) => string;
}

/** An IKE policy that the file declares, with all defaults filled in. */
export interface IkePolicyWish {
  readonly name: string;
  readonly ike_version: number;
  readonly encryption_algorithms: readonly string[];
  readonly authentication_algorithms: readonly string[];
  readonly dh_groups: readonly number[];
  readonly key_lifetime: number;
}

/** An IPsec policy that the file declares, with all defaults filled in. */
export interface IpsecPolicyWish {
  readonly name: string;
  readonly encryption_algorithms: readonly string[];
  readonly authentication_algorithms: readonly string[];
  readonly pfs_groups: readonly string[];
  readonly key_lifetime: number;
}

/** An IKE identity, in the words of the API. */
export interface Identity {
  readonly type: string;
  readonly value: string;
}

/** A connection that the file declares, with all defaults filled in. */
export interface ConnectionWish {
  readonly name: string;
  /** Absent: the key that is there stays. */
  readonly psk?: string;
  readonly admin_state_up: boolean;
  readonly establish_mode: string;
  readonly dead_peer_detection: {
    readonly action: string;
    readonly interval: number;
    readonly timeout: number;
  };
  /** Names; null for auto-negotiation. */
  readonly ike_policy: string | null;
  readonly ipsec_policy: string | null;
  readonly distribute_traffic: boolean;
  readonly local: { readonly cidrs: readonly string[]; readonly ike_identities: readonly Identity[] | null };
  readonly peer: {
    readonly kind: 'address' | 'fqdn';
    readonly value: string;
    readonly cidrs: readonly string[];
    /** null: its address or name. */
    readonly ike_identity: Identity | null;
  };
}

/** A gateway that the file declares, with its connections. */
export interface GatewayWish {
  readonly name: string;
  /** Name or id. */
  readonly subnet: string;
  readonly mode: 'policy' | 'route';
  readonly connections: readonly ConnectionWish[];
}

const closed = { additionalProperties: false } as const;
/** The API routes by itself, and takes keys as texts. */
const {
  interface: _device,
  routes: _routes,
  psk: _psk,
  psk_encoding: _encoding,
  ...connectionFields
} = ConnectionSchema.properties;
const { distribute_traffic } = ApiConnectionSchema.properties;

const DocumentSchema = Type.Object(
  {
    ike_policies: Type.Optional(Type.Array(IkePolicySchema)),
    ipsec_policies: Type.Optional(Type.Array(IpsecPolicySchema)),
    vpn_gateways: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: IkePolicySchema.properties.name,
            subnet: Type.String({ minLength: 1, description: 'a subnet by name or id' }),
            mode: Type.Optional(Type.Enum(['policy', 'route'])),
            connections: Type.Optional(
              Type.Array(
                Type.Object(
                  {
                    ...connectionFields,
                    psk: Type.Optional(PskSchema),
                    distribute_traffic,
                  },
                  closed,
                ),
              ),
            ),
          },
          closed,
        ),
      ),
    ),
  },
  closed,
);
type DocumentInput = Type.Static<typeof DocumentSchema>;
type GatewayInput = NonNullable<DocumentInput['vpn_gateways']>[number];
type ConnectionInput = NonNullable<GatewayInput['connections']>[number];

const check = new SchemaCheck(DocumentSchema);

/** Reads a file, and the key files it names. @throws CliError with every fault of it */
export function loadDocument(path: string): Document {
  const name = sourceName(path);
  const text = readInput(path, 'the file');
  const document = readDocument(text, (file) => readLine(resolve(dirname(path), file)), name);
  if (document.ok) return document.value;
  const errors = formatConfigErrors(document.error, name);
  const { length } = document.error;
  throw new CliError(
    length === 1 ? errors : `${length} errors in the file; correct it and apply it again:\n${errors}`,
  );
}

/** `readKey` gives the key in a file that a connection names; `name` is that of the file itself. */
export function readDocument(
  text: string,
  readKey: (file: string) => string,
  name = 'file',
): Result<Document, readonly ConfigError[]> {
  const yaml = readYaml(text);
  if (!yaml.ok) return yaml;
  const { value, locate } = yaml.value;
  const input = check.withoutNulls(value ?? {}) as DocumentInput;
  const issues = check.issues(input);
  if (issues.length === 0) checkNames(input, issues);
  if (issues.length > 0) return err(issues.map(locate));
  return ok({
    ikePolicies: (input.ike_policies ?? []).map(ikePolicyWish),
    ipsecPolicies: (input.ipsec_policies ?? []).map(ipsecPolicyWish),
    gateways: (input.vpn_gateways ?? []).map(({ name, subnet, mode, connections }) => ({
      name,
      subnet,
      mode: mode ?? DEFAULTS.mode,
      connections: (connections ?? []).map((one) => connectionWish(one, readKey)),
    })),
    locate: (path) => {
      const { line, column } = locate({ path, message: '' });
      return [name, ...(line === undefined ? [] : [line, column ?? 1])].join(':');
    },
  });
}

/** Objects are known by their names: two of one name in a list would be one object that is to be two things. */
function checkNames(input: DocumentInput, issues: ConfigIssue[]): void {
  const lists = ['ike_policies', 'ipsec_policies', 'vpn_gateways'] as const;
  const look = (items: readonly { readonly name: string }[], path: readonly (string | number)[]): void => {
    for (const [index, { name }] of items.entries()) {
      if (items.findIndex((one) => one.name === name) === index) continue;
      issues.push({
        path: [...path, index, 'name'],
        message: `"${name}" stands in the list twice: keep one`,
      });
    }
  };
  // Gateways of one name may be in two VPCs: the subnet distinguishes them.
  for (const list of lists.slice(0, 2)) look(input[list] ?? [], [list]);
  const gateways = input.vpn_gateways ?? [];
  look(
    gateways.map(({ name, subnet }) => ({ name: `${name} in ${subnet}` })),
    ['vpn_gateways'],
  );
  for (const [index, { connections = [] }] of gateways.entries()) {
    look(connections, ['vpn_gateways', index, 'connections']);
    for (const [at, { psk, psk_file: file, peer }] of connections.entries()) {
      const path = ['vpn_gateways', index, 'connections', at];
      if (psk !== undefined && file !== undefined) {
        issues.push({ path: [...path, 'psk_file'], message: 'stands beside "psk": keep one of the two' });
      }
      if ((peer.address === undefined) === (peer.fqdn === undefined)) {
        issues.push({ path: [...path, 'peer'], message: 'needs either "address" or "fqdn"' });
      }
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** From a file or from an answer of the API: both have the same field names. */
export function ikePolicyWish(policy: object): IkePolicyWish {
  const fields = policy as Fields;
  return {
    name: String(fields.name),
    ike_version: (fields.ike_version as number | undefined) ?? DEFAULTS.ikeVersion,
    encryption_algorithms: listOf<string>(fields, 'encryption_algorithm').map(cipherName),
    authentication_algorithms: listOf<string>(fields, 'authentication_algorithm'),
    dh_groups: listOf<number>(fields, 'dh_group'),
    key_lifetime: (fields.key_lifetime as number | undefined) ?? DEFAULTS.ikeKeyLifetime,
  };
}

/** Reads an IPsec policy, as the file or the server spells it, to the form in which the two are compared. */
export function ipsecPolicyWish(policy: object): IpsecPolicyWish {
  const fields = policy as Fields;
  const groups = (fields.pfs_groups as string[] | undefined) ?? [String(fields.pfs ?? DEFAULTS.pfs)];
  const hashes = listOf<string>(fields, 'authentication_algorithm');
  return {
    name: String(fields.name),
    encryption_algorithms: listOf<string>(fields, 'encryption_algorithm').map(cipherName),
    // With an AEAD cipher there is no other hash than none.
    authentication_algorithms: hashes.length === 0 ? ['disabled'] : hashes,
    pfs_groups: groups,
    key_lifetime: (fields.key_lifetime as number | undefined) ?? DEFAULTS.ipsecKeyLifetime,
  };
}

function listOf<T>(fields: Fields, singular: string): readonly T[] {
  const list = fields[`${singular}s`] as readonly T[] | undefined;
  const one = fields[singular] as T | undefined;
  return list ?? (one === undefined ? [] : [one]);
}

function cipherName(name: string): string {
  return name === '3des' ? 'triple_des' : name;
}

function connectionWish(input: ConnectionInput, readKey: (file: string) => string): ConnectionWish {
  const { psk_file: file, local, peer } = input;
  const psk = file === undefined ? input.psk : readKey(file);
  const kind = peer.address === undefined ? 'fqdn' : 'address';
  return {
    name: input.name,
    ...(psk === undefined ? {} : { psk }),
    admin_state_up: input.admin_state_up ?? defaultOf('admin_state_up'),
    establish_mode: input.establish_mode ?? defaultOf('establish_mode'),
    dead_peer_detection: { ...DPD_DEFAULTS, ...input.dead_peer_detection },
    ike_policy: input.ike_policy ?? null,
    ipsec_policy: input.ipsec_policy ?? null,
    distribute_traffic: input.distribute_traffic ?? defaultOf('distribute_traffic'),
    local: {
      cidrs: (local?.cidrs ?? []).map(canonicalCidr),
      ike_identities:
        local?.ike_identities === undefined || local.ike_identities.length === 0
          ? null
          : local.ike_identities,
    },
    peer: {
      kind,
      value: canonicalIp((peer[kind] ?? '') as string),
      cidrs: (peer.cidrs ?? []).map(canonicalCidr),
      ike_identity: peer.ike_identity ?? null,
    },
  };
}
