import type { Cidr } from '../util/ip.js';
import { formatCidr } from '../util/ip.js';
import { linuxError } from './errors.js';
import { type Attribute, NLM_F_CREATE, NLM_F_EXCL, netlinkRequest, readHostU32, u32 } from './netlink.js';
import { ROUTE_PROTOCOL } from './routes.js';
import { dumpBoth, type FamilyAnswer, RT_TABLE_UNSPEC } from './rtnetlink.js';
import { AF_INET, AF_INET6 } from './sockaddr.js';

/* Rules that say by the source of a packet which routing table is looked up (ip-rule(8), linux/fib_rules.h). */

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FRA_SRC = 2;
const FRA_PRIORITY = 6;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_PROTOCOL = 21;

const FR_ACT_TO_TBL = 1;

/** struct fib_rule_hdr: family, dst_len, src_len, tos, table, two reserved, action (u8 each), flags u32. */
const RULE_SIZE = 12;

/** A rule: packets from a network are looked up in a table. */
export interface SourceRule {
  /** Rules are asked in ascending order; 0 is that of the host's own addresses, 32766 that of the main table. */
  readonly preference: number;
  readonly source: Cidr;
  readonly table: number;
  /** A default route that is found in the table does not count. */
  readonly withoutDefault: boolean;
}

function change(type: number, flags: number, rule: SourceRule, doing: string): void {
  const { preference, source, table, withoutDefault } = rule;
  const { address, prefix } = source;
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const fixed = Uint8Array.of(family, 0, prefix, 0, RT_TABLE_UNSPEC, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0);
  const attributes: Attribute[] = [
    ...(prefix === 0 ? [] : [{ type: FRA_SRC, value: address }]),
    { type: FRA_PRIORITY, value: u32(preference) },
    { type: FRA_TABLE, value: u32(table) },
    { type: FRA_PROTOCOL, value: Uint8Array.of(ROUTE_PROTOCOL) },
    ...(withoutDefault ? [{ type: FRA_SUPPRESS_PREFIXLEN, value: u32(0) }] : []),
  ];
  const text = `${doing} the routing rule from ${formatCidr(source)}`;
  netlinkRequest(type, flags, fixed, attributes, RULE_SIZE, (errno) => linuxError(errno, text));
}

/** Adds a rule. @throws LinuxError, EEXIST when it is there already */
export function addRule(rule: SourceRule): void {
  change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule, 'adding');
}

/** Removes what `addRule` added. @throws LinuxError, ENOENT when it is not there */
export function removeRule(rule: SourceRule): void {
  change(RTM_DELRULE, 0, rule, 'removing');
}

/** The rules by source that carry `ROUTE_PROTOCOL`, of both families. */
export function listRules(): SourceRule[] {
  return dumpBoth(RTM_GETRULE, RULE_SIZE, 'listing routing rules').flatMap(listed);
}

function listed({ fixed, attributes, anywhere }: FamilyAnswer): SourceRule[] {
  if (fixed.getUint8(7) !== FR_ACT_TO_TBL) return [];
  if (attributes.get(FRA_PROTOCOL)?.[0] !== ROUTE_PROTOCOL) return [];
  const suppress = attributes.get(FRA_SUPPRESS_PREFIXLEN);
  return [
    {
      preference: readHostU32(attributes.get(FRA_PRIORITY) ?? u32(0)),
      source: { address: attributes.get(FRA_SRC) ?? anywhere, prefix: fixed.getUint8(2) },
      table: readHostU32(attributes.get(FRA_TABLE) ?? u32(fixed.getUint8(4))),
      withoutDefault: suppress !== undefined && readHostU32(suppress) === 0,
    },
  ];
}
