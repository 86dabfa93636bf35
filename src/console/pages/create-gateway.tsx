import {
  Form,
  FormGroup,
  RadioButton,
  RadioButtonGroup,
  Select,
  SelectItem,
  TextInput,
  Toggle,
} from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useMemo, useState } from 'react';
import { useLocation } from 'wouter';
import { type ApiFailure, type Step, transact } from '../api/client.ts';
import { useSubnets, useVpcs } from '../api/queries.ts';
import type { Subnet } from '../api/types.ts';
import { ConnectionFields } from '../forms/connection-fields.tsx';
import { bodyOf, EMPTY_ENTRY } from '../forms/connection-model.ts';
import { ConnectionSummary } from '../forms/connection-summary.tsx';
import { FormButtons } from '../forms/form-buttons.tsx';
import { useLeaveWarning } from '../forms/keep-entry.ts';
import { checkBody, issueOf } from '../forms/schema-check.ts';
import { type FormPlan, useConnectionForm } from '../forms/use-connection-form.ts';
import { fieldProps } from '../parts/field.ts';
import { PageHead } from '../parts/page.tsx';

interface GatewayEntry {
  readonly name: string;
  readonly vpc: string;
  readonly subnet: string;
  readonly mode: 'policy' | 'route';
}

const NEW: GatewayEntry = { name: '', vpc: '', subnet: '', mode: 'policy' };

function useCreation(gateway: GatewayEntry, withConnection: boolean) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const [entry, setEntry] = useState(EMPTY_ENTRY);
  const plan = useMemo<FormPlan>(
    () => ({
      steps: (given) => [...gatewaySteps(gateway), connectionStep(gateway, given)],
      place: 1,
      hasKey: false,
    }),
    [gateway],
  );
  const form = useConnectionForm(entry, setEntry, gateway.mode, plan);
  const create = useMutation<string | undefined, ApiFailure>({
    mutationFn: async () =>
      (await transact(withConnection ? plan.steps(entry) : gatewaySteps(gateway))).steps[0]?.id,
    onSuccess: (id) => {
      void client.invalidateQueries({ queryKey: ['gateways'] });
      navigate(id === undefined ? '/gateways' : `/gateways/${id}`);
    },
  });
  useLeaveWarning((gateway !== NEW || entry !== EMPTY_ENTRY) && !create.isSuccess);
  return { form, create };
}

/** Creates a gateway, with a connection at once where that is wanted: both or neither. */
export function CreateGatewayPage(): ReactNode {
  const [gateway, setGateway] = useState(NEW);
  const [withConnection, setWith] = useState(false);
  const [isShown, setShown] = useState(false);
  const { form, create } = useCreation(gateway, withConnection);
  const issues = gatewayIssues(gateway);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setShown(true);
    form.showAll();
    if (issues.size === 0 && (!withConnection || form.isComplete)) create.mutate();
  };
  const buttons = (
    <FormButtons
      verb="Create VPN gateway"
      isDisabled={create.isPending}
      back="/gateways"
      failed="The gateway was not created."
      error={create.error}
    />
  );
  return (
    <>
      <PageHead title="Create VPN gateway" trail={[['/gateways', 'VPN gateways']]} />
      <Form className="with-summary" onSubmit={submit} noValidate>
        <div className="fields">
          <GatewayFields
            entry={gateway}
            set={(part) => setGateway({ ...gateway, ...part })}
            issue={(field) => (isShown ? issueOf(issues, field) : undefined)}
          />
          <Toggle
            id="with-connection"
            labelText="VPN connection for VPC"
            labelA="Later"
            labelB="Together with the gateway"
            toggled={withConnection}
            onToggle={setWith}
          />
          {withConnection ? <ConnectionFields form={form} isThere={false} /> : null}
        </div>
        {withConnection ? (
          <ConnectionSummary form={form} gateway={gateway.name.trim() || '–'} addresses={[]}>
            {buttons}
          </ConnectionSummary>
        ) : (
          <GatewaySummary mode={gateway.mode}>{buttons}</GatewaySummary>
        )}
      </Form>
    </>
  );
}

