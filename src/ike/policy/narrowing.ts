import { type Box, MAX_PIECES, selectorWork } from './selector-form.js';

/** Selectors in one TS payload: the count is one octet (RFC 7296 §3.13). */
const MAX_IN_PAYLOAD = 255;
/** Selectors a side of a child SA, or as many as are configured: each costs the packet path a row. */
const MAX_SELECTORS = 32;
/** Pairs of selectors that are held against one another. */
const MAX_COMPARISONS = 4 * MAX_PIECES;

/** An intersection, and the place of the proposed selector that it comes from. */
interface Common {
  readonly box: Box;
  place: number;
}

/**
 * The intersections of each configured box with each proposed one, in the order of the proposal, without those that
 * lie inside another. A box takes the place of the first one that lies inside it, so that the initiator's
 * first selector is in the result whenever anything of it is common (RFC 7296 §2.9).
 *
 * Its cost is that of sorting both lists, and of what is common: undefined when that is too much.
 */
export function narrowBoxes(configured: readonly Box[], proposed: readonly Box[]): Box[] | undefined {
  const found = intersections(configured, proposed);
  const kept = found && withoutInner(found);
  if (kept === undefined) return undefined;
  const most = Math.min(MAX_IN_PAYLOAD, Math.max(MAX_SELECTORS, configured.length));
  return kept
    .sort((a, b) => a.place - b.place)
    .slice(0, most)
    .map(({ box }) => box);
}

/** Whether any address, protocol and port is in both. */
export function boxesMeet(configured: readonly Box[], proposed: readonly Box[]): boolean {
  let met = false;
  everyMeeting(configured, proposed, () => {
    met = true;
    return false;
  });
  return met;
}

function intersections(configured: readonly Box[], proposed: readonly Box[]): Common[] | undefined {
  const out: Common[] = [];
  const done = everyMeeting(configured, proposed, (box) => {
    if (out.length === MAX_PIECES) return false;
    out.push({ box, place: out.length });
    return true;
  });
  return done ? out : undefined;
}

/** Hands over every intersection until `act` wants no more, or they took too long to find: then it is false. */
function everyMeeting(
  configured: readonly Box[],
  proposed: readonly Box[],
  act: (common: Box) => boolean,
): boolean {
  const ours = [...configured].sort((a, b) => order(a.low, b.low));
  // The highest address up to each place: configured networks may include one another.
  const reach: bigint[] = [];
  for (const { high } of ours) reach.push(reach.length > 0 ? greater(reach[reach.length - 1]!, high) : high);
  let comparisons = 0;
  for (const theirs of proposed) {
    for (let i = firstReaching(reach, theirs.low); i < ours.length && ours[i]!.low <= theirs.high; i++) {
      selectorWork.pieces++;
      if (++comparisons > MAX_COMPARISONS) return false;
      const box = intersect(ours[i]!, theirs);
      if (box !== undefined && !act(box)) return false;
    }
  }
  return true;
}

function firstReaching(reach: readonly bigint[], address: bigint): number {
  let [from, to] = [0, reach.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (reach[middle]! < address) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Sweeps over the addresses: what includes a box begins with it or before it, and is larger. */
function withoutInner(found: readonly Common[]): Common[] | undefined {
  const sorted = [...found].sort(
    (a, b) => order(a.box.low, b.box.low) || order(b.box.high, a.box.high) || layers(b.box) - layers(a.box),
  );
  const out: Common[] = [];
  let open: Common[] = [];
  let comparisons = 0;
  for (const one of sorted) {
    comparisons += open.length;
    selectorWork.pieces += open.length;
    if (comparisons > MAX_COMPARISONS) return undefined;
    open = open.filter(({ box }) => box.high >= one.box.low);
    const holder = open.find(({ box }) => boxCovers(box, one.box));
    if (holder !== undefined) {
      holder.place = Math.min(holder.place, one.place);
      continue;
    }
    open.push(one);
    out.push(one);
  }
  return out;
}

/** How much of protocols and ports it takes. */
function layers({ lowProtocol, highProtocol, lowPort, highPort }: Box): number {
  return (highProtocol - lowProtocol + 1) * (highPort - lowPort + 1);
}

function intersect(a: Box, b: Box): Box | undefined {
  if (a.tsType !== b.tsType) return undefined;
  const box = {
    tsType: a.tsType,
    lowProtocol: Math.max(a.lowProtocol, b.lowProtocol),
    highProtocol: Math.min(a.highProtocol, b.highProtocol),
    lowPort: Math.max(a.lowPort, b.lowPort),
    highPort: Math.min(a.highPort, b.highPort),
    low: greater(a.low, b.low),
    high: lesser(a.high, b.high),
  };
  const empty = box.lowProtocol > box.highProtocol || box.lowPort > box.highPort || box.low > box.high;
  return empty ? undefined : box;
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function greater(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function lesser(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function boxCovers(outer: Box, inner: Box): boolean {
  return (
    outer.tsType === inner.tsType &&
    outer.lowProtocol <= inner.lowProtocol &&
    inner.highProtocol <= outer.highProtocol &&
    outer.lowPort <= inner.lowPort &&
    inner.highPort <= outer.highPort &&
    outer.low <= inner.low &&
    inner.high <= outer.high
  );
}
