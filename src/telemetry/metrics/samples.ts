import type { HistogramCounts } from '../../util/histogram.js';
import type { MetricName } from './catalogue.js';

/** What a series is at: a number, or the counts of a histogram. */
export type SampleValue = number | HistogramCounts;

/** One series: the values of its labels, without those of what the samples are of, and what it is at. */
export type SampleRow = readonly [...labels: string[], value: SampleValue];

/**
 * The series of one gateway, connection or packet thread by metric. Those of a closed set of labels that are at 0 are
 * left out: who reads it knows them from the catalogue.
 */
export type Samples = Readonly<Partial<Record<MetricName, readonly SampleRow[]>>>;

/** Octets and packets of a connection in the last minute. */
export interface LastMinute {
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly packets_in: number;
  readonly packets_out: number;
}

/** One connection in a snapshot. */
export interface ConnectionSnapshot {
  readonly id: string;
  readonly name: string;
  readonly samples: Samples;
  readonly last_minute: LastMinute;
}

/** All metrics of one gateway process at one moment: the answer of the control method `metrics`. */
export interface GatewaySnapshot {
  /** Name of the gateway. */
  readonly name: string;
  readonly samples: Samples;
  /** By number of the packet thread. */
  readonly workers: readonly Samples[];
  /** Every configured connection. */
  readonly connections: readonly ConnectionSnapshot[];
}

/** Collects samples metric by metric. */
export class SampleWriter {
  readonly #rows: { [M in MetricName]?: SampleRow[] } = {};

  /** A series of a closed set, or without labels of its own: one at 0 is left out. */
  add(name: MetricName, value: number, ...labels: string[]): void {
    if (value !== 0) this.put(name, value, ...labels);
  }

  /** A series that the catalogue alone does not imply: it is written whatever its value. */
  put(name: MetricName, value: SampleValue, ...labels: string[]): void {
    const row: SampleRow = [...labels, value];
    const rows = this.#rows[name];
    if (rows === undefined) this.#rows[name] = [row];
    else rows.push(row);
  }

  get samples(): Samples {
    return this.#rows;
  }
}
