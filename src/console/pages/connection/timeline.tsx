import { Button } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import type { Diagnosis } from '../../api/types.ts';
import { EventList } from '../../parts/event-list.tsx';
import { Section } from '../../parts/page.tsx';

/** What passes all the time while all is well. */
const MESSAGES: ReadonlySet<string> = new Set(['sent', 'received', 'repeated']);

/** What happened to the connection lately, newest first. */
export function Timeline({ timeline }: { readonly timeline: Diagnosis['timeline'] }): ReactNode {
  const [withMessages, setWith] = useState(false);
  const newest = timeline.filter(({ what }) => withMessages || !MESSAGES.has(what)).reverse();
  return (
    <Section
      title="Events"
      actions={
        <Button kind="ghost" size="sm" onClick={() => setWith(!withMessages)} aria-pressed={withMessages}>
          {withMessages ? 'Hide messages' : 'Show messages, too'}
        </Button>
      }
    >
      <EventList
        none="Nothing has happened lately."
        lines={newest.map(({ first_at, last_at, count, what, text }) => ({
          key: `${first_at} ${what} ${text}`,
          at: last_at,
          kind: what,
          text: count === 1 ? text : `${text} (${count} times)`,
        }))}
      />
    </Section>
  );
}
