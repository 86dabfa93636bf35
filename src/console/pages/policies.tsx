import { Button, OverflowMenuItem, Tab, TabList, TabPanel, TabPanels, Tabs } from '@carbon/react';
import { Add } from '@carbon/react/icons';
import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { ask, vpc } from '../api/client.ts';
import { useIkePolicies, useIpsecPolicies } from '../api/queries.ts';
import { useMayChange } from '../api/session.ts';
import type { IkePolicy, IpsecPolicy } from '../api/types.ts';
import { PolicyModal } from '../forms/policy-modal.tsx';
import { algorithmName, type PolicyKind, weakOf } from '../forms/policy-model.ts';
import { ActionsMenu } from '../parts/actions-menu.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Empty, Unread } from '../parts/notices.tsx';
import { type Column, ObjectTable } from '../parts/object-table.tsx';
import { PageHead } from '../parts/page.tsx';
import { State } from '../parts/status.tsx';
import { duration } from '../parts/time.tsx';

type Policy = IkePolicy | IpsecPolicy;

const KINDS: readonly PolicyKind[] = ['ike', 'ipsec'];

/** IKE and IPsec policies, who uses them, and which are weak. */
export function PoliciesPage(): ReactNode {
  const { kind } = useParams<{ readonly kind?: string }>();
  const [, navigate] = useLocation();
  return (
    <>
      <PageHead title="Policies" />
      <Tabs
        selectedIndex={kind === 'ipsec' ? 1 : 0}
        onChange={({ selectedIndex }) => navigate(`/policies/${KINDS[selectedIndex]}`)}
      >
        <TabList aria-label="Kinds of policies">
          <Tab>IKE policies</Tab>
          <Tab>IPsec policies</Tab>
        </TabList>
        <TabPanels>
          <TabPanel>
            <IkePolicies />
          </TabPanel>
          <TabPanel>
            <IpsecPolicies />
          </TabPanel>
        </TabPanels>
      </Tabs>
    </>
  );
}

function IkePolicies(): ReactNode {
  const policies = useIkePolicies();
  if (policies.error !== null && policies.data === undefined)
    return <Unread what="The IKE policies" error={policies.error} retry={() => void policies.refetch()} />;
  return <PolicyTable kind="ike" policies={policies.data} />;
}

function IpsecPolicies(): ReactNode {
  const policies = useIpsecPolicies();
  if (policies.error !== null && policies.data === undefined)
    return <Unread what="The IPsec policies" error={policies.error} retry={() => void policies.refetch()} />;
  return <PolicyTable kind="ipsec" policies={policies.data} />;
}

type Asked = { readonly what: 'create' } | { readonly what: 'change' | 'delete'; readonly policy: Policy };

function PolicyTable({
  kind,
  policies,
}: {
  readonly kind: PolicyKind;
  readonly policies: readonly Policy[] | undefined;
}): ReactNode {
  const mayChange = useMayChange();
  const [asked, setAsked] = useState<Asked>();
  const title = kind === 'ike' ? 'IKE policies' : 'IPsec policies';
  const create = mayChange ? (
    <Button renderIcon={Add} onClick={() => setAsked({ what: 'create' })}>
      {kind === 'ike' ? 'Create IKE policy' : 'Create IPsec policy'}
    </Button>
  ) : undefined;
  return (
    <>
      <ObjectTable<Policy>
        title={title}
        columns={columnsOf(kind, mayChange ? setAsked : undefined)}
        rows={policies}
        idOf={({ id }) => id}
        tools={create}
        empty={
          <Empty title="Connections negotiate by themselves" action={create}>
            A policy is needed where only certain algorithms are allowed, or where the peer supports others.
          </Empty>
        }
      />
      {asked === undefined ? null : <Asking kind={kind} asked={asked} close={() => setAsked(undefined)} />}
    </>
  );
}

