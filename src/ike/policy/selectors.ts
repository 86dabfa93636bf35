import { compareBytes, equalBytes } from '../../util/bytes.js';
import { type Cidr, cidrRange, type IpBytes, ipFromNumber } from '../../util/ip.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { TsType } from '../../wire/ike/registry.js';
import { boxesMeet, narrowBoxes } from './narrowing.js';
import {
  type Box,
  boxesOf,
  formCovers,
  formOf,
  isKnownType,
  portsOf,
  type SelectorForm,
  sameForm,
} from './selector-form.js';

const MAX_PORT = 0xffff;

/**
 * The selectors of both ends, as a child SA has them or one end proposes them, seen from here: as responder `localTs`
 * is TSr (RFC 7296 §2.9).
 */
export interface SelectorLists {
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
}

/** The networks of a connection, each as a selector. */
export interface Networks {
  readonly local: { readonly selectors: readonly TrafficSelector[] };
  readonly peer: { readonly selectors: readonly TrafficSelector[] };
}

/** All protocols and ports of a network. */
export function cidrSelector(cidr: Cidr): TrafficSelector {
  const { start, end } = cidrRange(cidr);
  return {
    tsType: start.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE,
    protocol: 0,
    startPort: 0,
    endPort: MAX_PORT,
    startAddress: start,
    endAddress: end,
  };
}

/**
 * What both lists include (RFC 7296 §2.9): the intersections of each configured selector with each proposed
 * one, without those that lie inside another. Empty when nothing is common: TS_UNACCEPTABLE. The result is
 * all that is common, so the initiator's first selector, made from a packet, is in it whenever it may be; should
 * it outgrow what one child SA may have, its first selectors stay. Selectors of unknown types match nothing.
 */
export function narrow(
  configured: readonly TrafficSelector[],
  proposed: readonly TrafficSelector[],
): TrafficSelector[] {
  return narrowWithinBudget(configured, proposed) ?? [];
}

/** As `narrow`; undefined when the result would have more pieces than is allowed (`MAX_PIECES`). */
export function narrowWithinBudget(
  configured: readonly TrafficSelector[],
  proposed: readonly TrafficSelector[],
): TrafficSelector[] | undefined {
  const common = narrowBoxes(boxesOf(configured), boxesOf(proposed))?.map(toSelector);
  return common === undefined || known(common) === undefined ? undefined : common;
}

/** Whether any packet is matched by both lists. */
export function haveCommon(
  configured: readonly TrafficSelector[],
  proposed: readonly TrafficSelector[],
): boolean {
  return boxesMeet(boxesOf(configured), boxesOf(proposed));
}

/**
 * Whether every packet that `inner` matches is matched by `outer` too, be it by several selectors together. Not so
 * when either list has more pieces than is allowed (`MAX_PIECES`).
 */
export function covers(outer: readonly TrafficSelector[], inner: readonly TrafficSelector[]): boolean {
  if (!inner.every(({ tsType }) => isKnownType(tsType))) return false;
  const [outside, inside] = [known(outer), known(inner)];
  return outside !== undefined && inside !== undefined && formCovers(outside, inside);
}

/** Whether both lists match the same packets. */
export function sameSelectors(a: readonly TrafficSelector[], b: readonly TrafficSelector[]): boolean {
  if (a === b) return true;
  if (![...a, ...b].every(({ tsType }) => isKnownType(tsType))) return false;
  const [one, other] = [known(a), known(b)];
  return one !== undefined && other !== undefined && sameForm(one, other);
}

/** Whether both match the same packets, at either end. */
export function sameLists(a: SelectorLists, b: SelectorLists): boolean {
  return sameSelectors(a.localTs, b.localTs) && sameSelectors(a.peerTs, b.peerTs);
}

/** Whether the two are the same, field by field. */
export function equalSelector(a: TrafficSelector, b: TrafficSelector): boolean {
  return (
    a.tsType === b.tsType &&
    a.protocol === b.protocol &&
    a.startPort === b.startPort &&
    a.endPort === b.endPort &&
    equalBytes(a.startAddress, b.startAddress) &&
    equalBytes(a.endAddress, b.endAddress)
  );
}

/** The lists of child SAs and of the configuration live long and are asked about often: one form for each. */
const FORMS = new WeakMap<readonly TrafficSelector[], { readonly form: SelectorForm | undefined }>();

function known(selectors: readonly TrafficSelector[]): SelectorForm | undefined {
  const before = FORMS.get(selectors);
  if (before !== undefined) return before.form;
  const form = formOf(boxesOf(selectors));
  FORMS.set(selectors, { form });
  return form;
}

function toSelector(box: Box): TrafficSelector {
  const length = box.tsType === TsType.IPV4_ADDR_RANGE ? 4 : 16;
  return {
    tsType: box.tsType,
    protocol: box.lowProtocol,
    ...portsOf(box),
    startAddress: ipFromNumber(box.low, length),
    endAddress: ipFromNumber(box.high, length),
  };
}

/** Whether the address, 4 or 16 octets, lies in the networks of a selector, whatever protocol and ports it has. */
export function containsAddress({ startAddress, endAddress }: TrafficSelector, address: IpBytes): boolean {
  return (
    address.length === startAddress.length &&
    compareBytes(startAddress, address) <= 0 &&
    compareBytes(address, endAddress) <= 0
  );
}
