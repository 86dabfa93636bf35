import { Form, SkeletonText } from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useMemo, useState } from 'react';
import { useLocation } from 'wouter';
import { type ApiFailure, transact } from '../api/client.ts';
import { useGateways } from '../api/queries.ts';
import type { Gateway } from '../api/types.ts';
import { ConnectionFields } from '../forms/connection-fields.tsx';
import { bodyOf, EMPTY_ENTRY, ownAddresses } from '../forms/connection-model.ts';
import { ConnectionSummary } from '../forms/connection-summary.tsx';
import { FormButtons } from '../forms/form-buttons.tsx';
import { useLeaveWarning } from '../forms/keep-entry.ts';
import { type FormPlan, useConnectionForm } from '../forms/use-connection-form.ts';
import { Unread } from '../parts/notices.tsx';
import { PageHead } from '../parts/page.tsx';

/** Adds a connection to a gateway. */
export function CreateConnectionPage({ gatewayId }: { readonly gatewayId: string }): ReactNode {
  const gateways = useGateways();
  const gateway = gateways.data?.find(({ id }) => id === gatewayId);
  if (gateway !== undefined) return <CreateConnection gateway={gateway} />;
  if (gateways.error !== null)
    return <Unread what="The gateway" error={gateways.error} retry={() => void gateways.refetch()} />;
  return gateways.data === undefined ? (
    <SkeletonText heading />
  ) : (
    <PageHead title="There is no such gateway" />
  );
}

function useCreation(gateway: Gateway) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  const [entry, setEntry] = useState(EMPTY_ENTRY);
  const { id, mode = 'route' } = gateway;
  const plan = useMemo<FormPlan>(
    () => ({
      steps: (given) => [
        { operation: 'create_vpn_gateway_connection', gateway: { id }, body: bodyOf(given, mode) },
      ],
      place: 0,
      hasKey: false,
    }),
    [id, mode],
  );
  const form = useConnectionForm(entry, setEntry, mode, plan);
  const create = useMutation<string | undefined, ApiFailure>({
    mutationFn: async () => (await transact(plan.steps(entry))).steps[0]?.id,
    onSuccess: (made) => {
      void client.invalidateQueries({ queryKey: ['connections', id] });
      navigate(made === undefined ? `/gateways/${id}` : `/gateways/${id}/${made}`);
    },
  });
  useLeaveWarning(entry !== EMPTY_ENTRY && !create.isSuccess);
  return { form, create };
}

function CreateConnection({ gateway }: { readonly gateway: Gateway }): ReactNode {
  const { form, create } = useCreation(gateway);
  const place = `/gateways/${gateway.id}`;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    form.showAll();
    if (form.isComplete) create.mutate();
  };
  return (
    <>
      <PageHead
        title="Create VPN connection"
        trail={[
          ['/gateways', 'VPN gateways'],
          [place, gateway.name],
        ]}
      />
      <Form className="with-summary" onSubmit={submit} noValidate>
        <div className="fields">
          <ConnectionFields form={form} isThere={false} />
        </div>
        <ConnectionSummary form={form} gateway={gateway.name} addresses={ownAddresses(gateway)}>
          <FormButtons
            verb="Create VPN connection"
            isDisabled={create.isPending}
            back={place}
            failed="The connection was not created."
            error={create.error}
          />
        </ConnectionSummary>
      </Form>
    </>
  );
}
