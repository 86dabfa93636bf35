import { dirname, resolve } from 'node:path';
import {
  type ConfigError,
  type ConfigIssue,
  type ConfigPath,
  formatConfigErrors,
} from '../../store/config-error.js';
import { DeclaredConnectionSchema } from '../../store/connection-schema.js';
import { DEFAULTS, IkePolicySchema, IpsecPolicySchema } from '../../store/schema.js';
import { SchemaCheck } from '../../store/schema-check.js';
import { readYaml } from '../../store/yaml-source.js';
import * as Type from '../../util/json-schema.js';
import { err, ok, type Result } from '../../util/result.js';
import { CliError } from '../errors.js';
import { readInput, sourceName } from '../read-input.js';
import { readLine } from '../vpn/connect.js';
import { type ConnectionWish, connectionWish } from './connection-wish.js';
import { type IkePolicyWish, type IpsecPolicyWish, ikePolicyWish, ipsecPolicyWish } from './policy-wish.js';
import { TableSchema, type TableWish, tableIssues, tableWish } from './routing-document.js';

/** What a file wants there to be, with all defaults, in the terms in which two states are compared. */
export interface Document {
  readonly ikePolicies: readonly IkePolicyWish[];
  readonly ipsecPolicies: readonly IpsecPolicyWish[];
  readonly gateways: readonly GatewayWish[];
  readonly tables: readonly TableWish[];
  /** Where something is in the file, `vpn.yaml:12:5`, or the nearest place to it that is there. */
  readonly locate: (path: ConfigPath) => string;
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
const DocumentSchema = Type.Object(
  {
    ike_policies: Type.Optional(Type.Array(IkePolicySchema)),
    ipsec_policies: Type.Optional(Type.Array(IpsecPolicySchema)),
    routing_tables: Type.Optional(Type.Array(TableSchema)),
    vpn_gateways: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: IkePolicySchema.properties.name,
            subnet: Type.String({ minLength: 1, description: 'a subnet by name or id' }),
            mode: Type.Optional(Type.Enum(['policy', 'route'])),
            connections: Type.Optional(Type.Array(DeclaredConnectionSchema)),
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
      connections: (connections ?? []).map((one) => declared(one, readKey)),
    })),
    tables: (input.routing_tables ?? []).map(tableWish),
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
        message: `"${name}" is in the list twice: keep one`,
      });
    }
  };
  // Gateways of one name may be in two VPCs: the subnet distinguishes them.
  for (const list of lists.slice(0, 2)) look(input[list] ?? [], [list]);
  issues.push(...tableIssues(input.routing_tables ?? []));
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
        issues.push({ path: [...path, 'psk_file'], message: 'conflicts with "psk": keep one of the two' });
      }
      if ((peer.address === undefined) === (peer.fqdn === undefined)) {
        issues.push({ path: [...path, 'peer'], message: 'needs either "address" or "fqdn"' });
      }
    }
  }
}

/** With its key, which may be in a file of its own. */
function declared({ psk_file: file, ...fields }: ConnectionInput, readKey: (file: string) => string) {
  return connectionWish(file === undefined ? fields : { ...fields, psk: readKey(file) });
}
