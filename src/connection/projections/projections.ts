import type { Millis } from '../../util/units.js';
import { EngineAdvisories, PeerQuirks } from './advisories.js';
import { EventCounts } from './counts.js';
import { Failures } from './failures.js';
import { FlapCounter } from './flaps.js';
import { ConnectionHistory } from './history.js';
import { LifetimeWatch } from './lifetimes.js';
import { PairRefusals, RekeyRefusals } from './refusals.js';
import { PeerContact } from './silence.js';
import { TrafficWatch } from './traffic-watch.js';

/** The projections of one connection by name. */
export type Projections = ReturnType<typeof makeProjections>;

/**
 * The projections of one connection, in the order in which they take what happens. The order matters where one reads
 * another: `failures` reads `contact` and `lifetimes`, and `counts` reads `failures`, as they are after the event;
 * `lifetimes` and `failures` read `rekeyRefusals` as they were before it, since an SA that closes takes its refusal
 * along.
 * @param toUtc gives the RFC 3339 form, in UTC, of a point on the clock
 */
export function makeProjections(toUtc: (at: Millis) => string) {
  const contact = new PeerContact();
  const rekeyRefusals = new RekeyRefusals();
  const lifetimes = new LifetimeWatch(rekeyRefusals);
  const failures = new Failures({ contact, lifetimes, refusals: rekeyRefusals, toUtc });
  return {
    history: new ConnectionHistory(),
    contact,
    pairRefusals: new PairRefusals(),
    lifetimes,
    flaps: new FlapCounter(),
    failures,
    counts: new EventCounts(failures),
    rekeyRefusals,
    advisories: new EngineAdvisories(),
    quirks: new PeerQuirks(),
    traffic: new TrafficWatch(),
  };
}
