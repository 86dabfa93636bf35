import { Button, Form, InlineNotification, Modal, PasswordInput } from '@carbon/react';
import { type FormEvent, type ReactNode, useState } from 'react';
import { logIn } from '../api/login.ts';
import { fieldProps } from '../parts/field.ts';

/** What a login needs of its form, wherever it is shown. */
function useLogin() {
  const [secret, setSecret] = useState('');
  const [fault, setFault] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (): Promise<void> => {
    if (secret.trim() === '') {
      setFault('Enter a token or an API key of the server.');
      return;
    }
    setBusy(true);
    try {
      await logIn({ secret });
    } catch (error) {
      setFault((error as Error).message);
      setBusy(false);
    }
  };
  const field = (
    <PasswordInput
      {...fieldProps('secret', secret, setSecret, fault)}
      labelText="Token or API key"
      helperText="As “culvert token” has printed it. It is sent to this server only, and not kept in the browser."
      autoComplete="current-password"
      showPasswordLabel="Show it"
      hidePasswordLabel="Hide it"
    />
  );
  return { field, isBusy, submit };
}

/** The page of who is not logged in. */
export function LoginPage({ refused }: { readonly refused: string | undefined }): ReactNode {
  const { field, isBusy, submit } = useLogin();
  const onSubmit = (event: FormEvent): void => {
    event.preventDefault();
    void submit();
  };
  return (
    <main className="login" id="main">
      <div className="login-box">
        <h1>Log in to Culvert</h1>
        {refused === undefined ? null : (
          <InlineNotification
            kind="error"
            title="The link did not log you in."
            subtitle={refused}
            lowContrast
            hideCloseButton
          />
        )}
        <Form onSubmit={onSubmit}>
          {field}
          <Button type="submit" disabled={isBusy}>
            {isBusy ? 'Logging in…' : 'Log in'}
          </Button>
        </Form>
        <p className="hint">
          Without one: run <code>culvert console</code> as root on the machine of the server, and open the
          link that it prints.
        </p>
      </div>
    </main>
  );
}

/** Over a page whose login has expired: what was entered there stays. */
export function LoginAgain(): ReactNode {
  const { field, isBusy, submit } = useLogin();
  return (
    <Modal
      open
      modalHeading="Your login has expired"
      primaryButtonText={isBusy ? 'Logging in…' : 'Log in'}
      primaryButtonDisabled={isBusy}
      secondaryButtonText="Leave"
      onRequestSubmit={() => void submit()}
      onRequestClose={() => undefined}
      onSecondarySubmit={() => location.assign('/console/')}
      preventCloseOnClickOutside
      shouldSubmitOnEnter
    >
      <p>Log in again to go on where you were. Nothing of what you have entered is lost.</p>
      {field}
    </Modal>
  );
}
