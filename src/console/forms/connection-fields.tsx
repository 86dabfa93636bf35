import {
  FormGroup,
  PasswordInput,
  RadioButton,
  RadioButtonGroup,
  Select,
  SelectItem,
  TextArea,
  TextInput,
  Toggle,
} from '@carbon/react';
import type { ReactNode } from 'react';
import { fieldProps } from '../parts/field.ts';
import { AdvancedFields } from './advanced-fields.tsx';
import type { ConnectionEntry, EntryField } from './connection-model.ts';
import { PolicyChoices } from './policy-choices.tsx';
import type { ConnectionForm } from './use-connection-form.ts';

interface Props {
  readonly form: ConnectionForm;
  /** The connection is there: what cannot be changed any more says so. */
  readonly isThere: boolean;
}

/** What a text field of the form has. */
function textField(form: ConnectionForm, field: EntryField & keyof TextEntries) {
  const put = (text: string): void => form.set(field, text as never);
  return {
    ...fieldProps(field, form.entry[field], put, form.issue(field)),
    onBlur: () => form.touch(field),
  };
}

type TextEntries = { [F in EntryField as ConnectionEntry[F] extends string ? F : never]: true };

/** Every field of a connection, in the order of the documents. */
export function ConnectionFields({ form, isThere }: Props): ReactNode {
  return (
    <>
      <BasicFields form={form} isThere={isThere} />
      <NetworkFields form={form} />
      <DeadPeerFields form={form} />
      <PolicyChoices form={form} />
      <AdvancedFields form={form} />
    </>
  );
}

function BasicFields({ form, isThere }: Props): ReactNode {
  return (
    <FormGroup legendText="Connection">
      <TextInput
        {...textField(form, 'name')}
        labelText="VPN connection name"
        placeholder="my-connection"
        autoComplete="off"
      />
      <TextInput
        {...textField(form, 'peer')}
        labelText="Peer gateway address"
        helperText="IP address or FQDN of the VPN gateway of the other network. After the connection is made, an address cannot become an FQDN, nor an FQDN an address."
        autoComplete="off"
      />
      <RadioButtonGroup
        legendText="Establish mode"
        name="establish-mode"
        valueSelected={form.entry.establishMode}
        onChange={(value) => form.set('establishMode', value as ConnectionEntry['establishMode'])}
        orientation="vertical"
        helperText="If the peer is behind a NAT device and has no public IP address of its own, choose Peer only."
      >
        <RadioButton
          id="bidirectional"
          value="bidirectional"
          labelText="Bidirectional: either side initiates negotiations and rekeying"
        />
        <RadioButton
          id="peer-only"
          value="peer_only"
          labelText="Peer only: the peer initiates negotiations and rekeying"
        />
      </RadioButtonGroup>
      <PasswordInput
        {...textField(form, 'psk')}
        labelText="Preshared key"
        placeholder={isThere ? 'Leave empty to keep the present key' : ''}
        helperText="6 to 128 letters, digits and - + & ! @ # $ % ^ * ( ) . , : _, not beginning with 0x or 0s"
        autoComplete="new-password"
        showPasswordLabel="Show the key"
        hidePasswordLabel="Hide the key"
      />
    </FormGroup>
  );
}

function NetworkFields({ form }: { readonly form: ConnectionForm }): ReactNode {
  if (form.mode === 'route') {
    return (
      <FormGroup legendText="Traffic">
        <Toggle
          id="distribute-traffic"
          labelText="Distribute traffic"
          labelA="Off: the tunnel of the smaller public IP first, the other one when it goes down"
          labelB="On: between both tunnels"
          toggled={form.entry.distributeTraffic}
          onToggle={(isOn) => form.set('distributeTraffic', isOn)}
        />
      </FormGroup>
    );
  }
  return (
    <FormGroup legendText="Networks">
      <TextArea
        {...textField(form, 'localCidrs')}
        labelText="Local IBM CIDRs"
        helperText="One or more networks of the VPC, for example 10.1.0.0/24"
        rows={2}
      />
      <TextArea
        {...textField(form, 'peerCidrs')}
        labelText="Peer CIDRs"
        helperText="One or more networks behind the peer. They may not overlap the local ones."
        rows={2}
      />
    </FormGroup>
  );
}

/** What happens when the peer stops answering. */
const ACTIONS: Readonly<Record<ConnectionEntry['dpdAction'], string>> = {
  restart: 'The connection is negotiated again at once.',
  clear: 'The connection ends, until the peer or traffic begins it again.',
  hold: 'The connection is negotiated when there is traffic for it.',
  none: 'The peer is not looked at.',
};

function DeadPeerFields({ form }: { readonly form: ConnectionForm }): ReactNode {
  return (
    <FormGroup legendText="Dead peer detection">
      <div className="columns">
        <Select
          id="dpdAction"
          labelText="Action"
          helperText={ACTIONS[form.entry.dpdAction]}
          value={form.entry.dpdAction}
          onChange={({ target }) => form.set('dpdAction', target.value as ConnectionEntry['dpdAction'])}
        >
          <SelectItem value="restart" text="Restart" />
          <SelectItem value="clear" text="Clear" />
          <SelectItem value="hold" text="Hold" />
          <SelectItem value="none" text="None" />
        </Select>
        <TextInput {...textField(form, 'dpdInterval')} labelText="Interval (secs)" inputMode="numeric" />
        <TextInput {...textField(form, 'dpdTimeout')} labelText="Timeout (secs)" inputMode="numeric" />
      </div>
    </FormGroup>
  );
}
