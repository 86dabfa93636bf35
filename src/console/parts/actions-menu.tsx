import { OverflowMenu } from '@carbon/react';
import type { ReactNode } from 'react';

/** The menu of what can be done with an object, named after it; its items are the children. */
export function ActionsMenu({
  of,
  ...rest
}: {
  readonly of: string;
  /** In the row of a table. */
  readonly size?: 'sm';
  readonly children: ReactNode;
}): ReactNode {
  const name = `Actions of ${of}`;
  return <OverflowMenu aria-label={name} iconDescription={name} flipped {...rest} />;
}
