import { Accordion, AccordionItem, FormGroup, Select, SelectItem, TextInput } from '@carbon/react';
import type { ReactNode } from 'react';
import type { Identity } from '../api/types.ts';
import { fieldProps } from '../parts/field.ts';
import type { EntryField, IdentityEntry } from './connection-model.ts';
import type { ConnectionForm } from './use-connection-form.ts';

const TYPES: readonly (readonly [Identity['type'], string, string])[] = [
  ['ipv4_address', 'IPv4 address', '9.168.3.4'],
  ['ipv6_address', 'IPv6 address', '2001:db8::4'],
  ['fqdn', 'FQDN', 'my-vpn.example.com'],
  ['hostname', 'Hostname', 'my-host'],
  ['key_id', 'Key ID (base64)', 'MTIzNA=='],
  ['email', 'E-mail address', 'vpn@example.com'],
];

/** IKE identities in place of those that the gateway works out. */
export function AdvancedFields({ form }: { readonly form: ConnectionForm }): ReactNode {
  const { entry, mode } = form;
  const [first, second] = entry.localIdentities;
  const isGiven = [first, second, entry.peerIdentity].some(({ value }) => value !== '');
  const help =
    mode === 'route'
      ? 'Two, the first for the first member and the second for the second, or none: then each is the public IP address of its member.'
      : 'One, for the active member, or none: then it is the public IP address of the gateway.';
  return (
    <Accordion className="advanced">
      <AccordionItem title="Advanced options" open={isGiven}>
        <FormGroup legendText="Local IKE identities">
          <p className="help">{help}</p>
          <IdentityField
            form={form}
            field="localIdentities"
            id="local-identity-1"
            label={mode === 'route' ? 'First member' : 'Local IKE identity'}
            identity={first}
            put={(identity) => form.set('localIdentities', [identity, second])}
          />
          {mode === 'route' ? (
            <IdentityField
              form={form}
              field="localIdentities"
              id="local-identity-2"
              label="Second member"
              identity={second}
              put={(identity) => form.set('localIdentities', [first, identity])}
            />
          ) : null}
        </FormGroup>
        <FormGroup legendText="Peer IKE identity">
          <p className="help">One, or none: then it is the address or FQDN of the peer gateway.</p>
          <IdentityField
            form={form}
            field="peerIdentity"
            id="peer-identity"
            label="Peer IKE identity"
            identity={entry.peerIdentity}
            put={(identity) => form.set('peerIdentity', identity)}
          />
        </FormGroup>
      </AccordionItem>
    </Accordion>
  );
}

function IdentityField({
  form,
  field,
  id,
  label,
  identity,
  put,
}: {
  readonly form: ConnectionForm;
  readonly field: EntryField;
  readonly id: string;
  readonly label: string;
  readonly identity: IdentityEntry;
  readonly put: (identity: IdentityEntry) => void;
}): ReactNode {
  const example = TYPES.find(([type]) => type === identity.type)?.[2];
  return (
    <div className="columns">
      <Select
        id={`${id}-type`}
        labelText={`${label}: type`}
        value={identity.type}
        onChange={({ target }) => put({ ...identity, type: target.value as Identity['type'] })}
      >
        {TYPES.map(([type, text]) => (
          <SelectItem key={type} value={type} text={text} />
        ))}
      </Select>
      <TextInput
        {...fieldProps(id, identity.value, (value) => put({ ...identity, value }), form.issue(field))}
        labelText={`${label}: value (optional)`}
        placeholder={example}
        onBlur={() => form.touch(field)}
        autoComplete="off"
      />
    </div>
  );
}
