import type { Millis } from '../../util/units.js';

/** An item with its place in the order of all, and when it was due next. */
interface Slot<T> {
  readonly item: T;
  readonly order: number;
  /** Holds while it is not `touched`. */
  at: Millis;
  /** Handed out since to a caller that may change it. */
  touched: boolean;
  /** Place in the heap of deadlines; -1: none. */
  place: number;
  /** The walk that it waits for its turn in. */
  walk: number;
}

/**
 * Which of many items need attention, and when. An item that is handed out to a caller that may change it
 * counts as touched until `earliest` has asked for its deadline again. An input that is about one of thousands of
 * items costs the logarithm of their number, not their number: anyone can send datagrams.
 */
export class Agenda<T> {
  readonly #slots = new Map<T, Slot<T>>();
  readonly #touched = new Set<Slot<T>>();
  /** Slots with a finite deadline, the earliest on top. */
  readonly #heap: Slot<T>[] = [];
  #lastOrder = 0;
  #lastWalk = 0;
  /** Those that wait for their turn in the walk under way, and the order of the one whose turn it is. */
  #walk: { readonly waiting: Slot<T>[]; at: number } | undefined;

  get size(): number {
    return this.#slots.size;
  }

  /** Adds an item, touched. It has no turn in a walk under way. */
  add(item: T): void {
    const order = ++this.#lastOrder;
    const slot: Slot<T> = {
      item,
      order,
      at: Number.POSITIVE_INFINITY,
      touched: true,
      place: -1,
      walk: this.#lastWalk,
    };
    this.#slots.set(item, slot);
    this.#touched.add(slot);
  }

  remove(item: T): void {
    const slot = this.#slots.get(item);
    if (slot === undefined) return;
    this.#slots.delete(item);
    this.#touched.delete(slot);
    this.#unheap(slot);
  }

  /** The item is about to change. */
  touch(item: T): void {
    const slot = this.#slots.get(item);
    if (slot !== undefined) this.#touch(slot);
  }

  /** The items that may have changed, in the order in which they were added. A copy. */
  touched(): T[] {
    return [...this.#touched].sort((a, b) => a.order - b.order).map(({ item }) => item);
  }

  /** Some of the items, in the order in which all were added. */
  inOrder(items: Iterable<T>): T[] {
    const slots = Array.from(items, (item) => this.#slots.get(item)!);
    return slots.sort((a, b) => a.order - b.order).map(({ item }) => item);
  }

  /**
   * The items that are due by now, in the order in which they were added, each judged when its turn
   * comes: what is done for one may change another.
   * @param deadlineOf depends on nothing but the item
   */
  *due(now: Millis, deadlineOf: (item: T) => Millis): IterableIterator<T> {
    this.#lastWalk++;
    const walk = { waiting: [] as Slot<T>[], at: 0 };
    this.#walk = walk;
    for (const slot of this.#touched) this.#wait(slot);
    this.#waitDue(0, now);
    try {
      for (let slot = popOrder(walk.waiting); slot !== undefined; slot = popOrder(walk.waiting)) {
        walk.at = slot.order;
        if (this.#slots.get(slot.item) !== slot) continue;
        if ((slot.touched ? deadlineOf(slot.item) : slot.at) > now) continue;
        this.#touch(slot);
        yield slot.item;
      }
    } finally {
      this.#walk = undefined;
    }
  }

  /**
   * When the next item is due, infinite when none is. From now on no item is touched: it may be
   * called only when no caller holds one any more.
   */
  earliest(deadlineOf: (item: T) => Millis): Millis {
    for (const slot of this.#touched) {
      slot.touched = false;
      const at = deadlineOf(slot.item);
      if (at === slot.at && slot.place >= 0) continue;
      slot.at = at;
      if (at === Number.POSITIVE_INFINITY) this.#unheap(slot);
      else if (slot.place < 0) pushDeadline(this.#heap, slot);
      else settle(this.#heap, slot);
    }
    this.#touched.clear();
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  #touch(slot: Slot<T>): void {
    slot.touched = true;
    this.#touched.add(slot);
    if (this.#walk !== undefined && slot.order > this.#walk.at) this.#wait(slot);
  }

  #wait(slot: Slot<T>): void {
    if (slot.walk === this.#lastWalk) return;
    slot.walk = this.#lastWalk;
    pushOrder(this.#walk!.waiting, slot);
  }

  /** Those in the heap below `index` that are due: children are never due before their parent. */
  #waitDue(index: number, now: Millis): void {
    const slot = this.#heap[index];
    if (slot === undefined || slot.at > now) return;
    this.#wait(slot);
    this.#waitDue(2 * index + 1, now);
    this.#waitDue(2 * index + 2, now);
  }

  #unheap(slot: Slot<T>): void {
    if (slot.place >= 0) removeDeadline(this.#heap, slot);
  }
}

interface Placed {
  readonly at: Millis;
  place: number;
}

function pushDeadline<S extends Placed>(heap: S[], slot: S): void {
  heap.push(slot);
  slot.place = heap.length - 1;
  rise(heap, slot);
}

function removeDeadline<S extends Placed>(heap: S[], slot: S): void {
  const last = heap.pop()!;
  const { place } = slot;
  slot.place = -1;
  if (last === slot) return;
  heap[place] = last;
  last.place = place;
  settle(heap, last);
}

/** The deadline has changed. */
function settle<S extends Placed>(heap: S[], slot: S): void {
  rise(heap, slot);
  sink(heap, slot);
}

function rise<S extends Placed>(heap: S[], slot: S): void {
  while (slot.place > 0) {
    const parent = heap[(slot.place - 1) >> 1]!;
    if (parent.at <= slot.at) return;
    exchange(heap, parent, slot);
  }
}

function sink<S extends Placed>(heap: S[], slot: S): void {
  for (;;) {
    const left = heap[2 * slot.place + 1];
    const right = heap[2 * slot.place + 2];
    const least = right !== undefined && left !== undefined && right.at < left.at ? right : left;
    if (least === undefined || slot.at <= least.at) return;
    exchange(heap, slot, least);
  }
}

function exchange<S extends Placed>(heap: S[], a: S, b: S): void {
  const { place } = a;
  heap[b.place] = a;
  a.place = b.place;
  heap[place] = b;
  b.place = place;
}

/** A heap by order, the first on top. */
function pushOrder<S extends { readonly order: number }>(heap: S[], slot: S): void {
  let at = heap.push(slot) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]!.order <= slot.order) return;
    heap[at] = heap[parent]!;
    heap[parent] = slot;
    at = parent;
  }
}

function popOrder<S extends { readonly order: number }>(heap: S[]): S | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (last === undefined || last === first) return first;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    if (left >= heap.length) break;
    const least = left + 1 < heap.length && heap[left + 1]!.order < heap[left]!.order ? left + 1 : left;
    if (last.order <= heap[least]!.order) break;
    heap[at] = heap[least]!;
    at = least;
  }
  heap[at] = last;
  return first;
}
