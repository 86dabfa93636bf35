import type { IpBytes, IpRange } from '../../../util/ip.js';

/**
 * A packet filter as far as the doctor judges it: what nftables and both forms of iptables have in common. What could
 * not be read is there as `unknown`, so that no verdict is made of half a rule.
 */
export interface Firewall {
  readonly chains: readonly FirewallChain[];
}

/** Where in the kernel a base chain is asked. */
export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';

/** One chain with its rules in order. */
export interface FirewallChain {
  /** Its table, by which jumps find their target: two tables may have chains of one name. */
  readonly table: string;
  readonly name: string;
  /** Which packets it sees. */
  readonly families: readonly (4 | 6)[];
  /** Of a base chain. */
  readonly base?: {
    readonly hook: Hook;
    readonly type: 'filter' | 'nat' | 'route';
    readonly priority: number;
    readonly policy: 'accept' | 'drop';
  };
  readonly rules: readonly FirewallRule[];
  /** Words of the command that puts a rule in front of this chain, without the rule. */
  readonly insert: string;
}

/** All conditions must hold for the action. */
export interface FirewallRule {
  readonly conditions: readonly Condition[];
  readonly action: Action;
  /** As an operator knows it. */
  readonly text: string;
}

/** What a condition looks at; `unknown` is anything else. */
export type Field =
  | 'iif'
  | 'oif'
  | 'family'
  | 'protocol'
  | 'source'
  | 'destination'
  | 'sport'
  | 'dport'
  | 'state';

/** The packet's value is one of these; none of them with `not`. */
export interface Condition {
  readonly field: Field | 'unknown';
  readonly not: boolean;
  readonly values: readonly Value[];
}

/** A word, where a last `*` matches any rest; numbers from and to; addresses; or something that was not read. */
export type Value = string | { readonly from: number; readonly to: number } | IpRange | 'unknown';

/** What a rule does. `pass`: the next rule is asked. `nat`: the source address is changed. */
export type Action =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'pass' | 'nat' | 'unknown' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  | {
      readonly kind: 'map';
      readonly entries: readonly { readonly when: Condition; readonly does: Action }[];
    };

/** A packet to ask the filter about. What is left out may be anything: rules that look at it are undecided. */
export interface ProbePacket {
  readonly iif?: string;
  readonly oif?: string;
  readonly protocol?: 'udp';
  readonly family: 4 | 6;
  readonly source?: IpBytes;
  readonly destination?: IpBytes;
  readonly sport?: number;
  readonly dport?: number;
  readonly state: 'new' | 'established';
}
