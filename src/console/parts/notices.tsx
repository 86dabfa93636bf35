import { Button, InlineNotification } from '@carbon/react';
import type { ReactNode } from 'react';
import type { ApiFailure } from '../api/client.ts';

/** What went wrong with a request, near what it is about. */
export function Failure({ title, error }: { readonly title: string; readonly error: ApiFailure }): ReactNode {
  return (
    <InlineNotification
      kind="error"
      role="alert"
      title={title}
      subtitle={error.message}
      lowContrast
      hideCloseButton
    />
  );
}

/** In place of a list that is empty: what would be there, and the next step. */
export function Empty({
  title,
  children,
  action,
}: {
  readonly title: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}): ReactNode {
  return (
    <section className="empty">
      <h2>{title}</h2>
      <p>{children}</p>
      {action}
    </section>
  );
}

/** In place of what could not be read. */
export function Unread({
  what,
  error,
  retry,
}: {
  readonly what: string;
  readonly error: ApiFailure;
  readonly retry: () => void;
}): ReactNode {
  return (
    <section className="empty" role="alert">
      <h2>{what} cannot be shown</h2>
      <p>{error.message}</p>
      <Button kind="tertiary" onClick={retry}>
        Try again
      </Button>
    </section>
  );
}
