import { type Schema, Validator } from '@cfworker/json-schema';
import { type ApiFailure, type Fault, sentence } from '../api/client.ts';
import bodies from '../generated/bodies.json' with { type: 'json' };

/** Bodies of the API, by the operation that takes them. */
export type BodyName = keyof typeof bodies;

/** What is wrong with a body, by the dotted path of the field: `peer.cidrs[0]`. */
export type Issues = ReadonlyMap<string, string>;

type Node = Schema & { readonly properties?: Readonly<Record<string, Node>>; readonly items?: Node };

const validators = new Map<BodyName, Validator>();

/** Holds a body against the API's own schema, as the server does: in the browser, so that it follows every key. */
export function checkBody(name: BodyName, body: unknown): Issues {
  const schema = bodies[name] as unknown as Node;
  let validator = validators.get(name);
  if (validator === undefined) {
    validator = new Validator(schema, '2020-12', false);
    validators.set(name, validator);
  }
  const issues = new Map<string, string>();
  for (const { keyword, instanceLocation, error } of validator.validate(body).errors) {
    const path = instanceLocation.replace(/^#\/?/, '').split('/').filter(Boolean);
    // Of an object only what is in it is worth a word, and that comes with its own place.
    if (keyword === 'properties' || keyword === 'items' || keyword === 'additionalProperties') continue;
    if (keyword === 'required') {
      const missing = /"([^"]+)"/.exec(error)?.[1];
      if (missing !== undefined) add(issues, [...path, missing], 'This is needed.');
      continue;
    }
    add(issues, path, remedy(schema, path) ?? sentence(error));
  }
  return issues;
}

function add(issues: Map<string, string>, path: readonly string[], text: string): void {
  const name = path
    .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
  if (!issues.has(name)) issues.set(name, text);
}

/** The `description` of a schema says what is allowed. */
function remedy(schema: Node, path: readonly string[]): string | undefined {
  let node: Node | undefined = schema;
  for (const part of path) node = /^\d+$/.test(part) ? node?.items : node?.properties?.[part];
  if (node?.description !== undefined) return sentence(`enter ${node.description}`);
  return undefined;
}

/** A number that was entered. What is none is sent as it is, so that the schema refuses it with its own words. */
export function numberOf(text: string): number | string {
  return /^\d+$/.test(text.trim()) ? Number(text) : text;
}

/** The server's faults by field. `step`: the place of the body among the steps of a transaction. */
export function faultsByField(faults: readonly Fault[], step: number): Issues {
  const issues = new Map<string, string>();
  for (const { message, target } of faults) {
    const place = /^steps\[(\d+)\](?:\.body)?\.?(.*)$/.exec(target?.name ?? '');
    if (place !== null && Number(place[1]) !== step) continue;
    const name = place?.[2] ?? '';
    const text = sentence(message.replace(/^steps\[\d+\]: /, ''));
    const before = issues.get(name);
    issues.set(name, before === undefined ? text : `${before} ${text}`);
  }
  return issues;
}

/** What is said of a field or of anything in it: of `peer.cidrs` also what is wrong with `peer.cidrs[1]`. */
export function issueOf(issues: Issues, ...fields: readonly string[]): string | undefined {
  for (const field of fields) {
    for (const [path, text] of issues) {
      if (path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`)) return text;
    }
  }
  return undefined;
}

/** What is said of the fields of a body: by the schema once its issues are shown, else by the server's refusal. */
export function issueTeller(
  bySchema: Issues,
  isShown: boolean,
  refusal: ApiFailure | null,
): (...fields: readonly string[]) => string | undefined {
  const byServer: Issues = refusal === null ? new Map() : faultsByField(refusal.faults, 0);
  return (...fields) => (isShown ? issueOf(bySchema, ...fields) : undefined) ?? issueOf(byServer, ...fields);
}
