import { type Dispatch, type SetStateAction, useEffect, useMemo, useState } from 'react';
import { ApiFailure, type Step, transact } from '../api/client.ts';
import type { Gateway } from '../api/types.ts';
import { BODY_PATHS, bodyOf, type ConnectionEntry, type EntryField } from './connection-model.ts';
import { checkBody, faultsByField, type Issues, issueOf } from './schema-check.ts';

/** What the fields of the page work with. */
export interface ConnectionForm {
  readonly entry: ConnectionEntry;
  readonly mode: Gateway['mode'];
  set<F extends EntryField>(field: F, value: ConnectionEntry[F]): void;
  /** The field was left: from now on it says what is wrong with it. */
  touch(field: EntryField): void;
  /** What is wrong with a field, as far as it is to be said already. */
  issue(field: EntryField): string | undefined;
  /** What is wrong with none of the fields. */
  readonly other: string | undefined;
  /** Nothing is wrong by the schema: the server may still know better. */
  readonly isComplete: boolean;
}

/** How the entry becomes steps of a transaction, and which of them is the connection's. */
export interface FormPlan {
  steps(entry: ConnectionEntry): readonly Step[];
  readonly place: number;
  /** The key may be left as it is. */
  readonly hasKey: boolean;
}

/** A pause in typing after which the server is asked. */
const PAUSE_MS = 500;
const NONE: Issues = new Map();

/** The state of the page of a connection: what was entered, and what is wrong with it. */
export function useConnectionForm(
  entry: ConnectionEntry,
  setEntry: Dispatch<SetStateAction<ConnectionEntry>>,
  mode: Gateway['mode'],
  plan: FormPlan,
): ConnectionForm & { readonly showAll: () => void } {
  const [touched, setTouched] = useState<ReadonlySet<EntryField>>(new Set());
  const [all, setAll] = useState(false);
  const bySchema = useMemo(() => schemaIssues(entry, mode, plan.hasKey), [entry, mode, plan.hasKey]);
  const byServer = useServerIssues(entry, bySchema.size === 0, plan);
  return {
    entry,
    mode,
    set: (field, value) => setEntry((before) => ({ ...before, [field]: value })),
    touch: (field) => {
      if (!touched.has(field)) setTouched((before) => new Set([...before, field]));
    },
    issue: (field) => {
      if (!all && !touched.has(field)) return undefined;
      return issueOf(bySchema, ...BODY_PATHS[field]) ?? issueOf(byServer, ...BODY_PATHS[field]);
    },
    other: elsewhere(byServer),
    isComplete: bySchema.size === 0,
    showAll: () => setAll(true),
  };
}

/** By the schema of the body, and what a person may have meant by an empty field. */
function schemaIssues(entry: ConnectionEntry, mode: Gateway['mode'], hasKey: boolean): Issues {
  const body = bodyOf(entry, mode);
  // A key that stays is not in the body.
  const known = hasKey && body.psk === undefined ? { ...body, psk: 'left-as-it-is' } : body;
  const issues = new Map(checkBody('createConnection', known));
  const need = (path: string, text: string): void => {
    if (!issues.has(path)) issues.set(path, text);
  };
  if (entry.name.trim() === '') issues.set('name', 'Enter a name, such as my-connection.');
  if (entry.peer.trim() === '') need('peer.address', 'Enter the IP address or the host name of the peer.');
  if (mode === 'policy' && entry.localCidrs.trim() === '')
    issues.set('local.cidrs', 'Enter one network at least.');
  if (mode === 'policy' && entry.peerCidrs.trim() === '')
    issues.set('peer.cidrs', 'Enter one network at least.');
  if (mode === 'route') {
    const given = entry.localIdentities.filter(({ value }) => value.trim() !== '').length;
    if (given === 1)
      issues.set('local.ike_identities', 'Enter two local identities, one for each member, or none.');
  }
  return issues;
}

/** What the server says of the whole when it is asked without changing anything: overlaps, quotas, names. */
function useServerIssues(entry: ConnectionEntry, isComplete: boolean, plan: FormPlan): Issues {
  const [issues, setIssues] = useState<Issues>(NONE);
  const wanted = isComplete ? JSON.stringify(plan.steps(entry)) : '';
  useEffect(() => {
    setIssues(NONE);
    if (wanted === '') return;
    const end = new AbortController();
    const timer = setTimeout(() => {
      transact(JSON.parse(wanted) as Step[], true, end.signal).catch((error: unknown) => {
        if (end.signal.aborted || !(error instanceof ApiFailure)) return;
        // What is no fault of the fields comes back when the form is sent.
        if (error.status === 400 || error.status === 409 || error.status === 404) {
          setIssues(faultsByField(error.faults, plan.place));
        }
      });
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [wanted, plan.place]);
  return issues;
}

function elsewhere(issues: Issues): string | undefined {
  const paths = Object.values(BODY_PATHS).flat();
  const rest = [...issues].filter(([path]) => issueOf(new Map([[path, 'x']]), ...paths) === undefined);
  return rest.length === 0 ? undefined : rest.map(([, text]) => text).join(' ');
}
