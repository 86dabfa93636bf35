import { CliError } from '../errors.js';
import { suggestion } from '../nearest.js';
import type { ApiObject } from '../vpn/api-client.js';
import { type Current, givenIdentities, givenIdentity, type Known, type KnownGateway } from './current.js';
import type { ConnectionWish, Document, GatewayWish, Identity } from './document.js';

export type PolicyKind = 'ike_policies' | 'ipsec_policies';
export type Side = 'local' | 'peer';
type Fields = Readonly<Record<string, unknown>>;

/** One thing to do. Objects that may not exist yet are named, the others have their id. */
export type Step =
  | { readonly do: 'create-policy'; readonly kind: PolicyKind; readonly fields: Fields }
  | { readonly do: 'update-policy'; readonly kind: PolicyKind; readonly id: string; readonly fields: Fields }
  | { readonly do: 'delete-policy'; readonly kind: PolicyKind; readonly id: string }
  | { readonly do: 'create-gateway'; readonly key: string; readonly fields: Fields }
  | { readonly do: 'delete-gateway'; readonly id: string }
  | { readonly do: 'create-connection'; readonly gateway: string; readonly wish: ConnectionWish }
  | {
      readonly do: 'update-connection';
      readonly gateway: string;
      readonly id: string;
      readonly fields: Fields;
      /** Policies by name; null takes one away. */
      readonly policies: Readonly<Partial<Record<'ike_policy' | 'ipsec_policy', string | null>>>;
    }
  | { readonly do: 'delete-connection'; readonly gateway: string; readonly id: string }
  | {
      readonly do: 'add-cidr' | 'remove-cidr';
      readonly gateway: string;
      readonly id: string;
      readonly side: Side;
      readonly cidr: string;
    };

export type Verb = 'create' | 'update' | 'replace' | 'delete';

/** What happens to one object, in words, and the steps it takes. */
export interface PlannedChange {
  readonly verb: Verb;
  readonly object: string;
  readonly changes: readonly string[];
}

export interface Plan {
  readonly changes: readonly PlannedChange[];
  /** In the order in which they are carried out. */
  readonly steps: readonly Step[];
  /** Objects that the file does not name and that stay. */
  readonly kept: readonly string[];
  readonly unchanged: number;
}

/** Stages of a plan: what others stand on is made first and taken away last. */
const STAGES = [
  'policies',
  'gateways-gone',
  'gateways',
  'connections-gone',
  'networks-gone',
  'networks-swapped',
  'connections',
  'policies-gone',
] as const;
type Stage = (typeof STAGES)[number];

/** The way from what is there to what the document says. With `prune` the rest is deleted. */
export function makePlan(document: Document, current: Current, prune: boolean): Plan {
  const planner = new Planner(prune);
  planner.policies('ike_policies', 'IKE policy', document.ikePolicies, current.ikePolicies);
  planner.policies('ipsec_policies', 'IPsec policy', document.ipsecPolicies, current.ipsecPolicies);
  planner.gateways(document.gateways, current);
  return planner.plan();
}

class Planner {
  readonly #prune: boolean;
  readonly #changes: PlannedChange[] = [];
  readonly #steps = new Map<Stage, Step[]>(STAGES.map((stage) => [stage, []]));
  readonly #kept: string[] = [];
  #unchanged = 0;

  constructor(prune: boolean) {
    this.#prune = prune;
  }

