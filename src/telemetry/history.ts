import { RESOLUTIONS, type SeriesPoint, type Step } from './series.js';

/** One step of a connection's history. What is null is not known: nothing was measured in it. */
export interface HistoryPoint {
  /** When the step begins, RFC 3339 in UTC. */
  readonly at: string;
  /** How many of its seconds were measured: 0 in a gap, less than `step` in the newest step. */
  readonly seconds: number;
  readonly up_seconds: number | null;
  readonly degraded_seconds: number | null;
  /** Octets and packets of the networks behind the gateways. */
  readonly bytes_in: number | null;
  readonly bytes_out: number | null;
  readonly packets_in: number | null;
  readonly packets_out: number | null;
  /** Mean of the round trips that were measured. */
  readonly round_trip_ms: number | null;
}

/** How a connection has fared: the answer of the control method `history`. */
export interface HistoryDocument {
  readonly name: string;
  /** When it begins: with the gateway's process, or when the connection was configured. RFC 3339 in UTC. */
  readonly since: string;
  /** Width of a step in seconds. */
  readonly step: Step;
  /** Every step from the one asked for until now, oldest first. */
  readonly points: readonly HistoryPoint[];
}

/** What of a history is asked for. */
export interface HistoryWish {
  /** Width of a step in seconds; left out, the finest that reaches back to `from`, else a minute. */
  readonly step?: Step | undefined;
  /** RFC 3339; left out, as far back as steps of this width are kept. */
  readonly from?: string | undefined;
}

/** The steps that may be asked for, in seconds. */
export const STEPS: readonly Step[] = RESOLUTIONS.map(({ step }) => step);

/** Steps where neither a width nor a begin is asked for. */
const USUAL_STEP: Step = 60;

/** The width of the steps of an answer. `back`: how many seconds it is to reach back, where that was said. */
export function stepFor(wish: Step | undefined, back: number | undefined): Step {
  if (wish !== undefined) return wish;
  if (back === undefined) return USUAL_STEP;
  const reaches = RESOLUTIONS.find(({ step, points }) => step * (points - 1) >= back);
  return (reaches ?? RESOLUTIONS[RESOLUTIONS.length - 1]!).step;
}

/** A point as it is answered. `toUtc` gives the RFC 3339 form of a second. */
export function historyPoint(point: SeriesPoint, toUtc: (second: number) => string): HistoryPoint {
  const known = point.seconds > 0;
  const or = (value: number | undefined): number | null => (known ? (value ?? null) : null);
  const { roundTrip } = point;
  return {
    at: toUtc(point.at),
    seconds: point.seconds,
    up_seconds: or(point.up),
    degraded_seconds: or(point.degraded),
    bytes_in: or(point.bytesIn),
    bytes_out: or(point.bytesOut),
    packets_in: or(point.packetsIn),
    packets_out: or(point.packetsOut),
    round_trip_ms: or(roundTrip === undefined ? undefined : Math.round(roundTrip * 10) / 10),
  };
}
