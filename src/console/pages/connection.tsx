import { Button, OverflowMenuItem, SkeletonText } from '@carbon/react';
import { Edit } from '@carbon/react/icons';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { ask } from '../api/client.ts';
import { connectionPath, useConnectionOfGateway, useDiagnosis } from '../api/queries.ts';
import { useMayChange } from '../api/session.ts';
import type { Connection, Gateway } from '../api/types.ts';
import { ActionsMenu } from '../parts/actions-menu.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Empty, Unread } from '../parts/notices.tsx';
import { Facts, PageHead, Section } from '../parts/page.tsx';
import { utc } from '../parts/time.tsx';
import { Capture } from './connection/capture.tsx';
import { Charts } from './connection/charts.tsx';
import { Timeline } from './connection/timeline.tsx';
import { Tunnels } from './connection/tunnels.tsx';
import { Why } from './connection/why.tsx';

/** A connection: whether it is up, why not, what it carries, and what happened to it. */
export function ConnectionPage({
  gatewayId,
  id,
}: {
  readonly gatewayId: string;
  readonly id: string;
}): ReactNode {
  const { gateway, connection, error, retry } = useConnectionOfGateway(gatewayId, id);
  if (gateway !== undefined && connection !== undefined)
    return <Details gateway={gateway} connection={connection.body} />;
  if (error?.status === 404) return <NoConnection gatewayId={gatewayId} />;
  if (error !== null) return <Unread what="The connection" error={error} retry={retry} />;
  return <SkeletonText heading paragraph lineCount={8} />;
}

function NoConnection({ gatewayId }: { readonly gatewayId: string }): ReactNode {
  return (
    <Empty title="There is no such connection">
      It was deleted, or the address is wrong.{' '}
      <Link href={`/gateways/${gatewayId}`}>All connections of the gateway</Link>
    </Empty>
  );
}

function Details({
  gateway,
  connection,
}: {
  readonly gateway: Gateway;
  readonly connection: Connection;
}): ReactNode {
  const diagnosis = useDiagnosis(gateway.id, connection.id);
  const mayChange = useMayChange();
  return (
    <>
      <PageHead
        title={connection.name}
        trail={[
          ['/gateways', 'VPN gateways'],
          [`/gateways/${gateway.id}`, gateway.name],
        ]}
        actions={mayChange ? <Actions gateway={gateway} connection={connection} /> : undefined}
      />
      {diagnosis.data === undefined ? (
        diagnosis.error === null ? (
          <SkeletonText paragraph lineCount={4} />
        ) : (
          <Unread what="The state" error={diagnosis.error} retry={() => void diagnosis.refetch()} />
        )
      ) : (
        <>
          <Why gateway={gateway} connection={connection} diagnosis={diagnosis.data} />
          <Tunnels diagnosis={diagnosis.data} />
        </>
      )}
      <Charts gatewayId={gateway.id} id={connection.id} />
      <Settings connection={connection} />
      <Timeline timeline={diagnosis.data?.timeline ?? []} />
      {mayChange ? <Capture gateway={gateway} connection={connection} /> : null}
    </>
  );
}

type Asked = 'delete' | 'on' | 'off';

interface ActionProps {
  readonly gateway: Gateway;
  readonly connection: Connection;
}

function Actions({ gateway, connection }: ActionProps): ReactNode {
  const [, navigate] = useLocation();
  const [asked, setAsked] = useState<Asked>();
  const { id, name, admin_state_up: isOn } = connection;
  return (
    <>
      <Button
        kind="tertiary"
        renderIcon={Edit}
        onClick={() => navigate(`/gateways/${gateway.id}/${id}/edit`)}
      >
        Change
      </Button>
      <ActionsMenu of={name}>
        <OverflowMenuItem
          itemText={isOn ? 'Switch off' : 'Switch on'}
          onClick={() => setAsked(isOn ? 'off' : 'on')}
        />
        <OverflowMenuItem itemText="Delete" isDelete hasDivider onClick={() => setAsked('delete')} />
      </ActionsMenu>
      {asked === undefined ? null : (
        <Asking asked={asked} gateway={gateway} connection={connection} close={() => setAsked(undefined)} />
      )}
    </>
  );
}

function Asking({
  asked,
  gateway,
  connection,
  close,
}: ActionProps & { readonly asked: Asked; readonly close: () => void }): ReactNode {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const path = connectionPath(gateway.id, connection.id);
  const reread = (): Promise<void> => client.invalidateQueries({ queryKey: ['connections', gateway.id] });
  if (asked === 'delete') {
    const act = async (): Promise<void> => {
      await ask('DELETE', path);
      navigate(`/gateways/${gateway.id}`);
      await reread();
    };
    return (
      <Confirm title={`Delete ${connection.name}?`} verb="Delete" close={close} act={act}>
        <p>Its tunnel goes down at once. Its settings and its key are gone for good.</p>
      </Confirm>
    );
  }
  const verb = asked === 'on' ? 'Switch on' : 'Switch off';
  const act = async (): Promise<void> => {
    await ask('PATCH', path, { body: { admin_state_up: asked === 'on' } });
    await reread();
  };
  return (
    <Confirm
      title={`${verb}: ${connection.name}?`}
      verb={verb}
      close={close}
      act={act}
      isDanger={asked === 'off'}
    >
      <p>
        {asked === 'on'
          ? 'Its tunnel is negotiated at once.'
          : 'Its tunnel goes down at once, and stays down until it is switched on again.'}
      </p>
    </Confirm>
  );
}

function Settings({ connection }: { readonly connection: Connection }): ReactNode {
  const { local, peer, dead_peer_detection: dpd } = connection;
  const identities = local.ike_identities.map(({ type, value }) => `${value} (${type})`).join(', ');
  const networks =
    connection.mode === 'policy'
      ? ([
          ['Local IBM CIDRs', connection.local.cidrs.join(', ')],
          ['Peer CIDRs', connection.peer.cidrs.join(', ')],
        ] as const)
      : ([['Distribute traffic', connection.distribute_traffic ? 'On' : 'Off']] as const);
  return (
    <Section title="Settings">
      <Facts
        facts={[
          ['Peer gateway address', peer.fqdn ?? peer.address],
          ['Establish mode', connection.establish_mode === 'peer_only' ? 'Peer only' : 'Bidirectional'],
          ...networks,
          ['Dead peer detection', `${dpd.action}, every ${dpd.interval} s, after ${dpd.timeout} s`],
          ['IKE policy', connection.ike_policy?.name ?? 'Auto'],
          ['IPsec policy', connection.ipsec_policy?.name ?? 'Auto'],
          ['Local IKE identity', identities],
          ['Peer IKE identity', `${peer.ike_identity.value} (${peer.ike_identity.type})`],
          ['Created', utc(connection.created_at)],
          ['ID', <code key="id">{connection.id}</code>],
        ]}
      />
    </Section>
  );
}
