import { type IpRange, rangeContains } from '../../../util/ip.js';
import type {
  Action,
  Condition,
  Firewall,
  FirewallChain,
  FirewallRule,
  Hook,
  ProbePacket,
  Value,
} from './model.js';

/** What becomes of a packet in one chain or in all chains of a hook. */
export interface Verdict {
  /** `unknown`: rules that could not be read, or depend on more than is known of the packet, decide. */
  readonly kind: 'accept' | 'drop' | 'nat' | 'unknown';
  /** Rules that say so, or those that leave it open. */
  readonly because: readonly string[];
  /** The chain that decided. */
  readonly chain?: FirewallChain;
}

/** As deep as the kernel lets chains call each other (NFT_JUMP_STACK_SIZE). */
const MAX_DEPTH = 16;

type Outcome = 'accept' | 'drop' | 'nat' | 'through';

/**
 * Asks every base chain of a hook, by priority, as the kernel does: a packet passes when all of them accept it.
 * @param type `filter` for whether it passes, `nat` for whether its source is changed
 */
export function askHook(
  firewall: Firewall,
  hook: Hook,
  type: 'filter' | 'nat',
  packet: ProbePacket,
): Verdict {
  const chains = firewall.chains
    .filter(({ base, families }) => base?.hook === hook && families.includes(packet.family))
    .filter(({ base }) => (base!.type === 'nat') === (type === 'nat'))
    .sort((a, b) => a.base!.priority - b.base!.priority);
  let undecided: Verdict | undefined;
  for (const chain of chains) {
    const verdict = new Walk(firewall, packet).base(chain);
    if (verdict.kind === 'drop' || verdict.kind === 'nat') return verdict;
    if (verdict.kind === 'unknown') undecided ??= verdict;
  }
  return undecided ?? { kind: 'accept', because: [] };
}

/** One packet on its way through one base chain and what that calls. */
class Walk {
  readonly #firewall: Firewall;
  readonly #packet: ProbePacket;
  /** Verdicts of rules that may or may not match. */
  readonly #doubts: { readonly outcome: Outcome | 'anything'; readonly text: string }[] = [];
  #because = '';

  constructor(firewall: Firewall, packet: ProbePacket) {
    this.#firewall = firewall;
    this.#packet = packet;
  }

  base(chain: FirewallChain): Verdict {
    const { policy, type } = chain.base!;
    let outcome: Outcome = this.#chain(chain, 0);
    if (outcome === 'through') {
      outcome = policy;
      this.#because = `policy ${policy} of chain ${chain.table} ${chain.name}`;
    }
    const doubts = this.#doubts.filter((doubt) => isDoubt(doubt.outcome, outcome, type));
    if (doubts.length > 0) return { kind: 'unknown', because: doubts.map(({ text }) => text), chain };
    return { kind: outcome, because: [this.#because], chain };
  }

  #chain(chain: FirewallChain, depth: number): Outcome {
    for (const rule of chain.rules) {
      const matched = holds(rule.conditions, this.#packet);
      if (matched === false) continue;
      const outcome = this.#act(chain, rule, rule.action, depth, matched === undefined);
      if (outcome !== 'next') return outcome;
    }
    return 'through';
  }

  /** @param doubtful whether it is known that the rule matches */
  #act(
    chain: FirewallChain,
    rule: FirewallRule,
    action: Action,
    depth: number,
    doubtful: boolean,
  ): Outcome | 'next' {
    switch (action.kind) {
      case 'pass':
        return 'next';
      case 'accept':
      case 'drop':
      case 'nat':
        return this.#settle(action.kind, rule.text, doubtful);
      case 'return':
        return this.#settle('through', rule.text, doubtful);
      case 'unknown':
        this.#doubts.push({ outcome: 'anything', text: rule.text });
        return 'next';
      case 'map': {
        for (const { when, does } of action.entries) {
          const matched = holds([when], this.#packet);
          if (matched === false) continue;
          const outcome = this.#act(chain, rule, does, depth, doubtful || matched === undefined);
          if (outcome !== 'next') return outcome;
        }
        return 'next';
      }
      case 'jump':
      case 'goto':
        return this.#call(chain, rule, action, depth, doubtful);
    }
  }

  #call(
    { table }: FirewallChain,
    rule: FirewallRule,
    { kind, chain: name }: { readonly kind: 'jump' | 'goto'; readonly chain: string },
    depth: number,
    doubtful: boolean,
  ): Outcome | 'next' {
    const target = this.#firewall.chains.find((one) => one.table === table && one.name === name);
    if (target === undefined || depth === MAX_DEPTH) {
      this.#doubts.push({ outcome: 'anything', text: rule.text });
      return 'next';
    }
    const outcome = this.#chain(target, depth + 1);
    // What is called with `goto` does not come back: the policy of the base chain decides.
    if (outcome === 'through') return kind === 'goto' && !doubtful ? 'through' : 'next';
    return doubtful ? this.#settle(outcome, rule.text, true) : outcome;
  }

  #settle(outcome: Outcome, text: string, doubtful: boolean): Outcome | 'next' {
    if (doubtful) {
      this.#doubts.push({ outcome, text });
      return 'next';
    }
    this.#because = text;
    return outcome;
  }
}

/**
 * Whether what a rule might do casts doubt on a verdict. A bad one is said only when nothing can save the packet; that
 * it passes a filter is believed; that its source stays what it is, only when every rule could be read.
 */
function isDoubt(might: Outcome | 'anything', verdict: Outcome, type: 'filter' | 'nat' | 'route'): boolean {
  if (type === 'nat') return verdict === 'nat' ? might !== 'nat' : might === 'anything';
  return verdict === 'drop' && might !== 'drop';
}

/** Whether all conditions hold; undefined when that is not known. */
function holds(conditions: readonly Condition[], packet: ProbePacket): boolean | undefined {
  let whole: boolean | undefined = true;
  for (const condition of conditions) {
    const one =
      condition.field === 'unknown' ? undefined : matches(condition, packetValue(condition.field, packet));
    if (one === false) return false;
    if (one === undefined) whole = undefined;
  }
  return whole;
}

type PacketValue = string | number | Uint8Array | undefined;

function packetValue(field: Exclude<Condition['field'], 'unknown'>, packet: ProbePacket): PacketValue {
  if (field === 'family') return `ipv${packet.family}`;
  return packet[field];
}

function matches({ not, values }: Condition, value: PacketValue): boolean | undefined {
  if (value === undefined) return undefined;
  let found: boolean | undefined = false;
  for (const candidate of values) {
    const one = isOne(candidate, value);
    if (one === true) return !not;
    if (one === undefined) found = undefined;
  }
  return found === undefined ? undefined : not;
}

function isOne(candidate: Value, value: Exclude<PacketValue, undefined>): boolean | undefined {
  if (candidate === 'unknown') return undefined;
  if (typeof candidate === 'string') {
    if (typeof value !== 'string') return typeof value === 'number' ? candidate === String(value) : undefined;
    return candidate.endsWith('*') ? value.startsWith(candidate.slice(0, -1)) : candidate === value;
  }
  if ('from' in candidate) {
    return typeof value === 'number' ? candidate.from <= value && value <= candidate.to : undefined;
  }
  return value instanceof Uint8Array ? rangeContains(candidate as IpRange, value) : undefined;
}
