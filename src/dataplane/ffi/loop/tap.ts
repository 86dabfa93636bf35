import { decodeId, decodeTap } from '../memory/orders.js';
import { TapWriter } from '../memory/tap-ring.js';
import type { Path } from './path.js';

/** A capture begins, as the order at `at` says. @throws RangeError when the memory for it was not posted */
export function beginTap(path: Path, ring: SharedArrayBuffer | undefined, at: number): void {
  if (ring === undefined) throw new RangeError('a capture without memory for it');
  path.capture.tap = new TapWriter(path.arena, ring, decodeTap(path.arena, at), path.now);
}

/** The packets of the child SA that the order at `at` names are copied, now or when it is installed. */
export function watchChild(path: Path, at: number): void {
  const { tap } = path.capture;
  const id = decodeId(path.arena, at);
  tap?.watch(id);
  const child = path.byId.get(id);
  if (child !== undefined) child.tap = tap;
}

/** The capture has ended: nothing of it is left in its memory. */
export function endTap({ byId, capture }: Path): void {
  for (const child of byId.values()) child.tap = undefined;
  capture.tap?.wipe();
  capture.tap = undefined;
}
