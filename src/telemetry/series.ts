/** What was measured of a connection in some whole seconds. */
export interface Sample {
  /** Whether its child SAs carried all that is configured, a part (`degraded`), or nothing. */
  readonly state: 'up' | 'degraded' | 'down';
  /** Octets and packets of the networks behind the gateways, in all. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** Round trips measured: the sum of their milliseconds, and how many they were. */
  readonly roundTripSum: number;
  readonly roundTrips: number;
}

/** Widths of a step in seconds, and how many steps are kept: seconds for minutes, minutes for hours, hours for days. */
export const RESOLUTIONS = [
  { step: 1, points: 120 },
  { step: 60, points: 180 },
  { step: 3600, points: 96 },
] as const;

/** The width of a step that is kept, in seconds. */
export type Step = (typeof RESOLUTIONS)[number]['step'];

/** One step of time. Of one in which nothing was measured there is only when it was. */
export interface SeriesPoint {
  /** The second with which it begins. */
  readonly at: number;
  /** How many of its seconds were measured: fewer than `step` in the newest one and around a gap, 0 in a gap. */
  readonly seconds: number;
  /** Of those, how many it was up and degraded. */
  readonly up: number;
  readonly degraded: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** Mean in milliseconds; undefined when none was measured. */
  readonly roundTrip: number | undefined;
}

/** Where a point has what: floating point numbers, and seconds. */
const VALUE = { bytesIn: 0, bytesOut: 1, packetsIn: 2, packetsOut: 3, roundTrip: 4 } as const;
const VALUES = 5;
const SECOND = { known: 0, up: 1, degraded: 2 } as const;
const SECONDS = 3;
/** The open step of each width has sums, in full precision: the values, how many round trips, the seconds. */
const ROUND_TRIPS = VALUES;
const OPEN_SECONDS = VALUES + 1;
const OPEN = OPEN_SECONDS + SECONDS;

/** First place of each width in the arrays of points. */
const BASES = RESOLUTIONS.map((_, ring) =>
  RESOLUTIONS.slice(0, ring).reduce((sum, { points }) => sum + points, 0),
);
const POINTS = RESOLUTIONS.reduce((sum, { points }) => sum + points, 0);

/**
 * How one connection has fared, in constant space: 396 points of 26 octets and three open ones, 10.5 kB in all. Time is
 * counted in whole seconds since some point that stays, and only moves on. Amounts of closed steps have the precision of
 * a 32-bit float, seven digits.
 */
export class ConnectionSeries {
  readonly #values = new Float32Array(POINTS * VALUES);
  readonly #seconds = new Uint16Array(POINTS * SECONDS);
  readonly #open = new Float64Array(RESOLUTIONS.length * OPEN);
  /** Number of the open step of each width, in steps; before the first sample there is none. */
  readonly #newest: number[] = RESOLUTIONS.map(() => Number.NEGATIVE_INFINITY);

