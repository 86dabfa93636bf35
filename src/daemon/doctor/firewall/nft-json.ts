import { cidrRange, type IpRange, maskTo, parseIp } from '../../../util/ip.js';
import { err, ok, type Result } from '../../../util/result.js';
import { targetOf } from './iptables-save.js';
import type {
  Action,
  Condition,
  Field,
  Firewall,
  FirewallChain,
  FirewallRule,
  Hook,
  Value,
} from './model.js';

/*
 * The answer of `nft -j list ruleset` (libnftables-json(5)). It is the kernel's, but rules in it may be of any version
 * and of any program: whatever is not known here becomes `unknown`.
 */

type Json = Readonly<Record<string, unknown>>;

const FAMILIES: Readonly<Record<string, readonly (4 | 6)[]>> = { ip: [4], ip6: [6], inet: [4, 6] };
const HOOKS: readonly string[] = ['prerouting', 'input', 'forward', 'output', 'postrouting'];
/** What counts, logs or marks, and says nothing about the packet's way. */
const NEUTRAL: ReadonlySet<string> = new Set([
  'counter',
  'log',
  'mangle',
  'notrack',
  'ct helper',
  'set',
  'flow',
  'meter',
]);

/** A rule set as far as it can be read; why it cannot be, as the rest of a sentence. */
export function readNftRuleset(
  text: string,
): Result<Firewall & { readonly foreign: ReadonlySet<string> }, string> {
  let objects: unknown;
  try {
    objects = (JSON.parse(text) as Json).nftables;
  } catch {
    return err('the answer of nft is not JSON');
  }
  if (!Array.isArray(objects)) return err('the answer of nft has no list "nftables"');
  const sets = new Map<string, readonly unknown[]>();
  const rules = new Map<string, FirewallRule[]>();
  const foreign = new Set<string>();
  for (const object of objects) {
    const set = record(field(object, 'set') ?? field(object, 'map'));
    if (set !== undefined) sets.set(keyOf(set, set.name), list(set.elem));
  }
  for (const object of objects) {
    const rule = record(field(object, 'rule'));
    if (rule === undefined) continue;
    const expressions = list(rule.expr);
    if (expressions.some((one) => field(one, 'xt') !== undefined || 'xt' in (record(one) ?? {})))
      foreign.add(`${rule.family} ${rule.table}`);
    const key = keyOf(rule, rule.chain);
    const chain = rules.get(key) ?? [];
    rules.set(key, chain);
    chain.push(new RuleReader(rule, sets).read(expressions));
  }
  const chains = objects.flatMap((object) => {
    const chain = record(field(object, 'chain'));
    return chain === undefined ? [] : (chainOf(chain, rules) ?? []);
  });
  return ok({ chains, foreign });
}

function chainOf(
  chain: Json,
  rules: ReadonlyMap<string, readonly FirewallRule[]>,
): FirewallChain | undefined {
  const families = FAMILIES[String(chain.family)];
  if (families === undefined) return undefined;
  const table = `${chain.family} ${chain.table}`;
  const { hook, type, prio, policy } = chain;
  const isBase = typeof hook === 'string' && HOOKS.includes(hook);
  // An ingress chain sees packets of one device before all of this: nothing is known of it.
  if (typeof hook === 'string' && !isBase) return undefined;
  const base = isBase && {
    hook: hook as Hook,
    type: type === 'nat' ? ('nat' as const) : type === 'route' ? ('route' as const) : ('filter' as const),
    priority: Number(prio),
    policy: policy === 'drop' ? ('drop' as const) : ('accept' as const),
  };
  return {
    ...{ table, name: String(chain.name), families, rules: rules.get(keyOf(chain, chain.name)) ?? [] },
    insert: `nft insert rule ${table} ${chain.name}`,
    ...(base === false ? {} : { base }),
  };
}

/** Reads the expressions of one rule. */
class RuleReader {
  readonly #rule: Json;
  readonly #sets: ReadonlyMap<string, readonly unknown[]>;

