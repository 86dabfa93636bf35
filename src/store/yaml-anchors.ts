import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type Scalar,
} from 'yaml';

/** Values that all aliases together expand to: a few lines can expand to billions otherwise. */
export const MAX_ALIASED = 100_000;
/** Faults that are reported: one slip often causes many. */
const MAX_FAULTS = 3;

/** What is wrong with an anchor, an alias or a merge. Its name may be a part of a key and is never shown. */
export interface AnchorFault {
  /** Of the place in the text. */
  readonly offset: number;
  readonly message: string;
}

/** The nodes that aliases refer to. */
export type AliasTargets = ReadonlyMap<Alias, Node>;

const NO_ANCHOR =
  'there is no anchor (&) of this name before this alias (*): correct the name, or put a text that begins with * in quotes';
const NO_VALUE =
  'an anchor (&) before no value: put one behind it, or put a text that begins with & in quotes';
const CIRCLE = 'an alias (*) inside of what its own anchor (&) marks: write the value out';
const TOO_MANY = `the aliases (*) stand for more than ${MAX_ALIASED} values: write fewer of them, or use "defaults"`;
const NO_MAP = 'needs a map, an alias (*) of one, or a list of these behind "<<"';
const TAG = 'YAML tags (!) are not used here: leave it out, or put a text that begins with one in quotes';

/** Follows anchors (&), aliases (*) and merges (<<) through a document, in the order of its text. */
export class AnchorWalk {
  readonly faults: AnchorFault[] = [];
  readonly targets = new Map<Alias, Node>();
  readonly #anchors = new Map<string, Node>();
  /** How many values an anchored node expands to. */
  readonly #weights = new Map<Node, number>();
  #aliased = 0;

  constructor(document: Document) {
    if (isNode(document.contents)) this.#walk(document.contents, undefined);
  }

  /** How many values the node expands to. `field`: the pair whose value it is, which is easier to find. */
  #walk(node: Node, field: Pair | undefined): number {
    const place = startOf(field?.key) ?? startOf(node) ?? 0;
    if (isAlias(node)) return this.#follow(node, place);
    const { anchor } = node as Scalar;
    if (node.tag !== undefined) this.#fault(place, TAG);
    if (anchor !== undefined) {
      if (isScalar(node) && node.value === null) this.#fault(place, NO_VALUE);
      this.#anchors.set(anchor, node);
    }
    const weight = 1 + (isCollection(node) ? this.#inside(node.items) : 0);
    if (anchor !== undefined) this.#weights.set(node, weight);
    return weight;
  }

  #inside(items: readonly unknown[]): number {
    let weight = 0;
    for (const item of items) {
      if (isNode(item)) weight += this.#walk(item, undefined);
      if (!isPair(item)) continue;
      if (isNode(item.key)) weight += this.#walk(item.key, undefined);
      const before = this.faults.length;
      if (isNode(item.value)) weight += this.#walk(item.value, item);
      const isGood = !isMerge(item) || sourcesOf(item, this.targets) !== undefined;
      if (!isGood && this.faults.length === before) this.#fault(startOf(item.key) ?? 0, NO_MAP);
    }
    return weight;
  }

  #follow(alias: Alias, place: number): number {
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      this.#fault(place, NO_ANCHOR);
      return 1;
    }
    const weight = this.#weights.get(target);
    if (weight === undefined) {
      // What it refers to is not at its end yet.
      this.#fault(place, CIRCLE);
      return 1;
    }
    this.targets.set(alias, target);
    const before = this.#aliased;
    this.#aliased += weight;
    if (before <= MAX_ALIASED && this.#aliased > MAX_ALIASED) this.#fault(place, TOO_MANY);
    return weight;
  }

  #fault(offset: number, message: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push({ offset, message });
  }
}

/** The field of a map: its own, else the one that is merged into it. */
export function fieldOf(map: Node, name: string | number, targets: AliasTargets): Pair | undefined {
  if (!isMap(map)) return undefined;
  const own = map.items.find(({ key }) => isScalar(key) && key.value === name);
  if (own !== undefined) return own;
  for (const merge of map.items.filter(isMerge)) {
    for (const source of sourcesOf(merge, targets) ?? []) {
      const found = fieldOf(source, name, targets);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** What an alias refers to, everything else as it is. */
export function resolved(node: unknown, targets: AliasTargets): unknown {
  return isAlias(node) ? targets.get(node) : node;
}

/** The maps that a merge takes in; undefined when there is something else. */
function sourcesOf({ value }: Pair, targets: AliasTargets): Node[] | undefined {
  const given = resolved(value, targets);
  const all = (isSeq(given) ? given.items : [given]).map((one) => resolved(one, targets));
  return all.every((one) => isMap(one)) ? (all as Node[]) : undefined;
}

function isMerge({ key }: Pair): boolean {
  return isScalar(key) && key.value === '<<' && key.type === 'PLAIN';
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
