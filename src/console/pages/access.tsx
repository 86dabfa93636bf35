import { InlineNotification } from '@carbon/react';
import type { ReactNode } from 'react';
import { useCredentials } from '../api/queries.ts';
import { useWho } from '../api/session.ts';
import type { Credentials } from '../api/types.ts';
import { Empty, Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { Facts, PageHead, Section } from '../parts/page.tsx';
import { utc } from '../parts/time.tsx';

type Credential = Credentials['credentials'][number];

const HOW: Readonly<Record<string, string>> = {
  token: 'by a token',
  iam: 'by an API key',
  console: 'by a login link of the server’s machine',
  none: 'without authentication',
};

/** Who may do what. */
export function AccessPage(): ReactNode {
  const credentials = useCredentials();
  const me = useWho();
  return (
    <>
      <PageHead title="Access" />
      {me === undefined ? null : (
        <Section title="You">
          <Facts
            facts={[
              ['Name', me.name],
              ['Role', me.role],
              ['Logged in', HOW[me.by] ?? me.by],
              ['Until', me.expires_at === undefined ? 'no end' : utc(me.expires_at)],
              ['Server', me.program],
            ]}
          />
        </Section>
      )}
      {credentials.data?.auth === 'none' ? (
        <InlineNotification
          kind="warning"
          title="There is no authentication."
          subtitle="Every program and every user of this machine may change everything."
          lowContrast
          hideCloseButton
        />
      ) : credentials.error !== null && credentials.data === undefined ? (
        <Unread what="The list" error={credentials.error} retry={() => void credentials.refetch()} />
      ) : (
        <ObjectTable<Credential>
          title="Tokens and API keys"
          description="They are in the file of the server: “culvert token” makes one, and “culvert serve-reload” takes the file over."
          columns={COLUMNS}
          rows={credentials.data?.credentials}
          idOf={({ kind, name }) => `${kind} ${name}`}
          empty={
            <Empty title="Only root of the server’s machine has access">
              “culvert token NAME” makes a token, and prints the line of the server’s file that knows it.
            </Empty>
          }
        />
      )}
    </>
  );
}

const ROLES: Readonly<Record<Credential['role'], string>> = {
  editor: 'Editor: reads and changes, sees keys',
  viewer: 'Viewer: reads, sees no key',
};

const COLUMNS: readonly Column<Credential>[] = [
  { key: 'name', title: 'Name', text: ({ name }) => name, cell: ({ name }) => name },
  { key: 'role', title: 'Role', text: ({ role }) => role, cell: ({ role }) => ROLES[role] },
  {
    key: 'kind',
    title: 'Kind',
    text: ({ kind }) => kind,
    cell: ({ kind }) => (kind === 'token' ? 'Token' : 'API key'),
  },
];
