import { Button } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import type { CulvertEvent } from '../api/types.ts';
import { utc } from './time.tsx';

/** Events that are shown at first. */
const FIRST = 20;

/** What happened, newest first. */
export function EventList({ events }: { readonly events: readonly CulvertEvent[] }): ReactNode {
  const [isAll, setAll] = useState(false);
  if (events.length === 0) return <p className="help">Nothing has happened since the server was started.</p>;
  const shown = isAll ? events : events.slice(0, FIRST);
  return (
    <>
      <ol className="events">
        {shown.map(({ id, time, level, kind, message, connection }) => (
          <li key={id} className={level === 'warn' ? 'warn' : ''}>
            <time dateTime={time}>{utc(time)}</time>
            <span className="kind">{kind}</span>
            <span>
              {connection === undefined ? null : <strong>{connection.name}: </strong>}
              {message}
            </span>
          </li>
        ))}
      </ol>
      {shown.length === events.length ? null : (
        <Button kind="ghost" size="sm" onClick={() => setAll(true)}>
          Show all {events.length}
        </Button>
      )}
    </>
  );
}
