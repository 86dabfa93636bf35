import { Button } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import type { Diagnosis } from '../../api/types.ts';
import { Section } from '../../parts/page.tsx';
import { utc } from '../../parts/time.tsx';

/** Entries that are shown at first. */
const FIRST = 20;
/** What passes all the time while all is well. */
const MESSAGES: ReadonlySet<string> = new Set(['sent', 'received', 'repeated']);

/** What happened to the connection lately, newest first. */
export function Timeline({ timeline }: { readonly timeline: Diagnosis['timeline'] }): ReactNode {
  const [withMessages, setWith] = useState(false);
  const [isAll, setAll] = useState(false);
  const newest = timeline.filter(({ what }) => withMessages || !MESSAGES.has(what)).reverse();
  const shown = isAll ? newest : newest.slice(0, FIRST);
  return (
    <Section
      title="Events"
      actions={
        <Button kind="ghost" size="sm" onClick={() => setWith(!withMessages)} aria-pressed={withMessages}>
          {withMessages ? 'Hide messages' : 'Show messages, too'}
        </Button>
      }
    >
      {newest.length === 0 ? <p className="help">Nothing has happened lately.</p> : null}
      <ol className="events">
        {shown.map(({ first_at, last_at, count, what, text }) => (
          <li key={`${first_at} ${what} ${text}`}>
            <time dateTime={last_at}>{utc(last_at)}</time>
            <span className="kind">{what}</span>
            <span>
              {text}
              {count === 1 ? '' : ` (${count} times)`}
            </span>
          </li>
        ))}
      </ol>
      {shown.length === newest.length ? null : (
        <Button kind="ghost" size="sm" onClick={() => setAll(true)}>
          Show all {newest.length}
        </Button>
      )}
    </Section>
  );
}
