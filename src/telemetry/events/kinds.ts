import { EVENTS, isStreamedKind } from '../../connection/event-catalogue.js';
import type { IkeEvent } from '../../ike/events.js';
import { OPERATOR_EVENTS, type OperatorEvent } from './operator-events.js';

/** A kind of event that a stream may have. */
export type EventKind = IkeEvent['kind'] | OperatorEvent['kind'];

/** Every kind of event that a stream may have: those of the engine, then those around it. */
export const EVENT_KINDS: readonly EventKind[] = [
  ...(Object.keys(EVENTS) as IkeEvent['kind'][]).filter(isStreamedKind),
  ...(Object.keys(OPERATOR_EVENTS) as OperatorEvent['kind'][]),
];
