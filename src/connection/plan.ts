import { type ConnectionConfig, connectionName } from '../ike/config.js';
import type { RenewScope } from '../ike/inputs.js';
import type { ConnectionId } from '../util/ids.js';
import {
  type PlannedConnection,
  RELOAD_TABLE,
  type ReloadAction,
  type ReloadField,
  type ReloadRule,
} from './reload-table.js';

/** A field that differs between two configurations, and what the reload does about it. */
export interface FieldChange {
  readonly field: ReloadField;
  readonly action: ReloadAction;
  readonly effect: string;
}

/** What happens to one connection. Connections without a difference are in no plan. */
export interface ConnectionPlan {
  readonly id: ConnectionId;
  readonly name: string;
  readonly change: 'add' | 'remove' | 'change' | 'rename';
  /** The name before, of a renamed one, which may have changed otherwise, too. */
  readonly from?: string;
  readonly changes: readonly FieldChange[];
  /** What to do once the new configuration is in place, in this order. */
  readonly steps: readonly PlanStep[];
}

/** `renew` is the engine's; `retry` says that the configuration changed in a way that a waiting retry should know. */
export type PlanStep =
  | { readonly kind: 'renew'; readonly scope: RenewScope }
  | { readonly kind: 'cover' | 'renegotiate' | 'retry' };

/** Fields whose change may be what makes the next attempt work. */
const RETRY: ReadonlySet<ReloadAction> = new Set([
  'next_authentication',
  'rekey_ike',
  'rekey_children',
  'new_connection_sa',
  'renegotiate',
  'add_networks',
  'remove_networks',
]);

/** The smallest set of actions that leads from one list of connections to another. */
export function planConnections(
  before: readonly PlannedConnection[],
  after: readonly PlannedConnection[],
): ConnectionPlan[] {
  const old = new Map(before.map((one) => [one.config.id, one]));
  const wanted = new Set(after.map((one) => one.config.id));
  const plans: ConnectionPlan[] = [];
  for (const one of after) {
    const about = { id: one.config.id, name: connectionName(one.config) };
    const known = old.get(about.id);
    if (known === undefined) {
      plans.push({ ...about, change: 'add', changes: [changeOf('connection added')], steps: [] });
      continue;
    }
    const from = connectionName(known.config);
    const renamed = from === about.name ? [] : [changeOf('name')];
    const changes = [...renamed, ...diffConnections(known, one)];
    if (changes.length === 0) continue;
    const change = renamed.length === 0 ? { change: 'change' as const } : { change: 'rename' as const, from };
    plans.push({ ...about, ...change, changes, steps: stepsOf(changes, one.config) });
  }
  for (const { config } of before.filter((one) => !wanted.has(one.config.id))) {
    const about = { id: config.id, name: connectionName(config) };
    plans.push({ ...about, change: 'remove', changes: [changeOf('connection removed')], steps: [] });
  }
  return plans;
}

/**
 * The ids of connections that were read again from where they have only names, in the order of `after`: one with the
 * name of a known connection is that one, and so is one that differs in nothing but the name from a known one that is
 * gone. A further one keeps the id that it was read with, or gets another where that is taken.
 */
export function knownIds(
  before: readonly PlannedConnection[],
  after: readonly PlannedConnection[],
): ConnectionId[] {
  const byName = new Map(before.map((one) => [connectionName(one.config), one.config.id]));
  const names = new Set(after.map((one) => connectionName(one.config)));
  const gone = before.filter((one) => !names.has(connectionName(one.config)));
  const ids = after.map((one) => {
    const known = byName.get(connectionName(one.config));
    if (known !== undefined) return known;
    const twin = gone.findIndex((other) => diffConnections(other, one).length === 0);
    return twin < 0 ? undefined : gone.splice(twin, 1)[0]!.config.id;
  });
  const taken = new Set([...ids, ...before.map((one) => one.config.id)]);
  return ids.map((known, i) => {
    if (known !== undefined) return known;
    const read = after[i]!.config.id;
    let id = read;
    for (let n = 2; taken.has(id); n++) id = `${read}~${n}`;
    taken.add(id);
    return id;
  });
}

/** Returns the change of a field with its row of the reload table. */
export function changeOf(field: ReloadField): FieldChange {
  const { action, effect } = RELOAD_TABLE[field];
  return { field, action, effect };
}

/** The fields in which two versions of a connection differ; id and name are not looked at. */
export function diffConnections(before: PlannedConnection, after: PlannedConnection): FieldChange[] {
  const rules: readonly (readonly [string, ReloadRule])[] = Object.entries(RELOAD_TABLE);
  return rules
    .filter(([, { differs }]) => differs?.(before, after))
    .map(([field]) => changeOf(field as ReloadField));
}

/** The strongest action includes the weaker ones: a new IKE SA comes with new child SAs and new lifetimes. */
function stepsOf(changes: readonly FieldChange[], { establishMode, adminUp }: ConnectionConfig): PlanStep[] {
  if (!adminUp) return [];
  const has = (action: ReloadAction): boolean => changes.some((change) => change.action === action);
  const steps: PlanStep[] = [];
  if (has('renegotiate')) {
    steps.push({ kind: 'renegotiate' });
  } else if (has('new_connection_sa')) {
    // One that never initiates cannot make a new SA beside the old one: the peer has to.
    steps.push(
      establishMode === 'peer_only' ? { kind: 'renegotiate' } : { kind: 'renew', scope: 'connection' },
    );
  } else {
    if (has('reschedule')) steps.push({ kind: 'renew', scope: 'lifetimes' });
    if (has('remove_networks')) steps.push({ kind: 'renew', scope: 'networks' });
    if (establishMode === 'bidirectional') {
      if (has('rekey_ike')) steps.push({ kind: 'renew', scope: 'ike' });
      if (has('rekey_children')) steps.push({ kind: 'renew', scope: 'children' });
      if (has('add_networks')) steps.push({ kind: 'cover' });
    }
  }
  const mayInitiate =
    changes.some(({ field }) => field === 'establish_mode') && establishMode === 'bidirectional';
  if (mayInitiate || changes.some(({ action }) => RETRY.has(action))) steps.push({ kind: 'retry' });
  return steps;
}
