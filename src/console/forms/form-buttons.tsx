import { Button } from '@carbon/react';
import type { ReactNode } from 'react';
import { useLocation } from 'wouter';
import type { ApiFailure } from '../api/client.ts';
import { Failure } from '../parts/notices.tsx';

/** The buttons of a form that is a page of its own, below what went wrong when it was sent. */
export function FormButtons({
  verb,
  isDisabled,
  back,
  failed,
  error,
}: {
  readonly verb: string;
  readonly isDisabled: boolean;
  /** The page that one comes back to without sending it. */
  readonly back: string;
  /** The title of a failure. */
  readonly failed: string;
  readonly error: ApiFailure | null;
}): ReactNode {
  const [, navigate] = useLocation();
  return (
    <>
      {error === null ? null : <Failure title={failed} error={error} />}
      <Button type="submit" disabled={isDisabled}>
        {verb}
      </Button>
      <Button kind="secondary" onClick={() => navigate(back)}>
        Cancel
      </Button>
    </>
  );
}
