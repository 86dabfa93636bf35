import { Button, OverflowMenuItem } from '@carbon/react';
import { Add } from '@carbon/react/icons';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { ask, own, vpc } from '../api/client.ts';
import { useConnectionsOf, useGateways } from '../api/queries.ts';
import { useMayChange } from '../api/session.ts';
import type { Connection, Gateway } from '../api/types.ts';
import { ActionsMenu } from '../parts/actions-menu.tsx';
import { Confirm, Rename } from '../parts/confirm.tsx';
import { Empty, Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { PageHead } from '../parts/page.tsx';
import { HealthState, LifecycleState, State } from '../parts/status.tsx';
import { plural } from '../parts/units.ts';

interface Row {
  readonly gateway: Gateway;
  readonly connections: readonly Connection[] | undefined;
}

type Asked = { readonly what: 'rename' | 'switch' | 'delete'; readonly gateway: Gateway };

/** The gateways, and how their connections are. */
export function GatewaysPage(): ReactNode {
  const gateways = useGateways();
  const connections = useConnectionsOf((gateways.data ?? []).map(({ id }) => id));
  const mayChange = useMayChange();
  const [, navigate] = useLocation();
  const [asked, setAsked] = useState<Asked>();
  const rows = gateways.data?.map((gateway, index) => ({ gateway, connections: connections[index] }));
  const create = mayChange ? (
    <Button renderIcon={Add} onClick={() => navigate('/gateways/create')}>
      Create gateway
    </Button>
  ) : undefined;
  return (
    <>
      <PageHead title="VPN gateways" />
      {gateways.error !== null && gateways.data === undefined ? (
        <Unread what="The gateways" error={gateways.error} retry={() => void gateways.refetch()} />
      ) : (
        <ObjectTable<Row>
          title="VPN gateways"
          isOnlyTable
          rows={rows}
          idOf={({ gateway }) => gateway.id}
          columns={columns(mayChange ? setAsked : undefined, navigate)}
          tools={create}
          empty={
            <Empty title="Connect your first network" action={create}>
              A VPN gateway in a subnet of a VPC makes tunnels to gateways elsewhere. Here is the list of
              them; there is none yet.
            </Empty>
          }
        />
      )}
      {asked === undefined ? null : <Asking asked={asked} close={() => setAsked(undefined)} />}
    </>
  );
}

function columns(
  ask: ((asked: Asked) => void) | undefined,
  navigate: (path: string) => void,
): readonly Column<Row>[] {
  return [
    {
      key: 'name',
      title: 'Name',
      text: ({ gateway }) => gateway.name,
      cell: ({ gateway }) => <Link href={`/gateways/${gateway.id}`}>{gateway.name}</Link>,
    },
    {
      key: 'status',
      title: 'Status',
      wide: true,
      text: ({ gateway }) => gateway.lifecycle_state,
      cell: ({ gateway }) => <LifecycleState state={gateway.lifecycle_state} />,
    },
    {
      key: 'health',
      title: 'Health',
      text: ({ gateway }) => gateway.health_state,
      cell: ({ gateway }) => <HealthState state={gateway.health_state} />,
    },
    {
      key: 'connections',
      title: 'Connections up',
      text: ({ connections }) => String(connections?.filter(({ status }) => status === 'up').length ?? 0),
      cell: ({ connections }) => <UpOf connections={connections} />,
    },
    { key: 'mode', title: 'Mode', wide: true, text: modeOf, cell: modeOf },
    {
      key: 'vpc',
      title: 'VPC',
      wide: true,
      text: ({ gateway }) => gateway.vpc?.name ?? '',
      cell: ({ gateway }) => gateway.vpc?.name,
    },
    {
      key: 'subnet',
      title: 'Subnet',
      wide: true,
      text: ({ gateway }) => gateway.subnet.name,
      cell: ({ gateway }) => gateway.subnet.name,
    },
    {
      key: 'addresses',
      title: 'Public addresses',
      wide: true,
      text: ({ gateway }) => addressesOf(gateway).join(' '),
      cell: ({ gateway }) => <span className="mono">{addressesOf(gateway).join(', ')}</span>,
    },
    {
      key: 'actions',
      title: '',
      cell: ({ gateway }) =>
        ask === undefined ? null : <Actions gateway={gateway} ask={ask} navigate={navigate} />,
    },
  ];
}

function Actions({
  gateway,
  ask,
  navigate,
}: {
  readonly gateway: Gateway;
  readonly ask: (asked: Asked) => void;
  readonly navigate: (path: string) => void;
}): ReactNode {
  return (
    <ActionsMenu of={gateway.name} size="sm">
      <OverflowMenuItem
        itemText="Create connection"
        onClick={() => navigate(`/gateways/${gateway.id}/create`)}
      />
      <OverflowMenuItem itemText="Rename" onClick={() => ask({ what: 'rename', gateway })} />
      {gateway.mode === 'policy' ? (
        <OverflowMenuItem itemText="Switch over" onClick={() => ask({ what: 'switch', gateway })} />
      ) : null}
      <OverflowMenuItem
        itemText="Delete"
        hasDivider
        isDelete
        onClick={() => ask({ what: 'delete', gateway })}
      />
    </ActionsMenu>
  );
}

function Asking({ asked, close }: { readonly asked: Asked; readonly close: () => void }): ReactNode {
  const client = useQueryClient();
  const { what, gateway } = asked;
  const path = vpc(`/vpn_gateways/${gateway.id}`);
  const reread = (): Promise<void> => client.invalidateQueries({ queryKey: ['gateways'] });
  if (what === 'rename') {
    return (
      <Rename
        what="gateway"
        name={gateway.name}
        close={close}
        act={async (name) => {
          await ask('PATCH', path, { body: { name } });
          await reread();
        }}
      />
    );
  }
  if (what === 'switch') {
    return (
      <Confirm
        title={`Switch ${gateway.name} over?`}
        verb="Switch over"
        isDanger={false}
        close={close}
        act={async () => {
          await ask('POST', own(`/vpn_gateways/${gateway.id}/switch`));
          await reread();
        }}
      >
        <p>The standby member takes the tunnels over, and the active one becomes the standby.</p>
      </Confirm>
    );
  }
  const count = gateway.connections?.length ?? 0;
  return (
    <Confirm
      title={`Delete ${gateway.name}?`}
      verb="Delete"
      close={close}
      act={async () => {
        await ask('DELETE', path);
        await reread();
      }}
    >
      <p>
        {count === 0
          ? 'The gateway has no connections.'
          : `Its ${plural(count, 'connection')} are deleted with it, and their tunnels go down at once.`}
      </p>
    </Confirm>
  );
}

/** `2 of 3`, and how bad that is. */
function UpOf({ connections }: { readonly connections: readonly Connection[] | undefined }): ReactNode {
  if (connections === undefined) return '…';
  const wanted = connections.filter(({ admin_state_up }) => admin_state_up);
  const up = wanted.filter(({ status }) => status === 'up').length;
  if (connections.length === 0) return <State tone="off">No connections</State>;
  if (wanted.length === 0) return <State tone="off">All switched off</State>;
  const tone = up === wanted.length ? 'good' : up === 0 ? 'bad' : 'warning';
  return (
    <State tone={tone}>
      {up} of {wanted.length}
    </State>
  );
}

function modeOf({ gateway }: Row): string {
  return gateway.mode === 'route' ? 'Route-based' : 'Policy-based';
}

function addressesOf({ members = [] }: Gateway): string[] {
  return members.map(({ public_ip }) => public_ip.address).filter((address) => address !== '0.0.0.0');
}
