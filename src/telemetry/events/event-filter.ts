import type { EventLevel } from '../../connection/event-catalogue.js';
import type { EventSubject } from './event-document.js';

/** Which events a subscriber wants: those that fit every list that is given. It gets every gap. */
export interface EventFilter {
  readonly kinds?: readonly string[];
  /** Gateways by name or id. */
  readonly gateways?: readonly string[];
  /** Connections by name or id. */
  readonly connections?: readonly string[];
  /** At least so much. */
  readonly level?: EventLevel;
}

const RANK: Readonly<Record<EventLevel, number>> = { debug: 0, info: 1, warn: 2 };

/** Whether a subscriber with this filter wants the event. */
export function fitsFilter(filter: EventFilter, { kind, level, gateway, connection }: EventSubject): boolean {
  const { kinds, gateways, connections, level: least = 'debug' } = filter;
  if (kind === 'gap') return true;
  return (
    RANK[level] >= RANK[least] &&
    (kinds === undefined || kinds.includes(kind)) &&
    (gateways === undefined || isNamed(gateways, gateway)) &&
    (connections === undefined || isNamed(connections, connection))
  );
}

function isNamed(
  wanted: readonly string[],
  one: { readonly name: string; readonly id?: string } | undefined,
): boolean {
  if (one === undefined) return false;
  return wanted.includes(one.name) || (one.id !== undefined && wanted.includes(one.id));
}
