import type { IkeEvent } from '../../ike/events.js';
import { QUIRKS, type QuirkCode } from '../../ike/quirks.js';
import type { Moment, Projection } from '../projection.js';
import type { Advisory, Quirk } from '../status.js';

/** What the engine advises of a connection, until it withdraws it or no SA is left. */
export class EngineAdvisories implements Projection {
  readonly #advisories = new Map<string, Advisory>();

  on(event: IkeEvent, { change }: Moment): void {
    switch (event.kind) {
      case 'advisory': {
        const { code, message } = event;
        this.#advisories.set(`${code} ${message}`, { code, message });
        return;
      }
      case 'advisory-withdrawn':
        this.#withdraw(event.code);
        return;
      case 'ike-established':
        if (event.ike.replaces !== undefined) this.#withdraw('rekey_refused');
        return;
      default:
        if (change.emptied) this.#advisories.clear();
    }
  }

  get all(): readonly Advisory[] {
    return [...this.#advisories.values()];
  }

  #withdraw(code: Advisory['code']): void {
    for (const [key, advisory] of this.#advisories) if (advisory.code === code) this.#advisories.delete(key);
  }
}

/** How the peer was seen to deviate from the RFCs, until no SA is left. */
export class PeerQuirks implements Projection {
  readonly #codes = new Set<QuirkCode>();

  on(event: IkeEvent, { change }: Moment): void {
    if (event.kind === 'quirk') this.#codes.add(event.code);
    else if (change.emptied) this.#codes.clear();
  }

  get all(): Quirk[] {
    return [...this.#codes].map((code) => ({ code, message: `${QUIRKS[code]}.` }));
  }
}
