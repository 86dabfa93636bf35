import type { ChildSaInfo, IkeEvent } from '../ike/events.js';
import { CarriedPairs } from '../ike/policy/carried-pairs.js';
import type { Networks } from '../ike/policy/selectors.js';
import type { ConnectionSas, SaChange } from './ledger.js';
import type { ConnectionStatus } from './status.js';

/** How much of a connection its child SAs carry. */
export class CarriedNetworks {
  readonly #pairs = new CarriedPairs<ChildSaInfo>();
  #status: ConnectionStatus = 'down';

  /** `up` when every configured pair of networks has a child SA, `degraded` when some have. */
  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Takes over the networks that are configured; `sas` are all that there are. */
  configure(networks: Networks, { children }: ConnectionSas): void {
    this.#pairs.configure(networks);
    this.#pairs.clear();
    for (const [id, child] of children) this.#pairs.add(id, child);
    this.#look(children.size);
  }

  /** Follows an event. */
  take(event: IkeEvent, change: SaChange, { children }: ConnectionSas): void {
    if (event.kind === 'child-established') this.#pairs.add(event.child.childId, event.child);
    else if (event.kind === 'child-closed') this.#pairs.remove(event.childId);
    if (change.emptied) this.#pairs.clear();
    this.#look(children.size);
  }

  #look(children: number): void {
    this.#status = children === 0 ? 'down' : this.#pairs.complete ? 'up' : 'degraded';
  }
}
