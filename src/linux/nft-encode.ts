import { type Attribute, encodeRequest, NLM_F_CREATE, text } from './netlink.js';

/**
 * Messages and expressions of nf_tables (linux/netfilter/nf_tables.h), as many of them as are needed here. Numbers in
 * its attributes are in network order, and a structure in an attribute is flagged as nested.
 */

const NESTED = 0x8000;
const NLM_F_APPEND = 0x800;
/** NFNL_SUBSYS_NFTABLES: the high octet of a message's type. */
const SUBSYSTEM = 10;

const NFT_MSG = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  newRule: 6,
  newSet: 9,
  newSetElem: 12,
  newObj: 18,
  getObj: 19,
} as const;

/** NFPROTO_INET: a table for IPv4 and IPv6 together. */
const INET = 1;
/** struct nfgenmsg: family u8, version u8, resource id u16. */
export const NFGENMSG_SIZE = 4;
const BATCH_BEGIN = 16;
const BATCH_END = 17;

/** Numbers of enum nf_inet_hooks (linux/netfilter.h): where in the kernel's path a chain begins. */
export const Hook = { input: 1, forward: 2, output: 3 } as const;
const COUNTER = 1;
const SET_INTERVAL = 4;
const INTERVAL_END = 1;
const REGISTER = 1;
const VERDICT_REGISTER = 0;
const DROP = 0;
const ACCEPT = 1;
const JUMP = -3;
const RETURN = -5;

function be32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setInt32(0, value | 0);
  return out;
}

function nested(type: number, attributes: readonly Attribute[]): Attribute {
  // The body of a request with nothing fixed in front of it is the list of its attributes.
  return { type: type | NESTED, value: encodeRequest(0, 0, new Uint8Array(0), attributes).subarray(16) };
}

const name = (type: number, value: string): Attribute => ({ type, value: text(value) });
const number = (type: number, value: number): Attribute => ({ type, value: be32(value) });
const data = (type: number, value: Uint8Array): Attribute => nested(type, [{ type: 1, value }]);

/** One message of nf_tables. */
function nftMessage(message: number, flags: number, attributes: readonly Attribute[]): Uint8Array {
  const fixed = Uint8Array.of(INET, 0, 0, 0);
  return encodeRequest((SUBSYSTEM << 8) | message, flags, fixed, attributes);
}

/** Messages as one transaction: all of them come into force, or none. */
export function nftBatch(messages: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const frame = (type: number): Uint8Array => encodeRequest(type, 0, Uint8Array.of(0, 0, 0, SUBSYSTEM), []);
  const all = [frame(BATCH_BEGIN), ...messages, frame(BATCH_END)];
  const out = new Uint8Array(new ArrayBuffer(all.reduce((sum, { length }) => sum + length, 0)));
  let at = 0;
  for (const message of all) {
    out.set(message, at);
    at += message.length;
  }
  return out;
}

/** Messages about a table of family inet. Making one that is there already is no error. */
export const newTable = (table: string): Uint8Array =>
  nftMessage(NFT_MSG.newTable, NLM_F_CREATE, [name(1, table)]);
export const deleteTable = (table: string): Uint8Array => nftMessage(NFT_MSG.delTable, 0, [name(1, table)]);

/** A chain that rules jump to, or with `hook` one that the kernel begins with. */
export function newChain(
  table: string,
  chain: string,
  base?: { readonly hook: number; readonly priority: number },
): Uint8Array {
  const hook =
    base === undefined
      ? []
      : [nested(4, [number(1, base.hook), number(2, base.priority)]), number(5, ACCEPT), name(7, 'filter')];
  return nftMessage(NFT_MSG.newChain, NLM_F_CREATE, [name(1, table), name(3, chain), ...hook]);
}

/** A set of address ranges; `id` names it in rules of the same batch. */
export function newRangeSet(table: string, set: string, id: number, octets: 4 | 16): Uint8Array {
  // The type of the key is for nft(8), which shows it: ipv4_addr or ipv6_addr.
  const attributes = [number(3, SET_INTERVAL), number(4, octets === 4 ? 7 : 8), number(5, octets)];
  return nftMessage(NFT_MSG.newSet, NLM_F_CREATE, [
    name(1, table),
    name(2, set),
    ...attributes,
    number(10, id),
  ]);
}

/** Ranges of a set: disjoint, each from its first address to the one after its last (none at the top). */
export function newRanges(
  table: string,
  set: string,
  id: number,
  ranges: readonly { readonly first: Uint8Array; readonly behind: Uint8Array | undefined }[],
): Uint8Array {
  const elements = ranges.flatMap(({ first, behind }) => [
    nested(1, [data(1, first)]),
    ...(behind === undefined ? [] : [nested(1, [data(1, behind), number(3, INTERVAL_END)])]),
  ]);
  return nftMessage(NFT_MSG.newSetElem, NLM_F_CREATE, [
    name(1, table),
    name(2, set),
    nested(3, elements),
    number(4, id),
  ]);
}

