import { Button, FormGroup, Select, SelectItem } from '@carbon/react';
import { type ReactNode, useState } from 'react';
import { useIkePolicies, useIpsecPolicies } from '../api/queries.ts';
import { fieldProps } from '../parts/field.ts';
import { PolicyModal } from './policy-modal.tsx';
import type { PolicyKind } from './policy-model.ts';
import type { ConnectionForm } from './use-connection-form.ts';

/** Auto-negotiation, or policies that are chosen here or made here. */
export function PolicyChoices({ form }: { readonly form: ConnectionForm }): ReactNode {
  const ike = useIkePolicies();
  const ipsec = useIpsecPolicies();
  const [making, setMaking] = useState<PolicyKind>();
  const field = making === 'ike' ? 'ikePolicy' : 'ipsecPolicy';
  return (
    <FormGroup legendText="Policies">
      <p className="help">
        Auto lets the gateways agree on what both support. What is chosen here has to match the peer exactly.
      </p>
      <Choice kind="ike" form={form} policies={ike.data ?? []} make={setMaking} />
      <Choice kind="ipsec" form={form} policies={ipsec.data ?? []} make={setMaking} />
      {making === undefined ? null : (
        <PolicyModal
          kind={making}
          close={() => setMaking(undefined)}
          made={(id) => {
            form.set(field, id);
            setMaking(undefined);
          }}
        />
      )}
    </FormGroup>
  );
}

function Choice({
  kind,
  form,
  policies,
  make,
}: {
  readonly kind: PolicyKind;
  readonly form: ConnectionForm;
  readonly policies: readonly { readonly id: string; readonly name: string }[];
  readonly make: (kind: PolicyKind) => void;
}): ReactNode {
  const field = kind === 'ike' ? 'ikePolicy' : 'ipsecPolicy';
  const title = kind === 'ike' ? 'IKE policy' : 'IPsec policy';
  const chosen = form.entry[field];
  return (
    <div className="with-button">
      <Select
        {...fieldProps(field, chosen, (id) => form.set(field, id), form.issue(field))}
        labelText={title}
      >
        <SelectItem value="" text="Auto" />
        {policies.map(({ id, name }) => (
          <SelectItem key={id} value={id} text={name} />
        ))}
        {chosen === '' || policies.some(({ id }) => id === chosen) ? null : (
          <SelectItem value={chosen} text="…" />
        )}
      </Select>
      <Button kind="tertiary" size="md" onClick={() => make(kind)}>
        Create {title}
      </Button>
    </div>
  );
}
