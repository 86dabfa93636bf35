import { Modal, TextInput } from '@carbon/react';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { ApiFailure } from '../api/client.ts';
import { fieldProps } from './field.ts';
import { Failure } from './notices.tsx';

/** Asks before something is done that cannot be undone. */
export function Confirm({
  title,
  verb,
  children,
  act,
  close,
  isDanger = true,
}: {
  readonly title: string;
  /** What the button says. */
  readonly verb: string;
  readonly children: ReactNode;
  readonly act: () => Promise<unknown>;
  readonly close: () => void;
  readonly isDanger?: boolean;
}): ReactNode {
  const work = useMutation<unknown, ApiFailure>({ mutationFn: act, onSuccess: close });
  return (
    <Modal
      open
      danger={isDanger}
      size="sm"
      modalHeading={title}
      primaryButtonText={verb}
      primaryButtonDisabled={work.isPending}
      secondaryButtonText="Cancel"
      onRequestSubmit={() => work.mutate()}
      onRequestClose={close}
    >
      {children}
      {work.error === null ? null : <Failure title="That was not done." error={work.error} />}
    </Modal>
  );
}

/** Asks for a new name. */
export function Rename({
  what,
  name,
  act,
  close,
}: {
  readonly what: string;
  readonly name: string;
  readonly act: (name: string) => Promise<unknown>;
  readonly close: () => void;
}): ReactNode {
  const [text, setText] = useState(name);
  const work = useMutation<unknown, ApiFailure>({ mutationFn: () => act(text.trim()), onSuccess: close });
  return (
    <Modal
      open
      size="sm"
      modalHeading={`Rename the ${what}`}
      primaryButtonText="Rename"
      primaryButtonDisabled={work.isPending || text.trim() === '' || text.trim() === name}
      secondaryButtonText="Cancel"
      onRequestSubmit={() => work.mutate()}
      onRequestClose={close}
      shouldSubmitOnEnter
      selectorPrimaryFocus="#new-name"
    >
      <TextInput
        {...fieldProps('new-name', text, setText, work.error?.message)}
        labelText="New name"
        helperText="Lower-case letters, digits and hyphens; begins with a letter"
      />
    </Modal>
  );
}
