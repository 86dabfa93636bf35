import { Button, OverflowMenuItem, Tag } from '@carbon/react';
import { Add } from '@carbon/react/icons';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { ask, vpc } from '../api/client.ts';
import { type TableWithRoutes, useRouting } from '../api/queries.ts';
import { useMayChange } from '../api/session.ts';
import type { Route } from '../api/types.ts';
import { RouteModal } from '../forms/route-modal.tsx';
import { ActionsMenu } from '../parts/actions-menu.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Empty, Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { PageHead, Section } from '../parts/page.tsx';
import { LifecycleState } from '../parts/status.tsx';

/** The routing tables of all VPCs, and where their routes lead. */
export function RoutesPage(): ReactNode {
  const routing = useRouting();
  return (
    <>
      <PageHead title="Routing tables" />
      {routing.error !== null && routing.data === undefined ? (
        <Unread what="The routing tables" error={routing.error} retry={() => void routing.refetch()} />
      ) : routing.data === undefined ? (
        <ObjectTable title="Routes" columns={[]} rows={undefined} idOf={String} empty={null} />
      ) : routing.data.length === 0 ? (
        <Empty title="No VPC has a routing table">VPCs are in the file of the server.</Empty>
      ) : (
        routing.data.map((one) => <TableSection key={one.table.id} one={one} />)
      )}
    </>
  );
}

type Asked = { readonly what: 'create' } | { readonly what: 'delete'; readonly route: Route };

function TableSection({ one }: { readonly one: TableWithRoutes }): ReactNode {
  const { vpc: owner, table, routes } = one;
  const client = useQueryClient();
  const mayChange = useMayChange();
  const [asked, setAsked] = useState<Asked>();
  const close = (): void => setAsked(undefined);
  const create = mayChange ? (
    <Button kind="tertiary" size="sm" renderIcon={Add} onClick={() => setAsked({ what: 'create' })}>
      Create route
    </Button>
  ) : undefined;
  const accepts = table.accept_routes_from.map(({ resource_type: type }) => type.replaceAll('_', ' '));
  return (
    <Section title={`${table.name} of ${owner.name}`} actions={create}>
      <p className="help">
        {table.is_default ? <Tag size="sm">Default</Tag> : null} For packets from{' '}
        {table.subnets.map(({ name }) => name).join(', ') || 'no subnet'}. Accepts routes from{' '}
        {accepts.join(', ') || 'nobody'}.
      </p>
      <ObjectTable<Route>
        title={`Routes of ${table.name}`}
        isOnlyTable
        columns={columnsOf(mayChange ? setAsked : undefined)}
        rows={routes}
        idOf={({ id }) => id}
        empty={<p className="help">No routes: the system routes of the VPC decide.</p>}
        isPlain
      />
      {asked?.what === 'create' ? <RouteModal vpcId={owner.id} tableId={table.id} close={close} /> : null}
      {asked?.what === 'delete' ? (
        <Confirm
          title={`Delete the route to ${asked.route.destination}?`}
          verb="Delete"
          close={close}
          act={async () => {
            await ask('DELETE', vpc(`/vpcs/${owner.id}/routing_tables/${table.id}/routes/${asked.route.id}`));
            await client.invalidateQueries({ queryKey: ['routing'] });
          }}
        >
          <p>Packets that it has carried go where the next match says.</p>
        </Confirm>
      ) : null}
    </Section>
  );
}

function columnsOf(act: ((asked: Asked) => void) | undefined): readonly Column<Route>[] {
  return [
    { key: 'name', title: 'Name', text: ({ name }) => name, cell: ({ name }) => <Name name={name} /> },
    {
      key: 'destination',
      title: 'Destination',
      text: ({ destination }) => destination,
      cell: ({ destination }) => <span className="mono">{destination}</span>,
    },
    { key: 'state', title: 'State', cell: ({ lifecycle_state: state }) => <LifecycleState state={state} /> },
    { key: 'zone', title: 'Zone', wide: true, text: ({ zone }) => zone.name, cell: ({ zone }) => zone.name },
    {
      key: 'action',
      title: 'Action',
      wide: true,
      text: ({ action }) => action,
      cell: ({ action }) => action,
    },
    { key: 'hop', title: 'Next hop', text: hopOf, cell: hopOf },
    {
      key: 'priority',
      title: 'Priority',
      wide: true,
      text: ({ priority }) => String(priority),
      cell: ({ priority }) => priority,
    },
    {
      key: 'origin',
      title: 'Origin',
      wide: true,
      text: ({ origin }) => origin,
      cell: ({ origin }) => origin,
    },
    {
      key: 'actions',
      title: '',
      cell: (route) =>
        act === undefined || route.origin !== 'user' ? null : (
          <ActionsMenu of={route.name} size="sm">
            <OverflowMenuItem itemText="Delete" isDelete onClick={() => act({ what: 'delete', route })} />
          </ActionsMenu>
        ),
    },
  ];
}

function Name({ name }: Pick<Route, 'name'>): ReactNode {
  return (
    <span className="clipped" title={name}>
      {name}
    </span>
  );
}

function hopOf({ next_hop: hop, action }: Route): string {
  if (action !== 'deliver') return '–';
  return 'address' in hop ? hop.address : `VPN connection ${hop.name}`;
}
