import { Form, InlineNotification, SkeletonText } from '@carbon/react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useMemo, useState } from 'react';
import { useLocation } from 'wouter';
import { type ApiFailure, ask, connectionChange, type Reply, type Step, transact } from '../api/client.ts';
import { connectionPath, useConnectionOfGateway } from '../api/queries.ts';
import type { Connection, Gateway } from '../api/types.ts';
import { ConnectionFields } from '../forms/connection-fields.tsx';
import {
  type ConnectionEntry,
  changedFields,
  changeOf,
  type EntryField,
  entryOf,
  isAddress,
  ownAddresses,
} from '../forms/connection-model.ts';
import { ConnectionSummary } from '../forms/connection-summary.tsx';
import { FormButtons } from '../forms/form-buttons.tsx';
import { useLeaveWarning } from '../forms/keep-entry.ts';
import { type FormPlan, useConnectionForm } from '../forms/use-connection-form.ts';
import { Unread } from '../parts/notices.tsx';
import { PageHead } from '../parts/page.tsx';

/** Changes a connection in any of its fields. */
export function EditConnectionPage({
  gatewayId,
  id,
}: {
  readonly gatewayId: string;
  readonly id: string;
}): ReactNode {
  const { gateway, connection, error, retry } = useConnectionOfGateway(gatewayId, id);
  if (gateway !== undefined && connection !== undefined)
    return <EditConnection gateway={gateway} found={connection} />;
  if (error !== null) return <Unread what="The connection" error={error} retry={retry} />;
  return <SkeletonText heading paragraph lineCount={8} />;
}

/** What the page began with, so that changes of others differ from one's own. */
interface Base {
  readonly reply: Reply<Connection>;
  readonly entry: ConnectionEntry;
}

const TITLES: Readonly<Partial<Record<EntryField, string>>> = {
  name: 'VPN connection name',
  peer: 'Peer gateway address',
  establishMode: 'Establish mode',
  distributeTraffic: 'Distribute traffic',
  localCidrs: 'Local IBM CIDRs',
  peerCidrs: 'Peer CIDRs',
  dpdAction: 'Action',
  dpdInterval: 'Interval',
  dpdTimeout: 'Timeout',
  ikePolicy: 'IKE policy',
  ipsecPolicy: 'IPsec policy',
  localIdentities: 'Local IKE identities',
  peerIdentity: 'Peer IKE identity',
};

/** What was entered, against what it is a change of; `merged` are the fields that others have changed, too. */
function useEditing(gateway: Gateway, found: Reply<Connection>) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  // It stays, whatever is read meanwhile: the server refuses a change that was made against something older.
  const [base, setBase] = useState<Base>(() => ({ reply: found, entry: entryOf(found.body, gateway) }));
  const [entry, setEntry] = useState(base.entry);
  const [merged, setMerged] = useState<readonly string[]>();
  const { id, mode = 'policy' } = base.reply.body;
  const plan = useMemo<FormPlan>(
    () => ({ steps: (given) => stepsOf(gateway, base, given), place: 0, hasKey: true }),
    [gateway, base],
  );
  const form = useConnectionForm(entry, setEntry, mode, plan);
  const save = useMutation<unknown, ApiFailure>({
    mutationFn: () => transact(plan.steps(entry)),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['connections', gateway.id] });
      navigate(`/gateways/${gateway.id}/${id}`);
    },
    onError: async (error) => {
      if (error.status !== 412) return;
      const theirs = await ask<Connection>('GET', connectionPath(gateway.id, id));
      const next = { reply: theirs, entry: entryOf(theirs.body, gateway) };
      const both = merge(base.entry, next.entry, entry);
      setBase(next);
      setEntry(both.entry);
      setMerged(both.clashes.map((field) => TITLES[field] ?? field));
      save.reset();
    },
  });
  const isChanged = changedFields(base.entry, entry).length > 0;
  useLeaveWarning(isChanged && !save.isSuccess);
  return { base, form, save, merged, isChanged, kindIssue: peerKindIssue(base.entry, entry) };
}

function EditConnection({
  gateway,
  found,
}: {
  readonly gateway: Gateway;
  readonly found: Reply<Connection>;
}): ReactNode {
  const { base, form, save, merged, isChanged, kindIssue } = useEditing(gateway, found);
  const { id, name } = base.reply.body;
  const place = `/gateways/${gateway.id}/${id}`;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    form.showAll();
    if (form.isComplete && kindIssue === undefined) save.mutate();
  };
  return (
    <>
      <PageHead
        title={`Change ${name}`}
        trail={[
          ['/gateways', 'VPN gateways'],
          [`/gateways/${gateway.id}`, gateway.name],
          [place, name],
        ]}
      />
      {merged === undefined ? null : <Merged clashes={merged} />}
      <Form className="with-summary" onSubmit={submit} noValidate>
        <div className="fields">
          <ConnectionFields form={form} isThere />
        </div>
        <ConnectionSummary form={form} gateway={gateway.name} addresses={ownAddresses(gateway)}>
          {kindIssue === undefined ? null : (
            <p className="fault" role="alert">
              {kindIssue}
            </p>
          )}
          <FormButtons
            verb="Save"
            isDisabled={save.isPending || !isChanged}
            back={place}
            failed="The connection was not changed."
            error={save.error}
          />
        </ConnectionSummary>
      </Form>
    </>
  );
}

function stepsOf(gateway: Gateway, { reply, entry: before }: Base, entry: ConnectionEntry): readonly Step[] {
  const { id, mode = 'policy' } = reply.body;
  const change = connectionChange(gateway.id, id, changeOf(entry, changedFields(before, entry), mode));
  return [reply.etag === undefined ? change : { ...change, if_match: reply.etag }];
}

/** Theirs where only they changed something, ours where we did; `clashes` are the fields that both changed. */
function merge(
  before: ConnectionEntry,
  theirs: ConnectionEntry,
  ours: ConnectionEntry,
): { readonly entry: ConnectionEntry; readonly clashes: readonly EntryField[] } {
  const mine = changedFields(before, ours);
  const changes = Object.fromEntries(mine.map((field) => [field, ours[field]]));
  const clashes = changedFields(before, theirs).filter(
    (field) => mine.includes(field) && JSON.stringify(theirs[field]) !== JSON.stringify(ours[field]),
  );
  return { entry: { ...theirs, ...changes } as ConnectionEntry, clashes };
}

function Merged({ clashes }: { readonly clashes: readonly string[] }): ReactNode {
  const text =
    clashes.length === 0
      ? 'Their changes are in the fields below, with yours. Look at them, and save again.'
      : `Their changes are in the fields below. You both changed ${clashes.join(', ')}: there it is yours that is shown. Look at it, and save again.`;
  return (
    <InlineNotification
      kind="warning"
      title="Someone else has changed this connection meanwhile."
      subtitle={text}
      lowContrast
      hideCloseButton
    />
  );
}

function peerKindIssue(before: ConnectionEntry, after: ConnectionEntry): string | undefined {
  if (after.peer.trim() === '' || isAddress(before.peer) === isAddress(after.peer)) return undefined;
  return isAddress(before.peer)
    ? 'The peer is given by its address, which cannot become a host name: create another connection for that.'
    : 'The peer is given by its host name, which cannot become an address: create another connection for that.';
}
