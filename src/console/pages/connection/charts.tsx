import { ContentSwitcher, Switch } from '@carbon/react';
import { lazy, type ReactNode, Suspense, useState } from 'react';
import { useHistory } from '../../api/queries.ts';
import type { History } from '../../api/types.ts';
import { Failure } from '../../parts/notices.tsx';
import { Section } from '../../parts/page.tsx';
import { rate } from '../../parts/units.ts';

const Chart = lazy(async () => ({ default: (await import('../../parts/chart.tsx')).Chart }));

const STEPS = [
  [1, 'Last minutes'],
  [60, 'Last hours'],
  [3600, 'Last days'],
] as const;

type Point = History['members'][number]['points'][number];

/** How the connection has fared: state, throughput, round trip. */
export function Charts({ gatewayId, id }: { readonly gatewayId: string; readonly id: string }): ReactNode {
  const [step, setStep] = useState<number>(1);
  const history = useHistory(gatewayId, id, step);
  return (
    <Section
      title="Traffic"
      actions={
        <ContentSwitcher
          size="sm"
          selectedIndex={0}
          onChange={({ index }) => setStep(STEPS[index ?? 0]?.[0] ?? 1)}
          aria-label="How far back"
        >
          {STEPS.map(([seconds, title]) => (
            <Switch key={seconds} name={String(seconds)} text={title} />
          ))}
        </ContentSwitcher>
      }
    >
      {history.error === null ? null : <Failure title="The history cannot be shown." error={history.error} />}
      <Suspense fallback={<div className="chart-room" />}>
        {(history.data?.members ?? []).map(({ public_ip: { address }, points, fault }, _index, all) => (
          <div key={address}>
            {all.length === 1 ? null : <h3 className="mono">{address}</h3>}
            {fault === undefined ? <MemberCharts points={points} /> : <p className="help">{fault}</p>}
          </div>
        ))}
      </Suspense>
    </Section>
  );
}

function MemberCharts({ points }: { readonly points: readonly Point[] }): ReactNode {
  const times = points.map(({ at }) => Date.parse(at) / 1000);
  const perSecond = (bytes: number | null, seconds: number): number | null =>
    bytes === null || seconds === 0 ? null : (8 * bytes) / seconds;
  const trips = points.map(({ round_trip_ms: trip }) => trip);
  return (
    <div className="charts">
      <Uptime points={points} />
      <Chart
        title="Throughput"
        times={times}
        format={rate}
        series={[
          ['In', points.map(({ bytes_in, seconds }) => perSecond(bytes_in, seconds))],
          ['Out', points.map(({ bytes_out, seconds }) => perSecond(bytes_out, seconds))],
        ]}
      />
      {trips.every((trip) => trip === null) ? (
        <p className="help">The round trip was not measured yet: it is at each check of the peer.</p>
      ) : (
        <Chart
          title="Round trip"
          isSparse
          times={times}
          format={(trip) => `${trip.toFixed(1)} ms`}
          series={[['Round trip', trips]]}
        />
      )}
    </div>
  );
}

/** A strip of when it was up: one piece per step. */
function Uptime({ points }: { readonly points: readonly Point[] }): ReactNode {
  const known = points.filter(({ seconds }) => seconds > 0);
  const total = known.reduce((sum, { seconds }) => sum + seconds, 0);
  const up = known.reduce((sum, { up_seconds }) => sum + (up_seconds ?? 0), 0);
  const text =
    total === 0 ? 'not measured yet' : `${((100 * up) / total).toFixed(up === total ? 0 : 1)} % of the time`;
  return (
    <figure className="uptime">
      <figcaption>Up: {text}</figcaption>
      <svg viewBox={`0 0 ${Math.max(1, points.length)} 1`} preserveAspectRatio="none" aria-hidden="true">
        {points.map((point, index) => (
          <rect key={point.at} x={index} y="0" width="1" height="1" className={toneOf(point)} />
        ))}
      </svg>
    </figure>
  );
}

function toneOf({ seconds, up_seconds: up, degraded_seconds: degraded }: Point): string {
  if (seconds === 0 || up === null) return 'unknown';
  if (up >= seconds) return 'good';
  return up + (degraded ?? 0) > 0 ? 'warning' : 'bad';
}