  /** A series that goes on by itself from where this one is. */
  copy(): ConnectionSeries {
    const made = new ConnectionSeries();
    made.#values.set(this.#values);
    made.#seconds.set(this.#seconds);
    made.#open.set(this.#open);
    this.#newest.forEach((number, ring) => {
      made.#newest[ring] = number;
    });
    return made;
  }

  /**
   * Takes what was measured in the seconds `from` (inclusive) to `to` (exclusive), spread evenly over them. With `to`
   * equal to `from`, amounts are added to that second, which a later sample makes known.
   */
  cover(from: number, to: number, sample: Sample): void {
    for (let ring = 0; ring < RESOLUTIONS.length; ring++) {
      const { step, points } = RESOLUTIONS[ring]!;
      if (to <= from) this.#add(ring, Math.floor(from / step), { begin: 0, end: 1, seconds: 0 }, sample);
      const length = to - from;
      for (let at = Math.max(from, to - step * points); at < to; ) {
        const number = Math.floor(at / step);
        const end = Math.min(to, (number + 1) * step);
        const part = { begin: (at - from) / length, end: (end - from) / length, seconds: end - at };
        this.#add(ring, number, part, sample);
        at = end;
      }
    }
  }

  /**
   * Every step of this width from the one that `from` is in to the one before `to`, oldest first, as far back as they are
   * kept. Those in which nothing was measured are there, too, with 0 seconds.
   */
  points(step: Step, from: number, to: number): SeriesPoint[] {
    const ring = RESOLUTIONS.findIndex((one) => one.step === step);
    const last = Math.ceil(to / step) - 1;
    const found: SeriesPoint[] = [];
    const first = Math.max(Math.floor(from / step), last - RESOLUTIONS[ring]!.points + 1);
    for (let number = first; number <= last; number++) found.push(this.#read(ring, number));
    return found;
  }

  #add(ring: number, number: number, part: Part, sample: Sample): void {
    if (number > this.#newest[ring]!) this.#moveTo(ring, number);
    const open = this.#open;
    const base = ring * OPEN;
    open[base + VALUE.bytesIn]! += share(sample.bytesIn, part);
    open[base + VALUE.bytesOut]! += share(sample.bytesOut, part);
    open[base + VALUE.packetsIn]! += share(sample.packetsIn, part);
    open[base + VALUE.packetsOut]! += share(sample.packetsOut, part);
    open[base + VALUE.roundTrip]! += sample.roundTripSum;
    open[base + ROUND_TRIPS]! += sample.roundTrips;
    open[base + OPEN_SECONDS + SECOND.known]! += part.seconds;
    if (sample.state === 'down') return;
    open[base + OPEN_SECONDS + SECOND[sample.state]]! += part.seconds;
  }

  /** Closes the open step and clears every one that is passed over: at most one round. */
  #moveTo(ring: number, number: number): void {
    const before = this.#newest[ring]!;
    const { points } = RESOLUTIONS[ring]!;
    if (before > number - points) this.#close(ring, before);
    for (let n = Math.max(before + 1, number - points + 1, 0); n < number; n++) {
      const slot = slotOf(ring, n);
      this.#seconds.fill(0, slot * SECONDS, (slot + 1) * SECONDS);
    }
    this.#open.fill(0, ring * OPEN, (ring + 1) * OPEN);
    this.#newest[ring] = number;
  }

  #close(ring: number, number: number): void {
    const slot = slotOf(ring, number);
    const base = ring * OPEN;
    for (let i = 0; i < VALUES; i++) this.#values[slot * VALUES + i] = this.#open[base + i]!;
    this.#values[slot * VALUES + VALUE.roundTrip] = this.#meanRoundTrip(base);
    for (let i = 0; i < SECONDS; i++)
      this.#seconds[slot * SECONDS + i] = this.#open[base + OPEN_SECONDS + i]!;
  }

  /** Of the open step; not a number when none was measured. */
  #meanRoundTrip(base: number): number {
    return this.#open[base + VALUE.roundTrip]! / this.#open[base + ROUND_TRIPS]!;
  }

  #read(ring: number, number: number): SeriesPoint {
    const newest = this.#newest[ring]!;
    const { step, points } = RESOLUTIONS[ring]!;
    const at = number * step;
    if (number > newest || number <= newest - points) return { at, ...NOTHING };
    if (number === newest) {
      const base = ring * OPEN;
      const seconds = this.#open.subarray(base + OPEN_SECONDS, base + OPEN);
      return pointOf(at, this.#open.subarray(base, base + VALUES), this.#meanRoundTrip(base), seconds);
    }
    const slot = slotOf(ring, number);
    const values = this.#values.subarray(slot * VALUES, (slot + 1) * VALUES);
    const seconds = this.#seconds.subarray(slot * SECONDS, (slot + 1) * SECONDS);
    return pointOf(at, values, values[VALUE.roundTrip]!, seconds);
  }
}

/** Part of the time of a sample: where it begins and ends in it (0 to 1), and its seconds. */
interface Part {
  readonly begin: number;
  readonly end: number;
  readonly seconds: number;
}

/** The share of an amount in whole numbers: those of all parts are the amount, whatever was rounded. */
function share(amount: number, { begin, end }: Part): number {
  return Math.round(amount * end) - Math.round(amount * begin);
}

const NOTHING = {
  seconds: 0,
  up: 0,
  degraded: 0,
  bytesIn: 0,
  bytesOut: 0,
  packetsIn: 0,
  packetsOut: 0,
  roundTrip: undefined,
} as const;

function slotOf(ring: number, number: number): number {
  const { points } = RESOLUTIONS[ring]!;
  return BASES[ring]! + (number % points);
}

function pointOf(
  at: number,
  values: Float32Array | Float64Array,
  roundTrip: number,
  seconds: Uint16Array | Float64Array,
): SeriesPoint {
  if (seconds[SECOND.known] === 0) return { at, ...NOTHING };
  return {
    at,
    seconds: seconds[SECOND.known]!,
    up: seconds[SECOND.up]!,
    degraded: seconds[SECOND.degraded]!,
    bytesIn: values[VALUE.bytesIn]!,
    bytesOut: values[VALUE.bytesOut]!,
    packetsIn: values[VALUE.packetsIn]!,
    packetsOut: values[VALUE.packetsOut]!,
    roundTrip: Number.isNaN(roundTrip) ? undefined : roundTrip,
  };
}