/** Makes a named counter; the questions are for the counter and for its table. */
export const newCounter = (table: string, counter: string): Uint8Array =>
  nftMessage(NFT_MSG.newObj, NLM_F_CREATE, [
    name(1, table),
    name(2, counter),
    number(3, COUNTER),
    nested(4, []),
  ]);
export const getCounter = (table: string, counter: string, flags: number): Uint8Array =>
  nftMessage(NFT_MSG.getObj, flags, [name(1, table), name(2, counter), number(3, COUNTER)]);
export const getTable = (table: string, flags: number): Uint8Array =>
  nftMessage(NFT_MSG.getTable, flags, [name(1, table)]);

/** An expression of a rule: loads, compares or decides. A rule ends at the first comparison that fails. */
export type Expression = Attribute;

/** The message that appends a rule to a chain (NFT_MSG_NEWRULE). */
export function newRule(table: string, chain: string, expressions: readonly Expression[]): Uint8Array {
  const flags = NLM_F_CREATE | NLM_F_APPEND;
  return nftMessage(NFT_MSG.newRule, flags, [name(1, table), name(2, chain), nested(4, expressions)]);
}

function expression(kind: string, attributes: readonly Attribute[]): Expression {
  return nested(1, [name(1, kind), nested(2, attributes)]);
}

const META = { iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
const COMPARE = { eq: 0, neq: 1, lte: 3, gte: 5 } as const;
const BASE = { network: 1, transport: 2 } as const;

/** Loads what the kernel knows of a packet beside its octets, such as its device. */
export const loadMeta = (key: keyof typeof META): Expression =>
  expression('meta', [number(1, REGISTER), number(2, META[key])]);

/** Loads octets of the packet, counted from the network or the transport header. */
export const loadPayload = (base: keyof typeof BASE, offset: number, octets: number): Expression =>
  expression('payload', [number(1, REGISTER), number(2, BASE[base]), number(3, offset), number(4, octets)]);

/** Loads the field of the IPv6 fragment header (44) that has offset and flags; no match without such a header. */
export const loadFragmentOffset = (): Expression =>
  expression('exthdr', [
    number(1, REGISTER),
    { type: 2, value: Uint8Array.of(44) },
    number(3, 2),
    number(4, 2),
  ]);

/** Keeps these bits of what was loaded. */
export const mask = (bits: Uint8Array): Expression =>
  expression('bitwise', [
    number(1, REGISTER),
    number(2, REGISTER),
    number(3, bits.length),
    data(4, bits),
    data(5, new Uint8Array(bits.length)),
  ]);

/** Goes on with the rule only if what was loaded compares like this. */
export const compare = (operator: keyof typeof COMPARE, value: Uint8Array): Expression =>
  expression('cmp', [number(1, REGISTER), number(2, COMPARE[operator]), data(3, value)]);

/** Whether what was loaded lies in a set, or with `inverted` outside of it. */
export function inSet(set: string, id: number, inverted = false): Expression {
  const flags = inverted ? [number(5, 1)] : [];
  return expression('lookup', [name(1, set), number(2, REGISTER), number(4, id), ...flags]);
}

/**
 * Loads the device by which the host would answer the packet's source, if that is the one by which the packet came,
 * else 0: the lookup of strict reverse path filtering (NFT_FIB_RESULT_OIF by source address and input device).
 */
export const loadReversePath = (): Expression =>
  expression('fib', [number(1, REGISTER), number(2, 1), number(3, 1 | 8)]);

/** Counts packet and octets in a named counter. */
export const count = (counter: string): Expression =>
  expression('objref', [number(1, COUNTER), name(2, counter)]);

function verdict(code: number, chain?: string): Expression {
  const target = chain === undefined ? [] : [name(2, chain)];
  return expression('immediate', [
    number(1, VERDICT_REGISTER),
    nested(2, [nested(2, [number(1, code), ...target])]),
  ]);
}

/** Verdicts (linux/netfilter/nf_tables.h): `back` returns to the chain that jumped here. */
export const drop = (): Expression => verdict(DROP);
export const accept = (): Expression => verdict(ACCEPT);
export const back = (): Expression => verdict(RETURN);
export const jump = (chain: string): Expression => verdict(JUMP, chain);

/** A device's name as it is compared: IFNAMSIZ octets. */
export function deviceName(device: string): Uint8Array {
  const out = new Uint8Array(16);
  out.set(new TextEncoder().encode(device).subarray(0, 15));
  return out;
}