  constructor(rule: Json, sets: ReadonlyMap<string, readonly unknown[]>) {
    this.#rule = rule;
    this.#sets = sets;
  }

  read(expressions: readonly unknown[]): FirewallRule {
    const conditions: Condition[] = [];
    let action: Action = { kind: 'pass' };
    for (const expression of expressions) {
      const [name, body] = Object.entries(record(expression) ?? { unknown: null })[0] ?? ['unknown', null];
      if (name === 'match') conditions.push(...this.#match(record(body) ?? {}));
      else if (NEUTRAL.has(name)) continue;
      else if (name === 'limit' || name === 'quota' || name === 'ct count') conditions.push(UNKNOWN);
      else if (name === 'xt') {
        const { type, name: extension } = record(body) ?? {};
        const target = type === 'target' ? targetOf(String(extension)) : undefined;
        // Of the others the list does not say what they do.
        if (target === undefined && extension !== 'comment') conditions.push(UNKNOWN);
        if (target !== undefined) action = target;
        else if (body === null) action = { kind: 'unknown' };
      } else action = this.#verdict(name, body);
    }
    return { conditions, action, text: this.#text(expressions) };
  }

  #verdict(name: string, body: unknown): Action {
    switch (name) {
      case 'accept':
      case 'drop':
      case 'return':
        return { kind: name };
      case 'continue':
        return { kind: 'pass' };
      case 'reject':
        return { kind: 'drop' };
      case 'masquerade':
      case 'snat':
        return { kind: 'nat' };
      case 'jump':
      case 'goto':
        return { kind: name, chain: String(record(body)?.target) };
      case 'vmap':
        return this.#map(record(body) ?? {});
      default:
        return { kind: 'unknown' };
    }
  }

  #map({ key, data }: Json): Action {
    const entries = this.#elements(data).map((element) => {
      const [value, verdict] = Array.isArray(element) ? element : [undefined, undefined];
      const [name = 'unknown', body] = Object.entries(record(verdict) ?? {})[0] ?? [];
      const when = { field: fieldOf(key), not: false, values: this.#values(value) };
      return { when, does: this.#verdict(name, body) };
    });
    return { kind: 'map', entries };
  }

  #match({ op, left, right }: Json): Condition[] {
    const known = fieldOf(left);
    const implied = impliedBy(left);
    if (known === 'unknown' || !['==', '!=', 'in'].includes(String(op))) return [...implied, UNKNOWN];
    return [...implied, { field: known, not: op === '!=', values: this.#values(right) }];
  }

  #values(right: unknown): Value[] {
    return this.#elements(right).map(readValue);
  }

  /** The members of a set, by name or in place; else the one value. */
  #elements(right: unknown): readonly unknown[] {
    if (typeof right === 'string' && right.startsWith('@')) {
      const found = this.#sets.get(keyOf(this.#rule, right.slice(1)));
      return found ?? [{ unknown: right }];
    }
    const inPlace = field(right, 'set');
    if (inPlace !== undefined) return list(inPlace);
    return Array.isArray(right) ? right : [right];
  }

  #text(expressions: readonly unknown[]): string {
    const { family, table, chain, handle, comment } = this.#rule;
    const words = expressions.map(shortText).filter((word) => word !== '');
    const said = typeof comment === 'string' ? ` comment "${comment}"` : '';
    return `${words.join(' ')}${said} (nftables: ${family} ${table} ${chain}, handle ${handle})`;
  }
}

const UNKNOWN: Condition = { field: 'unknown', not: false, values: [] };

