import { Button, Select, SelectItem, TextInput } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import { useAudit } from '../api/queries.ts';
import type { AuditEntry } from '../api/types.ts';
import { Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { PageHead } from '../parts/page.tsx';
import { State } from '../parts/status.tsx';
import { utc } from '../parts/time.tsx';
import { plural } from '../parts/units.ts';

/** Who did what, when and from where. */
export function AuditPage(): ReactNode {
  const [{ who, outcome }, setFilters] = useState({ who: '', outcome: '' });
  const [starts, setStarts] = useState<readonly string[]>([]);
  const start = starts.at(-1);
  const page = useAudit({
    ...(who.trim() === '' ? {} : { who: who.trim() }),
    ...(outcome === '' ? {} : { outcome }),
    ...(start === undefined ? {} : { start }),
  });
  return (
    <>
      <PageHead title="Audit trail">
        <p className="help">
          Every change, read, refused request and login, the newest first. No secret is in it.
        </p>
      </PageHead>
      <Filters
        who={who}
        outcome={outcome}
        choose={(filters) => {
          setFilters(filters);
          setStarts([]);
        }}
      />
      {page.error !== null && page.data === undefined ? (
        <Unread what="The audit trail" error={page.error} retry={() => void page.refetch()} />
      ) : (
        <ObjectTable<AuditEntry>
          title="Entries"
          description={page.data === undefined ? '' : plural(page.data.total, 'entry', 'entries')}
          columns={COLUMNS}
          rows={page.data?.entries}
          idOf={({ at, action, request_id: id, target }) => `${at} ${action} ${id ?? ''} ${target?.id ?? ''}`}
          empty={<p className="help">No entry fits.</p>}
          isPlain
        />
      )}
      <div className="pager">
        <Button kind="ghost" disabled={starts.length === 0} onClick={() => setStarts(starts.slice(0, -1))}>
          Newer
        </Button>
        <Button
          kind="ghost"
          disabled={page.data?.next === undefined}
          onClick={() => setStarts([...starts, page.data!.next!])}
        >
          Older
        </Button>
      </div>
    </>
  );
}

function Filters({
  who,
  outcome,
  choose,
}: {
  readonly who: string;
  readonly outcome: string;
  readonly choose: (filters: { readonly who: string; readonly outcome: string }) => void;
}): ReactNode {
  return (
    <div className="columns filters">
      <TextInput
        id="audit-who"
        labelText="Who (exact name)"
        value={who}
        onChange={({ target }) => choose({ who: target.value, outcome })}
      />
      <Select
        id="audit-outcome"
        labelText="Outcome"
        value={outcome}
        onChange={({ target }) => choose({ who, outcome: target.value })}
      >
        <SelectItem value="" text="All" />
        <SelectItem value="success" text="Done" />
        <SelectItem value="failure" text="Refused" />
      </Select>
    </div>
  );
}

function Target({ target }: Pick<AuditEntry, 'target'>): ReactNode {
  const text = target?.name ?? target?.id ?? '';
  return (
    <span className="clipped" title={text}>
      {text}
    </span>
  );
}

const COLUMNS: readonly Column<AuditEntry>[] = [
  { key: 'at', title: 'When', cell: ({ at }) => <time dateTime={at}>{utc(at)}</time> },
  { key: 'who', title: 'Who', cell: ({ initiator }) => initiator.name ?? 'not known' },
  { key: 'action', title: 'Action', cell: ({ action }) => <span className="mono">{action}</span> },
  { key: 'target', title: 'Object', cell: ({ target }) => <Target target={target} /> },
  {
    key: 'outcome',
    title: 'Outcome',
    cell: ({ outcome, reason, repeats }) =>
      outcome === 'success' ? (
        <State tone="good">Done</State>
      ) : (
        <State tone="bad">
          Refused{reason === undefined ? '' : `: ${reason.code}`}
          {repeats === undefined ? '' : ` (${repeats} times)`}
        </State>
      ),
  },
  { key: 'from', title: 'From', wide: true, cell: ({ initiator }) => initiator.address ?? 'this machine' },
  { key: 'role', title: 'Role', wide: true, cell: ({ initiator }) => initiator.role ?? '' },
];
