import { type ConnectionRecord, type GatewayRecord, KIND } from '../store/records.js';
import type { Snapshot } from '../store/store.js';
import type { NewEvent } from '../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../telemetry/events/operator-events.js';
import type { AuditNote } from './audit/trail.js';

/** Events of one commit; of one that changes more objects the audit trail has the rest. */
const MAX_EVENTS = 1000;

/** What a commit did to objects, as events. `before` is the state that it changed, `after` the one that it made. */
export function objectEvents(
  { at, who, changes }: AuditNote,
  before: Snapshot,
  after: Snapshot,
): readonly NewEvent[] {
  const gatewayOf = (id: string): { readonly id: string; readonly name: string } => {
    const gateway = after.get<GatewayRecord>(KIND.gateway, id) ?? before.get<GatewayRecord>(KIND.gateway, id);
    return { id, name: gateway?.value.name ?? id };
  };
  return changes.slice(0, MAX_EVENTS).map(({ action, kind, id, before: old, after: made }) => {
    const verb = old === null ? 'created' : made === null ? 'deleted' : 'changed';
    const value = (made ?? old ?? {}) as Partial<ConnectionRecord>;
    const name = value.name ?? id;
    const described = describeOperatorEvent({
      kind: `object-${verb}`,
      ...{ resourceType: kind, id, name, who, action },
    });
    const event = { time: at, ...described };
    if (kind === KIND.gateway) return { ...event, gateway: { id, name } };
    if (kind !== KIND.connection || value.gateway === undefined) return event;
    return { ...event, gateway: gatewayOf(value.gateway), connection: { id, name } };
  });
}