function fieldOf(left: unknown): Field | 'unknown' {
  const meta = record(field(left, 'meta'))?.key;
  switch (meta) {
    case 'iif':
    case 'iifname':
      return 'iif';
    case 'oif':
    case 'oifname':
      return 'oif';
    case 'l4proto':
      return 'protocol';
    case 'nfproto':
      return 'family';
  }
  if (record(field(left, 'ct'))?.key === 'state') return 'state';
  const payload = record(field(left, 'payload'));
  switch (payload && `${payload.protocol} ${payload.field}`) {
    case 'ip saddr':
    case 'ip6 saddr':
      return 'source';
    case 'ip daddr':
    case 'ip6 daddr':
      return 'destination';
    case 'ip protocol':
    case 'ip6 nexthdr':
      return 'protocol';
    case 'udp sport':
    case 'th sport':
      return 'sport';
    case 'udp dport':
    case 'th dport':
      return 'dport';
  }
  return 'unknown';
}

/** nft looks at a header only where there is one: what is compared says of which kind the packet must be. */
function impliedBy(left: unknown): Condition[] {
  const protocol = record(field(left, 'payload'))?.protocol;
  switch (protocol) {
    case 'ip':
      return [{ field: 'family', not: false, values: ['ipv4'] }];
    case 'ip6':
      return [{ field: 'family', not: false, values: ['ipv6'] }];
    case 'th':
    case undefined:
      return [];
    default:
      return [{ field: 'protocol', not: false, values: [String(protocol)] }];
  }
}

function readValue(element: unknown): Value {
  // An element with a timeout, a counter or a comment.
  const wrapped = record(field(element, 'elem'));
  if (wrapped !== undefined) return readValue(wrapped.val);
  if (typeof element === 'number') return { from: element, to: element };
  if (typeof element === 'string') {
    const ip = parseIp(element);
    return ip === undefined ? element : { start: ip, end: ip };
  }
  const prefix = record(field(element, 'prefix'));
  if (prefix !== undefined) {
    const address = parseIp(String(prefix.addr));
    return address === undefined ? 'unknown' : networkOf(address, Number(prefix.len));
  }
  const [from, to] = list(field(element, 'range'));
  if (typeof from === 'number' && typeof to === 'number') return { from, to };
  const [start, end] = [parseIp(String(from)), parseIp(String(to))];
  return start === undefined || end === undefined ? 'unknown' : { start, end };
}

function networkOf(address: Uint8Array, prefix: number): IpRange {
  return cidrRange({ address: maskTo(address, prefix), prefix });
}

/** An expression in nearly the words of nft, for people to find the rule by. */
function shortText(expression: unknown): string {
  const [name, body] = Object.entries(record(expression) ?? {})[0] ?? ['', null];
  if (name === 'counter') return '';
  const match = name === 'match' ? record(body) : undefined;
  if (match === undefined) {
    const target = record(body)?.target;
    return typeof target === 'string' ? `${name} ${target}` : name;
  }
  const op = match.op === '==' || match.op === 'in' ? '' : `${match.op} `;
  return `${leftText(match.left)} ${op}${rightText(match.right)}`;
}

function leftText(left: unknown): string {
  const payload = record(field(left, 'payload'));
  if (payload !== undefined) return `${payload.protocol} ${payload.field}`;
  const [name, body] = Object.entries(record(left) ?? {})[0] ?? ['?', null];
  const key = record(body)?.key;
  return name === 'meta' ? String(key) : `${name}${key === undefined ? '' : ` ${key}`}`;
}

function rightText(right: unknown): string {
  if (typeof right === 'string' || typeof right === 'number') return String(right);
  const prefix = record(field(right, 'prefix'));
  if (prefix !== undefined) return `${prefix.addr}/${prefix.len}`;
  const range = field(right, 'range');
  if (Array.isArray(range)) return range.join('-');
  const members = field(right, 'set') ?? right;
  return Array.isArray(members) ? `{ ${members.map(rightText).join(', ')} }` : '…';
}

function keyOf(object: Json, name: unknown): string {
  return `${object.family} ${object.table} ${String(name)}`;
}

function field(value: unknown, name: string): unknown {
  return record(value)?.[name];
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
}
