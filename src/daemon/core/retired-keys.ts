import type { ConnectionId } from '../../util/ids.js';
import { type SecretKey, wipeSecrets } from '../../util/secret.js';

/** A negotiation under way may still need the keys of the configuration it began with; none takes this long. */
const LAST_USE_MS = 120_000;

/** Keys of configurations that were replaced: wiped when nothing can use them any more. */
export class RetiredKeys {
  readonly #waiting = new Map<NodeJS.Timeout, ReadonlyMap<ConnectionId, SecretKey>>();

  add(keys: ReadonlyMap<ConnectionId, SecretKey>): void {
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      wipeSecrets(keys);
    }, LAST_USE_MS);
    timer.unref();
    this.#waiting.set(timer, keys);
  }

  /** Wipes all of them now. */
  wipe(): void {
    for (const [timer, keys] of this.#waiting) {
      clearTimeout(timer);
      wipeSecrets(keys);
    }
    this.#waiting.clear();
  }
}
