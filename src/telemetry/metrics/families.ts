import type { HistogramCounts } from '../../util/histogram.js';
import { METRIC_NAMES, type MetricName, metricOf } from './catalogue.js';
import { CONNECTION_LABELS, type MetricDefinition, WORKER_LABELS } from './definition.js';
import type { GatewaySnapshot, SampleRow, Samples, SampleValue } from './samples.js';

/** One line of an exposition, as prom-client takes it. */
export interface FamilyValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Where it differs from the family's: `…_bucket`, `…_sum`, `…_count` of a histogram. */
  readonly metricName?: string;
}

/** All series of one metric, in the form in which prom-client gives and takes them. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'histogram' | 'summary';
  readonly values: readonly FamilyValue[];
}

/** A gateway process and its metrics; `member` is its number in the gateway, from 0. */
export interface MemberSnapshot {
  readonly member: number;
  readonly snapshot: GatewaySnapshot;
}

/** Members are counted from 1 wherever people see them. */
export function memberLabel(member: number): string {
  return String(member + 1);
}

/** Everything that one scrape shows. */
export interface MetricsDocument {
  /** Of this process and of the server. */
  readonly families: readonly MetricFamily[];
  readonly gateways: readonly MemberSnapshot[];
}

/** A metric of the catalogue with these series. */
export function familyOf(name: MetricName, values: readonly FamilyValue[]): MetricFamily {
  const { help, type } = metricOf(name);
  return { name, help, type, values };
}

/** The metrics of gateways, family by family: made one at a time, since together they are many. */
export function* gatewayFamilies(gateways: readonly MemberSnapshot[]): Generator<MetricFamily> {
  for (const name of METRIC_NAMES) {
    if (metricOf(name).source !== 'gateway') continue;
    yield familyOf(name, [...valuesOf(name, gateways)]);
  }
}

function* valuesOf(name: MetricName, gateways: readonly MemberSnapshot[]): Generator<FamilyValue> {
  const metric = metricOf(name);
  const expand = expander(name, metric);
  for (const { member, snapshot } of gateways) {
    const { labels } = metric;
    const base = [snapshot.name, memberLabel(member)];
    if (labels[2] === CONNECTION_LABELS[2])
      for (const one of snapshot.connections) yield* expand([...base, one.name], one.samples);
    else if (labels[2] === WORKER_LABELS[2])
      for (const [i, one] of snapshot.workers.entries()) yield* expand([...base, String(i)], one);
    else yield* expand(base, snapshot.samples);
  }
}

type Expand = (base: readonly string[], samples: Samples) => Iterable<FamilyValue>;

/** Gives the series of a subject: all that its closed sets have, those at 0 included. */
function expander(name: MetricName, metric: MetricDefinition): Expand {
  const { labels, values, buckets } = metric;
  const write = (all: readonly string[], value: SampleValue): FamilyValue[] => {
    const set = Object.fromEntries(labels.map((label, i) => [label, all[i]!]));
    return typeof value === 'number' ? [{ labels: set, value }] : histogramValues(name, set, buckets!, value);
  };
  const zero: SampleValue = buckets === undefined ? 0 : { counts: [], sum: 0 };
  return function* (base, samples) {
    const own = labels.slice(base.length);
    const isClosed = own.every((label) => values?.[label] !== undefined);
    const rows = new Map((samples[name] ?? []).map((row) => [keyOf(row), row]));
    if (isClosed) {
      for (const combination of combinations(own.map((label) => values![label]!))) {
        const key = combination.join('\0');
        yield* write([...base, ...combination], sampleOf(rows.get(key)) ?? zero);
        rows.delete(key);
      }
    }
    // What an open set has, and what another version of the program knows beyond ours.
    for (const row of rows.values()) yield* write([...base, ...labelsOf(row)], sampleOf(row) ?? zero);
  };
}

function labelsOf(row: SampleRow): readonly string[] {
  return row.slice(0, -1) as readonly string[];
}

function keyOf(row: SampleRow): string {
  return labelsOf(row).join('\0');
}

function sampleOf(row: SampleRow | undefined): SampleValue | undefined {
  return row?.at(-1) as SampleValue | undefined;
}

/** Every combination of one value of each list; of no list the empty one. */
function combinations(lists: readonly (readonly string[])[]): string[][] {
  return lists.reduce<string[][]>(
    (all, list) => all.flatMap((head) => list.map((value) => [...head, value])),
    [[]],
  );
}

function histogramValues(
  name: string,
  labels: Readonly<Record<string, string>>,
  buckets: readonly number[],
  { counts, sum }: HistogramCounts,
): FamilyValue[] {
  let total = 0;
  const bounds: readonly (number | string)[] = [...buckets, '+Inf'];
  const out = bounds.map((le, i) => {
    total += counts[i] ?? 0;
    return { labels: { le, ...labels }, value: total, metricName: `${name}_bucket` };
  });
  return [
    ...out,
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: total, metricName: `${name}_count` },
  ];
}
