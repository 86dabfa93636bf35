import { equalConstantTime } from '../crypto/compare.js';
import type { ConnectionConfig } from '../ike/config.js';
import type { RenewScope } from '../ike/inputs.js';
import { sameIdentity } from '../ike/policy/identity.js';
import { covers, sameSelectors } from '../ike/policy/selectors.js';
import { RELOAD_TABLE, type ReloadAction, type ReloadField } from './reload-table.js';

/** A connection as it is planned with: `peer` as the operator wrote it, since resolved addresses come and go. */
export interface PlannedConnection {
  readonly config: ConnectionConfig;
  readonly peer: string;
  /** Networks that the operator routes into it, in route mode. */
  readonly routes?: readonly string[];
  /** The TUN device of its own, in route mode. */
  readonly interface?: string;
}

export interface FieldChange {
  readonly field: ReloadField;
  readonly action: ReloadAction;
  readonly effect: string;
}

/** What happens to one connection. Connections without a difference are in no plan. */
export interface ConnectionPlan {
  readonly name: string;
  readonly change: 'add' | 'remove' | 'change' | 'rename';
  /** The name before, of a renamed one. */
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
  const gone = before.filter((one) => !wanted.has(one.config.id));
  const plans: ConnectionPlan[] = [];
  for (const one of after) {
    const { id: name } = one.config;
    const known = old.get(name);
    if (known !== undefined) {
      const changes = compare(known, one);
      if (changes.length > 0)
        plans.push({ name, change: 'change', changes, steps: stepsOf(changes, one.config) });
      continue;
    }
    const twin = gone.findIndex((other) => compare(other, one).length === 0);
    if (twin >= 0) {
      const [source] = gone.splice(twin, 1);
      plans.push({
        name,
        change: 'rename',
        from: source!.config.id,
        changes: [changeOf('name')],
        steps: [],
      });
      continue;
    }
    plans.push({ name, change: 'add', changes: [changeOf('connection added')], steps: [] });
  }
  for (const { config } of gone) {
    plans.push({ name: config.id, change: 'remove', changes: [changeOf('connection removed')], steps: [] });
  }
  return plans;
}

export function changeOf(field: ReloadField): FieldChange {
  return { field, ...RELOAD_TABLE[field] };
}

/** The fields in which two versions of a connection differ; the name is not looked at. */
function compare(before: PlannedConnection, after: PlannedConnection): FieldChange[] {
  const a = before.config;
  const b = after.config;
  const fields: ReloadField[] = [];
  const check = (differs: boolean, field: ReloadField): void => {
    if (differs) fields.push(field);
  };
  check(!equalConstantTime(a.psk.expose(), b.psk.expose()), 'psk');
  check(differ(a.dpd, b.dpd), 'dead_peer_detection');
  check(a.establishMode !== b.establishMode, 'establish_mode');
  check(!a.adminUp && b.adminUp, 'admin_state_up: true');
  check(a.adminUp && !b.adminUp, 'admin_state_up: false');
  check(a.ikeLifetime !== b.ikeLifetime, 'ike_policy key_lifetime');
  check(a.childLifetime !== b.childLifetime, 'ipsec_policy key_lifetime');
  check(a.initiateVersion !== b.initiateVersion, 'ike_policy ike_version');
  check(
    a.initiateVersion === b.initiateVersion && differ(a.acceptVersions, b.acceptVersions),
    'ike_policy accepted versions',
  );
  check(differ(a.ikeProposals, b.ikeProposals), 'ike_policy');
  check(differ(a.espProposals, b.espProposals), 'ipsec_policy');
  const [removed, added] = networks(a, b);
  check(added, 'cidrs added');
  check(removed, 'cidrs removed');
  check(before.peer !== after.peer, 'peer.address');
  check(a.peer.port !== b.peer.port, 'peer.port');
  check(!sameIdentity(a.peer.identity, b.peer.identity), 'peer.ike_identity');
  check(!sameIdentity(a.local.identity, b.local.identity), 'local.ike_identities');
  check(differ(before.routes, after.routes), 'routes');
  check(before.interface !== after.interface, 'interface');
  return fields.map(changeOf);
}

/** Whether networks were removed, and whether some were added, on either side. */
function networks(a: ConnectionConfig, b: ConnectionConfig): [removed: boolean, added: boolean] {
  const sides = [
    [a.local.selectors, b.local.selectors],
    [a.peer.selectors, b.peer.selectors],
  ] as const;
  const changed = sides.filter(([one, other]) => !sameSelectors(one, other));
  return [
    changed.some(([one, other]) => !covers(other, one)),
    changed.some(([one, other]) => !covers(one, other)),
  ];
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

/** Plain data in a fixed order of fields: the text tells whether they are equal. */
function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}
