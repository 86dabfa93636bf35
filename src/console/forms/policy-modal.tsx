import { Modal, Select, SelectItem, TextInput } from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { type ApiFailure, ask, vpc } from '../api/client.ts';
import type { IkePolicy, IpsecPolicy } from '../api/types.ts';
import { fieldProps } from '../parts/field.ts';
import { Failure } from '../parts/notices.tsx';
import { AlgorithmChoice } from './algorithm-choice.tsx';
import {
  authenticatesItself,
  CHOICES,
  entryOfPolicy,
  NEW_POLICY,
  type PolicyEntry,
  type PolicyKind,
  policyBody,
} from './policy-model.ts';
import { checkBody, issueTeller } from './schema-check.ts';

/** Makes a policy, or changes one. */
export function PolicyModal({
  kind,
  policy,
  close,
  made,
}: {
  readonly kind: PolicyKind;
  /** The one that is changed; a new one is made without it. */
  readonly policy?: IkePolicy | IpsecPolicy;
  readonly close: () => void;
  readonly made: (id: string) => void;
}): ReactNode {
  const client = useQueryClient();
  const [entry, setEntry] = useState<PolicyEntry>(
    policy === undefined ? NEW_POLICY[kind] : entryOfPolicy(policy),
  );
  const [isShown, setShown] = useState(false);
  const body = policyBody(kind, entry);
  const issues = checkBody(kind === 'ike' ? 'createIkePolicy' : 'createIpsecPolicy', body);
  const path = kind === 'ike' ? '/ike_policies' : '/ipsec_policies';
  const save = useMutation<string, ApiFailure>({
    mutationFn: async () => {
      const url = policy === undefined ? vpc(path) : vpc(`${path}/${policy.id}`);
      const method = policy === undefined ? 'POST' : 'PATCH';
      const { id } = (await ask<{ id: string }>(method, url, { body })).body;
      await client.invalidateQueries({ queryKey: [`${kind}_policy`] });
      return id;
    },
    onSuccess: made,
  });
  const title = kind === 'ike' ? 'IKE policy' : 'IPsec policy';
  const issue = issueTeller(issues, isShown, save.error);
  return (
    <Modal
      open
      modalHeading={policy === undefined ? `Create ${title}` : `Change ${title} ${policy.name}`}
      primaryButtonText={policy === undefined ? `Create ${title}` : 'Save'}
      primaryButtonDisabled={save.isPending}
      secondaryButtonText="Cancel"
      onRequestClose={close}
      onRequestSubmit={() => {
        setShown(true);
        if (issues.size === 0 && entry.name.trim() !== '') save.mutate();
      }}
      selectorPrimaryFocus="#policy-name"
    >
      <PolicyFields kind={kind} entry={entry} set={(part) => setEntry({ ...entry, ...part })} issue={issue} />
      {save.error === null ? null : <Failure title="The policy was not saved." error={save.error} />}
    </Modal>
  );
}

interface FieldsProps {
  readonly kind: PolicyKind;
  readonly entry: PolicyEntry;
  readonly set: (part: Partial<PolicyEntry>) => void;
  readonly issue: (...fields: string[]) => string | undefined;
}

function PolicyFields({ kind, entry, set, issue }: FieldsProps): ReactNode {
  const field = (id: 'name' | 'lifetime', path: string) =>
    fieldProps(`policy-${id}`, entry[id], (text) => set({ [id]: text }), issue(path));
  return (
    <div className="policy-fields">
      <TextInput {...field('name', 'name')} labelText="Name" autoComplete="off" />
      {kind === 'ike' ? (
        <Select
          id="policy-version"
          labelText="IKE version"
          value={String(entry.version)}
          onChange={({ target }) => set({ version: target.value === '1' ? 1 : 2 })}
        >
          <SelectItem value="2" text="2" />
          <SelectItem value="1" text="1" />
        </Select>
      ) : null}
      <Algorithms kind={kind} entry={entry} set={set} issue={issue} />
      <TextInput {...field('lifetime', 'key_lifetime')} labelText="Key lifetime (secs)" inputMode="numeric" />
    </div>
  );
}

function Algorithms({ kind, entry, set, issue }: FieldsProps): ReactNode {
  const choices = CHOICES[kind];
  return (
    <>
      <AlgorithmChoice
        title="Encryption"
        choices={choices.encryption}
        chosen={entry.encryption}
        choose={(encryption) => set({ encryption })}
        issue={issue('encryption_algorithm', 'encryption_algorithms')}
      />
      {authenticatesItself(kind, entry.encryption) ? (
        <p className="help">No authentication beside these ciphers: they authenticate themselves.</p>
      ) : (
        <AlgorithmChoice
          title="Authentication"
          choices={choices.authentication}
          chosen={entry.authentication}
          choose={(authentication) => set({ authentication })}
          issue={issue('authentication_algorithm', 'authentication_algorithms')}
        />
      )}
      <AlgorithmChoice
        title={kind === 'ike' ? 'Diffie-Hellman group' : 'Perfect forward secrecy (none: disabled)'}
        choices={choices.groups}
        chosen={entry.groups}
        choose={(groups) => set({ groups })}
        issue={issue('dh_group', 'dh_groups', 'pfs', 'pfs_groups')}
      />
    </>
  );
}
