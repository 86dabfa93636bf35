import { type ReactNode, useEffect, useRef } from 'react';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { useTheme } from '../app/theme.ts';

/** A line of a chart: its name and a value for each point in time; null where none is known. */
export type Line = readonly [name: string, values: readonly (number | null)[]];

/** Height of a chart, so that nothing jumps when it is drawn. */
const HEIGHT = 180;
/** What the scale reaches to when all values are 0. */
const LEAST = 10;
/** Colours of the lines, as the style sheet has them for either theme. */
const COLOURS = ['--chart-1', '--chart-2'] as const;

/** Lines over time. What they say is also in words, since a drawing cannot be heard. */
export function Chart({
  title,
  times,
  series,
  format,
  isSparse = false,
}: {
  readonly title: string;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: readonly Line[];
  readonly format: (value: number) => string;
  /** Values are far apart: they are joined over the steps without one. */
  readonly isSparse?: boolean;
}): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const theme = useTheme();
  const names = series.map(([name]) => name).join('|');
  const latest = useRef({ times, series, format });
  latest.current = { times, series, format };
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme is in the style sheet, and the data follow below
  useEffect(() => {
    const element = place.current!;
    const made = new UPlot(
      optionsOf(element, {
        names: names.split('|'),
        isSparse,
        format: (value) => latest.current.format(value),
      }),
      dataOf(latest.current),
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [names, isSparse, theme]);
  useEffect(() => {
    plot.current?.setData(dataOf({ times, series }));
  }, [times, series]);
  const words = series
    .map(([name, values]) => `${name === title ? '' : `${name} `}${lastOf(values, format)}`)
    .join(', ');
  return (
    <figure className="chart">
      <figcaption>
        {title}: {words}
      </figcaption>
      <div ref={place} aria-hidden="true" className="chart-room" />
    </figure>
  );
}

function dataOf({
  times,
  series,
}: {
  readonly times: readonly number[];
  readonly series: readonly Line[];
}): UPlot.AlignedData {
  return [[...times], ...series.map(([, values]) => [...values])] as UPlot.AlignedData;
}

function optionsOf(
  element: HTMLElement,
  {
    names,
    isSparse,
    format,
  }: {
    readonly names: readonly string[];
    readonly isSparse: boolean;
    readonly format: (value: number) => string;
  },
): UPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--cds-text-secondary'),
    grid: { stroke: colour('--cds-border-subtle-00') || colour('--cds-border-subtle'), width: 1 },
    ticks: { show: false },
    font: '12px "IBM Plex Sans", sans-serif',
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: { y: { range: (_plot, _min, max) => [0, (max ?? 0) <= 0 ? LEAST : max * 1.1] } },
    axes: [
      { ...axis, values: timesOf },
      { ...axis, size: 84, values: (_plot, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...names.map((label, index) => ({
        label,
        stroke: colour(COLOURS[index % COLOURS.length]!),
        width: 2,
        spanGaps: isSparse,
      })),
    ],
  };
}

/** Hours and minutes, or the day where ticks are days apart; in the time of the browser. */
function timesOf(_plot: UPlot, ticks: readonly number[]): string[] {
  const apart = (ticks[1] ?? 0) - (ticks[0] ?? 0);
  const form: Intl.DateTimeFormatOptions =
    apart >= 86_400
      ? { day: 'numeric', month: 'short' }
      : { hour: '2-digit', minute: '2-digit', ...(apart < 60 ? { second: '2-digit' } : {}) };
  return ticks.map((tick) => new Date(tick * 1000).toLocaleString('en-GB', form));
}

function lastOf(values: readonly (number | null)[], format: (value: number) => string): string {
  const last = values.findLast((value) => value !== null);
  return last === undefined || last === null ? 'not measured yet' : format(last);
}