  plan(): Plan {
    const steps = STAGES.flatMap((stage) => this.#steps.get(stage)!);
    return { changes: this.#changes, steps, kept: this.#kept, unchanged: this.#unchanged };
  }

  policies<T extends { readonly name: string }>(
    kind: PolicyKind,
    title: string,
    wanted: readonly T[],
    known: readonly Known<T>[],
  ): void {
    for (const wish of wanted) {
      const object = `${title} ${wish.name}`;
      const found = known.find((one) => one.wish.name === wish.name);
      if (found === undefined) {
        this.#change('create', object, []);
        this.#add('policies', { do: 'create-policy', kind, fields: policyFields(wish) });
        continue;
      }
      const differing = Object.keys(wish).filter((field) => differ(at(wish, field), at(found.wish, field)));
      if (differing.length === 0) {
        this.#unchanged++;
        continue;
      }
      const texts = differing.map((field) => told(field, at(found.wish, field), at(wish, field)));
      this.#change('update', object, texts);
      // Algorithms of a policy depend on each other: all are sent.
      this.#add('policies', { do: 'update-policy', kind, id: found.id, fields: policyFields(wish) });
    }
    for (const { id, wish } of known) {
      if (wanted.some(({ name }) => name === wish.name)) continue;
      this.#surplus(`${title} ${wish.name}`, 'policies-gone', { do: 'delete-policy', kind, id });
    }
  }

  gateways(wanted: readonly GatewayWish[], { gateways, subnets }: Current): void {
    const seen = new Set<string>();
    for (const wish of wanted) {
      const subnet = subnetOf(wish, subnets);
      const vpc = (subnet.vpc as ApiObject).id;
      const found = gateways.find((one) => one.wish.name === wish.name && one.vpc === vpc);
      const object = `gateway ${wish.name}`;
      const fields = { name: wish.name, subnet: { id: subnet.id }, mode: wish.mode };
      if (found === undefined) {
        this.#change('create', object, []);
        this.#create(wish, `new ${subnet.id} ${wish.name}`, fields);
        continue;
      }
      seen.add(found.id);
      const moved = [
        ...(found.wish.subnet === subnet.name ? [] : [told('subnet', found.wish.subnet, subnet.name)]),
        ...(found.wish.mode === wish.mode ? [] : [told('mode', found.wish.mode, wish.mode)]),
      ];
      if (moved.length > 0) {
        this.#change('replace', object, moved);
        this.#add('gateways-gone', { do: 'delete-gateway', id: found.id });
        this.#create(wish, `new ${subnet.id} ${wish.name}`, fields);
        continue;
      }
      this.#unchanged++;
      this.#connections(wish, found);
    }
    for (const { id, wish, connections } of gateways) {
      if (seen.has(id) || this.#replaced(id)) continue;
      const object = `gateway ${wish.name} with its ${connections.length} connections`;
      this.#surplus(object, 'gateways-gone', { do: 'delete-gateway', id });
    }
  }

  #replaced(id: string): boolean {
    return this.#steps.get('gateways-gone')!.some((step) => step.do === 'delete-gateway' && step.id === id);
  }

  #create(wish: GatewayWish, key: string, fields: Fields): void {
    this.#add('gateways', { do: 'create-gateway', key, fields });
    for (const connection of wish.connections) {
      this.#change('create', `connection ${connection.name} of ${wish.name}`, []);
      this.#createConnection(key, connection, wish.name);
    }
  }

  #createConnection(gateway: string, wish: ConnectionWish, owner: string): void {
    if (wish.psk === undefined) {
      throw new CliError(`connection ${wish.name} of ${owner} is to be made: it needs "psk" or "psk_file"`);
    }
    this.#add('connections', { do: 'create-connection', gateway, wish });
  }