function GatewaySummary({
  mode,
  children,
}: {
  readonly mode: GatewayEntry['mode'];
  readonly children: ReactNode;
}): ReactNode {
  return (
    <aside className="summary" aria-label="Summary">
      <h2>Summary</h2>
      <p className="help">
        The gateway gets a public address of its subnet
        {mode === 'route' ? ', one for each of its two members' : ''}. Connections can be added to it at any
        time.
      </p>
      {children}
    </aside>
  );
}

interface FieldsProps {
  readonly entry: GatewayEntry;
  readonly set: (part: Partial<GatewayEntry>) => void;
  readonly issue: (field: string) => string | undefined;
}

function GatewayFields({ entry, set, issue }: FieldsProps): ReactNode {
  return (
    <FormGroup legendText="Gateway">
      <TextInput
        {...fieldProps('gateway-name', entry.name, (name) => set({ name }), issue('name'))}
        labelText="Name"
        placeholder="my-vpn-gateway"
        autoComplete="off"
      />
      <Place entry={entry} set={set} issue={issue} />
      <RadioButtonGroup
        legendText="Mode"
        name="gateway-mode"
        valueSelected={entry.mode}
        onChange={(mode) => set({ mode: mode as GatewayEntry['mode'] })}
        orientation="vertical"
      >
        <RadioButton
          id="mode-policy"
          value="policy"
          labelText="Policy-based: connections name the networks that they carry"
        />
        <RadioButton
          id="mode-route"
          value="route"
          labelText="Route-based: two tunnels for each connection; routes decide what goes into them"
        />
      </RadioButtonGroup>
    </FormGroup>
  );
}

function Place({ entry, set, issue }: FieldsProps): ReactNode {
  const vpcs = useVpcs().data ?? [];
  const subnets = (useSubnets().data ?? []).filter(({ vpc }) => entry.vpc === '' || vpc.id === entry.vpc);
  return (
    <div className="columns">
      <Select
        id="gateway-vpc"
        labelText="Virtual private cloud"
        value={entry.vpc}
        onChange={({ target }) => set({ vpc: target.value, subnet: '' })}
      >
        <SelectItem value="" text="Any" />
        {vpcs.map(({ id, name }) => (
          <SelectItem key={id} value={id} text={name} />
        ))}
      </Select>
      <Select
        {...fieldProps('gateway-subnet', entry.subnet, (subnet) => set({ subnet }), issue('subnet'))}
        labelText="Subnet"
      >
        <SelectItem value="" text="Choose a subnet" />
        {subnets.map((subnet) => (
          <SelectItem key={subnet.id} value={subnet.id} text={subnetText(subnet)} />
        ))}
      </Select>
    </div>
  );
}

function subnetText({ name, ipv4_cidr_block: v4, ipv6_cidr_block: v6, zone }: Subnet): string {
  return `${name} (${v4 ?? v6 ?? 'no network'}, ${zone.name})`;
}

function gatewayIssues({ name, subnet, mode }: GatewayEntry): ReadonlyMap<string, string> {
  const issues = new Map(
    checkBody('createGateway', { name: name.trim(), subnet: { id: subnet || '-' }, mode }),
  );
  if (name.trim() === '') issues.set('name', 'Enter a name, such as my-vpn-gateway.');
  if (subnet === '') issues.set('subnet', 'Choose the subnet that the gateway is to be in.');
  return issues;
}

function gatewaySteps({ name, subnet, mode }: GatewayEntry): readonly Step[] {
  return [{ operation: 'create_vpn_gateway', body: { name: name.trim(), subnet: { id: subnet }, mode } }];
}

function connectionStep({ name, mode }: GatewayEntry, entry: Parameters<typeof bodyOf>[0]): Step {
  return {
    operation: 'create_vpn_gateway_connection',
    gateway: { name: name.trim() },
    body: bodyOf(entry, mode),
  };
}
