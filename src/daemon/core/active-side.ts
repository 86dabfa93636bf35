import type { ImageUpdate, Reservation } from '../../connection/image/changes.js';
import { encodeUpdate } from '../../connection/image/codec.js';
import { Reservations } from '../../connection/image/reservations.js';
import { type ReadyOutput, WriteAhead } from '../../connection/image/write-ahead.js';
import type { ChildCounters, DataPlane } from '../../dataplane/dataplane.js';
import type { Engine } from '../../ike/engine.js';
import type { Input } from '../../ike/inputs.js';
import type { Output } from '../../ike/outputs.js';
import { wipeSecrets } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { EngineLike } from './engine-driver.js';

/** The way to the host that holds an image. */
export interface StandbyLink {
  /** In this order, once each. The octets contain keys: the link wipes them when they are sent. */
  send(update: Uint8Array): void;
}

/** What the active host works on. */
export interface ActiveSideDeps {
  readonly engine: Engine;
  readonly plane: Pick<DataPlane, 'counters' | 'reserve'>;
  readonly link: StandbyLink;
  now(): Millis;
  /** Carries out what has waited. */
  release(outputs: readonly Output[]): void;
}

/** Outputs that may wait for the standby: it answers within a millisecond, or is lost. */
const MAX_WAITING = 10_000;

/** Connections at each look whose changes could wait: an export takes some 50 microseconds. */
const CATCH_UP = 4;

/**
 * The engine of a gateway whose state another host has, too: as the engine itself for who drives it, but what a step makes
 * visible outside waits until the standby has acknowledged it. Without a standby nothing waits.
 */
export class ActiveSide implements EngineLike {
  readonly #deps: ActiveSideDeps;
  readonly #ahead: WriteAhead;
  readonly #reservations = new Reservations();
  /** The last update with the snapshot or with limits; undefined without a standby. */
  #complete: number | undefined;

  constructor(deps: ActiveSideDeps) {
    this.#deps = deps;
    this.#ahead = new WriteAhead((connection) => deps.engine.exportConnection(connection));
  }

  handle(input: Input, now: Millis): Output[] {
    const { engine } = this.#deps;
    const outputs = engine.handle(input, now);
    const { update, ready } = this.#ahead.step(outputs, engine.takeTouched());
    this.#send(update);
    this.#note(ready);
    return [...ready];
  }

  nextDeadline(): Millis | undefined {
    return this.#deps.engine.nextDeadline();
  }

  get closing(): boolean {
    return this.#deps.engine.closing;
  }

  /** A standby that has nothing yet is there. */
  begin(): void {
    const update = this.#ahead.begin();
    this.#complete = update.n;
    this.#send(update);
    this.look();
  }

  /** The standby has all updates up to `n`. */
  acknowledged(n: number): void {
    const { ready, reserved } = this.#ahead.acknowledged(n);
    this.#limit(this.#reservations.acknowledged(reserved));
    this.#note(ready);
    if (ready.length > 0) this.#deps.release(ready);
  }

  /** Whether the standby could take over now without losing an SA. */
  get inSync(): boolean {
    if (this.#complete === undefined || !this.#reservations.covers(this.#ahead.childIds)) return false;
    return this.#ahead.isAcknowledged(this.#complete);
  }

  /** Whether so much waits that the standby is to be given up: see `lost`. */
  get overdue(): boolean {
    return this.#ahead.waiting.outputs > MAX_WAITING;
  }

  /** There is no standby any more, and none will take over: nothing waits, and no number is limited. */
  lost(): void {
    if (this.#complete === undefined) return;
    this.#complete = undefined;
    const ready = this.#ahead.lost();
    this.#limit(this.#reservations.lost());
    if (ready.length > 0) this.#deps.release(ready);
  }

  /** A look at the counters of child SAs, some ten times a second. */
  look(): void {
    if (this.#complete === undefined) return;
    const { plane, now } = this.#deps;
    const counters = plane.counters();
    const { limit, reserve } = this.#reservations.look(counters, now());
    this.#limit(limit);
    if (reserve.length > 0) {
      const update = this.#ahead.note([{ kind: 'reserved', reservations: reserve }]);
      if (update !== undefined) this.#complete = update.n;
      this.#send(update);
    }
    this.#send(this.#ahead.catchUp(CATCH_UP));
    const marks = counters.flatMap(markOf);
    if (marks.length > 0) this.#send(this.#ahead.note([{ kind: 'marks', marks }]));
  }

  /** Another host has taken over: what waits is never carried out, and the keys are forgotten. */
  end(): void {
    this.#complete = undefined;
    this.#ahead.end();
  }

  #send(update: ImageUpdate | undefined): void {
    if (update === undefined) return;
    this.#deps.link.send(encodeUpdate(update));
    wipeSecrets(update);
  }

  #limit(limits: readonly Reservation[]): void {
    for (const { id, limit } of limits) this.#deps.plane.reserve(id, limit);
  }

  #note(ready: readonly ReadyOutput[]): void {
    if (this.#complete === undefined) return;
    for (const output of ready)
      if (output.kind === 'install-child')
        this.#reservations.installed(output.child.id, output.child.start.limit, this.#deps.now());
  }
}

/** How far a child SA has come that has received anything. */
function markOf({ id, lastInbound, highestIn }: ChildCounters) {
  return lastInbound === 0 || highestIn === undefined ? [] : [{ id, highest: highestIn, at: lastInbound }];
}
