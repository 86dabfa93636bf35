import { Button } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import { utc } from './time.tsx';

/** A line of a list of what happened. */
export interface EventLine {
  readonly key: string;
  readonly at: string;
  readonly kind: string;
  readonly text: ReactNode;
  readonly isWarning?: boolean;
}

/** Lines that are shown at first. */
const FIRST = 20;

/** What happened, newest first; of many only the first until all are asked for. */
export function EventList({
  lines,
  none,
}: {
  readonly lines: readonly EventLine[];
  /** What is said where there are no lines. */
  readonly none: string;
}): ReactNode {
  const [isAll, setAll] = useState(false);
  if (lines.length === 0) return <p className="help">{none}</p>;
  const shown = isAll ? lines : lines.slice(0, FIRST);
  return (
    <>
      <ol className="events">
        {shown.map(({ key, at, kind, text, isWarning }) => (
          <li key={key} className={isWarning ? 'warn' : ''}>
            <time dateTime={at}>{utc(at)}</time>
            <span className="kind">{kind}</span>
            <span>{text}</span>
          </li>
        ))}
      </ol>
      {shown.length === lines.length ? null : (
        <Button kind="ghost" size="sm" onClick={() => setAll(true)}>
          Show all {lines.length}
        </Button>
      )}
    </>
  );
}
