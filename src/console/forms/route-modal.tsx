import { Modal, Select, SelectItem, TextInput } from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { type ApiFailure, ask, vpc } from '../api/client.ts';
import { useConnectionsOf, useGateways, useZones } from '../api/queries.ts';
import type { Route } from '../api/types.ts';
import { fieldProps } from '../parts/field.ts';
import { Failure } from '../parts/notices.tsx';
import { checkBody, issueTeller, numberOf } from './schema-check.ts';

interface Entry {
  readonly zone: string;
  readonly name: string;
  readonly destination: string;
  readonly priority: string;
  readonly action: Route['action'];
  /** An address, or empty for a connection. */
  readonly address: string;
  /** Id of a connection. */
  readonly connection: string;
}

/** Makes a route of a routing table. */
export function RouteModal({
  vpcId,
  tableId,
  close,
}: {
  readonly vpcId: string;
  readonly tableId: string;
  readonly close: () => void;
}): ReactNode {
  const client = useQueryClient();
  const zones = useZones().data ?? [];
  const [given, setEntry] = useState<Partial<Entry>>({});
  const [isShown, setShown] = useState(false);
  const entry: Entry = {
    ...{ zone: zones[0]?.name ?? '', name: '', destination: '', priority: '2' },
    ...{ action: 'deliver', address: '', connection: '' },
    ...given,
  };
  const body = bodyOf(entry);
  const issues = checkBody('createRoute', body);
  const save = useMutation<unknown, ApiFailure>({
    mutationFn: () => ask('POST', vpc(`/vpcs/${vpcId}/routing_tables/${tableId}/routes`), { body }),
    onSuccess: () => {
      close();
      return client.invalidateQueries({ queryKey: ['routing'] });
    },
  });
  return (
    <Modal
      open
      modalHeading="Create route"
      primaryButtonText="Save"
      primaryButtonDisabled={save.isPending}
      secondaryButtonText="Cancel"
      onRequestClose={close}
      onRequestSubmit={() => {
        setShown(true);
        if (issues.size === 0) save.mutate();
      }}
    >
      <RouteFields
        vpcId={vpcId}
        entry={entry}
        zones={zones.map(({ name }) => name)}
        set={(part) => setEntry({ ...given, ...part })}
        issue={issueTeller(issues, isShown, save.error)}
      />
      {save.error === null ? null : <Failure title="The route was not created." error={save.error} />}
    </Modal>
  );
}

function RouteFields({
  vpcId,
  entry,
  zones,
  set,
  issue,
}: {
  readonly vpcId: string;
  readonly entry: Entry;
  readonly zones: readonly string[];
  readonly set: (part: Partial<Entry>) => void;
  readonly issue: (field: string) => string | undefined;
}): ReactNode {
  const text = (field: 'name' | 'destination' | 'priority' | 'address', path: string) => ({
    ...fieldProps(`route-${field}`, entry[field], (value) => set({ [field]: value }), issue(path)),
    autoComplete: 'off',
  });
  return (
    <div className="policy-fields">
      <Select
        id="route-zone"
        labelText="Zone"
        value={entry.zone}
        onChange={({ target }) => set({ zone: target.value })}
      >
        {zones.map((name) => (
          <SelectItem key={name} value={name} text={name} />
        ))}
      </Select>
      <TextInput {...text('name', 'name')} labelText="Name (optional)" />
      <TextInput
        {...text('destination', 'destination')}
        labelText="Destination CIDR"
        placeholder="10.2.0.0/24"
      />
      <ActionChoice action={entry.action} choose={(action) => set({ action })} />
      {entry.action === 'deliver' ? (
        <>
          <ConnectionChoice
            vpcId={vpcId}
            chosen={entry.connection}
            choose={(connection) => set({ connection })}
          />
          {entry.connection === '' ? (
            <TextInput {...text('address', 'next_hop')} labelText="Next hop: IP address" />
          ) : null}
        </>
      ) : null}
      <TextInput
        {...text('priority', 'priority')}
        labelText="Priority (0 to 4, the smaller wins)"
        inputMode="numeric"
      />
    </div>
  );
}

function ActionChoice({
  action,
  choose,
}: {
  readonly action: Route['action'];
  readonly choose: (action: Route['action']) => void;
}): ReactNode {
  return (
    <Select
      id="route-action"
      labelText="Action"
      value={action}
      onChange={({ target }) => choose(target.value as Route['action'])}
    >
      <SelectItem value="deliver" text="Deliver to the next hop" />
      <SelectItem value="drop" text="Drop" />
      <SelectItem value="delegate" text="Delegate to the system routes" />
      <SelectItem value="delegate_vpc" text="Delegate to the system routes, without the internet" />
    </Select>
  );
}

/** Connections of route mode gateways in this VPC: only these can be a next hop. */
function ConnectionChoice({
  vpcId,
  chosen,
  choose,
}: {
  readonly vpcId: string;
  readonly chosen: string;
  readonly choose: (id: string) => void;
}): ReactNode {
  const gateways = (useGateways().data ?? []).filter((one) => one.mode === 'route' && one.vpc?.id === vpcId);
  const connections = useConnectionsOf(gateways.map(({ id }) => id));
  return (
    <Select
      id="route-connection"
      labelText="Next hop: VPN connection"
      value={chosen}
      onChange={({ target }) => choose(target.value)}
    >
      <SelectItem value="" text="None: an IP address" />
      {gateways.flatMap((gateway, index) =>
        (connections[index] ?? []).map(({ id, name }) => (
          <SelectItem key={id} value={id} text={`${name} of ${gateway.name}`} />
        )),
      )}
    </Select>
  );
}

function bodyOf({ zone, name, destination, priority, action, address, connection }: Entry): object {
  const hop = connection === '' ? { address: address.trim() } : { id: connection };
  return {
    zone: { name: zone },
    destination: destination.trim(),
    action,
    priority: numberOf(priority),
    ...(name.trim() === '' ? {} : { name: name.trim() }),
    ...(action === 'deliver' ? { next_hop: hop } : {}),
  };
}
