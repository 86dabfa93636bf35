import type { Millis } from '../../util/units.js';
import { otherThan, SEATS, type Seat } from '../warden/local-seats.js';
import type { SpareStarts } from './spare-starts.js';

/** How a process at a seat fares. `coming`: it is started, or takes over, and does not speak yet. */
export type SeatPhase = 'gone' | 'waiting' | 'coming' | 'ready' | 'live';

/**
 * When the processes of a gateway are started: the one that is to speak at once, the standby once the other speaks and its
 * tunnels had time to come up, in line with the standbys of other gateways. So two processes take no longer to come up
 * than one.
 */
export class SeatStarts {
  readonly #options: { readonly spares: SpareStarts; readonly settle: Millis };
  readonly #phases: [SeatPhase, SeatPhase] = ['gone', 'gone'];
  /** By seat, what lets its process be started. */
  readonly #start: (() => void)[] = [];
  /** By seat, what ends its time at the head of the line. */
  readonly #arrived: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isInLine = false;
  /** It is known what runs already. */
  #hasBegun = false;

  constructor(options: { readonly spares: SpareStarts; readonly settle: Millis }) {
    this.#options = options;
  }

  /** It is known what runs since before, by seat. */
  begin(found: readonly SeatPhase[]): void {
    this.#hasBegun = true;
    for (const seat of SEATS) if (this.#phases[seat] === 'gone') this.#phases[seat] = found[seat]!;
    // Where none runs the first seat begins, and it is about to wait for that.
    if (this.#phases[0] === 'gone') this.#phases[0] = 'coming';
    this.#look();
  }

  /** Resolves when the process at this seat may be started. */
  wait(seat: Seat): Promise<void> {
    return new Promise((resolve) => {
      this.#start[seat] = resolve;
      this.#become(seat, 'waiting');
    });
  }

  /** It is ready, and does not speak. */
  ready(seat: Seat): void {
    this.#arrive(seat);
    this.#become(seat, 'ready');
  }

  /** It begins to speak. */
  taking(seat: Seat): void {
    this.#become(seat, 'coming');
  }

  live(seat: Seat): void {
    this.#become(seat, 'live');
  }

  ended(seat: Seat): void {
    this.#arrive(seat);
    this.#become(seat, 'gone');
  }

  /** No more are started. */
  end(): void {
    this.#hasBegun = false;
    clearTimeout(this.#timer);
    for (const seat of SEATS) this.#arrive(seat);
  }

  #become(seat: Seat, phase: SeatPhase): void {
    this.#phases[seat] = phase;
    this.#look();
  }

  #look(): void {
    if (!this.#hasBegun) return;
    for (const seat of SEATS) {
      if (this.#phases[seat] !== 'waiting') continue;
      const other = this.#phases[otherThan(seat)];
      if (other === 'live') this.#standInLine(seat);
      else if (other !== 'coming') this.#begin(seat);
    }
  }

  #begin(seat: Seat): void {
    this.#phases[seat] = 'coming';
    this.#start[seat]?.();
  }

  #standInLine(seat: Seat): void {
    if (this.#isInLine) return;
    this.#isInLine = true;
    const { spares, settle } = this.#options;
    this.#timer = setTimeout(() => spares.add(() => this.#atHead(seat)), settle).unref();
  }

  /** Resolves when the process is ready, or has ended. */
  #atHead(seat: Seat): Promise<void> {
    this.#isInLine = false;
    // Meanwhile it may have been needed at once, or not any more, or the other one has ended.
    const isWanted = this.#phases[seat] === 'waiting' && this.#phases[otherThan(seat)] !== 'coming';
    if (!this.#hasBegun || !isWanted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#arrived[seat] = resolve;
      this.#begin(seat);
    });
  }

  #arrive(seat: Seat): void {
    this.#arrived[seat]?.();
    delete this.#arrived[seat];
  }
}
