import { SaLedger } from '../../src/connection/ledger.js';
import { Reconciler } from '../../src/connection/reconcile.js';
import type { Command, ReconcileInput } from '../../src/connection/reconcile-types.js';
import { ConnectionTracker } from '../../src/connection/tracker.js';
import type { IkeEvent } from '../../src/ike/events.js';
import type { Random } from '../../src/util/random.js';

/** A tracker with a ledger of its own, which takes each event first, as on the daemon's event bus. */
export class FedTracker extends ConnectionTracker {
  readonly ledger: SaLedger;

  constructor(toUtc: (at: number) => string) {
    const ledger = new SaLedger();
    super(ledger, toUtc);
    this.ledger = ledger;
  }

  handle(event: IkeEvent, now: number): void {
    this.on(event, now, this.ledger.apply(event));
  }
}

interface StepOfEvents {
  readonly kind: 'events';
  readonly events: readonly IkeEvent[];
}

/** A reconciler likewise. `events` are those of one step. */
export class FedReconciler extends Reconciler {
  readonly ledger: SaLedger;

  constructor(random: Random) {
    const ledger = new SaLedger();
    super(random, ledger);
    this.ledger = ledger;
  }

  override handle(input: ReconcileInput | StepOfEvents, now: number): Command[] {
    if (input.kind !== 'events') return super.handle(input, now);
    for (const event of input.events) this.on(event, now, this.ledger.apply(event));
    return super.handle({ kind: 'step' }, now);
  }
}