  #connections(wish: GatewayWish, found: KnownGateway): void {
    for (const connection of wish.connections) {
      const object = `connection ${connection.name} of ${wish.name}`;
      const known = found.connections.find((one) => one.wish.name === connection.name);
      if (known === undefined) {
        this.#change('create', object, []);
        this.#createConnection(found.id, connection, wish.name);
        continue;
      }
      const fixed = fixedDifferences(known.wish, connection, found.addresses);
      if (fixed.length > 0) {
        const psk = connection.psk ?? known.wish.psk;
        this.#change('replace', object, fixed);
        this.#add('connections-gone', { do: 'delete-connection', gateway: found.id, id: known.id });
        this.#createConnection(found.id, { ...connection, ...(psk === undefined ? {} : { psk }) }, wish.name);
        continue;
      }
      this.#updateConnection(object, found.id, known, connection);
    }
    for (const { id, wish: other } of found.connections) {
      if (wish.connections.some(({ name }) => name === other.name)) continue;
      const step = { do: 'delete-connection', gateway: found.id, id } as const;
      this.#surplus(`connection ${other.name} of ${wish.name}`, 'connections-gone', step);
    }
  }

  #updateConnection(
    object: string,
    gateway: string,
    { id, wish: before }: Known<ConnectionWish>,
    after: ConnectionWish,
  ): void {
    const texts: string[] = [];
    const fields: Record<string, unknown> = {};
    const policies: Partial<Record<'ike_policy' | 'ipsec_policy', string | null>> = {};
    for (const field of SETTINGS) {
      if (after[field] === undefined || !differ(before[field], after[field])) continue;
      texts.push(field === 'psk' ? 'psk: another key' : told(field, before[field], after[field]));
      fields[field] = after[field];
    }
    for (const field of ['ike_policy', 'ipsec_policy'] as const) {
      if (before[field] === after[field]) continue;
      texts.push(told(field, before[field] ?? 'auto', after[field] ?? 'auto'));
      policies[field] = after[field];
    }
    if (before.peer.value !== after.peer.value) {
      texts.push(told(`peer.${after.peer.kind}`, before.peer.value, after.peer.value));
      fields.peer = { [after.peer.kind]: after.peer.value };
    }
    const late: Step[] = [];
    for (const side of ['local', 'peer'] as const) {
      const [old, wanted] = [before[side].cidrs, after[side].cidrs];
      const step = { gateway, id, side } as const;
      const added = wanted.filter((cidr) => !old.includes(cidr));
      const removed = old.filter((cidr) => !wanted.includes(cidr));
      texts.push(...added.map((cidr) => `${side}.cidrs: + ${cidr}`));
      texts.push(...removed.map((cidr) => `${side}.cidrs: - ${cidr}`));
      const more = added.map((cidr) => ({ do: 'add-cidr', cidr, ...step }) as const);
      const gone = removed.map((cidr) => ({ do: 'remove-cidr', cidr, ...step }) as const);
      // First away, so that another connection may have it; but one network must stay at any moment.
      const swapped = removed.length === old.length;
      for (const one of swapped ? [...more, ...gone] : gone) {
        this.#add(swapped ? 'networks-swapped' : 'networks-gone', one);
      }
      if (!swapped) late.push(...more);
    }
    if (texts.length === 0) {
      this.#unchanged++;
      return;
    }
    this.#change('update', object, texts);
    if (Object.keys(fields).length + Object.keys(policies).length > 0) {
      this.#add('connections', { do: 'update-connection', gateway, id, fields, policies });
    }
    for (const step of late) this.#add('connections', step);
  }

  #surplus(object: string, stage: Stage, step: Step): void {
    if (!this.#prune) {
      this.#kept.push(object);
      return;
    }
    this.#change('delete', object, []);
    this.#add(stage, step);
  }

  #change(verb: Verb, object: string, changes: readonly string[]): void {
    this.#changes.push({ verb, object, changes });
  }

  #add(stage: Stage, step: Step): void {
    this.#steps.get(stage)!.push(step);
  }
}

/** Fields of a connection that are patched as they are. */
const SETTINGS = [
  'psk',
  'admin_state_up',
  'establish_mode',
  'dead_peer_detection',
  'distribute_traffic',
] as const;

/** What cannot be patched: the connection is made anew. */
function fixedDifferences(
  before: ConnectionWish,
  after: ConnectionWish,
  addresses: readonly string[],
): string[] {
  const out: string[] = [];
  if (before.peer.kind !== after.peer.kind) out.push(told('peer', before.peer.value, after.peer.value));
  const [old, wanted] = [before.peer.ike_identity, givenIdentity(after.peer.ike_identity, after.peer.value)];
  if (differ(old, wanted)) out.push(told('peer.ike_identity', identityText(old), identityText(wanted)));
  const [mine, next] = [before.local.ike_identities, givenIdentities(after.local.ike_identities, addresses)];
  if (differ(mine, next)) {
    const text = (all: typeof mine): string => all?.map(identityText).join(', ') ?? 'automatic';
    out.push(told('local.ike_identities', text(mine), text(next)));
  }
  return out;
}

function identityText(identity: Identity | null): string {
  return identity === null ? 'automatic' : `${identity.type}:${identity.value}`;
}

function policyFields<T extends { readonly name: string }>(wish: T): Fields {
  return { ...wish };
}

function subnetOf({ name, subnet }: GatewayWish, subnets: readonly ApiObject[]): ApiObject {
  const found = subnets.find((one) => one.id === subnet || one.name === subnet);
  if (found !== undefined) return found;
  const names = subnets.map((one) => one.name);
  throw new CliError(`gateway ${name}: there is no subnet "${subnet}"${suggestion(subnet, names)}`);
}

function at(object: object, field: string): unknown {
  return (object as Fields)[field];
}

function told(field: string, before: unknown, after: unknown): string {
  return `${field}: ${shown(before)} -> ${shown(after)}`;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(', ') || 'none';
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([field, one]) => `${field} ${shown(one)}`)
      .join(' ');
  }
  return String(value);
}

/** Plain values; the order of fields does not count. */
function differ(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length !== b.length || a.some((one, index) => differ(one, b[index]));
  }
  if (typeof a === 'object' && a !== null && typeof b === 'object' && b !== null) {
    const fields = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...fields].some((field) => differ(at(a, field), at(b, field)));
  }
  return a !== b;
}
