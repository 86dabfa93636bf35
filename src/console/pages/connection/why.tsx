import { Button, PasswordInput } from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { type ApiFailure, connectionChange, transact } from '../../api/client.ts';
import { useMayChange } from '../../api/session.ts';
import type { Connection, Diagnosis, Gateway } from '../../api/types.ts';
import { fieldProps } from '../../parts/field.ts';
import { Failure } from '../../parts/notices.tsx';
import { Facts, Section, Words } from '../../parts/page.tsx';
import { TunnelState } from '../../parts/status.tsx';
import { utc } from '../../parts/time.tsx';
import { type Remedy, remediesFor } from './remedies.ts';

interface Props {
  readonly gateway: Gateway;
  readonly connection: Connection;
  readonly diagnosis: Diagnosis;
}

type Details = NonNullable<NonNullable<Diagnosis['connection']>['status_reasons'][number]['details']>;

/** Why the connection is as it is: in words, with evidence, advice, and buttons for what can be done here. */
export function Why({ gateway, connection, diagnosis }: Props): ReactNode {
  const { verdict, cause, advice, next, connection: status } = diagnosis;
  const mayChange = useMayChange();
  const reasons = status?.status_reasons ?? [];
  const remedies = mayChange ? remediesFor(connection, diagnosis) : [];
  return (
    <Section title="State">
      <div className={`why why--${diagnosis.status}`}>
        <p className="verdict">
          <TunnelState status={diagnosis.status} /> {verdict}
        </p>
        {cause === null ? null : (
          <p className="help">
            Cause: <code>{cause}</code>
          </p>
        )}
        {advice.length === 0 ? null : (
          <>
            <h3>What to do</h3>
            <ul>
              {advice.map((text) => (
                <li key={text}>
                  <Words text={text} />
                </li>
              ))}
            </ul>
          </>
        )}
        {remedies.length === 0 ? null : (
          <Remedies gateway={gateway} connection={connection} remedies={remedies} />
        )}
        {next.length === 0 ? null : (
          <p className="help">
            <Words text={next.join(' ')} />
          </p>
        )}
      </div>
      {reasons.map(({ code, message, details }) =>
        details === undefined ? null : <Evidence key={code + message} details={details} />,
      )}
    </Section>
  );
}

/** What can be done about it from here. */
function Remedies({
  gateway,
  connection,
  remedies,
}: Omit<Props, 'diagnosis'> & { readonly remedies: readonly Remedy[] }): ReactNode {
  const client = useQueryClient();
  const act = useMutation<unknown, ApiFailure, Remedy>({
    mutationFn: (remedy) => transact(remedy.steps(gateway.id)),
    onSettled: () => client.invalidateQueries({ queryKey: ['connections', gateway.id] }),
  });
  return (
    <div className="remedies">
      {remedies.map((remedy) =>
        remedy.needsKey ? (
          <NewKey key={remedy.label} gateway={gateway} connection={connection} />
        ) : (
          <Button
            key={remedy.label}
            size="md"
            kind="tertiary"
            disabled={act.isPending}
            onClick={() => act.mutate(remedy)}
          >
            {remedy.label}
          </Button>
        ),
      )}
      {act.error === null ? null : <Failure title="That was not done." error={act.error} />}
    </div>
  );
}

/** A key that may be the right one, entered where its being wrong is said. */
function NewKey({ gateway, connection }: Omit<Props, 'diagnosis'>): ReactNode {
  const client = useQueryClient();
  const [psk, setPsk] = useState('');
  const change = useMutation<unknown, ApiFailure>({
    mutationFn: () => transact([connectionChange(gateway.id, connection.id, { psk, admin_state_up: true })]),
    onSuccess: () => setPsk(''),
    onSettled: () => client.invalidateQueries({ queryKey: ['connections', gateway.id] }),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (psk !== '') change.mutate();
  };
  return (
    <form className="with-button" onSubmit={submit}>
      <PasswordInput
        {...fieldProps('new-key', psk, setPsk, change.error?.message)}
        labelText="The key that the peer has"
        autoComplete="new-password"
        showPasswordLabel="Show the key"
        hidePasswordLabel="Hide the key"
      />
      <Button type="submit" kind="tertiary" disabled={change.isPending || psk === ''}>
        Set this key
      </Button>
    </form>
  );
}

/** What was seen: both offers side by side, with the nearest miss marked; identities and networks of both ends. */
function Evidence({ details }: { readonly details: Details }): ReactNode {
  const {
    ours,
    theirs,
    nearest,
    cause: _cause,
    advice: _advice,
    ...rest
  } = details as {
    readonly ours?: readonly string[];
    readonly theirs?: readonly string[];
    readonly nearest?: { readonly proposal: number; readonly differs: readonly string[] };
    readonly cause: string;
    readonly advice?: string;
    readonly [field: string]: unknown;
  };
  const facts = Object.entries(rest).map(
    ([name, value]) => [name.replaceAll('_', ' '), shown(value)] as const,
  );
  return (
    <div className="evidence">
      {ours === undefined && theirs === undefined ? null : (
        <div className="offers">
          <Offer title="We accept" proposals={ours ?? []} />
          <Offer
            title="The peer offers"
            proposals={theirs ?? []}
            {...(nearest === undefined ? {} : { nearest })}
          />
        </div>
      )}
      {facts.length === 0 ? null : <Facts facts={facts} />}
    </div>
  );
}

function Offer({
  title,
  proposals,
  nearest,
}: {
  readonly title: string;
  readonly proposals: readonly string[];
  readonly nearest?: { readonly proposal: number; readonly differs: readonly string[] };
}): ReactNode {
  return (
    <div className="offer">
      <h3>{title}</h3>
      {proposals.length === 0 ? <p className="help">The peer has not said what.</p> : null}
      <ol>
        {proposals.map((text, index) => {
          const isNearest = nearest?.proposal === index + 1;
          return (
            <li key={text} className={isNearest ? 'nearest' : ''}>
              <span className="mono">{text}</span>
              {isNearest ? <strong> nearest: differs in {nearest.differs.join(', ')}</strong> : null}
            </li>
          );
        })}
      </ol>
    </div>
  );
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(', ');
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT[0-9:.]+Z$/.test(value)) return utc(value);
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}
