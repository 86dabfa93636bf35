import type { Arena } from '../memory/arena.js';
import { decodeId, decodeNumber, Order } from '../memory/orders.js';
import type { Child } from './child.js';

/** Where the child SAs of the worker are; orders are in the arena. */
interface Installed {
  readonly arena: Arena;
  readonly byId: ReadonlyMap<number, Child>;
}

/** What the worker does at an order of this kind, which lies at `at` in the arena. */
type Step = (at: number) => void;

/** The orders about sequence numbers of one child SA. It may have been removed meanwhile. */
export function sequenceSteps(installed: () => Installed): Readonly<Record<number, Step>> {
  const step = (count: number, act: (child: Child, numbers: readonly number[]) => void): Step => {
    return (at) => {
      const { arena, byId } = installed();
      const child = byId.get(decodeId(arena, at));
      if (child === undefined) return;
      act(
        child,
        Array.from({ length: count }, (_, i) => decodeNumber(arena, at, i)),
      );
    };
  };
  return {
    [Order.RESERVE]: step(1, (child, [limit]) => child.reserve(limit!)),
    [Order.RESUME]: step(3, (child, [next, limit, highest]) => {
      child.resume({ next: next!, limit: limit!, highest: highest! });
    }),
    [Order.SKIP]: step(1, (child, [packets]) => child.skipSequence(packets!)),
  };
}