function columnsOf(kind: PolicyKind, act: ((asked: Asked) => void) | undefined): readonly Column<Policy>[] {
  const groups = (policy: Policy): readonly (string | number)[] =>
    // Key exchanges that come on top of the group, such as ML-KEM.
    [
      ...('dh_groups' in policy ? policy.dh_groups : policy.pfs_groups),
      ...(policy.additional_key_exchanges ?? []),
    ];
  const names = (list: readonly (string | number)[]): string => list.map(algorithmName).join(', ');
  const column = (
    key: string,
    title: string,
    text: (policy: Policy) => string,
    wide = false,
  ): Column<Policy> => ({
    ...{ key, title, text, wide },
    cell: text,
  });
  return [
    column('name', 'Name', ({ name }) => name),
    ...(kind === 'ike'
      ? [column('version', 'IKE', (one) => ('ike_version' in one ? String(one.ike_version) : ''))]
      : []),
    column('encryption', 'Encryption', (one) => names(one.encryption_algorithms)),
    column('authentication', 'Authentication', (one) => names(one.authentication_algorithms)),
    column('groups', kind === 'ike' ? 'DH group' : 'PFS', (one) => names(groups(one))),
    column('lifetime', 'Lifetime', (one) => duration(one.key_lifetime * 1000), true),
    {
      key: 'strength',
      title: 'Strength',
      text: (policy) => (weakOf(policy).length > 0 ? 'weak' : 'good'),
      cell: (policy) => {
        const weak = weakOf(policy);
        return weak.length === 0 ? (
          <State tone="good">Good</State>
        ) : (
          <span title={weak.join(', ')}>
            <State tone="warning">Weak</State>
          </span>
        );
      },
    },
    {
      key: 'users',
      title: 'Used by',
      wide: true,
      text: ({ connections }) => connections.map(({ name }) => name).join(' '),
      cell: ({ connections }) => <Users connections={connections} />,
    },
    {
      key: 'actions',
      title: '',
      cell: (policy) => (act === undefined ? null : <Actions policy={policy} act={act} />),
    },
  ];
}

function Users({ connections }: Pick<Policy, 'connections'>): ReactNode {
  if (connections.length === 0) return <span className="help">no connection</span>;
  return connections.map(({ id, name, href }, index) => (
    <span key={id}>
      {index === 0 ? '' : ', '}
      <Link href={placeOf(href)}>{name}</Link>
    </span>
  ));
}

/** `…/vpn_gateways/GATEWAY/connections/ID` is the page `/gateways/GATEWAY/ID`. */
function placeOf(href: string): string {
  const found = /vpn_gateways\/([^/]+)\/connections\/([^/?]+)/.exec(href);
  return `/gateways/${found?.[1]}/${found?.[2]}`;
}

function Actions({
  policy,
  act,
}: {
  readonly policy: Policy;
  readonly act: (asked: Asked) => void;
}): ReactNode {
  return (
    <ActionsMenu of={policy.name} size="sm">
      <OverflowMenuItem itemText="Edit" onClick={() => act({ what: 'change', policy })} />
      <OverflowMenuItem
        itemText="Delete"
        isDelete
        hasDivider
        disabled={policy.connections.length > 0}
        onClick={() => act({ what: 'delete', policy })}
      />
    </ActionsMenu>
  );
}

function Asking({
  kind,
  asked,
  close,
}: {
  readonly kind: PolicyKind;
  readonly asked: Asked;
  readonly close: () => void;
}): ReactNode {
  const client = useQueryClient();
  if (asked.what === 'create') return <PolicyModal kind={kind} close={close} made={close} />;
  const { what, policy } = asked;
  if (what === 'change') return <PolicyModal kind={kind} policy={policy} close={close} made={close} />;
  return (
    <Confirm
      title={`Delete ${policy.name}?`}
      verb="Delete"
      close={close}
      act={async () => {
        await ask('DELETE', vpc(`/${kind}_policies/${policy.id}`));
        await client.invalidateQueries({ queryKey: [`${kind}_policy`] });
      }}
    >
      <p>No connection uses it.</p>
    </Confirm>
  );
}
