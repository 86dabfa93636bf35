import { cidrRange, maskTo, parseIp } from '../../../util/ip.js';
import type { Action, Condition, Field, FirewallChain, FirewallRule, Hook, Value } from './model.js';

const HOOKS: Readonly<Record<string, Hook>> = {
  PREROUTING: 'prerouting',
  INPUT: 'input',
  FORWARD: 'forward',
  OUTPUT: 'output',
  POSTROUTING: 'postrouting',
};
/** linux/netfilter_ipv4.h: NF_IP_PRI_*; those of the table nat at postrouting. */
const PRIORITIES: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
  nat: 100,
};
/** Targets that log, mark or count, and let the next rule decide. */
const NEUTRAL: ReadonlySet<string> = new Set([
  ...['LOG', 'NFLOG', 'ULOG', 'MARK', 'CONNMARK', 'CONNSECMARK', 'SECMARK', 'TCPMSS', 'CHECKSUM', 'CT'],
  ...['CLASSIFY', 'DSCP', 'TOS', 'TTL', 'HL', 'SET', 'TRACE', 'ACCOUNT'],
]);

/** How the tables were read: by which program, so that a remedy can name it. */
export interface IptablesSource {
  readonly family: 4 | 6;
  /** The program that changes these tables, for example `iptables-legacy`. */
  readonly program: string;
}

/** The chains in the output of iptables-save(8). Lines that are not understood make their rule `unknown`. */
export function readIptablesSave(text: string, { family, program }: IptablesSource): FirewallChain[] {
  const chains = new Map<
    string,
    { readonly head: Omit<FirewallChain, 'rules'>; readonly rules: FirewallRule[] }
  >();
  let table = 'filter';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const declared = /^:(\S+) (\S+)/.exec(line);
    if (declared !== null) {
      const [, name = '', policy = ''] = declared;
      chains.set(`${table} ${name}`, {
        head: headOf({ table, name, policy }, { family, program }),
        rules: [],
      });
    }
    const added = /^-A (\S+) ?(.*)$/.exec(line.replace(/^\[[0-9:]+\] /, ''));
    if (added === null) continue;
    const [, name = '', rest = ''] = added;
    chains
      .get(`${table} ${name}`)
      ?.rules.push(readRule(rest, `-A ${name} ${rest} (${program}, table ${table})`));
  }
  return [...chains.values()].map(({ head, rules }) => ({ ...head, rules }));
}

function headOf(
  { table, name, policy }: { readonly table: string; readonly name: string; readonly policy: string },
  { family, program }: IptablesSource,
): Omit<FirewallChain, 'rules'> {
  const hook = HOOKS[name];
  const type = table === 'nat' ? ('nat' as const) : ('filter' as const);
  const base = hook && {
    ...{ hook, type, priority: PRIORITIES[table] ?? 0 },
    policy: policy === 'DROP' ? ('drop' as const) : ('accept' as const),
  };
  return {
    ...{ table: `${program} ${table}`, name, families: [family] },
    insert: `${program} -t ${table} -I ${name}`,
    ...(base === undefined ? {} : { base }),
  };
}

const OPTIONS: Readonly<Record<string, Field>> = {
  '-i': 'iif',
  '-o': 'oif',
  '-s': 'source',
  '-d': 'destination',
  '-p': 'protocol',
  '--sport': 'sport',
  '--sports': 'sport',
  '--dport': 'dport',
  '--dports': 'dport',
  '--ctstate': 'state',
  '--state': 'state',
};

function readRule(rest: string, text: string): FirewallRule {
  const words = [...rest.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map((found) => found[1] ?? found[2] ?? '');
  const conditions: Condition[] = [];
  let action: Action = { kind: 'pass' };
  let not = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === '!') {
      not = true;
      continue;
    }
    const value = words[at + 1] ?? '';
    const field = OPTIONS[word];
    if (field !== undefined) conditions.push({ field, not, values: valuesOf(field, value) });
    else if (word === '-j') action = targetOf(value);
    else if (word === '-g') action = { kind: 'goto', chain: value };
    else if (word === '-m' || word === '--comment') {
      // A match of its own kind shows by its options.
      if (word === '-m' && UNREADABLE.has(value)) conditions.push(UNKNOWN);
    } else {
      // Options of a target come after it, and say nothing about the packet.
      if (action.kind === 'pass' && word.startsWith('-')) conditions.push(UNKNOWN);
      continue;
    }
    not = false;
    at++;
  }
  return { conditions, action, text };
}

const UNKNOWN: Condition = { field: 'unknown', not: false, values: [] };
/** Matches without options that may fail all the same. */
const UNREADABLE: ReadonlySet<string> = new Set([
  'socket',
  'rpfilter',
  'bpf',
  'u32',
  'quota',
  'limit',
  'policy',
]);

/** What a rule does by its target: the name of one that is built in, or of a chain. */
export function targetOf(target: string): Action {
  switch (target) {
    case 'ACCEPT':
      return { kind: 'accept' };
    case 'DROP':
    case 'REJECT':
      return { kind: 'drop' };
    case 'RETURN':
      return { kind: 'return' };
    case 'MASQUERADE':
    case 'SNAT':
      return { kind: 'nat' };
    case 'DNAT':
    case 'REDIRECT':
    case 'NFQUEUE':
    case 'TPROXY':
    case 'NETMAP':
      return { kind: 'unknown' };
  }
  return NEUTRAL.has(target) ? { kind: 'pass' } : { kind: 'jump', chain: target };
}

function valuesOf(field: Field, value: string): Value[] {
  switch (field) {
    case 'iif':
    case 'oif':
      return [value.replace(/\+$/, '*')];
    case 'source':
    case 'destination':
      return value.split(',').map(addressesOf);
    case 'sport':
    case 'dport':
      return value.split(',').map((part) => {
        const [from = '', to = from] = part.split(':');
        return { from: Number(from), to: Number(to === '' ? 65_535 : to) };
      });
    default:
      return value.split(',').map((word) => (word === '50' ? 'esp' : word.toLowerCase()));
  }
}

/** `a.b.c.d`, with a prefix length or with a mask. */
function addressesOf(text: string): Value {
  const [host = '', mask] = text.split('/');
  const address = parseIp(host);
  if (address === undefined) return 'unknown';
  const prefix = mask === undefined ? address.length * 8 : prefixOf(mask);
  return prefix === undefined ? 'unknown' : cidrRange({ address: maskTo(address, prefix), prefix });
}

function prefixOf(mask: string): number | undefined {
  if (/^[0-9]{1,3}$/.test(mask)) return Number(mask);
  const bits = parseIp(mask)?.reduce((text, octet) => text + octet.toString(2).padStart(8, '0'), '');
  const found = bits === undefined ? null : /^(1*)0*$/.exec(bits);
  return found === null ? undefined : found[1]!.length;
}
