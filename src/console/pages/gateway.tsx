import { Button, SkeletonText, Toggle } from '@carbon/react';
import { Add } from '@carbon/react/icons';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { type ApiFailure, ask } from '../api/client.ts';
import { connectionPath, useConnections, useEvents, useGateways } from '../api/queries.ts';
import { useMayChange } from '../api/session.ts';
import type { Connection, CulvertEvent, Gateway, Member } from '../api/types.ts';
import { type EventLine, EventList } from '../parts/event-list.tsx';
import { Empty, Failure, Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { Facts, PageHead, Section } from '../parts/page.tsx';
import { ConnectionState, HealthState, LifecycleState } from '../parts/status.tsx';
import { utc } from '../parts/time.tsx';

/** A gateway: its members, its connections, and what happened to it. */
export function GatewayPage({ id }: { readonly id: string }): ReactNode {
  const gateways = useGateways();
  const gateway = gateways.data?.find((one) => one.id === id);
  if (gateway === undefined) {
    if (gateways.error !== null)
      return <Unread what="The gateway" error={gateways.error} retry={() => void gateways.refetch()} />;
    return gateways.data === undefined ? <SkeletonText heading /> : <NoGateway />;
  }
  return (
    <>
      <PageHead title={gateway.name} trail={[['/gateways', 'VPN gateways']]} />
      <Reasons gateway={gateway} />
      <Section title="Overview">
        <Facts
          facts={[
            ['Status', <LifecycleState key="s" state={gateway.lifecycle_state} />],
            ['Health', <HealthState key="h" state={gateway.health_state} />],
            ['Mode', gateway.mode === 'route' ? 'Route-based' : 'Policy-based'],
            ['VPC', gateway.vpc?.name],
            ['Subnet', gateway.subnet.name],
            ['Created', utc(gateway.created_at)],
            ['ID', <code key="i">{gateway.id}</code>],
          ]}
        />
      </Section>
      <Members members={gateway.members ?? []} />
      <Connections gateway={gateway} />
      <Events id={id} />
    </>
  );
}

function NoGateway(): ReactNode {
  return (
    <Empty title="There is no such gateway">
      It was deleted, or the address is wrong. <Link href="/gateways">All gateways</Link>
    </Empty>
  );
}

function Reasons({ gateway }: { readonly gateway: Gateway }): ReactNode {
  const reasons = gateway.health_reasons ?? [];
  if (reasons.length === 0) return null;
  return (
    <ul className="reasons">
      {reasons.map(({ code, message, more_info: more }) => (
        <li key={code + message}>
          {message} {more === undefined ? null : <a href={more}>More about it</a>}
        </li>
      ))}
    </ul>
  );
}

function Members({ members }: { readonly members: readonly Member[] }): ReactNode {
  const columns: readonly Column<Member>[] = [
    {
      key: 'public',
      title: 'Public address',
      cell: ({ public_ip }) => (
        <span className="mono">{public_ip.address === '0.0.0.0' ? '–' : public_ip.address}</span>
      ),
    },
    { key: 'role', title: 'Role', cell: ({ role }) => (role === 'active' ? 'Active' : 'Standby') },
    { key: 'health', title: 'Health', cell: ({ health_state }) => <HealthState state={health_state} /> },
    {
      key: 'private',
      title: 'Private address',
      wide: true,
      cell: ({ private_ip }) => <span className="mono">{private_ip.address}</span>,
    },
  ];
  return (
    <ObjectTable
      title="Members"
      columns={columns}
      rows={members}
      idOf={({ private_ip }) => private_ip.id}
      empty={null}
      isPlain
    />
  );
}

function Connections({ gateway }: { readonly gateway: Gateway }): ReactNode {
  const connections = useConnections(gateway.id);
  const mayChange = useMayChange();
  const [, navigate] = useLocation();
  const create = mayChange ? (
    <Button renderIcon={Add} onClick={() => navigate(`/gateways/${gateway.id}/create`)}>
      Create
    </Button>
  ) : undefined;
  if (connections.error !== null && connections.data === undefined)
    return (
      <Unread what="The connections" error={connections.error} retry={() => void connections.refetch()} />
    );
  return (
    <ObjectTable<Connection>
      title="VPN connections"
      columns={connectionColumns(gateway, mayChange)}
      rows={connections.data}
      idOf={({ id }) => id}
      tools={create}
      empty={
        <Empty title="Add the first connection" action={create}>
          A connection is a tunnel to a gateway elsewhere: its address, a key that both ends know, and the
          networks behind them.
        </Empty>
      }
    />
  );
}

function connectionColumns(gateway: Gateway, mayChange: boolean): readonly Column<Connection>[] {
  const networks = (connection: Connection): string =>
    connection.mode === 'policy'
      ? `${connection.local.cidrs.join(', ')} ⇄ ${connection.peer.cidrs.join(', ')}`
      : 'by routes';
  return [
    {
      key: 'name',
      title: 'Name',
      text: ({ name }) => name,
      cell: ({ id, name }) => <Link href={`/gateways/${gateway.id}/${id}`}>{name}</Link>,
    },
    {
      key: 'status',
      title: 'Status',
      text: ({ admin_state_up: isOn, status }) => (isOn ? status : 'switched off'),
      cell: (connection) => <ConnectionState connection={connection} />,
    },
    {
      key: 'state',
      title: 'State',
      cell: (connection) => (
        <StateSwitch gateway={gateway.id} connection={connection} mayChange={mayChange} />
      ),
    },
    {
      key: 'why',
      title: 'Why',
      text: ({ status_reasons: [first] }) => first?.message ?? '',
      cell: ({ status_reasons: [first] }) => (
        <span className="clipped" title={first?.message}>
          {first?.message}
        </span>
      ),
    },
    {
      key: 'peer',
      title: 'Peer',
      text: ({ peer }) => peer.fqdn ?? peer.address ?? '',
      cell: ({ peer }) => <span className="mono">{peer.fqdn ?? peer.address}</span>,
    },
    {
      key: 'networks',
      title: 'Networks',
      wide: true,
      text: networks,
      cell: (one) => (
        <span className="clipped mono" title={networks(one)}>
          {networks(one)}
        </span>
      ),
    },
  ];
}

/** Switches a connection on and off: `admin_state_up`. */
function StateSwitch({
  gateway,
  connection,
  mayChange,
}: {
  readonly gateway: string;
  readonly connection: Connection;
  readonly mayChange: boolean;
}): ReactNode {
  const client = useQueryClient();
  const { id, name, admin_state_up: isOn } = connection;
  const change = useMutation<unknown, ApiFailure, boolean>({
    mutationFn: (up) => ask('PATCH', connectionPath(gateway, id), { body: { admin_state_up: up } }),
    onSettled: () => client.invalidateQueries({ queryKey: ['connections', gateway] }),
  });
  return (
    <>
      <span className="state-switch">
        <Toggle
          id={`state-${id}`}
          size="sm"
          labelText={`State of ${name}`}
          hideLabel
          toggled={change.isPending ? change.variables : isOn}
          disabled={!mayChange || change.isPending}
          onToggle={(up) => change.mutate(up)}
        />
      </span>
      {change.error === null ? null : <Failure title="That was not done." error={change.error} />}
    </>
  );
}

function Events({ id }: { readonly id: string }): ReactNode {
  const events = useEvents(id);
  return (
    <Section title="Events">
      {events.error === null ? (
        <EventList
          none="Nothing has happened since the server was started."
          lines={(events.data ?? []).map(lineOf)}
        />
      ) : (
        <Failure title="Events cannot be shown." error={events.error} />
      )}
    </Section>
  );
}

function lineOf({ id, time, level, kind, message, connection }: CulvertEvent): EventLine {
  const text =
    connection === undefined ? (
      message
    ) : (
      <>
        <strong>{connection.name}: </strong>
        {message}
      </>
    );
  return { key: id, at: time, kind, text, isWarning: level === 'warn' };
}
