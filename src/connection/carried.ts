import type { ChildSaInfo, IkeEvent } from '../ike/events.js';
import { CarriedPairs } from '../ike/policy/carried-pairs.js';
import type { Networks } from '../ike/policy/selectors.js';
import { describeSelector } from '../wire/ike/describe.js';
import type { PairCoverage, SelectorPair } from './coverage.js';
import type { ConnectionSas, SaChange } from './ledger.js';
import type { ConnectionStatus } from './status.js';

/** How much of a connection its child SAs carry. */
export class CarriedNetworks {
  readonly #pairs = new CarriedPairs<ChildSaInfo>();
  #status: ConnectionStatus = 'down';
  /** Made when it is asked for. */
  #texts: readonly SelectorPair[] | undefined;

  /** `up` when every configured pair of networks has a child SA, `degraded` when some have. */
  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Configured pairs of networks, and those of them that a child SA carries. */
  get counts(): { readonly pairs: number; readonly covered: number } {
    return this.#pairs.counts;
  }

  /** Every configured pair of networks as people write it, in the order of the configuration. */
  get pairs(): readonly SelectorPair[] {
    this.#texts ??= this.#pairs.pairs().map(({ local, peer }) => ({
      local: describeSelector(local),
      peer: describeSelector(peer),
    }));
    return this.#texts;
  }

  /** Whether a child SA carries each of `pairs`. */
  get carries(): readonly boolean[] {
    return this.#pairs.carried();
  }

  /** `pairs` with the child SA that carries each. */
  matrix(): PairCoverage[] {
    const texts = this.pairs;
    return this.#pairs.matrix().map(({ child }, place) => ({ ...texts[place]!, child }));
  }

  /** Takes over the networks that are configured; `sas` are all that there are. */
  configure(networks: Networks, { children }: ConnectionSas): void {
    this.#pairs.configure(networks);
    this.#texts = undefined;
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
